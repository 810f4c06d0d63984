//! Fuzzing: what comes from outside, made wrong in ways nobody thought of.
//!
//! Each target is an ordinary test with `fuzz` in its path: some hundred inputs in `make test`, as many as fit into
//! `FUZZ_SECONDS` a target in `make prove`. An input that fails is made small and printed with the seed that makes it again
//! (`BOLERO_RANDOM_SEED`). The targets are bolero's, so `cargo bolero test NAME` runs the same ones led by coverage.
//!
//! Bytes at random get no further than the first check. So most targets begin with something right and change it a little.

mod inbound;

use bolero::TypeGenerator;

/// Runs a target: `fuzz!(inputs, type, |input| …)`.
macro_rules! fuzz {
    ($inputs:expr, $type:ty, $target:expr) => {
        bolero::check!()
            .with_type::<$type>()
            .with_iterations($inputs)
            .for_each($target)
    };
}
pub(crate) use fuzz;

/// Some text, often not ASCII.
#[derive(Debug, Clone, TypeGenerator)]
pub(crate) struct Text(#[generator(bolero::produce::<Vec<u8>>().with().len(0..24_usize))] Vec<u8>);

impl Text {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

/// What is done to something that was right.
#[derive(Debug, Clone, TypeGenerator)]
pub(crate) struct Changes(
    #[generator(bolero::produce::<Vec<Change>>().with().len(0..4_usize))] Vec<Change>,
);

/// A place is a share of the length: 65,536ths.
#[derive(Debug, Clone, TypeGenerator)]
enum Change {
    Flip {
        at: u16,
        bit: u8,
    },
    Set {
        at: u16,
        byte: u8,
    },
    /// Everything from here on.
    Cut(u16),
    Remove {
        at: u16,
        count: u8,
    },
    Insert {
        at: u16,
        #[generator(bolero::produce::<Vec<u8>>().with().len(0..16_usize))]
        bytes: Vec<u8>,
    },
    Repeat {
        at: u16,
        count: u8,
    },
    /// A number of so many bytes, at one of its ends: lengths are numbers.
    Extreme {
        at: u16,
        width: u8,
        high: bool,
    },
}

impl Changes {
    pub(crate) fn apply(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        for change in &self.0 {
            change.apply(&mut bytes);
        }
        bytes
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        let place = |at: u16| usize::from(at) * length / 65_536;
        match self {
            Self::Flip { at, bit } => {
                if let Some(byte) = bytes.get_mut(place(*at)) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Self::Set { at, byte } => {
                if let Some(place) = bytes.get_mut(place(*at)) {
                    *place = *byte;
                }
            }
            Self::Cut(at) => bytes.truncate(place(*at)),
            Self::Remove { at, count } => {
                let from = place(*at);
                bytes.drain(from..length.min(from + usize::from(*count)));
            }
            Self::Insert { at, bytes: new } => {
                let at = place(*at);
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Repeat { at, count } => {
                let from = place(*at);
                let again = bytes[from..length.min(from + usize::from(*count))].to_vec();
                bytes.splice(from..from, again);
            }
            Self::Extreme { at, width, high } => {
                let from = place(*at);
                let end = length.min(from + (1 << (width % 4)));
                bytes[from..end].fill(if *high { 0xff } else { 0 });
            }
        }
    }
}
