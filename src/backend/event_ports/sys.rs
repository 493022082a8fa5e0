//! The calls of event ports, and poll(2) for a look that changes nothing.
//!
//! # Safety
//!
//! The kernel writes only into buffers of this module or into a slice, as many entries as it is told, and what it
//! hasn't written is never read. The `user` pointers are numbers that nobody follows.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::slice;
use std::time::Duration;

use crate::os::{self, check, POLL_INVALID, POLL_READ_HANGUP as READ_HANGUP};
use crate::readiness::{Interest, PollWords};

/// One event as the kernel writes it.
#[repr(transparent)]
pub(super) struct PortEvent(libc::port_event);

/// What an event is of.
pub(super) enum Found {
    Notification,
    /// A descriptor's, with what was given when it was associated, and poll(2)'s words.
    Descriptor {
        user: u64,
        raw: u32,
    },
}

impl PortEvent {
    pub(super) fn what(&self) -> Found {
        if i32::from(self.0.portev_source) == libc::PORT_SOURCE_FD {
            Found::Descriptor { user: self.0.portev_user as u64, raw: self.0.portev_events as u32 }
        } else {
            Found::Notification
        }
    }
}

/// What poll(2) is asked about one descriptor, and its answer.
#[repr(transparent)]
pub(super) struct PollFd(libc::pollfd);

impl PollFd {
    /// A place that poll(2) passes over.
    pub(super) const NOTHING: PollFd = PollFd(libc::pollfd { fd: -1, events: 0, revents: 0 });

    pub(super) fn new(fd: RawFd, interest: Interest) -> PollFd {
        PollFd(libc::pollfd { fd, events: flags(interest), revents: 0 })
    }

    pub(super) fn found(&self) -> u32 {
        u32::from(self.0.revents as u16)
    }
}

pub(super) const WORDS: PollWords = PollWords {
    input: libc::POLLIN as u32,
    output: libc::POLLOUT as u32,
    priority: libc::POLLPRI as u32,
    read_hangup: READ_HANGUP as u32,
    // Only Linux's sockets have a word of their own.
    socket_output: 0,
    error: libc::POLLERR as u32,
    hangup: libc::POLLHUP as u32,
};

pub(super) const NAMES: [(u32, &str); 7] = [
    (libc::POLLIN as u32, "POLLIN"),
    (libc::POLLPRI as u32, "POLLPRI"),
    (libc::POLLOUT as u32, "POLLOUT"),
    (libc::POLLERR as u32, "POLLERR"),
    (libc::POLLHUP as u32, "POLLHUP"),
    (POLL_INVALID as u32, "POLLNVAL"),
    (READ_HANGUP as u32, "POLLRDHUP"),
];

/// The descriptor isn't open.
pub(super) const INVALID: u32 = POLL_INVALID as u32;

pub(super) const NOT_FOUND: libc::c_int = libc::ENOENT;
pub(super) const BAD_DESCRIPTOR: libc::c_int = libc::EBADF;
pub(super) const ALREADY_EXISTS: libc::c_int = libc::EEXIST;

/// How many events one call fetches: they are on the stack, 32 bytes each.
pub(super) const KERNEL_BATCH: usize = 512;

/// The longest sleep that is asked for at once; the caller comes again.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 60 * 60);

fn flags(interest: Interest) -> libc::c_short {
    let mut flags = 0;
    if interest.is_readable() {
        flags |= libc::POLLIN | READ_HANGUP;
    }
    if interest.is_writable() {
        flags |= libc::POLLOUT;
    }
    if interest.is_priority() {
        flags |= libc::POLLPRI;
    }
    flags
}

