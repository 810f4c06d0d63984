//! What waits in a lane, in the order in which it was taken.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::message::Room;

/// A message on its way into the stream. `T` is what its sender wants back with the result.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    /// Its place among all messages of the producer: the order that must be kept.
    pub(super) order: u64,
    pub(super) room: Room,
    pub(super) data: Bytes,
    /// How often its record landed in a shard that is not its room's.
    pub(super) misroutes: u8,
    pub(super) tag: T,
}

/// A queue that is sorted by `order` at all times.
#[derive(Debug)]
pub(super) struct Queue<T>(VecDeque<Waiting<T>>);

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self(VecDeque::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends a message, which is newer than all.
    pub(super) fn push(&mut self, message: Waiting<T>) {
        debug_assert!(self.0.back().is_none_or(|last| last.order < message.order));
        self.0.push_back(message);
    }

    pub(super) fn pop(&mut self) -> Option<Waiting<T>> {
        self.0.pop_front()
    }

    /// Puts messages back, of any age, each at its old place.
    pub(super) fn put_back(&mut self, mut messages: Vec<Waiting<T>>) {
        let Some(newest) = messages.iter().map(|message| message.order).max() else {
            return;
        };
        // Whatever is older than the newest of them is at the front.
        while let Some(front) = self.0.pop_front_if(|front| front.order < newest) {
            messages.push(front);
        }
        messages.sort_by_key(|message| message.order);
        for message in messages.into_iter().rev() {
            self.0.push_front(message);
        }
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Waiting<T>> {
        std::mem::take(&mut self.0).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(order: u64) -> Waiting<()> {
        Waiting {
            order,
            room: Room::lobby(),
            data: Bytes::new(),
            misroutes: 0,
            tag: (),
        }
    }

    proptest! {
        #[test]
        fn what_is_put_back_takes_its_old_place(taken in prop::collection::vec(any::<bool>(), 1..50)) {
            let mut queue = Queue::new();
            let mut back = Vec::new();
            for (order, taken) in (0..).zip(&taken) {
                if *taken {
                    back.push(message(order));
                } else {
                    queue.push(message(order));
                }
            }
            back.reverse();
            queue.put_back(back);
            let orders: Vec<u64> = queue.drain().map(|message| message.order).collect();
            prop_assert_eq!(orders, (0..taken.len() as u64).collect::<Vec<_>>());
        }
    }
}
