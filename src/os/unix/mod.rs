//! Unix: descriptors and the calls on them.

pub(crate) mod calls;
#[cfg(any(feature = "net", feature = "os-ext"))]
mod conversions;
mod file;
mod filters;
#[cfg(any(feature = "net", feature = "os-ext"))]
mod io;
mod notifier;
#[cfg(feature = "net")]
mod socket;
mod timed;
#[cfg(feature = "net")]
pub(crate) mod unix_address;

#[cfg(any(feature = "net", feature = "os-ext"))]
pub(crate) use self::conversions::raw_fd_conversions;
#[cfg(feature = "net")]
pub(crate) use self::socket::*;
pub(crate) use self::{file::FileIdentity, notifier::Notifier, timed::*};
#[allow(unused_imports)] // which ones are used depends on the kernel
pub(crate) use self::{
    filters::{FILTER_EXCEPT, FILTER_LIO},
    notifier::EACH_WRITE_IS_AN_EDGE,
};
#[cfg(feature = "os-ext")]
pub(crate) use self::{io::*, notifier::pipe};

use std::os::fd::{AsRawFd, RawFd};

/// What the kernel calls a source.
pub(crate) type RawIo = RawFd;

/// Anything that a kernel can watch: a descriptor here, a socket on Windows.
pub trait AsRawIo {
    #[doc(hidden)]
    fn as_raw_io(&self) -> RawIo;
}

impl<T: AsRawFd> AsRawIo for T {
    fn as_raw_io(&self) -> RawIo {
        self.as_raw_fd()
    }
}

/// The result of a system call that answers -1 on failure.
pub(crate) fn check<N: Copy + PartialEq + From<i8>>(result: N) -> std::io::Result<N> {
    if result == N::from(-1) {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
