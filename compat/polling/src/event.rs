//! An event, which is an interest as well; and the modes of interests.
//!
//! Invariant: an event is a wakeful event without its token's type, and an interest without its mode.

use wakeful::Interest;

/// The readiness of a source that has an event, or the readiness that a source is registered for.
///
/// [`Poller::wait`](crate::Poller::wait) returns events. [`Poller::add`](crate::Poller::add) and
/// [`modify`](crate::Poller::modify) take the interest in events.
///
/// ```
/// use polling::Event;
///
/// let both = Event::all(7);
/// assert_eq!(both, Event::new(7, true, true));
/// assert_ne!(both, both.with_priority());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The key that names the source in the events. Any number but `usize::MAX`.
    pub key: usize,
    /// Whether reading may make progress. An error or an end counts as progress.
    pub readable: bool,
    /// Whether writing may make progress. An error counts as progress.
    pub writable: bool,
    extra: Extra,
}

/// The flags that few programs need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extra {
    interrupt: bool,
    priority: bool,
    error: bool,
}

impl Extra {
    const NONE: Extra = Extra { interrupt: false, priority: false, error: false };
}

/// How often a source is reported.
///
/// ```
/// use polling::PollMode;
///
/// assert_ne!(PollMode::Oneshot, PollMode::Level);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PollMode {
    /// Once, until the next [`modify`](crate::Poller::modify).
    Oneshot,
    /// From each `wait` that finds the source ready.
    Level,
    /// Once for each change.
    Edge,
    /// Once, for a change, until the next [`modify`](crate::Poller::modify).
    EdgeOneshot,
}

impl Event {
    /// Creates an event with this key and these directions.
    #[must_use]
    pub const fn new(key: usize, readable: bool, writable: bool) -> Event {
        Event { key, readable, writable, extra: Extra::NONE }
    }

    /// Creates an event for both directions.
    #[must_use]
    pub const fn all(key: usize) -> Event {
        Event::new(key, true, true)
    }

    /// Creates an event for reading.
    #[must_use]
    pub const fn readable(key: usize) -> Event {
        Event::new(key, true, false)
    }

    /// Creates an event for writing.
    #[must_use]
    pub const fn writable(key: usize) -> Event {
        Event::new(key, false, true)
    }

    /// Creates an event for neither direction. As an interest it asks for the end of the source and for errors, which
    /// every other interest includes.
    #[must_use]
    pub const fn none(key: usize) -> Event {
        Event::new(key, false, false)
    }

    /// Sets whether both halves are closed. As an interest it has no effect: each interest includes it.
    pub fn set_interrupt(&mut self, active: bool) {
        self.extra.interrupt = active;
    }

    /// Returns this event with both halves closed. As an interest it has no effect: each interest includes it.
    #[must_use]
    pub const fn with_interrupt(mut self) -> Event {
        self.extra.interrupt = true;
        self
    }

    /// Sets whether priority data waits, such as TCP's out-of-band byte, or whether the interest asks for it.
    pub fn set_priority(&mut self, active: bool) {
        self.extra.priority = active;
    }

    /// Returns this event with priority data, or this interest with priority data.
    #[must_use]
    pub const fn with_priority(mut self) -> Event {
        self.extra.priority = true;
        self
    }

    /// Returns whether both halves are closed.
    #[must_use]
    pub const fn is_interrupt(&self) -> bool {
        self.extra.interrupt
    }

    /// Returns whether priority data waits.
    #[must_use]
    pub const fn is_priority(&self) -> bool {
        self.extra.priority
    }

    /// Returns whether a connection could not be made: the source has ended with an error.
    ///
    /// Never returns `None`.
    #[must_use]
    #[deprecated(since = "3.4.0", note = "use `is_err`: not every failed connection has ended")]
    pub const fn is_connect_failed(&self) -> Option<bool> {
        Some(self.extra.interrupt && self.extra.error)
    }

    /// Returns whether the source has an error, which the next operation returns.
    ///
    /// Never returns `None`.
    #[must_use]
    pub const fn is_err(&self) -> Option<bool> {
        Some(self.extra.error)
    }

    /// Clears all but the key and the two directions.
    pub fn clear_extra(&mut self) {
        self.extra = Extra::NONE;
    }

    /// Returns this event with the key and the two directions alone.
    #[must_use]
    pub const fn with_no_extra(mut self) -> Event {
        self.extra = Extra::NONE;
        self
    }

    /// Returns what wakeful is asked for.
    #[inline]
    pub(crate) fn interest(self, mode: PollMode) -> Interest {
        let mut kinds = match (self.readable, self.writable) {
            (true, true) => Interest::READABLE.add(Interest::WRITABLE),
            (true, false) => Interest::READABLE,
            (false, true) => Interest::WRITABLE,
            (false, false) => Interest::END,
        };
        if self.extra.priority {
            kinds = kinds.add(Interest::PRIORITY);
        }
        match mode {
            PollMode::Oneshot => kinds.one_shot(),
            PollMode::Level => kinds.level(),
            PollMode::Edge => kinds,
            PollMode::EdgeOneshot => kinds.edge_one_shot(),
        }
    }

    /// Returns what wakeful has reported.
    #[inline]
    pub(crate) fn of(event: &wakeful::event::Event) -> Event {
        Event {
            key: event.token().0,
            // Priority data is readable by polling's rule.
            readable: event.is_readable() || event.is_priority(),
            writable: event.is_writable(),
            extra: Extra {
                interrupt: event.is_read_closed() && event.is_write_closed(),
                priority: event.is_priority(),
                error: event.is_error(),
            },
        }
    }
}

/// Stands in for `Interest::PRIORITY` on platforms without it: a type's own constant goes before a trait's.
#[allow(dead_code)] // most platforms have their own
trait WithoutPriority {
    const PRIORITY: Interest = Interest::END;
}

impl WithoutPriority for Interest {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_has_its_interest() {
        let event = Event::all(1);
        assert_eq!(event.interest(PollMode::Oneshot), (Interest::READABLE | Interest::WRITABLE).one_shot());
        assert_eq!(Event::none(1).interest(PollMode::Level), Interest::END.level());
        assert_eq!(Event::readable(1).interest(PollMode::Edge), Interest::READABLE);
        assert_eq!(Event::writable(1).interest(PollMode::EdgeOneshot), Interest::WRITABLE.edge_one_shot());
    }

    #[test]
    fn extras_are_set_and_cleared() {
        let mut event = Event::readable(3).with_interrupt().with_priority();
        assert!(event.is_interrupt() && event.is_priority());
        assert_eq!(event.is_err(), Some(false));
        assert_eq!(event.with_no_extra(), Event::readable(3));
        event.set_interrupt(false);
        event.set_priority(false);
        assert_eq!(event, Event::readable(3));
        event.set_priority(true);
        event.clear_extra();
        assert_eq!(event, Event::readable(3));
    }
}
