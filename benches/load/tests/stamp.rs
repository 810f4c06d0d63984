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
