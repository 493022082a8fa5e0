use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use super::super::FileKind;
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

    /// The identity and the kind of what `fd` stands for, if it can be watched. A regular file or a directory is always
    /// ready, which epoll refuses with the same error; so it does a descriptor that stands for a path alone.
    ///
    /// `has_priority`: it is to be watched for priority, which only special files have, though sysfs calls its own
    /// regular.
    pub(crate) fn of_watchable(fd: RawFd, has_priority: bool) -> io::Result<(FileIdentity, FileKind)> {
        let file = status(fd)?;
        let kind = match file.st_mode & libc::S_IFMT {
            // One that isn't in a file system: nothing restricts who may use it.
            libc::S_IFSOCK if file.st_mode & ALL_MODES == ALL_MODES => FileKind::Socket,
            format => {
                refuse_path(fd)?;
                let is_file = matches!(format, libc::S_IFREG | libc::S_IFDIR);
                if is_file && !has_priority && is_always_ready(fd)? {
                    return Err(io::Error::from_raw_os_error(libc::EPERM));
                }
                match format {
                    libc::S_IFSOCK => FileKind::Socket,
                    // Of a regular file that has passed, only a change is worth an event.
                    libc::S_IFREG => FileKind::Steady,
                    // A process is a file in some versions of Linux, and in others of no type at all.
                    0 if is_process(fd) => FileKind::Steady,
                    _ => FileKind::Other,
                }
            }
        };
        Ok((FileIdentity::from(&file), kind))
    }
}

/// What chmod(2) can grant to all.
const ALL_MODES: libc::mode_t = libc::S_IRWXU | libc::S_IRWXG | libc::S_IRWXO;

/// Fails for a descriptor that stands for a path, and can't be read, written or polled.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn refuse_path(fd: RawFd) -> io::Result<()> {
    // SAFETY: no memory is passed.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    if flags & libc::O_PATH != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    Ok(())
}

/// There are none.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn refuse_path(_: RawFd) -> io::Result<()> {
    Ok(())
}

/// Whether `fd` is a pidfd. It changes nothing: what there is to learn of the process can be learned again.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_process(fd: RawFd) -> bool {
    let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel takes no answer where there is no place for it. What is no pidfd answers EBADF; a process that
    // is no child of this one, or whose end was waited for, ECHILD.
    match check(unsafe { libc::waitid(libc::P_PIDFD, fd as libc::id_t, std::ptr::null_mut(), look) }) {
        Ok(_) => true,
        Err(e) => e.raw_os_error() == Some(libc::ECHILD),
    }
}

/// Elsewhere an ended process hangs up, if it has a descriptor.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_process(_: RawFd) -> bool {
    false
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
