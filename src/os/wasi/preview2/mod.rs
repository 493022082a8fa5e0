//! The second preview, through its libc.
//!
//! Invariant: a call's failure is an `io::Error` of its `errno`, by [`check`] alone.

mod file;
mod poll;
#[cfg(feature = "net")]
mod socket;

#[cfg(feature = "net")]
pub(crate) use self::socket::*;
pub(crate) use self::{file::FileIdentity, poll::*};
#[cfg(feature = "net")]
pub(crate) use socket2::{Domain, SockRef, Type};

use std::io;

/// The errors of a kernel that keeps the registrations itself.
pub(crate) mod errors {
    pub(crate) const NOT_FOUND: i32 = libc::ENOENT;
    pub(crate) const ALREADY_EXISTS: i32 = libc::EEXIST;
    pub(crate) const BAD_DESCRIPTOR: i32 = libc::EBADF;
}

/// Returns the result of a libc function that returns -1 on failure.
pub(crate) fn check<N: Copy + PartialEq + From<i8>>(result: N) -> io::Result<N> {
    if result == N::from(-1) {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
