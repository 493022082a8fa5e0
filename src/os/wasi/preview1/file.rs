//! The identity of the file behind a descriptor.
//!
//! Invariant: a descriptor that is open has an identity, if only one that it shares with others.

use std::io;
use std::os::fd::RawFd;

use super::super::super::FileKind;
use super::check;

/// The file behind a descriptor: distinguishes a descriptor from a later one with the same number.
///
/// Files have their inode. Sockets have none and are indistinguishable, but the known runtimes never reuse a number.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// Returns the identity of the file behind `fd`.
    pub(crate) fn of(fd: RawFd) -> io::Result<FileIdentity> {
        // SAFETY: no memory is passed. The call fails for a number that isn't open.
        FileIdentity::from_answer(unsafe { wasi::fd_filestat_get(number(fd)?) })
    }

    /// A descriptor whose status is forbidden or missing can be watched all the same.
    fn from_answer(answer: Result<wasi::Filestat, wasi::Errno>) -> io::Result<FileIdentity> {
        match answer {
            Ok(file) => Ok(FileIdentity { device: file.dev, inode: file.ino }),
            Err(wasi::ERRNO_BADF) => check(Err(wasi::ERRNO_BADF)),
            Err(_) => Ok(FileIdentity { device: 0, inode: 0 }),
        }
    }

    /// Returns the identity of the file behind `fd`, if it can be watched. Regular files and directories can't.
    pub(crate) fn of_watchable(fd: RawFd, _has_priority: bool) -> io::Result<(FileIdentity, FileKind)> {
        // SAFETY: no memory is passed. The call fails for a number that isn't open.
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

    /// Otherwise its events would count as those of a stale descriptor, and be discarded.
    #[test]
    fn a_descriptor_without_a_status_keeps_its_identity() {
        let first = FileIdentity::from_answer(Err(wasi::ERRNO_NOTCAPABLE)).unwrap();
        assert_eq!(first, FileIdentity::from_answer(Err(wasi::ERRNO_NOTCAPABLE)).unwrap());
        assert!(FileIdentity::from_answer(Err(wasi::ERRNO_BADF)).is_err());
        assert!(FileIdentity::of(-1).is_err() && FileIdentity::of(12_345).is_err());
    }
}
