//! The interests that only some systems have.
//!
//! Invariant: an interest exists exactly where a backend of the system can report it.

#[allow(unused_imports)] // most systems have none of them
use crate::readiness::Interest;

/// Priority data exists where the kernel's `EPOLLPRI`, `POLLPRI` or `EVFILT_EXCEPT` can be asked for.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "dragonfly",
    target_os = "openbsd"
))]
impl Interest {
    /// Reports priority data: TCP's out-of-band byte, on Linux also a change of a sysfs file. Linux, Android, Apple,
    /// DragonFly BSD and OpenBSD.
    pub const PRIORITY: Interest = Interest::PRIORITY_DATA;
}

/// Asynchronous file I/O is reported by the kqueues that know `EVFILT_AIO`.
#[cfg(any(target_vendor = "apple", target_os = "dragonfly", target_os = "freebsd"))]
impl Interest {
    /// Reports completed asynchronous file I/O (POSIX AIO). Apple, DragonFly BSD and FreeBSD.
    pub const AIO: Interest = Interest::AIO_COMPLETION;
}

/// `EVFILT_LIO` is FreeBSD's.
#[cfg(target_os = "freebsd")]
impl Interest {
    /// Reports a completed list of asynchronous file I/O (`lio_listio`). FreeBSD.
    pub const LIO: Interest = Interest::LIO_COMPLETION;
}
