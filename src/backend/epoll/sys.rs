//! The calls of epoll(7).
//!
//! # Safety
//!
//! The kernel writes only into the spare capacity of `Events`, at most as many entries as stated, and what it hasn't
//! written is never read.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use crate::os::{calls, check, epoll_wait, EPOLL_EXCLUSIVE, POLL_SOCKET_OUTPUT};
use crate::readiness::{Event, Events, Interest, PollFlags};

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

/// Whether one event of the kernel's fits in the space of one of ours. Redox's is larger.
const FITS: bool = mem::size_of::<EpollEvent>() <= mem::size_of::<Event>()
    && mem::align_of::<EpollEvent>() <= mem::align_of::<Event>();

pub(super) const FLAGS: PollFlags = PollFlags {
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
/// The flags of a notifier behind a second epoll. An epoll wakes its waiters with `EPOLLIN` alone, so without that flag
/// none would be woken (Linux, `ep_poll_safewake`).
pub(super) const NESTED_FLAGS: u32 = (libc::EPOLLIN | libc::EPOLLRDNORM | libc::EPOLLET) as u32;
/// The flag by which it is recognised: no source is registered for it.
pub(super) const NESTED_NOTIFIED: u32 = libc::EPOLLRDNORM as u32;

/// Returns the flags of an interest.
#[inline]
pub(super) fn flags(interest: Interest) -> u32 {
    match USUAL_FLAGS.get(interest.index()) {
        Some(&flags) => flags,
        None => flags_of_mode(interest),
    }
}

/// The flags of each usual interest: a look-up instead of a test for each bit.
static USUAL_FLAGS: [u32; Interest::USUAL] = {
    let mut table = [0; Interest::USUAL];
    let mut index = 1;
    while index < table.len() {
        table[index] = libc::EPOLLET as u32 | flags_of_kinds(Interest::at(index));
        index += 1;
    }
    table
};

/// Returns the flags of an interest that isn't [usual](Interest::is_usual).
#[cold]
fn flags_of_mode(interest: Interest) -> u32 {
    let mut flags = flags_of_kinds(interest);
    if interest.is_edge() || interest.is_edge_one_shot() {
        flags |= libc::EPOLLET as u32;
    }
    if interest.is_one_shot() {
        flags |= libc::EPOLLONESHOT as u32;
    }
    if interest.is_end() {
        flags |= libc::EPOLLRDHUP as u32;
    }
    if interest.is_exclusive() {
        // The kernel accepts no other flags beside it.
        flags = flags & (libc::EPOLLET | libc::EPOLLIN | libc::EPOLLOUT) as u32 | EPOLL_EXCLUSIVE;
    }
    flags
}

const fn flags_of_kinds(interest: Interest) -> u32 {
    let mut flags = 0;
    if interest.is_readable() {
        flags |= libc::EPOLLIN | libc::EPOLLRDHUP;
    }
    if interest.is_writable() {
        flags |= libc::EPOLLOUT | POLL_SOCKET_OUTPUT as libc::c_int;
    }
    if interest.is_priority() {
        flags |= libc::EPOLLPRI;
    }
    flags as u32
}

pub(super) fn create() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: just made, and owned by nothing else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn add(epoll: BorrowedFd<'_>, fd: RawFd, flags: u32, data: u64) -> io::Result<()> {
    control(epoll, libc::EPOLL_CTL_ADD, fd, &mut event(flags, data))
}

#[inline]
pub(super) fn modify(epoll: BorrowedFd<'_>, fd: RawFd, flags: u32, data: u64) -> io::Result<()> {
    let mut event = event(flags, data);
    control(epoll, libc::EPOLL_CTL_MOD, fd, &mut event)
        .or_else(|e| modify_exclusive(epoll, fd, &mut event, e))
}

/// Replaces a registration that the kernel has refused to modify, since the old one or the new one is exclusive.
/// Adding it again reports what is ready, so nothing is lost between the two calls. If the second fails, for want of
/// memory, the source isn't registered any more.
#[cold]
#[inline(never)]
fn modify_exclusive(
    epoll: BorrowedFd<'_>,
    fd: RawFd,
    event: &mut libc::epoll_event,
    error: io::Error,
) -> io::Result<()> {
    if !is_exclusive_refused(&error) {
        return Err(of_change(error));
    }
    // The kernel refuses some sources, which must stay registered as they were. It does so before it finds that the
    // source is registered.
    match control(epoll, libc::EPOLL_CTL_ADD, fd, event) {
        Err(e) if e.raw_os_error() == Some(libc::EEXIST) => {}
        Err(e) => return Err(e),
        // It wasn't registered, which the kernel checks after the flags.
        Ok(()) => {
            delete(epoll, fd)?;
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
    }
    delete(epoll, fd)?;
    control(epoll, libc::EPOLL_CTL_ADD, fd, event)
}

/// Returns whether an error may mean that a registration is, or would be, exclusive.
#[cold]
pub(super) fn is_exclusive_refused(error: &io::Error) -> bool {
    EPOLL_EXCLUSIVE != 0 && error.raw_os_error() == Some(libc::EINVAL)
}

pub(super) fn delete(epoll: BorrowedFd<'_>, fd: RawFd) -> io::Result<()> {
    control(epoll, libc::EPOLL_CTL_DEL, fd, &mut event(0, 0)).map_err(of_change)
}

/// Translates the error of a change. The kernel fails with `EPERM` for each change of a file that it can't watch. Such
/// a file isn't registered.
#[cold]
#[inline(never)]
fn of_change(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EPERM) => io::Error::from_raw_os_error(libc::ENOENT),
        _ => error,
    }
}

