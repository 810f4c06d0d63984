//! The hash space of 2^128 and its ranges.

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

/// Part of the hash space, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HashRange {
    pub(crate) start: u128,
    pub(crate) end: u128,
}

impl HashRange {
    #[cfg(test)]
    pub(super) const ALL: Self = Self {
        start: 0,
        end: u128::MAX,
    };

    /// The two parts on either side of `at`, which starts the second. None where one of them would be empty.
    pub(super) fn split(self, at: u128) -> Option<(Self, Self)> {
        (at > self.start && at <= self.end).then(|| {
            (
                Self {
                    start: self.start,
                    end: at - 1,
                },
                Self {
                    start: at,
                    end: self.end,
                },
            )
        })
    }

    /// This range and `next` as one, if `next` follows it directly.
    pub(super) fn merge(self, next: Self) -> Option<Self> {
        (self.end.checked_add(1)? == next.start).then_some(Self {
            start: self.start,
            end: next.end,
        })
    }
}

/// Where a partition key lies: its MD5 as a big-endian number.
pub(crate) fn of_partition_key(key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(key.as_bytes()).into())
}

/// The hash space in `count` parts as AWS cuts it: each ⌊2^128 / count⌋ wide, the last one takes the rest.
pub(super) fn even(count: u32) -> impl Iterator<Item = HashRange> {
    let count = u128::from(count.max(1));
    // ⌊2^128 / count⌋ without the 129th bit; a single part needs no width.
    let width = u128::MAX / count + u128::from(count > 1 && u128::MAX % count == count - 1);
    (0..count).map(move |part| HashRange {
        start: width.wrapping_mul(part),
        end: if part + 1 == count {
            u128::MAX
        } else {
            width * (part + 1) - 1
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_shards_lie_where_aws_puts_them() {
        let ranges: Vec<_> = even(3).collect();
        assert_eq!(
            ranges[0].end,
            113_427_455_640_312_821_154_458_202_477_256_070_484
        );
        assert_eq!(
            ranges[1].start,
            113_427_455_640_312_821_154_458_202_477_256_070_485
        );
        assert_eq!(
            ranges[2].start,
            226_854_911_280_625_642_308_916_404_954_512_140_970
        );
        assert_eq!(ranges[2].end, u128::MAX);
    }

    #[test]
    fn even_parts_cover_the_space_once() {
        for count in [1, 2, 3, 4, 5, 7, 64, 100, 500, 1024] {
            let ranges: Vec<_> = even(count).collect();
            assert_eq!(ranges.len(), count as usize);
            let whole = ranges
                .iter()
                .skip(1)
                .try_fold(ranges[0], |whole, next| whole.merge(*next));
            assert_eq!(whole, Some(HashRange::ALL), "{count}");
        }
    }

    #[test]
    fn two_halves_meet_at_two_to_the_127() {
        assert_eq!(even(2).nth(1).map(|range| range.start), Some(1 << 127));
    }

    #[test]
    fn a_partition_key_lies_at_its_md5() {
        assert_eq!(
            of_partition_key("a"),
            0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661
        );
        assert_eq!(
            of_partition_key(""),
            0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e
        );
    }

    #[test]
    fn a_range_splits_only_within_itself() {
        let range = HashRange { start: 10, end: 20 };
        assert_eq!(range.split(10), None);
        assert_eq!(range.split(21), None);
        let (low, high) = range.split(20).unwrap();
        assert_eq!((low.end, high.start, high.end), (19, 20, 20));
        assert_eq!(low.merge(high), Some(range));
        assert_eq!(high.merge(low), None);
    }
}
