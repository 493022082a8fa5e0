//! Why a direction is rechecked, and when it is reported again.
//!
//! Invariant: the pause doubles with each recheck up to a limit, and only a change makes it short again.

use std::time::{Duration, Instant};

/// Why a direction is rechecked, which decides what happens if it is still ready when it is due.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its operations are not seen: it is reported again and again.
    Unseen,
    /// As `Unseen`, but it is given up when the pause is longest.
    Priority,
    /// An operation has left it open: it is reported once, and rests then.
    Operation,
    /// As `Operation`, but nothing was used up and the direction is unknown: most likely it was the other one.
    Either,
    /// An error may be used up: if there still is one it is reported once.
    Error,
    /// It waits for the next operation. Only the length of its pause counts.
    Resting,
}

impl Reason {
    pub(super) fn is_of_operation(self) -> bool {
        matches!(self, Reason::Operation | Reason::Either | Reason::Error)
    }
}

/// The timer of a direction that was reported, and may have been used up without a `WouldBlock`.
#[derive(Copy, Clone, Debug)]
pub(super) struct RecheckTimer {
    pub(super) reason: Reason,
    /// How often the pause was doubled.
    doublings: u8,
    /// When it is reported again if it is still ready; `None` until the first recheck.
    due: Option<Instant>,
}

/// The first pause before a direction that is still ready is reported again.
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
/// How often the pause is doubled, to 12.8 ms: an idle, ready, unread descriptor costs one recheck in this time.
pub(super) const DOUBLINGS: u8 = 7;
pub(in crate::backend) const LONGEST_PAUSE: Duration = Duration::from_micros(100 << DOUBLINGS);
/// The same for a source that is probably ready for ever, since few come back from a hang-up: 102.4 ms.
pub(super) const DOUBLINGS_AT_END: u8 = 10;

impl RecheckTimer {
    pub(super) fn new(reason: Reason) -> RecheckTimer {
        RecheckTimer { reason, doublings: 0, due: None }
    }

    /// Ends its rest, and keeps its pause.
    pub(super) fn renew(&mut self, reason: Reason) {
        (self.reason, self.due) = (reason, None);
    }

    pub(super) fn due(&mut self, now: Instant) -> Instant {
        *self.due.get_or_insert(now + pause(self.doublings))
    }

    /// Doubles the pause, or makes it shortest if something `has_changed`. Returns whether the pause was the longest
    /// before.
    pub(super) fn postpone(&mut self, now: Instant, has_changed: bool, may_give_up: bool) -> bool {
        let longest = match may_give_up || self.reason == Reason::Either {
            true => DOUBLINGS_AT_END,
            false => DOUBLINGS,
        };
        let is_longest = self.doublings >= longest;
        self.doublings = if has_changed { 0 } else { (self.doublings + 1).min(longest) };
        self.due = Some(now + pause(self.doublings));
        is_longest
    }
}

pub(super) fn pause(doublings: u8) -> Duration {
    SHORTEST_PAUSE * (1 << doublings)
}
