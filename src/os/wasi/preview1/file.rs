use std::io;
use std::os::fd::RawFd;

use super::check;

/// Which file a descriptor stands for: tells a descriptor number from its next life.
///
/// Runtimes give files their inode. Sockets have none, so two of them can't be told apart; but the runtimes that are
/// known never use a number twice.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// The identity of what `fd` stands for.
    pub(crate) fn of(fd: RawFd) -> io::Result<FileIdentity> {
        // SAFETY: no memory is passed. A number that isn't open answers an error.
        let file = check(unsafe { wasi::fd_filestat_get(number(fd)?) })?;
        Ok(FileIdentity { device: file.dev, inode: file.ino })
    }

    /// The identity of what `fd` stands for, if it can be watched: a regular file or a directory can't.
    pub(crate) fn of_watchable(fd: RawFd, _has_priority: bool) -> io::Result<FileIdentity> {
        // SAFETY: no memory is passed. A number that isn't open answers an error.
        let status = check(unsafe { wasi::fd_fdstat_get(number(fd)?) })?;
        if matches!(status.fs_filetype, wasi::FILETYPE_REGULAR_FILE | wasi::FILETYPE_DIRECTORY) {
            return check(Err(wasi::ERRNO_PERM));
        }
        // A descriptor without the right to be asked is one that can be watched all the same.
        Ok(FileIdentity::of(fd).unwrap_or(FileIdentity { device: 0, inode: 0 }))
    }
}

fn number(fd: RawFd) -> io::Result<wasi::Fd> {
    wasi::Fd::try_from(fd).map_err(|_| io::Error::from_raw_os_error(super::errors::BAD_DESCRIPTOR))
}
