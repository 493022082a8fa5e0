//! The calls of epoll(7).
//!
//! # Safety
//!
//! The kernel writes only into a buffer of this module, as many entries as it is told, and what it hasn't written is
//! never read.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::slice;
use std::time::Duration;

use crate::os::{calls, check};
use crate::readiness::{Interest, PollWords};

/// One event as the kernel writes it.
#[repr(transparent)]
pub(super) struct EpollEvent(libc::epoll_event);

impl EpollEvent {
    #[inline]
    pub(super) fn flags(&self) -> u32 {
        self.0.events
    }

    #[inline]
    pub(super) fn data(&self) -> u64 {
        self.0.u64
    }
}

/// How many events one call fetches: they are on the stack, 12 or 16 bytes each.
pub(super) const KERNEL_BATCH: usize = 1024;

pub(super) const WORDS: PollWords = PollWords {
    input: libc::EPOLLIN as u32,
    output: libc::EPOLLOUT as u32,
    priority: libc::EPOLLPRI as u32,
    read_hangup: libc::EPOLLRDHUP as u32,
    error: libc::EPOLLERR as u32,
    hangup: libc::EPOLLHUP as u32,
};

pub(super) const NAMES: [(u32, &str); 8] = [
    (libc::EPOLLIN as u32, "EPOLLIN"),
    (libc::EPOLLPRI as u32, "EPOLLPRI"),
    (libc::EPOLLOUT as u32, "EPOLLOUT"),
    (libc::EPOLLERR as u32, "EPOLLERR"),
    (libc::EPOLLHUP as u32, "EPOLLHUP"),
    (libc::EPOLLRDNORM as u32, "EPOLLRDNORM"),
    (libc::EPOLLWRNORM as u32, "EPOLLWRNORM"),
    (libc::EPOLLRDHUP as u32, "EPOLLRDHUP"),
];

pub(super) const NOTIFIER_FLAGS: u32 = (libc::EPOLLIN | libc::EPOLLET) as u32;
/// How a notifier behind a second epoll is asked for. An epoll wakes who sleeps on it with `EPOLLIN` alone, so without
/// that word nobody would be woken (Linux, `ep_poll_safewake`).
pub(super) const NESTED_FLAGS: u32 = (libc::EPOLLIN | libc::EPOLLRDNORM | libc::EPOLLET) as u32;
/// How it answers: no source is asked for this word.
pub(super) const NESTED_NOTIFIED: u32 = libc::EPOLLRDNORM as u32;

/// What the kernel is asked for, edge-triggered.
pub(super) fn flags(interest: Interest) -> u32 {
    let mut flags = libc::EPOLLET;
    if interest.is_readable() {
        flags |= libc::EPOLLIN | libc::EPOLLRDHUP;
    }
    if interest.is_writable() {
        flags |= libc::EPOLLOUT;
    }
    if interest.is_priority() {
        flags |= libc::EPOLLPRI;
    }
    flags as u32
}

pub(super) fn create() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: just made, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn add(epoll: BorrowedFd<'_>, fd: RawFd, flags: u32, data: u64) -> io::Result<()> {
    control(epoll, libc::EPOLL_CTL_ADD, fd, flags, data)
}

pub(super) fn modify(epoll: BorrowedFd<'_>, fd: RawFd, flags: u32, data: u64) -> io::Result<()> {
    control(epoll, libc::EPOLL_CTL_MOD, fd, flags, data)
}

pub(super) fn delete(epoll: BorrowedFd<'_>, fd: RawFd) -> io::Result<()> {
    control(epoll, libc::EPOLL_CTL_DEL, fd, 0, 0)
}

fn control(epoll: BorrowedFd<'_>, what: libc::c_int, fd: RawFd, flags: u32, data: u64) -> io::Result<()> {
    let mut event = libc::epoll_event { events: flags, u64: data };
    // SAFETY: the kernel only reads `event`. It checks `fd` itself.
    check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), what, fd, &mut event) })?;
    Ok(())
}

