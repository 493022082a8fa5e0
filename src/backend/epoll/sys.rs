//! The calls of epoll(7).
//!
//! # Safety
//!
//! The kernel writes only into spare room of `Events`, as many entries as it is told, and what it hasn't written is
//! never read.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use crate::os::{calls, check, epoll_wait, POLL_SOCKET_OUTPUT};
use crate::readiness::{Event, Events, Interest, PollWords};

/// One event as the kernel writes it.
#[repr(transparent)]
#[derive(Clone, Copy)]
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

/// One event of the kernel's is no larger than one of ours, so it fits in the room that ours will take.
const _: () = {
    assert!(mem::size_of::<EpollEvent>() <= mem::size_of::<Event>());
    assert!(mem::align_of::<EpollEvent>() <= mem::align_of::<Event>());
};

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

#[inline]
fn control(epoll: BorrowedFd<'_>, what: libc::c_int, fd: RawFd, flags: u32, data: u64) -> io::Result<()> {
    // SAFETY: numbers, for which zero is legal. Redox's has one more than others.
    let mut event: libc::epoll_event = unsafe { mem::zeroed() };
    event.events = flags;
    event.u64 = data;
    // SAFETY: the kernel only reads `event`. It checks `fd` itself.
    check(unsafe { calls::epoll_ctl(epoll.as_raw_fd(), what, fd, &mut event) })?;
    Ok(())
}

/// Waits for events, at most as many as there is room for, and adds what `translate` makes of each, unless that is
/// nothing. How many the kernel had.
///
/// The kernel writes into the room that our events will take, at the end of it. Its events are smaller, so translating
/// from the first to the last never overtakes what is still to be read, and there is no second buffer.
#[inline(always)]
pub(super) fn wait(
    epoll: BorrowedFd<'_>,
    events: &mut Events,
    timeout: Option<Duration>,
    mut translate: impl FnMut(&EpollEvent) -> Option<Event>,
) -> io::Result<usize> {
    let room = events.spare().min(MOST);
    let list = events.list();
    let start = list.len();
    // `Events` has allocated all its capacity, so this does nothing.
    list.reserve(room);
    let spare = list.as_mut_ptr().wrapping_add(start);
    let kernel = spare.wrapping_add(room).cast::<EpollEvent>().wrapping_sub(room);
    // SAFETY: there are `room` entries from `kernel` to the end of the spare room, which begins before, by the sizes
    // that are asserted above. An `EpollEvent` is an `epoll_event`.
    let found = unsafe { epoll_wait(epoll.as_raw_fd(), kernel.cast(), room as libc::c_int, timeout) };
    let found = (check(found)? as usize).min(room);
    let mut made = 0;
    for index in 0..found {
        // SAFETY: the kernel has written the first `found` entries. Ours, at most `index` of 16 bytes from the start,
        // end before this one, which begins at `(16 - size) * room + size * index`: `index` is less than `room`.
        let raw = unsafe { kernel.add(index).read() };
        if let Some(event) = translate(&raw) {
            // SAFETY: within the spare room, as `made <= index < room`.
            unsafe { spare.add(made).write(event) };
            made += 1;
        }
    }
    // SAFETY: the first `made` entries of the spare room were written.
    unsafe { list.set_len(start + made) };
    Ok(found)
}

/// The most that one call may ask for (`EP_MAX_EVENTS`: what fits in an `int` of bytes).
const MOST: usize = libc::c_int::MAX as usize / mem::size_of::<EpollEvent>();
