//! The contract of timers as a pure model. Deadlines are far away or have passed, so no clock decides what is due.

use std::collections::BTreeMap;

use crate::contract::{Reported, READ};
use crate::ops::{Mode, Want};

/// By token.
#[derive(Default)]
pub struct Timers(BTreeMap<usize, Timer>);

struct Timer {
    want: Want,
    has_passed: bool,
    /// The deadline must be reported once more.
    is_armed: bool,
    /// The event of a one-shot registration has come.
    is_spent: bool,
}

impl Timer {
    fn is_due(&self) -> bool {
        self.has_passed && self.is_armed && !self.is_spent && self.want.directions[READ]
    }
}

impl Timers {
    /// Adds a timer whose deadline, if it has one, is far away.
    pub fn add(&mut self, token: usize, want: Want) {
        self.0.insert(token, Timer { want, has_passed: false, is_armed: false, is_spent: false });
    }

    pub fn remove(&mut self, token: usize) {
        self.0.remove(&token);
    }

    pub fn set(&mut self, token: usize, has_passed: bool) {
        if let Some(timer) = self.0.get_mut(&token) {
            (timer.has_passed, timer.is_armed) = (has_passed, has_passed);
        }
    }

    pub fn reregister(&mut self, token: usize, new: usize, want: Want) {
        if let Some(timer) = self.0.remove(&token) {
            self.0.insert(new, Timer { want, is_armed: true, is_spent: false, ..timer });
        }
    }

    pub fn renew_levels(&mut self) {
        self.0
            .values_mut()
            .filter(|timer| timer.want.mode == Mode::Level)
            .for_each(|timer| timer.is_armed = true);
    }

    pub fn due(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().filter(|(_, timer)| timer.is_due()).map(|(&token, _)| token)
    }

    /// Judges an event, if it is a timer's.
    pub fn check(&mut self, event: &Reported) -> Option<Result<(), String>> {
        let timer = self.0.get_mut(&event.token)?;
        timer.is_armed |= timer.want.mode == Mode::Level;
        if !timer.is_due() {
            return Some(Err(format!("a timer that isn't due: {event:?}")));
        }
        timer.is_armed = false;
        timer.is_spent = matches!(timer.want.mode, Mode::OneShot | Mode::EdgeOneShot);
        let is_more =
            event.directions != [true, false] || event.error || event.read_closed || event.write_closed;
        Some(match is_more {
            true => Err(format!("a timer is readable, and no more: {event:?}")),
            false => Ok(()),
        })
    }
}
