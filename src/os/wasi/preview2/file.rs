use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use super::super::super::FileKind;
use super::{check, errors};

/// Which file a descriptor stands for: tells a descriptor number from its next life, as far as libc can. Sockets have
/// no number of their own, so of two sockets it can't.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// The identity of what `fd` stands for.
    pub(crate) fn of(fd: RawFd) -> io::Result<FileIdentity> {
        let file = status(fd)?;
        Ok(FileIdentity { device: file.st_dev, inode: file.st_ino })
    }

    /// The identity of what `fd` stands for, if it can be watched: a regular file or a directory can't.
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
    // SAFETY: there is room for what is asked. A number that isn't open answers EBADF.
    check(unsafe { libc::fstat(fd, status.as_mut_ptr()) })?;
    // SAFETY: it has succeeded, so it has been written.
    Ok(unsafe { status.assume_init() })
}
