//! permessage-deflate (RFC 7692): frames compressed once, for all who negotiated it.
//!
//! Without context takeover a message is compressed on its own (7.1.1), so its frame does not depend
//! on what a viewer was sent before, and is the same bytes for all.
//!
//! PERFORMANCE: a batch of `chat-room.v1` with texts of 40 characters, on one core:
//!
//! | messages | bytes | level 1 | level 3 | level 6 |
//! | --- | --- | --- | --- | --- |
//! | 1 | 268 | 197, 9 µs | 197, 11 µs | 196, 11 µs |
//! | 2 | 505 | 272, 10 µs | 266, 13 µs | 266, 13 µs |
//! | 4 | 979 | 408, 12 µs | 391, 17 µs | 389, 18 µs |
//! | 16 | 3,828 | 1,197, 23 µs | 1,118, 56 µs | 1,099, 51 µs |
//! | 200 | 47,700 | 13,241, 207 µs | 11,660, 579 µs | 11,312, 924 µs |
//!
//! Level 1 has nearly all of the gain at a fraction of the time. A message alone costs a viewer no
//! fewer packets, and most of what it is made of occurs once; from two on that repeats.

use std::cell::RefCell;

use bytes::Bytes;
use metrics::{counter, histogram};
use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, compress as deflate_into, create_comp_flags_from_zip_params,
};
use rustix::time::{ClockId, clock_gettime};

use super::frame::{RSV1, TEXT, frames, push_frame};
use crate::telemetry::names;

const LEVEL: i32 = 1;

/// No header and no checksum around the blocks (RFC 7692, 7.2.1).
const RAW: i32 = -15;

/// Shorter payloads stay as they are, in bytes.
const LEAST_PAYLOAD: usize = 512;

/// What each flush ends with, and is not sent (7.2.1).
const FLUSH_END: &[u8] = &[0, 0, 0xFF, 0xFF];

thread_local! {
    /// Its tables are a third of a MiB: each thread that compresses has them once.
    static COMPRESSOR: RefCell<Box<CompressorOxide>> = RefCell::new(Box::new(CompressorOxide::new(
        create_comp_flags_from_zip_params(LEVEL, RAW, 0),
    )));
}

/// Whole frames of text, those compressed for which it pays; the same bytes, shared, if that is
/// none of them.
pub(super) fn compress(texts: &Bytes) -> Bytes {
    if frames(texts).all(|frame| frame.payload.len() < LEAST_PAYLOAD) {
        count("small");
        return texts.clone();
    }
    let began = cpu_seconds();
    let mut compressed = Vec::with_capacity(texts.len());
    let mut is_smaller = false;
    for frame in frames(texts) {
        match deflate(frame.payload) {
            Some(payload) => {
                is_smaller = true;
                push_frame(&mut compressed, TEXT | RSV1, &payload);
            }
            None => compressed.extend_from_slice(frame.bytes),
        }
    }
    histogram!(names::LOG_COMPRESSION_SECONDS).record(cpu_seconds() - began);
    if !is_smaller {
        count("incompressible");
        return texts.clone();
    }
    count("compressed");
    counter!(names::LOG_COMPRESSION_INPUT).increment(texts.len() as u64);
    counter!(names::LOG_COMPRESSION_OUTPUT).increment(compressed.len() as u64);
    compressed.into_boxed_slice().into()
}

/// The payload of a compressed message, if it is shorter than the message.
fn deflate(payload: &[u8]) -> Option<Vec<u8>> {
    if payload.len() < LEAST_PAYLOAD {
        return None;
    }
    // What does not fit into this is not shorter.
    let mut out = vec![0; payload.len()];
    let (read, written) = COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        let (_, read, written) = deflate_into(compressor, payload, &mut out, TDEFLFlush::Sync);
        (read, written)
    });
    out.truncate(written);
    let is_whole = read == payload.len() && written < payload.len() && out.ends_with(FLUSH_END);
    out.truncate(written.saturating_sub(FLUSH_END.len()));
    is_whole.then_some(out)
}

