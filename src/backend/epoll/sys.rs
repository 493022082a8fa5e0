//! The calls of epoll(7).
//!
//! # Safety
//!
//! The kernel writes only into a buffer of this module, as many entries as it is told, and what it hasn't written is
//! never read.
#![allow(unsafe_code)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::slice;
use std::time::Duration;

use crate::os::{check, epoll_wait, POLL_SOCKET_OUTPUT};
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
    socket_output: POLL_SOCKET_OUTPUT as u32,
    error: libc::EPOLLERR as u32,
    hangup: libc::EPOLLHUP as u32,
};

pub(super) const NAMES: [(u32, &str); 9] = [
    (libc::EPOLLIN as u32, "EPOLLIN"),
    (libc::EPOLLPRI as u32, "EPOLLPRI"),
    (libc::EPOLLOUT as u32, "EPOLLOUT"),
    (libc::EPOLLERR as u32, "EPOLLERR"),
    (libc::EPOLLHUP as u32, "EPOLLHUP"),
    (libc::EPOLLRDNORM as u32, "EPOLLRDNORM"),
    (libc::EPOLLWRNORM as u32, "EPOLLWRNORM"),
    (libc::EPOLLWRBAND as u32, "EPOLLWRBAND"),
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
        flags |= libc::EPOLLOUT | libc::c_int::from(POLL_SOCKET_OUTPUT);
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
    // SAFETY: numbers, for which zero is legal. Redox's has one more than others.
    let mut event: libc::epoll_event = unsafe { mem::zeroed() };
    event.events = flags;
    event.u64 = data;
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
        unsafe { epoll_wait(epoll.as_raw_fd(), buffer.as_mut_ptr().cast(), asked as libc::c_int, timeout) };
    let found = check(found)? as usize;
    // SAFETY: the kernel has written the first `found` entries.
    let events = unsafe { slice::from_raw_parts(buffer.as_ptr().cast::<EpollEvent>(), found) };
    events.iter().for_each(each);
    Ok(())
}
