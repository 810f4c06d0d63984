//! Golden bytes, round trips, and what is damaged.

use proptest::prelude::*;

use super::*;
use crate::message::{SequenceNumber, Timestamp};

/// `("lobby", "one"), ("stage", "two"), ("lobby", "")`, by `aws_kinesis_agg` 1.2.3 from `PyPI`.
const GOLDEN: &str = "f3899ac20a056c6f6262790a0573746167651a0708001a036f6e651a0708011a0374776f\
                      1a0408001a0057223074111fbf29520feaf99739c0c7";
/// `("lobby", "one")` and `("stage", "two")` with the explicit hash keys 7 and 8, by the same.
const GOLDEN_EXPLICIT: &str = "f3899ac20a056c6f6262790a0573746167651201371201381a09080010001a036f6e\
                               651a09080110011a0374776f08bf99e1236b392a84c50438bacf4dc6";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn record(data: impl Into<Bytes>) -> Record {
    Record {
        sequence: SequenceNumber::from(1),
        partition_key: "outer".to_owned(),
        data: data.into(),
        arrival: Timestamp::from_millis(0),
    }
}

fn pairs(data: impl Into<Bytes>) -> Vec<(String, Vec<u8>)> {
    decode(&record(data))
        .map(|user| (user.partition_key.to_string(), user.data.to_vec()))
        .collect()
}

fn pair(key: &str, data: &[u8]) -> (String, Vec<u8>) {
    (key.to_owned(), data.to_vec())
}

fn aggregate_of<'a>(users: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Aggregate {
    let mut aggregate = Aggregate::new();
    for (key, data) in users {
        aggregate.push(key, Bytes::copy_from_slice(data));
    }
    aggregate
}

#[test]
fn what_we_write_is_byte_for_byte_what_another_library_writes() {
    let ours = aggregate_of([
        ("lobby", &b"one"[..]),
        ("stage", &b"two"[..]),
        ("lobby", &b""[..]),
    ]);
    assert_eq!(ours.encode(), bytes(GOLDEN));
    assert_eq!(ours.size(), bytes(GOLDEN).len());
}

#[test]
fn what_another_library_writes_is_read() {
    let users = [pair("lobby", b"one"), pair("stage", b"two")];
    assert_eq!(pairs(bytes(GOLDEN))[..2], users);
    assert_eq!(pairs(bytes(GOLDEN))[2], pair("lobby", b""));
    assert_eq!(pairs(bytes(GOLDEN_EXPLICIT)), users);
    let indices: Vec<u32> = decode(&record(bytes(GOLDEN)))
        .map(|user| user.index)
        .collect();
    assert_eq!(indices, [0, 1, 2]);
}

#[test]
fn the_magic_alone_or_with_a_wrong_md5_is_a_plain_record() {
    let mut wrong = bytes(GOLDEN);
    wrong[10] ^= 1;
    for data in [MAGIC.to_vec(), [&MAGIC[..], &[0; 16]].concat(), wrong] {
        assert_eq!(pairs(data.clone()), [pair("outer", &data)]);
    }
    // The right MD5 of nothing: an aggregate, and an empty one.
    let empty = Aggregate::new().encode();
    assert!(decode(&record(empty.clone())).is_aggregate());
    assert_eq!(pairs(empty), []);
}

#[test]
fn an_index_beyond_the_key_table_makes_it_a_plain_record() {
    let content = AggregatedRecord {
        partition_key_table: vec!["a".to_owned()],
        explicit_hash_key_table: vec![],
        records: vec![Entry {
            partition_key_index: u64::MAX,
            explicit_hash_key_index: None,
            data: Bytes::from_static(b"x"),
        }],
    };
    let protobuf = content.encode_to_vec();
    let data = [&MAGIC[..], &protobuf, &Md5::digest(&protobuf)[..]].concat();
    assert_eq!(pairs(data.clone()), [pair("outer", &data)]);
}

/// A record whose protobuf is one part over and over.
fn repeated(part: &[u8], times: usize) -> Vec<u8> {
    let protobuf = part.repeat(times);
    [&MAGIC[..], &protobuf, &Md5::digest(&protobuf)[..]].concat()
}

#[test]
fn too_many_parts_are_a_plain_record() {
    // Empty keys, empty explicit hash keys, empty user records.
    for part in [b"\x0a\x00", b"\x12\x00", b"\x1a\x00"] {
        let data = repeated(part, 500_000);
        assert_eq!(pairs(data.clone()), [pair("outer", &data)]);
    }
    assert!(!decode(&record(repeated(b"\x0a\x00", MOST_PARTS + 1))).is_aggregate());
    assert!(decode(&record(repeated(b"\x0a\x00", MOST_PARTS))).is_aggregate());
    let mut aggregate = Aggregate::new();
    for _ in 1..MOST_PARTS {
        aggregate.push("", Bytes::new());
    }
    assert_eq!(pairs(aggregate.encode()).len(), MOST_PARTS - 1);
    aggregate.push("", Bytes::new());
    assert_eq!(pairs(aggregate.encode()).len(), 1);
}

#[test]
fn a_user_records_data_shares_the_records_memory() {
    let record = record(bytes(GOLDEN));
    let user = decode(&record).next().unwrap();
    let whole = record.data.as_ptr_range();
    assert!(whole.contains(&user.data.as_ptr()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back_and_its_size_is_known_beforehand(
        users in prop::collection::vec(
            ("[a-d]{1,200}", prop::collection::vec(any::<u8>(), 0..300)), 0..100),
    ) {
        let mut aggregate = Aggregate::new();
        for (key, data) in &users {
            let foretold = aggregate.size_with(key, data.len());
            aggregate.push(key, Bytes::copy_from_slice(data));
            prop_assert_eq!(aggregate.size(), foretold);
        }
        let encoded = aggregate.encode();
        prop_assert_eq!(encoded.len(), aggregate.size());
        prop_assert_eq!(pairs(encoded), users);
    }

    #[test]
    fn a_truncated_aggregate_is_a_plain_record(cut in 0..bytes(GOLDEN).len()) {
        let data = bytes(GOLDEN)[..cut].to_vec();
        prop_assert_eq!(pairs(data.clone()), [pair("outer", &data)]);
    }

    #[test]
    fn a_damaged_aggregate_is_a_plain_record(at in 0..bytes(GOLDEN).len(), flip in 1..=u8::MAX) {
        let mut data = bytes(GOLDEN);
        data[at] ^= flip;
        prop_assert_eq!(pairs(data.clone()), [pair("outer", &data)]);
    }

    #[test]
    fn no_protobuf_with_a_right_md5_panics(protobuf: Vec<u8>) {
        let data = [&MAGIC[..], &protobuf, &Md5::digest(&protobuf)[..]].concat();
        let read = decode(&record(data)).count();
        prop_assert!(read <= protobuf.len().max(1));
    }
}