/// Waits for at most `asked` events (and at most [`KERNEL_BATCH`]), and gives each to `each`.
#[inline]
pub(super) fn wait(
    epoll: BorrowedFd<'_>,
    asked: usize,
    timeout: Option<Duration>,
    each: impl FnMut(&EpollEvent),
) -> io::Result<()> {
    // Not zeroed: what the kernel doesn't write isn't read. A sanitizer that sees only libc's wrappers needs no help
    // either, since those are called then.
    let mut buffer = MaybeUninit::<[EpollEvent; KERNEL_BATCH]>::uninit();
    let asked = asked.min(KERNEL_BATCH);
    // SAFETY: the buffer has room for `asked` entries, and `EpollEvent` is an `epoll_event`.
    let found =
        unsafe { timed_wait(epoll.as_raw_fd(), buffer.as_mut_ptr().cast(), asked as libc::c_int, timeout) };
    let found = check(found)? as usize;
    // SAFETY: the kernel has written the first `found` entries.
    let events = unsafe { slice::from_raw_parts(buffer.as_ptr().cast::<EpollEvent>(), found) };
    events.iter().for_each(each);
    Ok(())
}

/// `epoll_wait`, to the nanosecond where the kernel can.
///
/// # Safety
///
/// `events` has room for `asked` entries.
#[inline]
unsafe fn timed_wait(
    epoll: RawFd,
    events: *mut libc::epoll_event,
    asked: libc::c_int,
    timeout: Option<Duration>,
) -> libc::c_int {
    let Some(timeout) = timeout else {
        // SAFETY: the caller's promise.
        return unsafe { calls::epoll_wait(epoll, events, asked, -1) };
    };
    if timeout.subsec_nanos() % 1_000_000 != 0 {
        // SAFETY: the caller's promise.
        if let Some(found) = unsafe { exact::wait(epoll, events, asked, timeout) } {
            return found;
        }
    }
    // SAFETY: the caller's promise.
    unsafe { calls::epoll_wait(epoll, events, asked, milliseconds(timeout)) }
}

/// Rounded up: a sleep that ends early would make its caller spin. One that is too long for the type is cut: the
/// caller holds the deadline and comes again.
fn milliseconds(timeout: Duration) -> libc::c_int {
    let rounded_up = timeout.checked_add(Duration::from_nanos(999_999)).unwrap_or(Duration::MAX);
    libc::c_int::try_from(rounded_up.as_millis()).unwrap_or(libc::c_int::MAX)
}

/// epoll_pwait2(2), since Linux 5.11. It is 25-40 ns dearer than `epoll_wait`, so whole milliseconds don't use it.
/// Android's filter ends a process that makes a call which it doesn't know, so there nobody may try.
#[cfg(target_os = "linux")]
mod exact {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Set when the kernel doesn't know the call, or a seccomp filter that doesn't know it refuses it.
    static MISSING: AtomicBool = AtomicBool::new(false);

    /// The same on every architecture, whatever its libc's `time_t`.
    #[repr(C)]
    struct KernelTimespec {
        seconds: i64,
        nanoseconds: i64,
    }

    /// # Safety
    ///
    /// `events` has room for `asked` entries.
    pub(super) unsafe fn wait(
        epoll: RawFd,
        events: *mut libc::epoll_event,
        asked: libc::c_int,
        timeout: Duration,
    ) -> Option<libc::c_int> {
        if MISSING.load(Ordering::Relaxed) {
            return None;
        }
        let timeout = KernelTimespec {
            seconds: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: timeout.subsec_nanos().into(),
        };
        // Through `syscall` always: the wrapper is younger (glibc 2.35) than the kernel's call.
        // SAFETY: the caller's promise for `events`; `timeout` is read only; there is no signal mask.
        let found = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                epoll as libc::c_long,
                events,
                asked as libc::c_long,
                &timeout as *const KernelTimespec,
                std::ptr::null::<libc::sigset_t>(),
                0 as libc::size_t,
            )
        } as libc::c_int;
        if found == -1 {
            let error = io::Error::last_os_error().raw_os_error();
            if matches!(error, Some(libc::ENOSYS | libc::EPERM)) {
                MISSING.store(true, Ordering::Relaxed);
                return None;
            }
        }
        Some(found)
    }
}

/// The others count in milliseconds.
#[cfg(not(target_os = "linux"))]
mod exact {
    use super::*;

    pub(super) unsafe fn wait(
        _: RawFd,
        _: *mut libc::epoll_event,
        _: libc::c_int,
        _: Duration,
    ) -> Option<libc::c_int> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_rounded_up_and_bounded() {
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(milliseconds(Duration::from_millis(7)), 7);
        assert_eq!(milliseconds(Duration::from_nanos(7_000_001)), 8);
        assert_eq!(milliseconds(Duration::from_secs(1 << 40)), libc::c_int::MAX);
        assert_eq!(milliseconds(Duration::MAX), libc::c_int::MAX);
    }
}
