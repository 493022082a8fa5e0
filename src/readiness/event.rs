//! Events, and the readiness in them.
//!
//! Invariant: an event has 16 bytes, and an error is always readable or writable too.

use super::Token;

/// The readiness of one source, with the token of its registration.
///
/// [`is_readable`] and [`is_writable`] are exact except for races. The closed, error and priority flags are hints: a
/// kernel that cannot report them leaves them unset, so rely on the result of the operation. `PLATFORMS.md` lists
/// what each backend reports.
///
/// An event means "try now", not "there is data": events can be spurious, and the operation then fails with
/// `WouldBlock`.
///
/// [`is_readable`]: Event::is_readable
/// [`is_writable`]: Event::is_writable
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # #[cfg(feature = "os-poll")] {
/// use std::time::Duration;
/// use wakeful::{Events, Poll, Token, Waker};
///
/// let mut poll = Poll::new()?;
/// let mut events = Events::with_capacity(8);
/// let waker = Waker::new(poll.registry(), Token(7))?;
///
/// waker.wake()?;
/// poll.poll(&mut events, Some(Duration::from_secs(1)))?;
/// let event = events.iter().next().expect("the wake");
/// assert_eq!(event.token(), Token(7));
/// assert!(event.is_readable() && !event.is_error());
/// # }
/// # Ok(())
/// # }
/// ```
// 16 bytes on every target: four events share a cache line, on 32 bits too.
#[repr(align(8))]
#[derive(Clone)]
pub struct Event {
    token: Token,
    /// The kernel's flags, for `Debug` alone.
    raw: u32,
    readiness: Readiness,
    /// The backend whose flags `raw` holds: its place in the table of backends.
    origin: u8,
}

impl Event {
    /// Returns the token that the source was registered with.
    #[inline]
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// Returns whether reading, or accepting, may make progress. Reaching the end of the stream or an error counts as
    /// progress.
    #[inline]
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.readiness.intersects(Readiness::READABLE)
    }

    /// Returns whether writing may make progress, or connecting has ended. Reaching an error counts as progress.
    #[inline]
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.readiness.intersects(Readiness::WRITABLE)
    }

    /// Returns whether the source has an error, which `take_error` or the next operation returns. Readable or
    /// writable is set too.
    ///
    /// On Linux a non-empty error queue of a socket counts as an error (`IP_RECVERR`, `MSG_ZEROCOPY`, timestamps).
    /// Only `recvmsg(MSG_ERRQUEUE)` empties it.
    #[inline]
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.readiness.intersects(Readiness::ERROR)
    }

    /// Returns whether the peer has stopped sending, or both halves are closed: after the buffered data, reads return
    /// `Ok(0)`.
    ///
    /// This is a hint: a kernel may not report it, and a source that isn't connected yet counts as closed. A read
    /// that returns `Ok(0)` is certain.
    #[inline]
    #[must_use]
    pub fn is_read_closed(&self) -> bool {
        self.readiness.intersects(Readiness::READ_CLOSED)
    }

    /// Returns whether nothing more can be sent: both halves are closed, or the reader of a pipe has gone.
    ///
    /// This is a hint: a kernel may not report it. A source that isn't connected yet counts as closed, and with
    /// `epoll` also a TCP connection whose error queue isn't empty. A write that fails is certain.
    #[inline]
    #[must_use]
    pub fn is_write_closed(&self) -> bool {
        self.readiness.intersects(Readiness::WRITE_CLOSED)
    }

    /// Returns whether priority data waits, such as TCP's out-of-band byte. Available on Linux, Android, Apple,
    /// DragonFly BSD and OpenBSD, which have `Interest::PRIORITY`; elsewhere `false`.
    #[inline]
    #[must_use]
    pub fn is_priority(&self) -> bool {
        self.readiness.intersects(Readiness::PRIORITY)
    }

    /// Returns whether asynchronous file I/O has completed. Available on Apple, DragonFly BSD and FreeBSD; elsewhere
    /// `false`.
    #[inline]
    #[must_use]
    pub fn is_aio(&self) -> bool {
        self.readiness.intersects(Readiness::AIO)
    }

    /// Returns whether a list of asynchronous file I/O has completed. Available on FreeBSD; elsewhere `false`.
    #[inline]
    #[must_use]
    pub fn is_lio(&self) -> bool {
        self.readiness.intersects(Readiness::LIO)
    }
}

