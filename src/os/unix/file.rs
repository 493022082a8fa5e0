use std::fs::{File, Metadata};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::fs::MetadataExt;

use super::check;

/// Which file a descriptor stands for: tells a descriptor number from its next life.
///
/// Sockets, pipes and files each have an inode. What Linux makes from one shared inode (eventfd, timerfd,
/// epoll, inotify) can't be told apart this way.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// The identity of what `fd` stands for.
    pub(crate) fn of(fd: RawFd) -> io::Result<FileIdentity> {
        metadata(fd).map(|file| FileIdentity::from(&file))
    }

    /// The identity of what `fd` stands for, if it can be watched. A regular file or a directory is always ready,
    /// which epoll refuses with the same error.
    ///
    /// `has_priority`: it is to be watched for priority, which only special files have, though sysfs calls its own
    /// regular.
    pub(crate) fn of_watchable(fd: RawFd, has_priority: bool) -> io::Result<FileIdentity> {
        let file = metadata(fd)?;
        // A pidfd calls itself a regular file since Linux 6.9, but isn't always ready.
        if (file.is_file() || file.is_dir()) && !has_priority && is_always_ready(fd)? {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        Ok(FileIdentity::from(&file))
    }
}

impl From<&Metadata> for FileIdentity {
    fn from(file: &Metadata) -> FileIdentity {
        FileIdentity { device: file.dev(), inode: file.ino() }
    }
}

/// Whether `fd` can be read and written at once, as POSIX has it of regular files.
fn is_always_ready(fd: RawFd) -> io::Result<bool> {
    let both = libc::POLLIN | libc::POLLOUT;
    let mut asked = libc::pollfd { fd, events: both, revents: 0 };
    // SAFETY: one pollfd is passed, and a timeout of zero.
    match check(unsafe { libc::poll(&mut asked, 1, 0) }) {
        Ok(found) => Ok(found == 1 && asked.revents & both == both),
        // A signal is told only of what isn't ready.
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(e) => Err(e),
    }
}

fn metadata(fd: RawFd) -> io::Result<Metadata> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: not negative, so a legal value; `File` only lends it to fstat(2), which answers EBADF for one that
    // isn't open, and never closes it.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    file.metadata()
}
