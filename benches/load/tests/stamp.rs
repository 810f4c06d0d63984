use crate::stamp::{Stamp, stamps};

#[test]
fn a_stamp_is_read_as_it_was_written() {
    let stamp = Stamp {
        publisher: 12,
        number: 345,
        due: 6_789_012,
    };
    let text = stamp.encode();
    assert_eq!(
        text.as_bytes().first_chunk().and_then(Stamp::decode),
        Some(stamp)
    );
    let among = format!("[{text}xxx,{text}]#");
    assert_eq!(stamps(among.as_bytes()).collect::<Vec<_>>(), [stamp, stamp]);
}

#[test]
fn what_is_no_stamp_is_none() {
    let stamp = Stamp {
        publisher: 12,
        number: 90_123_456,
        due: 7_890_123_456_789_012,
    };
    let text: [u8; 32] = stamp.encode().into_bytes().try_into().unwrap();
    assert_eq!(Stamp::decode(&text), Some(stamp));
    for index in 0..text.len() {
        for byte in (0..=255_u8).filter(|byte| !byte.is_ascii_digit() && *byte != text[index]) {
            let mut wrong = text;
            wrong[index] = byte;
            assert_eq!(Stamp::decode(&wrong), None, "{byte:#x} at {index}");
        }
    }
}
