//! poll(2), to the nanosecond where the system has ppoll(2).
//!
//! # Safety
//!
//! The kernel writes only `revents`, in as many entries as the slice has.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use super::super::listed::Ask;
use super::super::Backend;
use crate::os::{self, POLL_READ_HANGUP as READ_HANGUP, POLL_SOCKET_OUTPUT as SOCKET_OUTPUT};
use crate::readiness::{Interest, PollWords};

/// What poll(2) is asked about one descriptor, and its answer.
#[repr(transparent)]
#[derive(Clone)]
pub(crate) struct PollFd(libc::pollfd);

impl Ask for PollFd {
    const BACKEND: Backend = Backend::PosixPoll;

    const WORDS: PollWords = PollWords {
        input: libc::POLLIN as u32,
        output: libc::POLLOUT as u32,
        priority: os::POLL_PRIORITY as u32,
        read_hangup: READ_HANGUP as u32,
        socket_output: SOCKET_OUTPUT as u32,
        error: (libc::POLLERR | os::POLL_INVALID) as u32,
        hangup: libc::POLLHUP as u32,
    };

    const NAMES: &'static [(u32, &'static str)] = &[
        (libc::POLLIN as u32, "POLLIN"),
        (os::POLL_PRIORITY as u32, "POLLPRI"),
        (libc::POLLOUT as u32, "POLLOUT"),
        (libc::POLLERR as u32, "POLLERR"),
        (libc::POLLHUP as u32, "POLLHUP"),
        (os::POLL_INVALID as u32, "POLLNVAL"),
        (READ_HANGUP as u32, "POLLRDHUP"),
        (SOCKET_OUTPUT as u32, "POLLWRBAND"),
    ];

    const INVALID: u32 = os::POLL_INVALID as u32;

    const NOTHING: PollFd = PollFd(libc::pollfd { fd: -1, events: 0, revents: 0 });

    type Scratch = ();

    fn new(fd: RawFd, interest: Option<Interest>, read_hangup: bool) -> PollFd {
        let mut events = interest.map_or(0, flags);
        if read_hangup {
            events |= READ_HANGUP;
        }
        if events == 0 && !os::POLL_TELLS_UNASKED {
            return PollFd::NOTHING;
        }
        PollFd(libc::pollfd { fd, events, revents: 0 })
    }

    #[inline]
    fn found(&self) -> u32 {
        u32::from(self.0.revents as u16)
    }

    fn poll(fds: &mut [PollFd], (): &mut (), timeout: Option<Duration>) -> io::Result<()> {
        // SAFETY: `PollFd` is a pollfd, and there are as many as stated.
        unsafe { os::poll(fds.as_mut_ptr().cast(), fds.len(), timeout) }
    }
}

fn flags(interest: Interest) -> libc::c_short {
    let mut flags = 0;
    if interest.is_readable() {
        flags |= libc::POLLIN | READ_HANGUP;
    }
    if interest.is_writable() {
        flags |= libc::POLLOUT | SOCKET_OUTPUT;
    }
    if interest.is_priority() {
        flags |= os::POLL_PRIORITY;
    }
    flags
}
