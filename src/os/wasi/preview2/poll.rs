//! libc's `poll`, corrected to behave as poll(2).
//!
//! libc's call fails as a whole if one descriptor isn't open or can't be polled; poll(2) reports which one, and so
//! does this. And runtimes check only the beginning of a long list.
//!
//! Invariant: a descriptor that fails doesn't affect the others.

use std::io;
use std::mem;
use std::slice;
use std::thread;
use std::time::Duration;

use super::super::endless_sleep;
use super::check;

/// The type of poll(2)'s flags.
pub(crate) type PollEvents = libc::c_short;
/// WASI has no flag for a peer that has stopped sending.
pub(crate) const POLL_READ_HANGUP: PollEvents = 0;
/// WASI has no flag that a writable socket has and a pipe hasn't.
pub(crate) const POLL_SOCKET_OUTPUT: PollEvents = 0;
/// WASI has no priority data.
pub(crate) const POLL_PRIORITY: PollEvents = 0;
/// The flag of poll(2) for a descriptor that isn't open.
pub(crate) const POLL_INVALID: PollEvents = libc::POLLNVAL;
/// Errors and hang-ups aren't reported: reading and writing finds them.
pub(crate) const POLL_TELLS_UNASKED: bool = false;

/// poll(2). Returns the number of descriptors with flags. A timeout counts in milliseconds, rounded up, unless there
/// is nothing to wait for.
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    for fd in fds.iter_mut() {
        fd.revents = 0;
    }
    if fds.iter().all(|fd| fd.fd < 0) {
        thread::sleep(timeout.ok_or_else(endless_sleep)?);
        return Ok(0);
    }
    // A sleep on a long list may report only its beginning, so a check of the whole list precedes it.
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

/// The number of descriptors that a runtime reliably checks.
///
/// wasmtime 46 stops after 128 streams of connections, counting each direction. If it has found something by then,
/// even that the timeout has elapsed, the others are not reported; the next call begins with the same streams.
const AT_ONCE: usize = 32;

/// Checks each descriptor of a long list without sleeping, and returns whether any has flags.
fn look(fds: &mut [libc::pollfd]) -> io::Result<bool> {
    for fds in fds.chunks_mut(AT_ONCE).filter(|fds| fds.iter().any(|fd| fd.fd >= 0)) {
        call_or_each(fds, Some(Duration::ZERO))?;
    }
    Ok(fds.iter().any(|fd| fd.revents != 0))
}

/// Returns whether a connection has failed, which libc knows but doesn't report. This makes no call to the runtime.
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

/// Polls each descriptor separately, so that a failure affects only its descriptor, and returns whether any has
/// flags.
fn call_each(fds: &mut [libc::pollfd]) -> bool {
    for fd in fds.iter_mut().filter(|fd| fd.fd >= 0) {
        if let Err(e) = call(slice::from_mut(fd), Some(Duration::ZERO)) {
            fd.revents = match e.raw_os_error() {
                Some(libc::EBADF) => libc::POLLNVAL,
                // A socket that is neither connected nor listening. Linux reports a hang-up, and writable.
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