#[inline]
fn event(flags: u32, data: u64) -> libc::epoll_event {
    // SAFETY: numbers, for which zero is legal. Redox's has one more than others.
    let mut event: libc::epoll_event = unsafe { mem::zeroed() };
    event.events = flags;
    event.u64 = data;
    event
}

#[inline]
fn control(
    epoll: BorrowedFd<'_>,
    what: libc::c_int,
    fd: RawFd,
    event: &mut libc::epoll_event,
) -> io::Result<()> {
    // SAFETY: the kernel only reads `event`. It checks `fd` itself.
    check(unsafe { calls::epoll_ctl(epoll.as_raw_fd(), what, fd, event) })?;
    Ok(())
}

/// Waits for events, at most as many as there is space for, and adds the result of `any` for each, unless that is
/// `None`. Returns whether the kernel has filled the space, some of it is free again, and so there may be more.
///
/// `usual` is a faster path to the same result, that need not translate all events: it is inlined into each call.
///
/// The kernel writes into the space that our events will take, so there is no second buffer where its events
/// [fit](FITS). They are no larger than ours then, so translating from the last to the first never overtakes what is
/// still to be read.
#[inline(always)]
pub(super) fn wait(
    epoll: BorrowedFd<'_>,
    events: &mut Events,
    timeout: Option<Duration>,
    usual: impl Fn(&EpollEvent) -> Option<Event>,
    any: impl Fn(&EpollEvent) -> Option<Event>,
) -> io::Result<bool> {
    if !FITS {
        return wait_buffered(epoll, events, timeout, any);
    }
    let room = events.spare().min(MOST);
    let kernels = events.list().spare_capacity_mut().as_mut_ptr().cast();
    // SAFETY: `Events` has allocated room for that many of our events, which are as large at least. An `EpollEvent` is
    // an `epoll_event`.
    let found = unsafe { epoll_wait(epoll.as_raw_fd(), kernels, room as libc::c_int, timeout) }? as usize;
    if found == 0 {
        return Ok(false);
    }
    // SAFETY: the kernel has written so many.
    let made = unsafe { translate(events, found, usual, any) };
    Ok(made < found && found == room)
}

/// Translates the `found` events that the kernel has written behind the existing ones. Returns how many it made.
///
/// # Safety
///
/// The kernel has written so many.
#[inline(never)]
unsafe fn translate(
    events: &mut Events,
    found: usize,
    usual: impl Fn(&EpollEvent) -> Option<Event>,
    any: impl Fn(&EpollEvent) -> Option<Event>,
) -> usize {
    let list = events.list();
    let ours = list.spare_capacity_mut().as_mut_ptr().cast::<Event>();
    let kernels = ours.cast::<EpollEvent>();
    let mut made = found;
    for index in (0..found).rev() {
        // SAFETY: the kernel has written the first `found` entries, and ours begin behind this one's end.
        let raw = unsafe { kernels.add(index).read() };
        if let Some(event) = usual(&raw) {
            // SAFETY: within the room.
            unsafe { ours.add(index).write(event) };
        } else {
            // SAFETY: what is behind `index` is translated, and nothing before it.
            made = unsafe { translate_rest(ours, index + 1, found, any) };
            break;
        }
    }
    // SAFETY: the first `made` entries of the room were written.
    unsafe { list.set_len(list.len() + made) };
    made
}

