//! The readiness that a registration asks for, and how often it is reported.
//!
//! Invariant: an interest is never empty: it has at least one kind of readiness, whatever its mode is.

use std::fmt;
use std::num::NonZeroU16;
use std::ops::{BitOr, BitOrAssign};

/// The kinds of readiness that a registration asks for, at least one, and its mode.
///
/// [`READABLE`], [`WRITABLE`] and [`END`] exist on every platform. Some platforms have more: `PRIORITY` (Linux,
/// Android, Apple, DragonFly BSD and OpenBSD), `AIO` (Apple, DragonFly BSD and FreeBSD) and `LIO` (FreeBSD).
///
/// # Modes
///
/// The mode decides how often readiness is reported. It belongs to the whole interest.
///
/// | mode | an event | until |
/// |---|---|---|
/// | edge-triggered, the default | for each change | `deregister` |
/// | [`level`](Interest::level) | from each `poll` that finds the source ready | `deregister` |
/// | [`one_shot`](Interest::one_shot) | once, for all directions together | `reregister` |
/// | [`edge_one_shot`](Interest::edge_one_shot) | once, for a change | `reregister` |
///
/// [`exclusive`](Interest::exclusive) is set beside the edge-triggered or the level-triggered mode.
///
/// [`READABLE`]: Interest::READABLE
/// [`WRITABLE`]: Interest::WRITABLE
/// [`END`]: Interest::END
///
/// ```
/// use wakeful::Interest;
///
/// let both = Interest::READABLE | Interest::WRITABLE;
/// assert!(both.is_readable() && both.is_writable());
/// assert_eq!(both.remove(Interest::WRITABLE), Some(Interest::READABLE));
/// assert_eq!(Interest::READABLE.remove(Interest::READABLE), None);
///
/// const ONCE: Interest = Interest::READABLE.one_shot();
/// assert!(ONCE.is_one_shot() && ONCE != Interest::READABLE);
/// ```
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interest(NonZeroU16);

const READABLE: u16 = 1 << 0;
const WRITABLE: u16 = 1 << 1;
const AIO: u16 = 1 << 2;
const LIO: u16 = 1 << 3;
const PRIORITY: u16 = 1 << 4;
const END: u16 = 1 << 5;
const LEVEL: u16 = 1 << 8;
const ONE_SHOT: u16 = 1 << 9;
const EDGE_ONE_SHOT: u16 = 1 << 10;
const EXCLUSIVE: u16 = 1 << 11;

/// The bits that say what is reported. At least one is set.
const KINDS: u16 = READABLE | WRITABLE | AIO | LIO | PRIORITY | END;
/// The bits of the modes. At most one is set; none is the edge-triggered mode.
const MODES: u16 = LEVEL | ONE_SHOT | EDGE_ONE_SHOT;

impl Interest {
    /// Asks for events when the source can be read, or accepted from, without blocking.
    pub const READABLE: Interest = Interest::of(READABLE);

    /// Asks for events when the source can be written, or has finished connecting.
    pub const WRITABLE: Interest = Interest::of(WRITABLE);

    /// Asks for events when the source has ended or failed, and for nothing else: a hang-up, a half-close by the peer,
    /// an error. Every other interest includes it.
    ///
    /// The event is readable or writable as well, like each event of an end. On WASI preview 1 registering it alone
    /// fails with `Unsupported`, since that kernel reports no end without an interest in a direction.
    pub const END: Interest = Interest::of(END);

    /// Returns both interests together, like `|`, but usable in a constant.
    ///
    /// The result has the mode of the one that has a mode set.
    ///
    /// # Panics
    ///
    /// If two different modes are set.
    ///
    /// ```
    /// use wakeful::Interest;
    ///
    /// const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
    /// assert_eq!(BOTH, Interest::READABLE | Interest::WRITABLE);
    /// assert_eq!(Interest::READABLE.level() | Interest::WRITABLE, BOTH.level());
    /// ```
    #[allow(clippy::should_implement_trait)] // `+` would suggest that adding twice counts twice
    #[must_use]
    pub const fn add(self, other: Interest) -> Interest {
        Interest::of(self.bits() | other.bits())
    }

    /// Returns this interest without the kinds of readiness in `other`, or `None` if nothing is left. The mode stays.
    #[must_use]
    pub fn remove(self, other: Interest) -> Option<Interest> {
        Interest::checked(self.bits() & !(other.bits() & KINDS))
    }

