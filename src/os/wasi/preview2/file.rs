//! The identity of the file behind a descriptor.
//!
//! Invariant: asking changes nothing.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use super::super::super::FileKind;
use super::{check, errors};

/// The file behind a descriptor: distinguishes a descriptor from a later one with the same number, as far as libc
/// can. Sockets have no inode and are indistinguishable.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// Returns the identity of the file behind `fd`.
    pub(crate) fn of(fd: RawFd) -> io::Result<FileIdentity> {
        let file = status(fd)?;
        Ok(FileIdentity { device: file.st_dev, inode: file.st_ino })
    }

    /// Returns the identity of the file behind `fd`, if it can be watched. Regular files and directories can't.
    pub(crate) fn of_watchable(fd: RawFd, _has_priority: bool) -> io::Result<(FileIdentity, FileKind)> {
        let file = status(fd)?;
        if matches!(file.st_mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR) {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        Ok((FileIdentity { device: file.st_dev, inode: file.st_ino }, FileKind::Other))
    }
}

fn status(fd: RawFd) -> io::Result<libc::stat> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(errors::BAD_DESCRIPTOR));
    }
    let mut status = MaybeUninit::uninit();
    // SAFETY: `status` has room for the result. A number that isn't open fails with EBADF.
    check(unsafe { libc::fstat(fd, status.as_mut_ptr()) })?;
    // SAFETY: the call has succeeded, so `status` is initialised.
    Ok(unsafe { status.assume_init() })
}
