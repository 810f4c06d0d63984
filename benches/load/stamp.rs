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
        let publisher = u32::from_be_bytes(*bytes[1..].first_chunk()?);
        // The least four digits of eight.
        let publisher = eight(u64::from(publisher) | u64::from_be_bytes(*b"0000\0\0\0\0"))?;
        let number = eight(u64::from_be_bytes(*bytes[6..].first_chunk()?))?;
        let due = [
            eight(u64::from_be_bytes(*bytes[15..].first_chunk()?))?,
            eight(u64::from_be_bytes(*bytes[23..].first_chunk()?))?,
        ];
        let stamp = Self {
            publisher: usize::try_from(publisher).ok()?,
            number: u32::try_from(number).ok()?,
            due: due[0] * 100_000_000 + due[1],
        };
        signs.then_some(stamp)
    }
}

/// All stamps within a text.
pub(crate) fn stamps(text: &[u8]) -> impl Iterator<Item = Stamp> {
    let marks = text.iter().enumerate().filter(|&(_, &byte)| byte == MARK);
    marks.filter_map(|(index, _)| Stamp::decode(text.get(index..)?.first_chunk()?))
}

/// The number of eight digits, the first one in the highest byte.
///
/// PERFORMANCE: a bench that reads five million messages a second has no time for a digit after the other. Neighbours are
/// added up: digits to pairs, pairs to fours, fours to eight.
fn eight(text: u64) -> Option<u64> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = 0x80 * EACH;
    let digits = text ^ (EACH * u64::from(b'0'));
    // A byte above 9 has its highest bit here, or sets it when 118 is added.
    if (digits | digits.wrapping_add(118 * EACH)) & HIGHEST != 0 {
        return None;
    }
    let pairs = ((digits >> 8) & 0x00ff_00ff_00ff_00ff) * 10 + (digits & 0x00ff_00ff_00ff_00ff);
    let fours = ((pairs >> 16) & 0x0000_ffff_0000_ffff) * 100 + (pairs & 0x0000_ffff_0000_ffff);
    Some((fours >> 32) * 10_000 + (fours & 0xffff_ffff))
}
