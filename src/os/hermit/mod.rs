//! Hermit: a kernel that is linked to its one program. It has descriptors and poll(2), and its functions return
//! errors as negative numbers.
//!
//! Invariant: this folder has the names of `os/unix` that the backend uses, with the same meanings.

mod file;
mod notifier;
#[cfg(feature = "net")]
mod socket;

#[cfg(feature = "net")]
pub(crate) use self::socket::*;
pub(crate) use self::{file::FileIdentity, notifier::Notifier};

use std::io;
use std::time::Duration;

/// The errors of a kernel that keeps the registrations itself.
pub(crate) mod errors {
    pub(crate) const NOT_FOUND: i32 = libc::ENOENT;
    pub(crate) const ALREADY_EXISTS: i32 = libc::EEXIST;
    pub(crate) const BAD_DESCRIPTOR: i32 = libc::EBADF;
}

/// Returns the result of a function that returns errors as negative numbers.
pub(crate) fn check(result: impl TryInto<i64>) -> io::Result<usize> {
    let result = result.try_into().unwrap_or(i64::MAX);
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result as i32))
}

/// The type of poll(2)'s flags.
pub(crate) type PollEvents = libc::c_short;
/// The flag of poll(2) for a peer that has shut down its writing half.
pub(crate) const POLL_READ_HANGUP: PollEvents = libc::POLLRDHUP;
/// Hermit has no flag that a writable socket has and a pipe hasn't.
pub(crate) const POLL_SOCKET_OUTPUT: PollEvents = 0;
/// The flag of poll(2) for priority data.
pub(crate) const POLL_PRIORITY: PollEvents = libc::POLLPRI;
/// The flag of poll(2) for a descriptor that isn't open.
pub(crate) const POLL_INVALID: PollEvents = libc::POLLNVAL;
/// poll(2) reports errors and hang-ups whatever the interest is (POSIX).
pub(crate) const POLL_TELLS_UNASKED: bool = true;

/// poll(2). Returns the number of descriptors with flags.
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    // SAFETY: as many entries as stated.
    check(unsafe { libc::poll(fds.as_mut_ptr(), fds.len(), timeout.map_or(-1, milliseconds)) })
}

/// Rounds up, since a sleep that ends early would make the caller spin. A timeout that is too long for the type is
/// clamped: the caller holds the deadline and waits again.
fn milliseconds(timeout: Duration) -> i32 {
    let rounded_up = timeout.checked_add(Duration::from_nanos(999_999)).unwrap_or(Duration::MAX);
    i32::try_from(rounded_up.as_millis()).unwrap_or(i32::MAX)
}
