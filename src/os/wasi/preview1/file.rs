use std::io;
use std::os::fd::RawFd;

use super::super::super::FileKind;
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
        FileIdentity::from_answer(unsafe { wasi::fd_filestat_get(number(fd)?) })
    }

    /// A descriptor that may not be asked, or has nothing to answer, can be watched all the same.
    fn from_answer(answer: Result<wasi::Filestat, wasi::Errno>) -> io::Result<FileIdentity> {
        match answer {
            Ok(file) => Ok(FileIdentity { device: file.dev, inode: file.ino }),
            Err(wasi::ERRNO_BADF) => check(Err(wasi::ERRNO_BADF)),
            Err(_) => Ok(FileIdentity { device: 0, inode: 0 }),
        }
    }

    /// The identity of what `fd` stands for, if it can be watched: a regular file or a directory can't.
    pub(crate) fn of_watchable(fd: RawFd, _has_priority: bool) -> io::Result<(FileIdentity, FileKind)> {
        // SAFETY: no memory is passed. A number that isn't open answers an error.
        let status = check(unsafe { wasi::fd_fdstat_get(number(fd)?) })?;
        if matches!(status.fs_filetype, wasi::FILETYPE_REGULAR_FILE | wasi::FILETYPE_DIRECTORY) {
            return check(Err(wasi::ERRNO_PERM));
        }
        FileIdentity::of(fd).map(|identity| (identity, FileKind::Other))
    }
}

fn number(fd: RawFd) -> io::Result<wasi::Fd> {
    wasi::Fd::try_from(fd).map_err(|_| io::Error::from_raw_os_error(super::errors::BAD_DESCRIPTOR))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Or its events would be taken for those of another, and never be told.
    #[test]
    fn who_may_not_be_asked_stays_the_same() {
        let first = FileIdentity::from_answer(Err(wasi::ERRNO_NOTCAPABLE)).unwrap();
        assert_eq!(first, FileIdentity::from_answer(Err(wasi::ERRNO_NOTCAPABLE)).unwrap());
        assert!(FileIdentity::from_answer(Err(wasi::ERRNO_BADF)).is_err());
        assert!(FileIdentity::of(-1).is_err() && FileIdentity::of(12_345).is_err());
    }
}