fn count(outcome: &'static str) {
    counter!(names::LOG_COMPRESSIONS, "outcome" => outcome).increment(1);
}

/// The CPU time that this thread has used.
#[expect(
    clippy::cast_precision_loss,
    reason = "a thread does not run for long enough"
)]
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use flate2::{Decompress, FlushDecompress};
    use proptest::prelude::*;

    use super::*;

    /// What a client makes of a compressed payload, by RFC 7692, 7.2.2.
    fn inflate(payload: &[u8]) -> Vec<u8> {
        let mut input = payload.to_vec();
        input.extend_from_slice(FLUSH_END);
        let mut out = Vec::with_capacity(1 << 20);
        let mut decompress = Decompress::new(false);
        decompress
            .decompress_vec(&input, &mut out, FlushDecompress::Sync)
            .unwrap();
        assert_eq!(decompress.total_in(), input.len() as u64);
        out
    }

    fn texts(texts: &[Vec<u8>]) -> Bytes {
        let mut bytes = Vec::new();
        for text in texts {
            push_frame(&mut bytes, TEXT, text);
        }
        bytes.into()
    }

    /// Texts as a client reads them.
    fn read(bytes: &Bytes) -> Vec<Vec<u8>> {
        let text = |frame: super::super::frame::Frame<'_>| match frame.bytes[0] {
            0x81 => frame.payload.to_vec(),
            0xC1 => inflate(frame.payload),
            other => panic!("a frame that begins with {other:#x}"),
        };
        frames(bytes).map(text).collect()
    }

    #[test]
    fn the_golden_bytes_of_a_compressed_frame() {
        let long = "chat ".repeat(200);
        let bytes = compress(&texts(&[long.clone().into()]));
        // FIN, RSV1 and text; a length of one byte; one block with codes of its own, and the three
        // bits of the empty one after it.
        let golden = b"\xc1\x1f\xec\x93\x41\x0d\x00\x00\x10\x82\xaa\x5c\xb5\x9b\x1f\x03\xd8\x7f\xf6\x70\x7c\x08\xc0\x40\xfe\x1c\xc0\x01\x1d\x4c\x6f\x50\x00";
        assert_eq!(&bytes[..], golden);
        assert_eq!(read(&bytes), [long.into_bytes()]);
    }

    #[test]
    fn what_is_short_or_would_not_get_shorter_is_shared_as_it_is() {
        let mut random = fastrand::Rng::with_seed(1);
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(5_000)
            .collect();
        // Twice: what did not fit must not be left over for the next.
        for text in [vec![b'x'; LEAST_PAYLOAD - 1], noise.clone(), noise] {
            let plain = texts(&[text]);
            assert_eq!(compress(&plain).as_ptr(), plain.as_ptr());
        }
        let plain = texts(&[vec![b'x'; LEAST_PAYLOAD]]);
        assert!(compress(&plain).len() < plain.len() / 10);
    }

    proptest! {
        #[test]
        fn what_is_inflated_is_what_was_deflated(
            words in prop::collection::vec(("[a-zä ]{0,9}", 0_usize..5_000), 0..8),
        ) {
            let plain: Vec<Vec<u8>> = words
                .iter()
                .map(|(word, times)| word.repeat(*times).into_bytes())
                .collect();
            let bytes = texts(&plain);
            let compressed = compress(&bytes);
            prop_assert!(compressed.len() <= bytes.len());
            prop_assert_eq!(read(&compressed), plain);
        }

        #[test]
        fn noise_survives_too(text in prop::collection::vec(any::<u8>(), 0..3_000)) {
            let bytes = texts(std::slice::from_ref(&text));
            prop_assert_eq!(read(&compress(&bytes)), [text]);
        }
    }
}