    /// Returns this interest in the level-triggered mode: each `poll` that finds the source ready returns an event.
    ///
    /// A program that handles only a part of the readiness at a time is called again for the rest. A source that stays
    /// ready and isn't handled keeps the polling thread awake.
    ///
    /// ```
    /// use wakeful::Interest;
    ///
    /// assert!(Interest::READABLE.level().is_level());
    /// assert_eq!(format!("{:?}", Interest::READABLE.level()), "READABLE | LEVEL");
    /// ```
    #[must_use]
    pub const fn level(self) -> Interest {
        self.with_mode(LEVEL)
    }

    /// Returns this interest in the one-shot mode: at most one event after each `register` and `reregister`, for all
    /// directions together. After that event the registration is silent, for errors and hang-ups too, until
    /// `reregister`, which reports what is ready then.
    ///
    /// Several threads can share sources by it: the thread that has received the event has the source to itself.
    ///
    /// ```
    /// use wakeful::Interest;
    ///
    /// let once = (Interest::READABLE | Interest::WRITABLE).one_shot();
    /// assert!(once.is_one_shot() && !once.is_level());
    /// ```
    #[must_use]
    pub const fn one_shot(self) -> Interest {
        self.with_mode(ONE_SHOT)
    }

    /// Returns this interest in the one-shot mode with an edge-triggered event: as [`one_shot`](Interest::one_shot),
    /// but the kernel may check readiness only when it changes.
    ///
    /// `register` and `reregister` report readiness that exists already, as in each mode.
    #[must_use]
    pub const fn edge_one_shot(self) -> Interest {
        self.with_mode(EDGE_ONE_SHOT)
    }

    /// Returns this interest with exclusive wake-ups: of several `Poll`s that watch one source exclusively, a change
    /// wakes at least one, and no more of them than needed.
    ///
    /// It spares the others an event in vain, for example of eight threads that accept from one listener. Where the
    /// kernel has no such mode, each of them gets the event. epoll has one (`EPOLLEXCLUSIVE`, Linux 4.5); it prefers
    /// the `Poll` that has slept for the shortest time, so the load is not spread evenly.
    ///
    /// Registering fails with `Unsupported` for an interest that is one-shot as well, or that has kinds beside readable
    /// and writable. An `exclusive` source has no `is_read_closed` for a half-close by the peer (epoll). Read until the
    /// end or `WouldBlock`: after a short read the end may follow without an event.
    #[must_use]
    pub const fn exclusive(self) -> Interest {
        Interest::of(self.bits() | EXCLUSIVE)
    }

    const fn with_mode(self, mode: u16) -> Interest {
        Interest::of(self.bits() & !MODES | mode)
    }

    /// Returns whether this includes readable.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.bits() & READABLE != 0
    }

    /// Returns whether this includes writable.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.bits() & WRITABLE != 0
    }

    /// Returns whether this includes the completion of asynchronous file I/O (POSIX AIO).
    #[must_use]
    pub const fn is_aio(self) -> bool {
        self.bits() & AIO != 0
    }

    /// Returns whether this includes the completion of a list of asynchronous file I/O (FreeBSD's `lio_listio`).
    #[must_use]
    pub const fn is_lio(self) -> bool {
        self.bits() & LIO != 0
    }

    /// Returns whether this includes priority data, such as TCP's out-of-band byte.
    #[must_use]
    pub const fn is_priority(self) -> bool {
        self.bits() & PRIORITY != 0
    }

    /// Returns whether this is [`END`](Interest::END) alone: no direction, no other kind of readiness.
    #[must_use]
    pub const fn is_end(self) -> bool {
        self.bits() & KINDS == END
    }

    /// Returns whether the mode is [`level`](Interest::level).
    #[must_use]
    pub const fn is_level(self) -> bool {
        self.bits() & LEVEL != 0
    }

    /// Returns whether the mode is [`one_shot`](Interest::one_shot) or [`edge_one_shot`](Interest::edge_one_shot).
    #[must_use]
    pub const fn is_one_shot(self) -> bool {
        self.bits() & (ONE_SHOT | EDGE_ONE_SHOT) != 0
    }

    /// Returns whether this has [`exclusive`](Interest::exclusive) wake-ups.
    #[must_use]
    pub const fn is_exclusive(self) -> bool {
        self.bits() & EXCLUSIVE != 0
    }

    const fn of(bits: u16) -> Interest {
        let modes = bits & MODES;
        if modes & modes.wrapping_sub(1) != 0 {
            panic!("two modes in one interest");
        }
        match NonZeroU16::new(bits) {
            Some(bits) => Interest(bits),
            None => panic!("an interest in nothing"),
        }
    }

    fn checked(bits: u16) -> Option<Interest> {
        match bits & KINDS {
            0 => None,
            _ => NonZeroU16::new(bits).map(Interest),
        }
    }

    const fn bits(self) -> u16 {
        self.0.get()
    }
}

