//! The numbers of the `Poll`s that live, by which a source knows the one that it is registered with.
//!
//! No two that live have the same number, however many there have been. A source keeps the number of a `Poll` that has
//! gone; it is asked for here only when it stands in the way of something, so no operation pays for it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

static LIVES: Mutex<Lives> = Mutex::new(Lives { last: 0, living: BTreeSet::new() });

struct Lives {
    last: u32,
    living: BTreeSet<u32>,
}

/// A number that no `Poll` has which lives. Never 0.
pub(crate) fn begin() -> u32 {
    lives().begin()
}

/// The number is free.
pub(crate) fn end(number: u32) {
    lives().living.remove(&number);
}

/// Whether the `Poll` of this number, or a registry of it, is still there.
#[cold]
pub(crate) fn is_living(number: u32) -> bool {
    lives().living.contains(&number)
}

fn lives() -> MutexGuard<'static, Lives> {
    LIVES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lives {
    fn begin(&mut self) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && self.living.insert(self.last) {
                return self.last;
            }
        }
    }
}

#[cfg(all(test, not(wakeful_loom)))]
mod tests {
    use super::*;

    #[test]
    fn after_the_last_number_come_those_that_are_free() {
        let mut lives = Lives { last: 0, living: BTreeSet::new() };
        assert_eq!([lives.begin(), lives.begin(), lives.begin()], [1, 2, 3]);
        lives.living.remove(&2);
        assert_eq!(lives.begin(), 4, "a number that was free a moment ago may still be known to a source");
        lives.last = u32::MAX - 1;
        assert_eq!([lives.begin(), lives.begin(), lives.begin()], [u32::MAX, 2, 5]);
    }
}