/// As [`wait`], with a buffer for the kernel's events.
#[inline(never)]
fn wait_buffered(
    epoll: BorrowedFd<'_>,
    events: &mut Events,
    timeout: Option<Duration>,
    any: impl Fn(&EpollEvent) -> Option<Event>,
) -> io::Result<bool> {
    const COUNT: usize = 64;
    let mut buffer = mem::MaybeUninit::<[EpollEvent; COUNT]>::zeroed();
    let room = events.spare().min(COUNT);
    // SAFETY: there is room for `COUNT`. An `EpollEvent` is an `epoll_event`.
    let found =
        unsafe { epoll_wait(epoll.as_raw_fd(), buffer.as_mut_ptr().cast(), room as libc::c_int, timeout) };
    let found = found? as usize;
    // SAFETY: numbers alone, which were zero at least.
    let kernels = unsafe { buffer.assume_init() };
    let mut made = 0;
    for event in kernels[..found].iter().filter_map(any) {
        events.push(event);
        made += 1;
    }
    Ok(made < found && found == room)
}

/// Translates the first `left` of the `found` events at `ours`. Returns how many there are then.
///
/// # Safety
///
/// The kernel has written the first `left` entries, and the others are translated.
#[inline(never)]
unsafe fn translate_rest(
    ours: *mut Event,
    left: usize,
    found: usize,
    any: impl Fn(&EpollEvent) -> Option<Event>,
) -> usize {
    let mut first = left;
    for index in (0..left).rev() {
        // SAFETY: the caller's promise; and ours, at `first` and so behind `index`, begin behind this one's end.
        let raw = unsafe { ours.cast::<EpollEvent>().add(index).read() };
        if let Some(event) = any(&raw) {
            first -= 1;
            // SAFETY: within the room.
            unsafe { ours.add(first).write(event) };
        }
    }
    let made = found - first;
    // SAFETY: so many were written from `first` on, and there is room for more.
    unsafe { ptr::copy(ours.add(first), ours, made) };
    made
}

/// The most that one call may request (`EP_MAX_EVENTS`: what fits in an `int` of bytes).
const MOST: usize = libc::c_int::MAX as usize / mem::size_of::<EpollEvent>();

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::readiness::{Readiness, Token};

    /// Redox's events need the buffer; those of the machine that runs this don't.
    #[test]
    fn a_buffer_apart_takes_as_many_as_there_is_room_for() {
        let epoll = create().unwrap();
        let wait = |events: &mut Events, is_known: bool| {
            let any = |raw: &EpollEvent| {
                let token = Token(raw.data() as usize);
                is_known.then(|| Event::new(token, Readiness::WRITABLE, 0, raw.flags()))
            };
            wait_buffered(epoll.as_fd(), events, Some(Duration::ZERO), any).unwrap()
        };
        let (one, other) = UnixStream::pair().unwrap();
        let flags = flags(Interest::WRITABLE);
        add(epoll.as_fd(), one.as_raw_fd(), flags, 1).unwrap();
        add(epoll.as_fd(), other.as_raw_fd(), flags, 2).unwrap();

        let mut events = Events::with_capacity(1);
        let mut tokens = Vec::new();
        for _ in 0..3 {
            assert!(!wait(&mut events, true));
            tokens.extend(events.iter().map(|event| event.token().0));
            events.clear();
        }
        tokens.sort_unstable();
        assert_eq!(tokens, [1, 2]);

        modify(epoll.as_fd(), one.as_raw_fd(), flags, 1).unwrap();
        assert!(wait(&mut events, false), "the kernel may have more");
        assert!(!wait(&mut events, false), "it has reported all");
        assert!(events.is_empty());
    }
}
