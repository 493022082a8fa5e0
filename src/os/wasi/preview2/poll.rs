//! libc's `poll`, made what poll(2) is meant to be.
//!
//! libc fails as a whole if one descriptor isn't open or can't be asked about. poll(2) says which it is, and so does
//! this. Nor does a runtime look at all of a long list.

use std::io;
use std::mem;
use std::slice;
use std::thread;
use std::time::Duration;

use super::super::endless_sleep;
use super::check;

/// The type of poll(2)'s flags.
pub(crate) type PollEvents = libc::c_short;
/// That the peer sends no more isn't told.
pub(crate) const POLL_READ_HANGUP: PollEvents = 0;
/// A socket's word for writable that a pipe doesn't have: there is none.
pub(crate) const POLL_SOCKET_OUTPUT: PollEvents = 0;
/// There is no priority data.
pub(crate) const POLL_PRIORITY: PollEvents = 0;
/// The flag by which poll(2) tells that a descriptor isn't open.
pub(crate) const POLL_INVALID: PollEvents = libc::POLLNVAL;
/// Neither are errors and hang-ups: reading and writing finds them.
pub(crate) const POLL_TELLS_UNASKED: bool = false;

/// poll(2). How many descriptors have an answer. A timeout counts in milliseconds, rounded up, unless there is nothing
/// to wait for.
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    for fd in fds.iter_mut() {
        fd.revents = 0;
    }
    if fds.iter().all(|fd| fd.fd < 0) {
        thread::sleep(timeout.ok_or_else(endless_sleep)?);
        return Ok(0);
    }
    // A sleep on many may tell of the first alone, so a look comes before it.
    let may_sleep = timeout != Some(Duration::ZERO);
    if fds.len() <= AT_ONCE || (!look(fds)? && may_sleep) {
        call_or_each(fds, timeout)?;
    }
    let mut found = 0;
    for fd in fds.iter_mut().filter(|fd| fd.revents != 0) {
        found += 1;
        if has_error(fd.fd) {
            fd.revents |= libc::POLLERR | libc::POLLHUP;
        }
    }
    Ok(found)
}

/// As many as a runtime surely looks at.
///
/// wasmtime 46 gives up after 128 streams of connections, each direction of each counted, and if something was found
/// by then, be it that the time is over, the others are not heard of; in the next call it begins with the same.
const AT_ONCE: usize = 32;

/// Looks at each of many, without sleeping; whether anything was found.
fn look(fds: &mut [libc::pollfd]) -> io::Result<bool> {
    for fds in fds.chunks_mut(AT_ONCE).filter(|fds| fds.iter().any(|fd| fd.fd >= 0)) {
        call_or_each(fds, Some(Duration::ZERO))?;
    }
    Ok(fds.iter().any(|fd| fd.revents != 0))
}

/// Whether a connection has failed, which libc knows but doesn't tell. It makes no call for this.
fn has_error(fd: libc::c_int) -> bool {
    let mut error: libc::c_int = 0;
    let mut len = mem::size_of_val(&error) as libc::socklen_t;
    let to = (&mut error as *mut libc::c_int).cast();
    // SAFETY: there is as much room as stated.
    let got = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, to, &mut len) };
    got == 0 && error != 0 && error != libc::EINPROGRESS
}

fn call_or_each(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<()> {
    call(fds, timeout).or_else(|e| if call_each(fds) { Ok(()) } else { Err(e) })
}

fn call(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<()> {
    // SAFETY: as many entries as stated.
    check(unsafe {
        libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout.map_or(-1, milliseconds))
    })?;
    Ok(())
}

/// Asks about each descriptor alone, so that one that can't be asked about spoils it for no other; whether anything
/// was found.
fn call_each(fds: &mut [libc::pollfd]) -> bool {
    for fd in fds.iter_mut().filter(|fd| fd.fd >= 0) {
        if let Err(e) = call(slice::from_mut(fd), Some(Duration::ZERO)) {
            fd.revents = match e.raw_os_error() {
                Some(libc::EBADF) => libc::POLLNVAL,
                // A socket that is neither connected nor listens. Linux says that it has hung up, and may be written.
                Some(libc::ENOTSUP) => libc::POLLHUP | fd.events & libc::POLLOUT,
                _ => libc::POLLERR,
            };
        }
    }
    fds.iter().any(|fd| fd.revents != 0)
}

fn milliseconds(timeout: Duration) -> libc::c_int {
    let rounded_up = timeout.checked_add(Duration::from_nanos(999_999)).unwrap_or(Duration::MAX);
    libc::c_int::try_from(rounded_up.as_millis()).unwrap_or(libc::c_int::MAX)
}
