//! The entry of poll(2)'s list. It is the same for every kernel, except a few flags that some lack.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use libc::pollfd;

use crate::backend::logic::poll_entry::{PollEntry, PollMask};
use crate::backend::name::Backend;
use crate::os::{self, PollEvents, POLL_READ_HANGUP as READ_HANGUP, POLL_SOCKET_OUTPUT as SOCKET_OUTPUT};
use crate::readiness::{Interest, PollFlags};

impl PollEntry for pollfd {
    const BACKEND: Backend = Backend::PosixPoll;

    const FLAGS: PollFlags = PollFlags {
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

    const REPORTS_ENDS: bool = os::POLL_TELLS_UNASKED;

    const NOTHING: pollfd = pollfd { fd: -1, events: 0, revents: 0 };

    type Scratch = ();

    fn new(fd: RawFd, mask: PollMask) -> pollfd {
        let mut events = mask.interest.map_or(0, flags);
        if mask.read_hangup {
            events |= READ_HANGUP;
        }
        if events == 0 && !os::POLL_TELLS_UNASKED {
            return Self::NOTHING;
        }
        pollfd { fd, events, revents: 0 }
    }

    #[inline]
    fn found(&self) -> u32 {
        u32::from(self.revents as u16)
    }

    fn poll(fds: &mut [pollfd], (): &mut (), timeout: Option<Duration>) -> io::Result<usize> {
        os::poll(fds, timeout).map_err(|e| named(e, fds.len()))
    }
}

/// Explains why poll(2) refuses a list: nothing else in it can be invalid.
#[cold]
fn named(error: io::Error, count: usize) -> io::Error {
    if error.raw_os_error() != Some(libc::EINVAL) {
        return error;
    }
    let why = format!(
        "poll(2) refuses a list of {count} descriptors: it takes no more than the process may have open (RLIMIT_NOFILE)"
    );
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

fn flags(interest: Interest) -> PollEvents {
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
