//! poll(2), to the nanosecond where the system has ppoll(2).
//!
//! # Safety
//!
//! The kernel writes only `revents`, in as many entries as the slice has.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::os::check;
use crate::readiness::{Interest, PollWords};

/// What poll(2) is asked about one descriptor, and its answer.
#[repr(transparent)]
#[derive(Clone)]
pub(super) struct PollFd(libc::pollfd);

impl PollFd {
    /// A place that poll(2) passes over.
    pub(super) const NOTHING: PollFd = PollFd(libc::pollfd { fd: -1, events: 0, revents: 0 });

    pub(super) fn new(fd: RawFd, interest: Interest) -> PollFd {
        PollFd(libc::pollfd { fd, events: flags(interest), revents: 0 })
    }

    /// What the kernel has found.
    #[inline]
    pub(super) fn found(&self) -> u32 {
        u32::from(self.0.revents as u16)
    }
}

const READ_HANGUP: libc::c_short = {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        libc::POLLRDHUP
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    {
        0
    }
};

pub(super) const WORDS: PollWords = PollWords {
    input: libc::POLLIN as u32,
    output: libc::POLLOUT as u32,
    priority: libc::POLLPRI as u32,
    read_hangup: READ_HANGUP as u32,
    error: libc::POLLERR as u32,
    hangup: libc::POLLHUP as u32,
};

pub(super) const NAMES: [(u32, &str); 7] = [
    (libc::POLLIN as u32, "POLLIN"),
    (libc::POLLPRI as u32, "POLLPRI"),
    (libc::POLLOUT as u32, "POLLOUT"),
    (libc::POLLERR as u32, "POLLERR"),
    (libc::POLLHUP as u32, "POLLHUP"),
    (libc::POLLNVAL as u32, "POLLNVAL"),
    (READ_HANGUP as u32, "POLLRDHUP"),
];

/// The descriptor isn't open.
pub(super) const INVALID: u32 = libc::POLLNVAL as u32;

/// Whether `raw` tells of a hang-up with something left to read: a pipe's or FIFO's. Of a socket that has hung up the
/// kernel says the same whether something is left or not, but then says also that the peer shut down; a kernel without
/// that word can't tell.
pub(super) fn is_unread(raw: u32) -> bool {
    let of_pipes = WORDS.input | WORDS.hangup;
    READ_HANGUP != 0 && raw & (of_pipes | WORDS.read_hangup) == of_pipes
}

pub(super) const NOT_FOUND: libc::c_int = libc::ENOENT;
pub(super) const BAD_DESCRIPTOR: libc::c_int = libc::EBADF;
pub(super) const ALREADY_EXISTS: libc::c_int = libc::EEXIST;

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

/// Waits until one of `fds` is ready or `timeout` is over.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd"
))]
pub(super) fn poll(fds: &mut [PollFd], timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos() as libc::c_long,
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), |timeout| timeout as *const _);
    // SAFETY: `PollFd` is a pollfd and there are as many as stated; there is no signal mask.
    check(unsafe { libc::ppoll(fds.as_mut_ptr().cast(), fds.len() as _, timeout, std::ptr::null()) })?;
    Ok(())
}

/// Waits until one of `fds` is ready or `timeout` is over.
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd"
)))]
pub(super) fn poll(fds: &mut [PollFd], timeout: Option<Duration>) -> io::Result<()> {
    // Rounded up, or a short sleep would make its caller spin; cut if too long, the caller comes again.
    let timeout = timeout.map_or(-1, |timeout| {
        let rounded_up = timeout.checked_add(Duration::from_nanos(999_999)).unwrap_or(Duration::MAX);
        libc::c_int::try_from(rounded_up.as_millis()).unwrap_or(libc::c_int::MAX)
    });
    // SAFETY: `PollFd` is a pollfd and there are as many as stated.
    check(unsafe { libc::poll(fds.as_mut_ptr().cast(), fds.len() as _, timeout) })?;
    Ok(())
}
