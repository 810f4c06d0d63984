//! Sequence numbers, shaped like AWS's: decimal, 56 digits, 186 bits, growing.
//!
//! The fields, from the top (observed and written down by kinesalite, in no official text):
//!
//! | bits | what |
//! | --- | --- |
//! | 4 | `2` |
//! | 36 | second in which the shard was created |
//! | 4 | low bits of the shard's number |
//! | 64 | index of the record in the shard |
//! | 8 | zero |
//! | 36 | second in which the record came |
//! | 32 | the shard's number |
//! | 4 | version, `2` |
//!
//! So numbers of one shard grow with the index, and a shard made later than another lies wholly above it.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The largest index: the ending sequence number of a closed shard, above every record in it.
pub(crate) const MAX_INDEX: u64 = i64::MAX as u64;

const TOP: u64 = 2;
const VERSION: u128 = 2;
const SECONDS: u64 = (1 << 36) - 1;
/// The largest power of ten in 64 bits: numbers are printed and read nineteen digits at a time.
const CHUNK: u64 = 10_000_000_000_000_000_000;
const CHUNK_DIGITS: usize = 19;

/// A sequence number. Comparable within one shard, and between a shard and its descendants.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sequence {
    high: u64,
    low: u128,
}

impl Sequence {
    pub(crate) fn new(shard_second: u64, shard: u32, index: u64, second: u64) -> Self {
        let high =
            TOP << 56 | (shard_second & SECONDS) << 20 | u64::from(shard & 0xf) << 16 | index >> 48;
        let low = u128::from(index & 0xffff_ffff_ffff) << 80
            | u128::from(second & SECONDS) << 36
            | u128::from(shard) << 4
            | VERSION;
        Self { high, low }
    }

    /// The second in which the number's shard was created.
    pub(super) fn shard_second(self) -> u64 {
        self.high >> 20 & SECONDS
    }

    /// The number of the number's shard.
    pub(crate) fn shard(self) -> u32 {
        low_u32(self.low >> 4)
    }

    /// The second in which the record came.
    pub(super) fn second(self) -> u64 {
        low_u64(self.low >> 36) & SECONDS
    }

    /// The index of the record in its shard.
    pub(crate) fn index(self) -> u64 {
        (self.high & 0xffff) << 48 | low_u64(self.low >> 80)
    }

    /// The limbs of the number, the lowest first.
    fn limbs(self) -> [u64; 3] {
        [low_u64(self.low), low_u64(self.low >> 64), self.high]
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low bits are what is asked for"
)]
fn low_u64(value: u128) -> u64 {
    value as u64
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low bits are what is asked for"
)]
fn low_u32(value: u128) -> u32 {
    value as u32
}

/// Divides a number of three limbs by `CHUNK`, in place, and returns the remainder.
fn split_chunk(limbs: &mut [u64; 3]) -> u64 {
    let mut rest = 0_u64;
    for limb in limbs.iter_mut().rev() {
        let value = u128::from(rest) << 64 | u128::from(*limb);
        // The quotient fits: `rest` is below the divisor.
        *limb = low_u64(value / u128::from(CHUNK));
        rest = low_u64(value % u128::from(CHUNK));
    }
    rest
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limbs = self.limbs();
        let low = split_chunk(&mut limbs);
        let middle = split_chunk(&mut limbs);
        let [high, ..] = limbs;
        if high > 0 {
            write!(f, "{high}{middle:019}{low:019}")
        } else if middle > 0 {
            write!(f, "{middle}{low:019}")
        } else {
            write!(f, "{low}")
        }
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Sequence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text is no number, or one that no shard can have given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotASequence;

impl FromStr for Sequence {
    type Err = NotASequence;

    fn from_str(text: &str) -> Result<Self, NotASequence> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotASequence);
        }
        let mut limbs = [0_u64; 3];
        for chunk in text.as_bytes().chunks(CHUNK_DIGITS) {
            let mut scale = 1_u64;
            let mut value = 0_u64;
            for digit in chunk {
                scale *= 10;
                value = value * 10 + u64::from(digit - b'0');
            }
            let mut carry = value;
            for limb in &mut limbs {
                let wide = u128::from(*limb) * u128::from(scale) + u128::from(carry);
                *limb = low_u64(wide);
                carry = low_u64(wide >> 64);
            }
            if carry > 0 {
                return Err(NotASequence);
            }
        }
        let [low, middle, high] = limbs;
        if high >> 56 != TOP {
            return Err(NotASequence);
        }
        Ok(Self {
            high,
            low: u128::from(middle) << 64 | u128::from(low),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_looks_like_one_of_aws() {
        let text = Sequence::new(1_760_000_000, 0, 1, 1_760_000_000).to_string();
        assert_eq!(text.len(), 56);
        assert!(text.starts_with("49"), "{text}");
    }

    #[test]
    fn what_no_shard_gave_is_refused() {
        let too_large = "9".repeat(129);
        for text in [
            "",
            "0",
            "-1",
            "x",
            "+1",
            "12345",
            "４９",
            &too_large,
            &"9".repeat(58),
        ] {
            assert_eq!(text.parse::<Sequence>(), Err(NotASequence), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_number_agree(second in 0..=SECONDS, shard: u32, index: u64, then in 0..=SECONDS) {
            let sequence = Sequence::new(second, shard, index, then);
            prop_assert_eq!(sequence.to_string().parse(), Ok(sequence));
            prop_assert_eq!(sequence.shard(), shard);
            prop_assert_eq!(sequence.index(), index);
            prop_assert_eq!(sequence.shard_second(), second);
        }

        #[test]
        fn numbers_grow_with_the_index_whatever_the_time(shard: u32, index in 0..MAX_INDEX, a in 0..=SECONDS, b in 0..=SECONDS) {
            prop_assert!(Sequence::new(7, shard, index, a) < Sequence::new(7, shard, index + 1, b));
        }

        #[test]
        fn a_shard_of_a_later_second_lies_above(second in 0..SECONDS, a: u32, b: u32) {
            prop_assert!(Sequence::new(second, a, MAX_INDEX, SECONDS) < Sequence::new(second + 1, b, 0, 0));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9]{0,140}|.{0,20}") {
            let _ = text.parse::<Sequence>();
        }
    }
}
