//! Hermit: a kernel that is linked to its one program. It has descriptors and poll(2), and its functions answer an
//! error as a negative number.

mod file;
mod notifier;
#[cfg(feature = "net")]
mod socket;

#[cfg(feature = "net")]
pub(crate) use self::socket::*;
pub(crate) use self::{file::FileIdentity, notifier::Notifier};

use std::io;
use std::time::Duration;

/// What a kernel that kept the registrations itself would answer.
pub(crate) mod errors {
    pub(crate) const NOT_FOUND: i32 = libc::ENOENT;
    pub(crate) const ALREADY_EXISTS: i32 = libc::EEXIST;
    pub(crate) const BAD_DESCRIPTOR: i32 = libc::EBADF;
}

/// The result of a function that answers an error as a negative number.
pub(crate) fn check(result: impl TryInto<i64>) -> io::Result<usize> {
    let result = result.try_into().unwrap_or(i64::MAX);
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result as i32))
}

/// The type of poll(2)'s flags.
pub(crate) type PollEvents = libc::c_short;
/// The flag by which poll(2) tells that the peer has shut down its writing half.
pub(crate) const POLL_READ_HANGUP: PollEvents = libc::POLLRDHUP;
/// A socket's word for writable that a pipe doesn't have: there is none.
pub(crate) const POLL_SOCKET_OUTPUT: PollEvents = 0;
/// The flag by which poll(2) tells of priority data.
pub(crate) const POLL_PRIORITY: PollEvents = libc::POLLPRI;
/// The flag by which poll(2) tells that a descriptor isn't open.
pub(crate) const POLL_INVALID: PollEvents = libc::POLLNVAL;
/// POSIX has poll(2) tell of errors and hang-ups though nobody asked.
pub(crate) const POLL_TELLS_UNASKED: bool = true;

/// poll(2). How many descriptors have an answer.
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    // SAFETY: as many entries as stated.
    check(unsafe { libc::poll(fds.as_mut_ptr(), fds.len(), timeout.map_or(-1, milliseconds)) })
}

/// Rounded up, since a sleep that ends early would make its caller spin; one that is too long for the type is cut,
/// since the caller holds the deadline and comes again.
fn milliseconds(timeout: Duration) -> i32 {
    let rounded_up = timeout.checked_add(Duration::from_nanos(999_999)).unwrap_or(Duration::MAX);
    i32::try_from(rounded_up.as_millis()).unwrap_or(i32::MAX)
}
