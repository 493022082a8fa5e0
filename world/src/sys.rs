//! What the runner asks the system for: child processes, memory shared with them, and cores.
//!
//! Invariant: a child ends by `_exit`, so nothing of its parent runs in it twice.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixStream;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How a child has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// The signal that ends a child at its limit.
pub(crate) const ALARM: i32 = libc::SIGALRM;

/// A child that was not waited for.
pub(crate) struct Child(libc::pid_t);

/// Runs `act` in a child, whose only thread is a copy of the calling one.
pub(crate) fn fork(act: impl FnOnce()) -> io::Result<Child> {
    let mut out = io::stdout().lock();
    let error = io::stderr().lock();
    // What is left in the buffer would be written twice.
    let _ = out.flush();
    // SAFETY: the child has one thread. What other threads may have locked is held here, or is the allocator, which the
    // C library hands over whole, or shows in the trial that `Template` makes.
    let pid = unsafe { libc::fork() };
    drop((out, error));
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let _ = catch_unwind(AssertUnwindSafe(act));
            // SAFETY: ends the process; no destructor of the parent's values runs.
            unsafe { libc::_exit(0) }
        }
        pid => Ok(Child(pid)),
    }
}

/// Runs `act` in a child, and waits for its end. SIGALRM ends the child after `limit`.
pub(crate) fn in_child(limit: Duration, act: impl FnOnce()) -> io::Result<Exit> {
    let act = || {
        set_alarm(limit);
        act();
    };
    fork(act)?.wait()
}

/// Moves a descriptor out of the way of those that a program opens: it sees the same numbers in each run.
pub(crate) fn out_of_the_way(stream: UnixStream) -> UnixStream {
    // SAFETY: the new descriptor is this function's own.
    unsafe {
        match libc::fcntl(stream.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 900) {
            -1 => stream,
            fd => UnixStream::from_raw_fd(fd),
        }
    }
}

/// Lets SIGALRM end the process after `limit`.
pub(crate) fn set_alarm(limit: Duration) {
    let seconds = limit.as_secs().saturating_add(1).min(u32::MAX.into()) as libc::c_uint;
    // SAFETY: the default disposition of a signal needs no handler, and an alarm no memory.
    unsafe {
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::alarm(seconds);
    }
}

impl Child {
    /// Waits for the end.
    pub(crate) fn wait(self) -> io::Result<Exit> {
        let mut status = 0;
        loop {
            // SAFETY: `status` is valid for the call.
            if unsafe { libc::waitpid(self.0, &mut status, 0) } == self.0 {
                break;
            }
            let e = io::Error::last_os_error();
            if e.kind() != io::ErrorKind::Interrupted {
                return Err(e);
            }
        }
        Ok(match libc::WIFSIGNALED(status) {
            true => Exit::Signal(libc::WTERMSIG(status)),
            false => Exit::Code(libc::WEXITSTATUS(status)),
        })
    }
}

/// Memory that a child shares with its parent, for one message of the child.
pub(crate) struct Shared {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory is mapped as long as this lives. `publish` has the caller's word that it is alone, and `take`
// reads after the child's end.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// The bytes of the length before the message.
const HEAD: usize = std::mem::size_of::<AtomicU64>();

impl Shared {
    /// Maps room for a message of `room` bytes. The system gives memory only to the part that is used.
    pub(crate) fn new(room: usize) -> io::Result<Shared> {
        let len = HEAD + room;
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANON | libc::MAP_NORESERVE);
        // SAFETY: a new mapping replaces nothing.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Shared { start, len }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn head(&self) -> &AtomicU64 {
        // SAFETY: a mapping is aligned to a page, and its first bytes are used by this alone.
        unsafe { self.start.cast::<AtomicU64>().as_ref() }
    }

    /// Sets the message. Returns whether it fits. One thread may do so at a time.
    pub(crate) fn publish(&self, message: &[u8]) -> bool {
        if message.len() > self.len - HEAD {
            return false;
        }
        self.head().store(0, Ordering::Release);
        // SAFETY: the mapping is as long as that, and no other thread uses it.
        unsafe { self.start.as_ptr().add(HEAD).copy_from_nonoverlapping(message.as_ptr(), message.len()) };
        self.head().store(message.len() as u64 + 1, Ordering::Release);
        true
    }

    /// Takes the message of a child that has ended.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let len = self.head().swap(0, Ordering::Acquire).checked_sub(1)? as usize;
        let mut message = vec![0; len];
        // SAFETY: `publish` has written so many bytes, and its process has ended.
        unsafe { message.as_mut_ptr().copy_from_nonoverlapping(self.start.as_ptr().add(HEAD), len) };
        Some(message)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: this made the mapping, and ends with it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Binds the calling thread, and the children that it forks, to one of the cores that the process may use. A failure
/// changes no run, only its speed.
pub(crate) fn pin(number: usize) {
    let size = std::mem::size_of::<libc::cpu_set_t>();
    // SAFETY: all zeros is an empty set, and both calls get a set of the size that they are given.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size, &mut allowed) != 0 {
            return;
        }
        let cores: Vec<usize> =
            (0..libc::CPU_SETSIZE as usize).filter(|core| libc::CPU_ISSET(*core, &allowed)).collect();
        if let Some(core) = cores.get(number % cores.len().max(1)) {
            let mut one: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(*core, &mut one);
            libc::sched_setaffinity(0, size, &one);
            // A thread that calls another one has to sleep before that runs, or each turn takes two switches.
            let usual: libc::sched_param = std::mem::zeroed();
            libc::sched_setscheduler(0, libc::SCHED_BATCH, &usual);
        }
    }
}
