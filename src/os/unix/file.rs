use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use super::calls::{fstat, stat};
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
        status(fd).map(|file| FileIdentity::from(&file))
    }

    /// The identity of what `fd` stands for, if it can be watched. A regular file or a directory is always ready,
    /// which epoll refuses with the same error.
    ///
    /// `has_priority`: it is to be watched for priority, which only special files have, though sysfs calls its own
    /// regular.
    pub(crate) fn of_watchable(fd: RawFd, has_priority: bool) -> io::Result<FileIdentity> {
        let file = status(fd)?;
        let is_file = matches!(file.st_mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR);
        // A pidfd calls itself a regular file since Linux 6.9, but isn't always ready.
        if is_file && !has_priority && is_always_ready(fd)? {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        Ok(FileIdentity::from(&file))
    }
}

impl From<&stat> for FileIdentity {
    #[allow(clippy::unnecessary_cast)] // each system has types of its own
    fn from(file: &stat) -> FileIdentity {
        FileIdentity { device: file.st_dev as u64, inode: file.st_ino as u64 }
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

/// Not through the standard library, which asks statx(2) for more, and takes 200 instructions to say so.
fn status(fd: RawFd) -> io::Result<stat> {
    // Zeroed, though the kernel writes it: the memory sanitizer doesn't know that of this call.
    let mut status = MaybeUninit::zeroed();
    // SAFETY: there is room for what is asked. A number that isn't open answers EBADF.
    check(unsafe { fstat(fd, status.as_mut_ptr()) })?;
    // SAFETY: it has succeeded, so it has been written.
    Ok(unsafe { status.assume_init() })
}
