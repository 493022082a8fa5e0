//! The readiness that a registration asks for.
//!
//! Invariant: an interest is never empty.

use std::fmt;
use std::num::NonZeroU8;
use std::ops::{BitOr, BitOrAssign};

/// The kinds of readiness that a registration asks for: at least one.
///
/// [`READABLE`] and [`WRITABLE`] exist on every platform. Some platforms have more: `PRIORITY` (Linux, Android,
/// Apple, DragonFly BSD and OpenBSD), `AIO` (Apple, DragonFly BSD and FreeBSD) and `LIO` (FreeBSD).
///
/// [`READABLE`]: Interest::READABLE
/// [`WRITABLE`]: Interest::WRITABLE
///
/// ```
/// use wakeful::Interest;
///
/// let both = Interest::READABLE | Interest::WRITABLE;
/// assert!(both.is_readable() && both.is_writable());
/// assert_eq!(both.remove(Interest::WRITABLE), Some(Interest::READABLE));
/// assert_eq!(Interest::READABLE.remove(Interest::READABLE), None);
/// ```
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interest(NonZeroU8);

const READABLE: u8 = 1 << 0;
const WRITABLE: u8 = 1 << 1;
const AIO: u8 = 1 << 2;
const LIO: u8 = 1 << 3;
const PRIORITY: u8 = 1 << 4;

impl Interest {
    /// Asks for events when the source can be read, or accepted from, without blocking.
    pub const READABLE: Interest = Interest::of(READABLE);

    /// Asks for events when the source can be written, or has finished connecting.
    pub const WRITABLE: Interest = Interest::of(WRITABLE);

    /// Returns both interests together, like `|`, but usable in a constant.
    ///
    /// ```
    /// use wakeful::Interest;
    ///
    /// const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
    /// assert_eq!(BOTH, Interest::READABLE | Interest::WRITABLE);
    /// ```
    #[allow(clippy::should_implement_trait)] // `+` would suggest that adding twice counts twice
    #[must_use]
    pub const fn add(self, other: Interest) -> Interest {
        Interest::of(self.bits() | other.bits())
    }

    /// Returns this interest without `other`, or `None` if nothing is left.
    #[must_use]
    pub fn remove(self, other: Interest) -> Option<Interest> {
        NonZeroU8::new(self.bits() & !other.bits()).map(Interest)
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

    const fn of(bits: u8) -> Interest {
        match NonZeroU8::new(bits) {
            Some(bits) => Interest(bits),
            None => panic!("an interest in nothing"),
        }
    }

    const fn bits(self) -> u8 {
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

    /// Returns what both include.
    pub(crate) fn intersection(self, other: Interest) -> Option<Interest> {
        NonZeroU8::new(self.bits() & other.bits()).map(Interest)
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
        assert_eq!(std::mem::size_of::<Option<Interest>>(), 1);
    }
}
