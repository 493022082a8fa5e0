//! Processes: the handle by which a kernel reports the end of one.
//!
//! Invariant: no call here waits for a process, so each is left to its parent.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;

/// The kernel's name for a process of which it reports the end.
pub(crate) enum ProcessHandle {
    /// A descriptor that becomes readable. It refers to the same process for as long as it is open.
    #[allow(dead_code)] // Linux has it
    Descriptor(OwnedFd),
    /// The number of the process, which a kqueue watches.
    #[allow(dead_code)] // the kernels with kqueues have it
    Number(u32),
}

/// Opens a descriptor of the process, close-on-exec, as the kernel makes each.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(wakeful_libkqueue)))]
pub(crate) fn open_process(id: NonZeroU32) -> io::Result<ProcessHandle> {
    use std::os::fd::FromRawFd;

    let id = pid(id)?;
    // SAFETY: no memory is passed.
    match super::check(unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) }) {
        // SAFETY: just opened, and owned by nothing else.
        Ok(fd) => Ok(ProcessHandle::Descriptor(unsafe { OwnedFd::from_raw_fd(fd as _) })),
        Err(e) => Err(match e.raw_os_error() {
            Some(libc::ESRCH) => not_found(),
            // Linux before 5.3; a sandbox whose list of calls is older, as Docker's was.
            Some(libc::ENOSYS | libc::EPERM) => io::Error::new(
                io::ErrorKind::Unsupported,
                "this kernel lacks pidfd_open(2) (Linux 5.3), or a sandbox forbids it",
            ),
            _ => e,
        }),
    }
}

/// Finds the process. A process that has ended exists until its parent has waited for it (POSIX, kill(2)).
#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
    wakeful_libkqueue
))]
pub(crate) fn open_process(id: NonZeroU32) -> io::Result<ProcessHandle> {
    // SAFETY: no memory is passed, and signal 0 is sent to no process.
    match super::check(unsafe { libc::kill(pid(id)?, 0) }) {
        // A process of another user.
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => {}
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return Err(not_found()),
        result => drop(result?),
    }
    Ok(ProcessHandle::Number(id.get()))
}

/// For kernels that report the end of a process by a signal alone.
#[allow(dead_code)]
mod fallback {
    use super::{io, NonZeroU32, ProcessHandle};

    pub(crate) fn open_process(_: NonZeroU32) -> io::Result<ProcessHandle> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this system reports a child's end by a signal alone"))
    }
}
#[allow(unused_imports)]
pub(crate) use self::fallback::*;

/// Numbers that the kernel has no processes for are negative to it, and mean something else.
#[allow(dead_code)] // a system without the call needs no number
fn pid(id: NonZeroU32) -> io::Result<libc::pid_t> {
    libc::pid_t::try_from(id.get()).map_err(|_| not_found())
}

#[allow(dead_code)]
#[cold]
fn not_found() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "no process has this number: the child was waited for already")
}
