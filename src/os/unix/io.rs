//! Reading and writing descriptors, on Linux without glibc's cancellation points.
//!
//! Invariant: one function, one system call.

use std::io;
use std::os::fd::AsRawFd;

use super::{calls, check};

/// The number of slices that one call takes: `IOV_MAX` (POSIX) on the supported systems. More slices make a short
/// read or write.
pub(super) const MAX_SLICES: usize = 1024;

#[cfg(feature = "os-ext")]
pub(crate) fn read(source: &impl AsRawFd, buf: &mut [u8]) -> io::Result<usize> {
    let fd = source.as_raw_fd();
    // SAFETY: `buf` is as long as stated.
    check(unsafe { calls::read(fd, buf.as_mut_ptr().cast(), buf.len()) }).map(|n| n as usize)
}

#[cfg(feature = "os-ext")]
pub(crate) fn write(source: &impl AsRawFd, buf: &[u8]) -> io::Result<usize> {
    let fd = source.as_raw_fd();
    // SAFETY: `buf` is as long as stated.
    check(unsafe { calls::write(fd, buf.as_ptr().cast(), buf.len()) }).map(|n| n as usize)
}

pub(crate) fn read_vectored(source: &impl AsRawFd, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
    let fd = source.as_raw_fd();
    let count = bufs.len().min(MAX_SLICES) as libc::c_int;
    // SAFETY: an `IoSliceMut` has the layout of an iovec; there are at least `count`.
    check(unsafe { calls::readv(fd, bufs.as_mut_ptr().cast(), count) }).map(|n| n as usize)
}

#[cfg(feature = "os-ext")]
pub(crate) fn write_vectored(source: &impl AsRawFd, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
    let fd = source.as_raw_fd();
    let count = bufs.len().min(MAX_SLICES) as libc::c_int;
    // SAFETY: an `IoSlice` has the layout of an iovec; there are at least `count`.
    check(unsafe { calls::writev(fd, bufs.as_ptr().cast(), count) }).map(|n| n as usize)
}

#[cfg(feature = "os-ext")]
pub(crate) fn set_nonblocking(source: &impl AsRawFd, nonblocking: bool) -> io::Result<()> {
    let fd = source.as_raw_fd();
    // SAFETY: no memory is passed.
    let old = check(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    let new = if nonblocking { old | libc::O_NONBLOCK } else { old & !libc::O_NONBLOCK };
    if new != old {
        // SAFETY: no memory is passed.
        check(unsafe { libc::fcntl(fd, libc::F_SETFL, new) })?;
    }
    Ok(())
}