/// The platforms of these interests depend on the backends, so `backend` makes the public constants.
#[cfg(feature = "os-poll")]
#[allow(dead_code)] // each has a kernel that lacks it
impl Interest {
    pub(crate) const PRIORITY_DATA: Interest = Interest::of(PRIORITY);
    pub(crate) const AIO_COMPLETION: Interest = Interest::of(AIO);
    pub(crate) const LIO_COMPLETION: Interest = Interest::of(LIO);

    /// Returns the kinds of readiness that both include, without a mode.
    #[inline]
    pub(crate) fn intersection(self, other: Interest) -> Option<Interest> {
        NonZeroU16::new(self.bits() & other.bits() & KINDS).map(Interest)
    }

    /// Returns both together. None of the two has a mode, which isn't checked.
    #[inline]
    pub(crate) fn union(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }

    /// Returns this without `other`, or `None` if nothing is left. None of the two has a mode, which isn't checked.
    #[inline]
    pub(crate) fn difference(self, other: Interest) -> Option<Interest> {
        NonZeroU16::new(self.bits() & !other.bits()).map(Interest)
    }

    /// Returns the kinds of readiness, without a mode.
    #[inline]
    pub(crate) fn kinds(self) -> Interest {
        NonZeroU16::new(self.bits() & KINDS).map_or(Interest::END, Interest)
    }

    /// Returns whether the mode is [`edge_one_shot`](Interest::edge_one_shot).
    pub(crate) const fn is_edge_one_shot(self) -> bool {
        self.bits() & EDGE_ONE_SHOT != 0
    }

    /// Returns whether this asks for a half-close by the peer.
    #[inline]
    pub(crate) const fn needs_read_end(self) -> bool {
        self.bits() & (READABLE | END) != 0
    }

    /// The first [index](Interest::index) that is no [usual](Interest::is_usual) interest's.
    pub(crate) const USUAL: usize = 1 << 5;

    /// Returns whether this asks for the edges of directions, and for nothing rarer.
    #[inline]
    pub(crate) const fn is_usual(self) -> bool {
        self.index() < Interest::USUAL
    }

    /// Returns a number that no other interest has, greater than 0.
    #[inline]
    pub(crate) const fn index(self) -> usize {
        self.bits() as usize
    }

    /// Returns the interest with this index.
    pub(crate) const fn at(index: usize) -> Interest {
        Interest::of(index as u16)
    }

    /// Returns whether the mode is the edge-triggered one.
    pub(crate) const fn is_edge(self) -> bool {
        self.bits() & MODES == 0
    }
}

impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        self.add(other)
    }
}

impl BitOrAssign for Interest {
    fn bitor_assign(&mut self, other: Interest) {
        *self = self.add(other);
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (READABLE, "READABLE"),
            (WRITABLE, "WRITABLE"),
            (PRIORITY, "PRIORITY"),
            (AIO, "AIO"),
            (LIO, "LIO"),
            (END, "END"),
            (LEVEL, "LEVEL"),
            (ONE_SHOT, "ONE_SHOT"),
            (EDGE_ONE_SHOT, "EDGE_ONE_SHOT"),
            (EXCLUSIVE, "EXCLUSIVE"),
        ];
        let mut separator = "";
        for (bit, name) in names {
            if self.bits() & bit != 0 {
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
    fn debug_names_each_interest() {
        let all = Interest::of(READABLE | WRITABLE | AIO | LIO | PRIORITY);
        assert_eq!(format!("{all:?}"), "READABLE | WRITABLE | PRIORITY | AIO | LIO");
        assert_eq!(format!("{:?}", Interest::WRITABLE), "WRITABLE");
    }

    #[test]
    fn the_option_costs_nothing() {
        assert_eq!(std::mem::size_of::<Option<Interest>>(), 2);
    }

    #[test]
    fn a_mode_outlives_the_kinds_beside_it() {
        let both = (Interest::READABLE | Interest::WRITABLE).level();
        assert_eq!(both.remove(Interest::WRITABLE.one_shot()), Some(Interest::READABLE.level()));
        assert_eq!(both.remove(both), None);
        assert_eq!(Interest::END.level().remove(Interest::READABLE), Some(Interest::END.level()));
        assert_eq!(both.one_shot().level(), both);
        assert_eq!(format!("{:?}", both.exclusive()), "READABLE | WRITABLE | LEVEL | EXCLUSIVE");
    }

    #[test]
    #[should_panic = "two modes"]
    fn one_interest_has_one_mode() {
        let _ = Interest::READABLE.level() | Interest::WRITABLE.one_shot();
    }
}
