//! The first preview: `wasi_snapshot_preview1`.
//!
//! Invariant: a failed call is an `io::Error` of its errno, by [`check`] alone.

mod file;
#[cfg(feature = "net")]
mod no_sockets;
#[cfg(feature = "net")]
mod stream;

pub(crate) use self::file::FileIdentity;
#[cfg(feature = "net")]
pub(crate) use self::{no_sockets::*, stream::*};

use std::io;

/// The errors of a kernel that keeps the registrations itself.
pub(crate) mod errors {
    pub(crate) const NOT_FOUND: i32 = wasi::ERRNO_NOENT.raw() as i32;
    pub(crate) const ALREADY_EXISTS: i32 = wasi::ERRNO_EXIST.raw() as i32;
    pub(crate) const BAD_DESCRIPTOR: i32 = wasi::ERRNO_BADF.raw() as i32;
}

/// Returns the result of a WASI call.
pub(crate) fn check<T>(result: Result<T, wasi::Errno>) -> io::Result<T> {
    result.map_err(|errno| io::Error::from_raw_os_error(errno.raw().into()))
}
