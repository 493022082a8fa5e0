//! Why a direction that was reported is looked at, and when it is reported again. Its pause doubles, and only a change
//! makes it short again.

use std::time::{Duration, Instant};

/// Why a direction is suspected, which says what to do if it is still ready when it is due.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its operations are not seen: it is reported again and again.
    Unseen,
    /// As `Unseen`, but it is given up when the pause is longest.
    Priority,
    /// An operation left it open: it is reported once, and rests then.
    Operation,
    /// As `Operation`, but nothing was used up and its direction isn't known: most likely it was another's.
    Either,
    /// An error may be used up: if there still is one it is reported once.
    Error,
    /// Nothing, until an operation says more. Only the length of its pause counts.
    Resting,
}

impl Reason {
    pub(super) fn is_of_operation(self) -> bool {
        matches!(self, Reason::Operation | Reason::Either | Reason::Error)
    }
}

/// A direction that was reported, and may have been used up without a `WouldBlock`.
#[derive(Copy, Clone, Debug)]
pub(super) struct RecheckTimer {
    pub(super) reason: Reason,
    /// How often the pause was doubled.
    doublings: u8,
    /// When it is reported again if it is still ready; `None` until the first look.
    due: Option<Instant>,
}

/// The first pause before a direction that is still ready is reported again.
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
/// How often it is doubled. Then it is 12.8 ms: what an idle, ready, unread descriptor costs is one look in this time.
pub(super) const DOUBLINGS: u8 = 7;
#[cfg_attr(windows, allow(dead_code))] // where no look fails
pub(in crate::backend) const LONGEST_PAUSE: Duration = Duration::from_micros(100 << DOUBLINGS);
/// The same beside what is ready for ever, most likely: of sources that have hung up few come back. 102.4 ms.
pub(super) const DOUBLINGS_AT_END: u8 = 10;

impl RecheckTimer {
    pub(super) fn new(reason: Reason) -> RecheckTimer {
        RecheckTimer { reason, doublings: 0, due: None }
    }

    /// Ends its rest. It keeps its pause.
    pub(super) fn renew(&mut self, reason: Reason) {
        (self.reason, self.due) = (reason, None);
    }

    pub(super) fn due(&mut self, now: Instant) -> Instant {
        *self.due.get_or_insert(now + pause(self.doublings))
    }

    /// It is due next after a longer pause, or after the shortest if something `has_changed`. Whether the pause was the
    /// longest before.
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
