//! What one viewer has seen: what is missing, what came twice, what came late.

/// The next number is not known: whichever comes first is right.
const ANY: u32 = u32::MAX;

/// The numbers a viewer has seen of each publisher of its room.
pub(crate) struct Ledger {
    /// The number that comes next, by publisher.
    next: Box<[u32]>,
    /// What was passed over and has not come since: empty as long as all is well.
    missing: Vec<(usize, u32)>,
    pub(crate) delivered: u64,
    pub(crate) repeated: u64,
    pub(crate) out_of_order: u64,
}

impl Ledger {
    /// Of a viewer that is there from the first message on.
    pub(crate) fn from_the_start(publishers: usize) -> Self {
        Self::with(0, publishers)
    }

    /// Of a viewer that comes amid the messages: nothing can be missing before the first it sees.
    pub(crate) fn from_now_on(publishers: usize) -> Self {
        Self::with(ANY, publishers)
    }

    fn with(next: u32, publishers: usize) -> Self {
        Self {
            next: vec![next; publishers].into_boxed_slice(),
            missing: Vec::new(),
            delivered: 0,
            repeated: 0,
            out_of_order: 0,
        }
    }

    /// Enters a message of the history: it is not counted as delivered, but what follows must follow on it.
    pub(crate) fn enter_history(&mut self, slot: usize, number: u32) {
        let before = self.delivered;
        self.enter(slot, number);
        self.delivered = before;
    }

    /// Enters a message of the room's publisher `slot`.
    pub(crate) fn enter(&mut self, slot: usize, number: u32) {
        let next = &mut self.next[slot];
        if number == *next || *next == ANY {
            *next = number + 1;
        } else if number > *next {
            self.missing
                .extend((*next..number).map(|missed| (slot, missed)));
            *next = number + 1;
        } else if let Some(index) = self
            .missing
            .iter()
            .position(|&missed| missed == (slot, number))
        {
            self.missing.swap_remove(index);
            self.out_of_order += 1;
        } else {
            self.repeated += 1;
            return;
        }
        self.delivered += 1;
    }

    /// How many publishers are told apart.
    pub(crate) fn publishers(&self) -> usize {
        self.next.len()
    }

    /// How many of the accepted messages never came, given how many each of the room's publishers had accepted.
    pub(crate) fn lost(&self, accepted: &[u32]) -> u64 {
        let behind = self
            .next
            .iter()
            .zip(accepted)
            .filter(|&(&next, _)| next != ANY)
            .map(|(&next, &accepted)| u64::from(accepted.saturating_sub(next)));
        behind.sum::<u64>() + self.lost_between()
    }

    /// How many never came between the first and the last that did: all that a viewer who left can tell.
    pub(crate) fn lost_between(&self) -> u64 {
        self.missing.len() as u64
    }
}
