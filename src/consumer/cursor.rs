//! Where in its shard a reader stands.
//!
//! Pure. Shared by both ways of reading, so that a reader can change from one to the other with
//! neither gap nor repeat.

use crate::kinesis::StartingPosition;
use crate::message::SequenceNumber;

/// Where reading goes on.
///
/// Until the service has told a first sequence number that is the chosen start, again and again;
/// never LATEST, which would lose what came while the reader was disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    from: StartingPosition,
    finished: bool,
}

impl Cursor {
    pub(super) fn new(from: StartingPosition) -> Self {
        Self {
            from,
            finished: false,
        }
    }

    /// Where the next subscription or iterator begins.
    pub(super) fn from(&self) -> StartingPosition {
        self.from
    }

    /// Everything up to `continuation` was read; if there is none, the shard was, to its end. The
    /// position then stays what it was: "none" is never one.
    pub(super) fn advance(&mut self, continuation: Option<SequenceNumber>) {
        match continuation {
            Some(number) => {
                let number = match self.from {
                    // A delivery that comes twice must not turn the reader back.
                    StartingPosition::AfterSequence(before) => before.max(number),
                    _ => number,
                };
                self.from = StartingPosition::AfterSequence(number);
            }
            None => self.finished = true,
        }
    }

    /// Whether the shard was read to its end.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// The service does not know this position: it is past retention. Goes back to the oldest
    /// record that is left; the sequence number, if it was one and not that already.
    pub(super) fn restart(&mut self) -> Option<SequenceNumber> {
        match self.from {
            StartingPosition::AfterSequence(lost) | StartingPosition::AtSequence(lost) => {
                self.from = StartingPosition::TrimHorizon;
                Some(lost)
            }
            StartingPosition::TrimHorizon | StartingPosition::AtTimestamp(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_shard_is_no_position() {
        let mut cursor = Cursor::new(StartingPosition::TrimHorizon);
        cursor.advance(Some(7.into()));
        cursor.advance(None);
        assert!(cursor.is_finished());
        assert_eq!(cursor.from(), StartingPosition::AfterSequence(7.into()));
    }

    #[test]
    fn it_never_goes_back_but_to_restart() {
        let mut cursor = Cursor::new(StartingPosition::AtTimestamp(
            crate::message::Timestamp::from_millis(1),
        ));
        assert_eq!(cursor.restart(), None);
        cursor.advance(Some(7.into()));
        cursor.advance(Some(5.into()));
        assert_eq!(cursor.from(), StartingPosition::AfterSequence(7.into()));
        assert_eq!(cursor.restart(), Some(7.into()));
        assert_eq!(cursor.from(), StartingPosition::TrimHorizon);
    }
}
