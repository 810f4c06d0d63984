//! Which publisher serves which room, and which of its messages goes where.
//!
//! With fewer publishers than rooms, each serves several in turn; with more, several serve each room. Every message of a publisher
//! has a number of its own within its room, so that a viewer, who sees one room, can tell whether one is missing.

use std::sync::Arc;

/// The rooms of a run.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    prefix: Arc<str>,
    count: usize,
    publishers: usize,
}

impl Rooms {
    pub(crate) fn new(prefix: &str, count: usize, publishers: usize) -> Self {
        Self {
            prefix: prefix.into(),
            count,
            publishers,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// A room's name.
    pub(crate) fn name(&self, room: usize) -> String {
        format!("{}-{room}", self.prefix)
    }

    /// How many publishers serve a room at most.
    pub(crate) fn slots(&self) -> usize {
        self.publishers.div_ceil(self.fewer())
    }

    /// Which of the room's publishers this one is, if it is one.
    pub(crate) fn slot(&self, room: usize, publisher: usize) -> Option<usize> {
        // PERFORMANCE: it is asked for each message that each viewer reads, and divisions are dear.
        if self.fewer() == 1 {
            return (publisher < self.publishers).then_some(publisher);
        }
        let serves = publisher < self.publishers && publisher % self.fewer() == room % self.fewer();
        serves.then(|| publisher / self.fewer())
    }

    /// The room and the number of a publisher's message `index`.
    pub(crate) fn turn(&self, publisher: usize, index: u32) -> (usize, u32) {
        let (first, rooms) = self.served(publisher);
        // As many rooms as fit a u32, by the bounds of the options.
        let rooms = u32::try_from(rooms).unwrap_or(u32::MAX);
        let room = first + (index % rooms) as usize * self.fewer();
        (room, index / rooms)
    }

    /// How many messages a room got from each of its publishers, given how many each publisher had accepted.
    pub(crate) fn accepted(&self, room: usize, accepted: &[u32]) -> Vec<u32> {
        let in_room = |publisher: usize, all: u32| {
            let (first, rooms) = self.served(publisher);
            let turn = u32::try_from((room - first) / self.fewer()).unwrap_or(u32::MAX);
            let rooms = u32::try_from(rooms).unwrap_or(u32::MAX);
            all.saturating_sub(turn).div_ceil(rooms)
        };
        accepted
            .iter()
            .enumerate()
            .filter(|&(publisher, _)| self.slot(room, publisher).is_some())
            .map(|(publisher, &all)| in_room(publisher, all))
            .collect()
    }

    /// The first room of a publisher, and how many it serves.
    fn served(&self, publisher: usize) -> (usize, usize) {
        let first = publisher % self.fewer();
        (first, (self.count - first).div_ceil(self.fewer()))
    }

    fn fewer(&self) -> usize {
        self.count.min(self.publishers)
    }
}
