//! The queue of the registrations that the polling thread rechecks, for each kernel that must be re-armed.
//!
//! A round takes each key once. A kernel with a list checks them all in one call, AFD one after the other. A round that
//! ends early, for want of space in `Events`, leaves those that it has not reached at the front.
//!
//! Invariant: a key that waits is rechecked before a key that has had its turn since, so none starves.

use std::collections::VecDeque;
use std::mem;

use super::watch::WatchKey;

#[derive(Default)]
pub(in crate::backend) struct RecheckQueue {
    /// The keys that this round has not taken. Some of their registrations may have ended.
    waiting: VecDeque<WatchKey>,
    /// The keys that this round has taken, and that stay queued.
    kept: VecDeque<WatchKey>,
    /// How many have ended since `waiting` was last cleared of such; some of them may not be in it.
    ended: usize,
    /// Whether a key was added since the last round began, or since the last call of [`take_new`](Self::take_new).
    has_new: bool,
    /// Whether the last round filled `Events`.
    pub(in crate::backend) filled_events: bool,
}

impl RecheckQueue {
    /// Returns whether there is nothing to recheck. Called between rounds.
    pub(in crate::backend) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the number of keys, with those whose registration has ended.
    #[cfg(test)]
    pub(in crate::backend) fn len(&self) -> usize {
        self.waiting.len() + self.kept.len()
    }

    /// Adds a key that isn't queued.
    pub(in crate::backend) fn push(&mut self, key: WatchKey) {
        self.waiting.push_back(key);
        self.has_new = true;
    }

    /// Returns whether a key was added since the last round or the last call.
    pub(in crate::backend) fn take_new(&mut self) -> bool {
        mem::take(&mut self.has_new)
    }

    /// Takes the next key of this round.
    pub(in crate::backend) fn pop(&mut self) -> Option<WatchKey> {
        let key = self.waiting.pop_front();
        if self.waiting.is_empty() {
            self.ended = 0;
        }
        key
    }

    /// Returns a key that was taken, and has had its turn, for the next round.
    pub(in crate::backend) fn keep(&mut self, key: WatchKey) {
        self.kept.push_back(key);
    }

    /// Returns keys that were taken, and have not had their turn, in their order.
    #[allow(dead_code)] // AFD takes none in vain
    pub(in crate::backend) fn put_back(&mut self, keys: impl DoubleEndedIterator<Item = WatchKey>) {
        keys.rev().for_each(|key| self.waiting.push_front(key));
    }

    /// Ends a round. Returns whether a key was added meanwhile.
    pub(in crate::backend) fn end_round(&mut self) -> bool {
        self.waiting.append(&mut self.kept);
        self.has_new
    }

    /// Notes that a queued registration has ended. Without this the queue would grow with each one if no thread polls.
    pub(in crate::backend) fn note_ended(&mut self, is_living: impl Fn(WatchKey) -> bool) {
        self.ended += 1;
        if self.ended * 2 > self.waiting.len() {
            self.waiting.retain(|&key| is_living(key));
            self.ended = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn key(slot: u32) -> WatchKey {
        WatchKey { slot, generation: NonZeroU32::MIN }
    }

    fn slots(queue: &mut RecheckQueue) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop()).map(|key| key.slot).collect()
    }

    #[test]
    fn those_that_were_not_reached_come_first() {
        let mut queue = RecheckQueue::default();
        (0..4).for_each(|slot| queue.push(key(slot)));
        let first = queue.pop().unwrap();
        queue.keep(first);
        queue.push(key(9));
        queue.end_round();
        assert_eq!(slots(&mut queue), [1, 2, 3, 9, 0]);
        assert!(queue.is_empty());
    }

    #[test]
    fn those_that_were_taken_in_vain_keep_their_order() {
        let mut queue = RecheckQueue::default();
        (0..4).for_each(|slot| queue.push(key(slot)));
        let taken: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        queue.push(key(9));
        queue.keep(taken[0]);
        queue.put_back(taken[1..].iter().copied());
        queue.end_round();
        assert_eq!(slots(&mut queue), [1, 2, 3, 9, 0]);
    }

    #[test]
    fn registrations_that_end_fill_no_memory() {
        let mut queue = RecheckQueue::default();
        queue.push(key(7));
        for slot in 100..1000 {
            queue.push(key(slot));
            queue.note_ended(|key| key.slot == 7);
            assert!(queue.len() <= 3);
        }
        assert_eq!(slots(&mut queue)[0], 7);
        assert!(queue.take_new() && !queue.take_new());
    }
}