pub(super) fn create() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::port_create() })?;
    // SAFETY: just made, and nobody else's.
    let port = unsafe { OwnedFd::from_raw_fd(fd) };
    // There is no flag to make it so at once: a fork and exec between inherits the descriptor.
    // SAFETY: no memory is passed.
    check(unsafe { libc::fcntl(port.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
    Ok(port)
}

/// One event when `fd` is ready for `interest`, or has ended, which may be now. Replaces what was asked before.
pub(super) fn associate(
    port: BorrowedFd<'_>,
    fd: RawFd,
    interest: Option<Interest>,
    read_hangup: bool,
    user: u64,
) -> io::Result<()> {
    let (source, object) = (libc::PORT_SOURCE_FD, fd as libc::uintptr_t);
    let mut events = interest.map_or(0, flags);
    if read_hangup {
        events |= READ_HANGUP;
    }
    let events = libc::c_int::from(events);
    // SAFETY: the kernel checks `fd`, and only keeps `user`.
    check(unsafe {
        libc::port_associate(port.as_raw_fd(), source, object, events, user as *mut libc::c_void)
    })?;
    Ok(())
}

/// No event of `fd` any more; it may have been fetched already, and there is nothing to undo.
pub(super) fn dissociate(port: BorrowedFd<'_>, fd: RawFd) {
    let (source, object) = (libc::PORT_SOURCE_FD, fd as libc::uintptr_t);
    // SAFETY: the kernel checks `fd`.
    unsafe { libc::port_dissociate(port.as_raw_fd(), source, object) };
}

/// Ends a sleep.
pub(super) fn send(port: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the kernel only keeps the pointer, which is none.
    match check(unsafe { libc::port_send(port.as_raw_fd(), 1, ptr::null_mut()) }) {
        // The port has more events than it may hold: nobody sleeps on it.
        Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => Ok(()),
        result => result.map(|_| ()),
    }
}

/// Waits for one event, fetches at most `asked` (and at most [`KERNEL_BATCH`]), and gives them to `take`.
pub(super) fn wait(
    port: BorrowedFd<'_>,
    asked: usize,
    timeout: Option<Duration>,
    take: impl FnOnce(&[PortEvent]),
) -> io::Result<()> {
    let mut timeout = timeout.map(|timeout| {
        let timeout = timeout.min(LONGEST_SLEEP);
        libc::timespec { tv_sec: timeout.as_secs() as _, tv_nsec: timeout.subsec_nanos() as _ }
    });
    let timeout = timeout.as_mut().map_or(ptr::null_mut(), |timeout| timeout as *mut _);
    let mut buffer = MaybeUninit::<[PortEvent; KERNEL_BATCH]>::uninit();
    let asked = asked.min(KERNEL_BATCH);
    let entries = buffer.as_mut_ptr().cast::<libc::port_event>();
    // A kernel that answers success without having fetched anything leaves this source, which is none.
    // SAFETY: there is room for at least one; the field is a number.
    unsafe { ptr::addr_of_mut!((*entries).portev_source).write(0) };
    let mut count: libc::c_uint = 1;
    // SAFETY: the buffer has room for `asked` entries, and `PortEvent` is a port_event; `count` says how many are
    // waited for, and then how many were written.
    let result = check(unsafe {
        libc::port_getn(port.as_raw_fd(), entries, asked as libc::c_uint, &mut count, timeout)
    });
    // SAFETY: as above.
    let is_empty = unsafe { ptr::addr_of!((*entries).portev_source).read() } == 0;
    if !is_empty && count > 0 {
        // Also after an error: a timeout or a signal may come together with events, which are out of the queue then.
        // SAFETY: the kernel has written the first `count` entries.
        take(unsafe { slice::from_raw_parts(entries.cast::<PortEvent>(), count as usize) });
        return Ok(());
    }
    match result {
        Err(e) if e.raw_os_error() == Some(libc::ETIME) => Ok(()),
        result => result.map(|_| ()),
    }
}

/// What `fds` are ready for now.
pub(super) fn poll_now(fds: &mut [PollFd]) -> io::Result<()> {
    // SAFETY: `PollFd` is a pollfd, and there are as many as stated.
    unsafe { os::poll(fds.as_mut_ptr().cast(), fds.len(), Some(Duration::ZERO)) }
}
