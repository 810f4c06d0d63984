use flate2::{Compress, Compression, FlushCompress};

use crate::inflate::{Inflater, TAIL};
use crate::stamp::Stamp;

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(text.len() + 64);
    Compress::new(Compression::fast(), false)
        .compress_vec(text, &mut payload, FlushCompress::Sync)
        .expect("it can be compressed");
    payload.truncate(payload.len() - TAIL.len());
    payload
}

#[test]
fn stamps_come_out_of_a_compressed_frame() {
    let stamp = Stamp {
        publisher: 1,
        number: 2,
        due: 3,
    };
    let text = format!("{}{}", stamp.encode(), "x".repeat(50_000));
    let mut frames = Inflater::default();
    for _ in 0..2 {
        let inflated = frames
            .inflated(&deflate(text.as_bytes()))
            .expect("well-formed");
        assert_eq!(inflated.stamps, [stamp]);
        assert_eq!(inflated.length, text.len());
    }
}

#[test]
fn what_is_not_deflated_is_told() {
    assert!(Inflater::default().inflated(&[0xff; 16]).is_none());
}
