//! The numbers of the living `Poll`s. A source stores the number of the `Poll` that it is registered with.
//!
//! Invariant: no two living `Poll`s have the same number, however many there have been.
//!
//! A source keeps the number after its `Poll` has gone. Only a registration that would fail because of the number
//! checks whether that `Poll` still lives, so no operation pays for the check.

use std::sync::{Mutex, MutexGuard, PoisonError};

static LIVES: Mutex<Lives> = Mutex::new(Lives { last: 0, living: Vec::new() });

struct Lives {
    last: u32,
    /// In order. A sorted list is less code than a tree, and a program has few `Poll`s.
    living: Vec<u32>,
}

/// Returns a number that no living `Poll` has. Never 0.
pub(crate) fn begin() -> u32 {
    lives().begin()
}

/// Frees the number.
pub(crate) fn end(number: u32) {
    lives().end(number);
}

/// Returns whether the `Poll` of this number, or one of its registries, still lives.
#[cold]
pub(crate) fn is_living(number: u32) -> bool {
    lives().living.binary_search(&number).is_ok()
}

fn lives() -> MutexGuard<'static, Lives> {
    LIVES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lives {
    fn begin(&mut self) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if let (1.., Err(place)) = (self.last, self.living.binary_search(&self.last)) {
                self.living.insert(place, self.last);
                return self.last;
            }
        }
    }

    fn end(&mut self, number: u32) {
        if let Ok(place) = self.living.binary_search(&number) {
            self.living.remove(place);
        }
    }
}

#[cfg(all(test, not(wakeful_loom)))]
mod tests {
    use super::*;

    #[test]
    fn after_the_last_number_the_free_ones_follow() {
        let mut lives = Lives { last: 0, living: Vec::new() };
        assert_eq!([lives.begin(), lives.begin(), lives.begin()], [1, 2, 3]);
        lives.end(2);
        assert_eq!(lives.begin(), 4, "a source may still store a number that has just become free");
        lives.last = u32::MAX - 1;
        assert_eq!([lives.begin(), lives.begin(), lives.begin()], [u32::MAX, 2, 5]);
    }
}
