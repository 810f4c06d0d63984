//! Positions: where in the stream a message stands.

use std::fmt;
use std::str::FromStr;

/// A Kinesis sequence number.
///
/// The service states a pattern of up to 129 digits; what it hands out has 56 (186 bits). 192
/// bits hold every number seen and keep the type `Copy`; a larger one is refused when parsed.
///
/// Comparable **within one shard only**: between shards the numbers say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceNumber {
    // Most significant first, so that the derived order is the numeric one.
    limbs: [u64; 3],
}

impl SequenceNumber {
    /// Zero: below every number that the service hands out.
    pub const ZERO: Self = Self { limbs: [0; 3] };

    /// The number just below this one, or zero.
    #[must_use]
    pub fn before(self) -> Self {
        let [high, middle, low] = self.limbs;
        let (low, borrow) = low.overflowing_sub(1);
        let (middle, borrow) = middle.overflowing_sub(u64::from(borrow));
        match high.checked_sub(u64::from(borrow)) {
            Some(high) => Self {
                limbs: [high, middle, low],
            },
            None => Self::ZERO,
        }
    }

    /// `self * 10 + digit`, or `None` past 192 bits.
    fn push_digit(self, digit: u8) -> Option<Self> {
        let mut carry = u128::from(digit);
        let mut limbs = self.limbs;
        for limb in limbs.iter_mut().rev() {
            let wide = u128::from(*limb) * 10 + carry;
            #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
            {
                *limb = wide as u64;
            }
            carry = wide >> 64;
        }
        (carry == 0).then_some(Self { limbs })
    }

    /// Divides by ten to the nineteenth, the largest power that fits a limb, and returns the rest.
    fn split_off_decimal(&mut self) -> u64 {
        const DIVISOR: u128 = 10_000_000_000_000_000_000;
        let mut rest = 0_u128;
        for limb in &mut self.limbs {
            let wide = (rest << 64) | u128::from(*limb);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "rest < DIVISOR < 2^64, so the quotient fits"
            )]
            {
                *limb = (wide / DIVISOR) as u64;
            }
            rest = wide % DIVISOR;
        }
        #[expect(clippy::cast_possible_truncation, reason = "rest < DIVISOR < 2^64")]
        {
            rest as u64
        }
    }
}

impl From<u128> for SequenceNumber {
    fn from(value: u128) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
        let low = value as u64;
        let middle = (value >> 64) as u64;
        Self {
            limbs: [0, middle, low],
        }
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = *self;
        let low = rest.split_off_decimal();
        let middle = rest.split_off_decimal();
        let high = rest.split_off_decimal();
        // 2^192 has 58 digits: a fourth group of nineteen is never needed, but a carry into
        // `top` is, because three groups hold 57.
        let top = rest.split_off_decimal();
        if top > 0 {
            write!(f, "{top}{high:019}{middle:019}{low:019}")
        } else if high > 0 {
            write!(f, "{high}{middle:019}{low:019}")
        } else if middle > 0 {
            write!(f, "{middle}{low:019}")
        } else {
            write!(f, "{low}")
        }
    }
}

impl FromStr for SequenceNumber {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let canonical = text == "0" || (!text.is_empty() && !text.starts_with('0'));
        if !canonical {
            return Err(ParsePositionError);
        }
        text.bytes()
            .try_fold(Self::ZERO, |number, byte| match byte {
                b'0'..=b'9' => number.push_digit(byte - b'0'),
                _ => None,
            })
            .ok_or(ParsePositionError)
    }
}

/// Where a message stands: the sequence number of its record and its index inside that record.
///
/// The same on every instance and after every restart; opaque to clients, who hand it back to
/// resume. Written `<sequenceNumber>.<index>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The record's sequence number.
    pub sequence: SequenceNumber,
    /// The message's index among the user records of an aggregated record, else 0.
    pub index: u32,
}

impl Position {
    /// The position behind every message of the record `sequence`.
    pub fn end_of(sequence: SequenceNumber) -> Self {
        Self {
            sequence,
            index: u32::MAX,
        }
    }

    /// The position just before this one: after it, this one is what comes next.
    #[must_use]
    pub fn before(self) -> Self {
        match self.index.checked_sub(1) {
            Some(index) => Self { index, ..self },
            None => Self::end_of(self.sequence.before()),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.sequence, self.index)
    }
}

impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (sequence, index) = text.split_once('.').ok_or(ParsePositionError)?;
        if index.is_empty() || !index.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParsePositionError);
        }
        Ok(Self {
            sequence: sequence.parse()?,
            index: index.parse().map_err(|_| ParsePositionError)?,
        })
    }
}

/// The text is no position, or one that no stream of this kind could have handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position of a Kinesis stream")]
pub struct ParsePositionError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REAL: &str = "49590338271490256608559692538361571095921575989136588898";

    #[test]
    fn a_real_sequence_number_survives_the_round_trip() {
        let number: SequenceNumber = REAL.parse().unwrap();
        assert_eq!(number.to_string(), REAL);
        let position: Position = format!("{REAL}.7").parse().unwrap();
        assert_eq!(position.index, 7);
        assert_eq!(position.to_string(), format!("{REAL}.7"));
    }

    #[test]
    fn the_largest_number_prints_all_its_digits() {
        let largest = SequenceNumber {
            limbs: [u64::MAX; 3],
        };
        // 2^192 - 1
        let text = "6277101735386680763835789423207666416102355444464034512895";
        assert_eq!(largest.to_string(), text);
        assert_eq!(text.parse(), Ok(largest));
        assert!(
            "6277101735386680763835789423207666416102355444464034512896"
                .parse::<SequenceNumber>()
                .is_err()
        );
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in [
            "",
            ".",
            "1",
            "1.",
            ".1",
            "1.-1",
            "1.+1",
            "01.0",
            "1.4294967296",
            "x.1",
            "1.x",
            "1.1.1",
            " 1.1",
            "1.1 ",
            "١.1",
        ] {
            assert!(text.parse::<Position>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn order_and_text_agree_with_numbers(a: u128, b: u128) {
            let (x, y) = (SequenceNumber::from(a), SequenceNumber::from(b));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x.to_string(), a.to_string());
            prop_assert_eq!(a.to_string().parse::<SequenceNumber>(), Ok(x));
            prop_assert_eq!(x.before(), SequenceNumber::from(a.saturating_sub(1)));
        }

        #[test]
        fn any_limbs_survive_the_round_trip(limbs: [u64; 3]) {
            let number = SequenceNumber { limbs };
            prop_assert_eq!(number.to_string().parse(), Ok(number));
        }

        #[test]
        fn before_is_the_greatest_smaller_position(a in 1_u128.., index: u32) {
            let position = Position { sequence: a.into(), index };
            prop_assert!(position.before() < position);
        }
    }
}
