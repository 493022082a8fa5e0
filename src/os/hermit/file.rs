use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use super::super::FileKind;
use super::check;

/// Which file a descriptor stands for: tells a descriptor number from its next life, as far as the kernel gives numbers
/// to what isn't a file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// The identity of what `fd` stands for.
    pub(crate) fn of(fd: RawFd) -> io::Result<FileIdentity> {
        status(fd).map(|file| FileIdentity { device: file.st_dev, inode: file.st_ino })
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

/// Not every kind of descriptor has a status. What is open and has none is told by a status of zeroes, which is no
/// file's.
fn status(fd: RawFd) -> io::Result<libc::stat> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: there is room for what is asked. A number that isn't open answers EBADF.
    match check(unsafe { libc::fstat(fd, status.as_mut_ptr()) }) {
        Err(e) if e.raw_os_error() == Some(libc::EBADF) => Err(e),
        // SAFETY: numbers alone, which were zero at least.
        _ => Ok(unsafe { status.assume_init() }),
    }
}
