//! What a message says: who sent it, which of theirs it is, and when it was due.

/// `#pppp.ssssssss.tttttttttttttttt#`: publisher, number, microseconds since the bench began.
pub(crate) const LENGTH: usize = 32;
/// What a stamp begins with; nothing else in a message or its frame has it.
pub(crate) const MARK: u8 = b'#';
/// The publisher of messages that only show who has joined.
pub(crate) const WARM_UP: usize = 9_999;

/// A message's origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) publisher: usize,
    pub(crate) number: u32,
    /// When it was due, in microseconds since the bench began.
    pub(crate) due: u64,
}

impl Stamp {
    /// As the first [`LENGTH`] bytes of a text.
    pub(crate) fn encode(self) -> String {
        format!(
            "#{:04}.{:08}.{:016}#",
            self.publisher, self.number, self.due
        )
    }

    /// From [`LENGTH`] bytes.
    pub(crate) fn decode(bytes: &[u8; LENGTH]) -> Option<Self> {
        let signs = bytes[0] == MARK && bytes[5] == b'.' && bytes[14] == b'.' && bytes[31] == MARK;
        let stamp = Self {
            publisher: usize::try_from(number(&bytes[1..5])?).ok()?,
            number: u32::try_from(number(&bytes[6..14])?).ok()?,
            due: number(&bytes[15..31])?,
        };
        signs.then_some(stamp)
    }
}

/// All stamps within a text.
pub(crate) fn stamps(text: &[u8]) -> impl Iterator<Item = Stamp> {
    let marks = text.iter().enumerate().filter(|&(_, &byte)| byte == MARK);
    marks.filter_map(|(index, _)| Stamp::decode(text.get(index..)?.first_chunk()?))
}

fn number(digits: &[u8]) -> Option<u64> {
    let mut number = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(digit - b'0');
    }
    Some(number)
}
