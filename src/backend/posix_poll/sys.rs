//! poll(2), to the nanosecond where the system has ppoll(2).
//!
//! # Safety
//!
//! The kernel writes only `revents`, in as many entries as the slice has.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::os::{self, check, POLL_INVALID, POLL_READ_HANGUP as READ_HANGUP};
use crate::readiness::{Interest, PollWords};

/// What poll(2) is asked about one descriptor, and its answer.
#[repr(transparent)]
#[derive(Clone)]
pub(super) struct PollFd(libc::pollfd);

impl PollFd {
    /// A place that poll(2) passes over.
    pub(super) const NOTHING: PollFd = PollFd(libc::pollfd { fd: -1, events: 0, revents: 0 });

    /// Errors and hang-ups are answered too; that the peer sends no more is with `read_hangup`.
    pub(super) fn new(fd: RawFd, interest: Option<Interest>, read_hangup: bool) -> PollFd {
        let mut events = interest.map_or(0, flags);
        if read_hangup {
            events |= READ_HANGUP;
        }
        PollFd(libc::pollfd { fd, events, revents: 0 })
    }

    /// What the kernel has found.
    #[inline]
    pub(super) fn found(&self) -> u32 {
        u32::from(self.0.revents as u16)
    }
}

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
    (POLL_INVALID as u32, "POLLNVAL"),
    (READ_HANGUP as u32, "POLLRDHUP"),
];

/// The descriptor isn't open.
pub(super) const INVALID: u32 = POLL_INVALID as u32;

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
pub(super) fn poll(fds: &mut [PollFd], timeout: Option<Duration>) -> io::Result<()> {
    // SAFETY: `PollFd` is a pollfd, and there are as many as stated.
    check(unsafe { os::poll(fds.as_mut_ptr().cast(), fds.len(), timeout) })?;
    Ok(())
}
