//! The identity of the file behind a descriptor.
//!
//! Invariant: a descriptor that is open has an identity, if only one that it shares with others.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use super::super::FileKind;
use super::check;

/// The file behind a descriptor: distinguishes a descriptor from a later one with the same number, as far as the
/// kernel gives inodes to descriptors that are no files.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// Returns the identity of the file behind `fd`.
    pub(crate) fn of(fd: RawFd) -> io::Result<FileIdentity> {
        status(fd).map(|file| FileIdentity { device: file.st_dev, inode: file.st_ino })
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

/// Returns the status, or zeroes for an open descriptor without one: no file has a status of zeroes.
fn status(fd: RawFd) -> io::Result<libc::stat> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `status` has room for the result. A number that isn't open fails with EBADF.
    match check(unsafe { libc::fstat(fd, status.as_mut_ptr()) }) {
        Err(e) if e.raw_os_error() == Some(libc::EBADF) => Err(e),
        // SAFETY: only numbers, initialised with zeroes.
        _ => Ok(unsafe { status.assume_init() }),
    }
}