#[cfg(feature = "os-poll")]
impl Event {
    #[inline]
    pub(crate) fn new(token: Token, readiness: Readiness, origin: u8, raw: u32) -> Event {
        Event { token, raw, readiness, origin }
    }

    pub(crate) fn readiness(&self) -> Readiness {
        self.readiness
    }

    /// Returns the backend that reported the event, and its kernel's flags.
    pub(crate) fn raw(&self) -> (u8, u32) {
        (self.origin, self.raw)
    }
}

/// Without a backend there are no names for the kernel's flags, and no events either.
#[cfg(not(feature = "os-poll"))]
impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event")
            .field("token", &self.token)
            .field("readiness", &self.readiness)
            .field("kernel", &(self.origin, self.raw))
            .finish()
    }
}

/// The set of flags of an event.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) struct Readiness(u16);

impl Readiness {
    // The first four have the bits that poll(2) uses nearly everywhere, so that a translation needs no instruction
    // for each.
    pub(crate) const READABLE: Readiness = Readiness(1 << 0);
    pub(crate) const PRIORITY: Readiness = Readiness(1 << 1);
    pub(crate) const WRITABLE: Readiness = Readiness(1 << 2);
    pub(crate) const ERROR: Readiness = Readiness(1 << 3);
    pub(crate) const READ_CLOSED: Readiness = Readiness(1 << 4);
    pub(crate) const WRITE_CLOSED: Readiness = Readiness(1 << 5);
    pub(crate) const AIO: Readiness = Readiness(1 << 6);
    pub(crate) const LIO: Readiness = Readiness(1 << 7);
    // These are internal: they say how the others were found.
    /// Both halves are closed, but data is left to read: this distinguishes two hang-ups of a FIFO.
    #[cfg(feature = "os-poll")]
    pub(crate) const LEFTOVER: Readiness = Readiness(1 << 8);
    /// `READABLE` follows from another flag: the kernel didn't report that there is something to read.
    #[cfg(feature = "os-poll")]
    pub(crate) const DERIVED_READ: Readiness = Readiness(1 << 9);
    /// `WRITABLE` follows from an error: the kernel didn't report that there is room.
    #[cfg(feature = "os-poll")]
    pub(crate) const DERIVED_WRITE: Readiness = Readiness(1 << 10);

    #[inline]
    pub(crate) const fn intersects(self, other: Readiness) -> bool {
        self.0 & other.0 != 0
    }
}

#[cfg(feature = "os-poll")]
#[allow(dead_code)] // some are used by some backends only
impl Readiness {
    pub(crate) const NONE: Readiness = Readiness(0);

    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn union(self, other: Readiness) -> Readiness {
        Readiness(self.0 | other.0)
    }

    /// Returns the flags that both have.
    pub(crate) const fn and(self, other: Readiness) -> Readiness {
        Readiness(self.0 & other.0)
    }

    pub(crate) const fn without(self, other: Readiness) -> Readiness {
        Readiness(self.0 & !other.0)
    }

    /// Returns these flags if `condition` holds, else none.
    pub(crate) const fn when(self, condition: bool) -> Readiness {
        if condition {
            self
        } else {
            Readiness::NONE
        }
    }
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = [
            (Readiness::READABLE, "READABLE"),
            (Readiness::WRITABLE, "WRITABLE"),
            (Readiness::ERROR, "ERROR"),
            (Readiness::READ_CLOSED, "READ_CLOSED"),
            (Readiness::WRITE_CLOSED, "WRITE_CLOSED"),
            (Readiness::PRIORITY, "PRIORITY"),
            (Readiness::AIO, "AIO"),
            (Readiness::LIO, "LIO"),
        ];
        let mut separator = "";
        for (flag, name) in names {
            if self.intersects(flag) {
                write!(f, "{separator}{name}")?;
                separator = " | ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_sixteen_bytes() {
        assert_eq!(std::mem::size_of::<Event>(), 16);
    }
}
