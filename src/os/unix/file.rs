//! The identity and the kind of the file behind a descriptor.
//!
//! Invariant: asking changes nothing, neither the file nor what can be learned of it later.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use super::super::FileKind;
use super::calls::{fstat, stat};
use super::check;

/// The file behind a descriptor: distinguishes a descriptor from a later one with the same number.
///
/// Sockets, pipes and files each have an inode. On Linux eventfd, timerfd, epoll and inotify share one inode, and are
/// indistinguishable.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// Returns the identity of the file behind `fd`.
    pub(crate) fn of(fd: RawFd) -> io::Result<FileIdentity> {
        status(fd).map(|file| FileIdentity::from(&file))
    }

    /// Returns the identity and the kind of the file behind `fd`, if it can be watched. Regular files and directories
    /// are always ready, and descriptors for a path alone (`O_PATH`) can't be polled; this fails for them with
    /// epoll's errors.
    ///
    /// `has_priority`: the interest includes priority, which only special files have; but sysfs reports its files as
    /// regular.
    pub(crate) fn of_watchable(fd: RawFd, has_priority: bool) -> io::Result<(FileIdentity, FileKind)> {
        let file = status(fd)?;
        let kind = match file.st_mode & libc::S_IFMT {
            // A socket outside of a file system: its mode restricts no user.
            libc::S_IFSOCK if file.st_mode & ALL_MODES == ALL_MODES => FileKind::Socket,
            format => {
                refuse_path(fd)?;
                let is_file = matches!(format, libc::S_IFREG | libc::S_IFDIR);
                if is_file && !has_priority && is_always_ready(fd)? {
                    return Err(io::Error::from_raw_os_error(libc::EPERM));
                }
                match format {
                    libc::S_IFSOCK => FileKind::Socket,
                    // A regular file that has passed the test above reports changes only.
                    libc::S_IFREG => FileKind::Steady,
                    // A process is a regular file in some versions of Linux, and has no type in others.
                    0 if is_process(fd) => FileKind::Steady,
                    _ => FileKind::Other,
                }
            }
        };
        Ok((FileIdentity::from(&file), kind))
    }
}

/// Every permission of chmod(2), in POSIX's numbers: not every libc crate has names for them.
const ALL_MODES: libc::mode_t = 0o777;

/// Fails for a descriptor of a path (`O_PATH`), which can't be read, written or polled.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn refuse_path(fd: RawFd) -> io::Result<()> {
    // SAFETY: no memory is passed.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    if flags & libc::O_PATH != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    Ok(())
}

/// Other systems have no such descriptors.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn refuse_path(_: RawFd) -> io::Result<()> {
    Ok(())
}

/// Returns whether `fd` is a pidfd. The process stays waitable (`WNOWAIT`).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_process(fd: RawFd) -> bool {
    let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: waitid accepts a null pointer for the status. It fails with EBADF for a descriptor that is no pidfd,
    // and with ECHILD for a process that is no child of this one, or was waited for.
    match check(unsafe { libc::waitid(libc::P_PIDFD, fd as libc::id_t, std::ptr::null_mut(), look) }) {
        Ok(_) => true,
        Err(e) => e.raw_os_error() == Some(libc::ECHILD),
    }
}

/// On other systems an ended process hangs up, if it has a descriptor.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_process(_: RawFd) -> bool {
    false
}

impl From<&stat> for FileIdentity {
    #[allow(clippy::unnecessary_cast)] // the types differ by system
    fn from(file: &stat) -> FileIdentity {
        FileIdentity { device: file.st_dev as u64, inode: file.st_ino as u64 }
    }
}

/// Returns whether `fd` is ready for reading and writing, as POSIX demands of regular files.
fn is_always_ready(fd: RawFd) -> io::Result<bool> {
    let both = libc::POLLIN | libc::POLLOUT;
    let mut asked = libc::pollfd { fd, events: both, revents: 0 };
    // SAFETY: one pollfd is passed, and a timeout of zero.
    match check(unsafe { libc::poll(&mut asked, 1, 0) }) {
        Ok(found) => Ok(found == 1 && asked.revents & both == both),
        // A signal interrupts poll(2) only if nothing is ready.
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(e) => Err(e),
    }
}

/// Calls fstat(2) directly: the standard library uses statx(2), which returns more and costs 200 instructions more.
fn status(fd: RawFd) -> io::Result<stat> {
    // Zeroed although the kernel writes it: the memory sanitizer doesn't intercept this call.
    let mut status = MaybeUninit::zeroed();
    // SAFETY: `status` has room for the result. A number that isn't open fails with EBADF.
    check(unsafe { fstat(fd, status.as_mut_ptr()) })?;
    // SAFETY: the call has succeeded, so `status` is initialised.
    Ok(unsafe { status.assume_init() })
}
