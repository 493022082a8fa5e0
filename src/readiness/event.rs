use super::Token;

/// One source is ready: which, and for what.
///
/// [`is_readable`] and [`is_writable`] are exact up to races. The closed, error and priority flags are hints:
/// a kernel that can't tell leaves them unset, so act on what the operation itself returns. The matrix of what
/// each backend can tell is in `PLATFORMS.md`.
///
/// An event means "try now", not "there is data": a spurious event is always possible, and the operation then
/// answers `WouldBlock`.
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
    /// The kernel's own flags, for `Debug` alone.
    raw: u32,
    readiness: Readiness,
    /// The backend whose words `raw` is in: its place in the table of backends.
    origin: u8,
}

impl Event {
    /// The token that the source was registered with.
    #[inline]
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// Reading, or accepting, may make progress. That includes finding the end of the stream or an error.
    #[inline]
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.readiness.intersects(Readiness::READABLE)
    }

    /// Writing may make progress, or connecting has ended. That includes finding an error.
    #[inline]
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.readiness.intersects(Readiness::WRITABLE)
    }

    /// The source has an error, which its `take_error` or next operation returns. Readable or writable is set too.
    ///
    /// On Linux the error queue of a socket counts as well (`IP_RECVERR`, `MSG_ZEROCOPY`, timestamps). Only
    /// `recvmsg(MSG_ERRQUEUE)` takes what is in it.
    #[inline]
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.readiness.intersects(Readiness::ERROR)
    }

    /// No more can arrive than what waits already: the peer shut down its writing half, or both halves are closed.
    ///
    /// A hint: a kernel may fail to tell, and a source that isn't connected yet counts as closed. Reading `Ok(0)`
    /// always tells.
    #[inline]
    #[must_use]
    pub fn is_read_closed(&self) -> bool {
        self.readiness.intersects(Readiness::READ_CLOSED)
    }

    /// Nothing more can be sent: both halves are closed, or the reader of a pipe has gone.
    ///
    /// A hint: a kernel may fail to tell. A source that isn't connected yet counts as closed, and so does, with
    /// `epoll`, a TCP connection whose error queue isn't empty. The error of the next write always tells.
    #[inline]
    #[must_use]
    pub fn is_write_closed(&self) -> bool {
        self.readiness.intersects(Readiness::WRITE_CLOSED)
    }

    /// Priority data waits, such as TCP's out-of-band byte. Linux, Android, Apple, DragonFly BSD and OpenBSD, which
    /// have `Interest::PRIORITY`; elsewhere `false`.
    #[inline]
    #[must_use]
    pub fn is_priority(&self) -> bool {
        self.readiness.intersects(Readiness::PRIORITY)
    }

    /// Asynchronous file I/O has completed. Apple, DragonFly BSD and FreeBSD; elsewhere `false`.
    #[inline]
    #[must_use]
    pub fn is_aio(&self) -> bool {
        self.readiness.intersects(Readiness::AIO)
    }

    /// A list of asynchronous file I/O has completed. FreeBSD; elsewhere `false`.
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

    /// The kernel's own flags and the backend whose words they are in.
    pub(crate) fn raw(&self) -> (u8, u32) {
        (self.origin, self.raw)
    }
}

/// Without a backend there is nobody to name the kernel's flags, and no event either.
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

/// The set of what an event tells.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) struct Readiness(u16);

impl Readiness {
    // The first ones have the bits that poll(2) uses nearly everywhere: then to translate them takes no instruction
    // for each.
    pub(crate) const READABLE: Readiness = Readiness(1 << 0);
    pub(crate) const PRIORITY: Readiness = Readiness(1 << 1);
    pub(crate) const WRITABLE: Readiness = Readiness(1 << 2);
    pub(crate) const ERROR: Readiness = Readiness(1 << 3);
    pub(crate) const READ_CLOSED: Readiness = Readiness(1 << 4);
    pub(crate) const WRITE_CLOSED: Readiness = Readiness(1 << 5);
    pub(crate) const AIO: Readiness = Readiness(1 << 6);
    pub(crate) const LIO: Readiness = Readiness(1 << 7);
    // No user sees these: they say where the others come from.
    /// Both halves are closed, but something is left to read: it tells two hang-ups of a FIFO apart.
    #[cfg(feature = "os-poll")]
    pub(crate) const LEFTOVER: Readiness = Readiness(1 << 8);
    /// `READABLE` follows from another word: the kernel doesn't say that there is something to read.
    #[cfg(feature = "os-poll")]
    pub(crate) const DERIVED_READ: Readiness = Readiness(1 << 9);
    /// `WRITABLE` follows from an error: the kernel doesn't say that there is room.
    #[cfg(feature = "os-poll")]
    pub(crate) const DERIVED_WRITE: Readiness = Readiness(1 << 10);

    #[inline]
    pub(crate) const fn intersects(self, other: Readiness) -> bool {
        self.0 & other.0 != 0
    }
}

#[cfg(feature = "os-poll")]
#[allow(dead_code)] // what only some kernels' backends use
impl Readiness {
    pub(crate) const NONE: Readiness = Readiness(0);

    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn union(self, other: Readiness) -> Readiness {
        Readiness(self.0 | other.0)
    }

    /// What both have in common.
    pub(crate) const fn and(self, other: Readiness) -> Readiness {
        Readiness(self.0 & other.0)
    }

    pub(crate) const fn without(self, other: Readiness) -> Readiness {
        Readiness(self.0 & !other.0)
    }

    /// These, if `condition` holds; else nothing.
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
