//! What one viewer has seen: what is missing, what came twice, what came late.

/// The numbers a viewer has seen of each publisher.
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
    pub(crate) fn new(publishers: usize) -> Self {
        Self {
            next: vec![0; publishers].into_boxed_slice(),
            missing: Vec::new(),
            delivered: 0,
            repeated: 0,
            out_of_order: 0,
        }
    }

    /// Enters a message; false if nobody of ours sent it.
    pub(crate) fn enter(&mut self, publisher: usize, number: u32) -> bool {
        let Some(next) = self.next.get_mut(publisher) else {
            return false;
        };
        if number == *next {
            *next += 1;
        } else if number > *next {
            self.missing
                .extend((*next..number).map(|missed| (publisher, missed)));
            *next = number + 1;
        } else if let Some(index) = self
            .missing
            .iter()
            .position(|&missed| missed == (publisher, number))
        {
            self.missing.swap_remove(index);
            self.out_of_order += 1;
        } else {
            self.repeated += 1;
            return true;
        }
        self.delivered += 1;
        true
    }

    /// How many of the accepted messages never came, given how many each publisher had accepted.
    pub(crate) fn lost(&self, accepted: &[u32]) -> u64 {
        let behind = self
            .next
            .iter()
            .zip(accepted)
            .map(|(&next, &accepted)| u64::from(accepted.saturating_sub(next)));
        behind.sum::<u64>() + self.missing.len() as u64
    }
}
