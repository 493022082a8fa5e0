//! `ChildExit`: the end of a child process as an event source.
//!
//! Invariant: nothing here waits for the process, nor handles a signal. Its status is left to the program.

use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::process::Child;

use crate::poll::{Registry, Source};
use crate::readiness::{Interest, Token};

/// The end of a child process as an event source.
///
/// The source is readable once the child has ended, whether by itself or by a signal. It never *reaps* the child: the
/// program calls [`Child::try_wait`] or [`Child::wait`] for the status, which also frees the child's number.
///
/// # Events
///
/// Register the source for [`READABLE`](Interest::READABLE). It has one event after each `register` and `reregister`,
/// in the edge-triggered and in the one-shot modes alike. A child stays ended, so the event comes at once if it has
/// ended before, even if the program has waited for it since. With [`Interest::level`] each `poll` reports it.
///
/// The event is readable, and neither closed nor an error.
///
/// # Numbers that are used again
///
/// The system gives the number of a process to another one after its parent has waited for it. So create the source
/// before `wait` or a successful `try_wait`; with a kqueue, also register it before.
///
/// # Errors
///
/// Registering returns the errors of [`Registry::register`], [`reregister`](Registry::reregister) and
/// [`deregister`](Registry::deregister). It fails with `Unsupported` for an interest in anything but readable, for an
/// exclusive one, and on a simulated `Poll`.
///
/// # Portability
///
/// `new` and `from_pid` fail with `Unsupported` on every system that isn't listed here.
///
/// - Linux 5.3 and Android: each source has a descriptor (`pidfd_open(2)`). `Unsupported` on an older kernel, and in a
///   sandbox that forbids the call. Since Linux 6.9, an event that `register` or `reregister` causes after the program
///   has waited for the child is read closed and write closed too.
/// - Apple, FreeBSD, NetBSD, OpenBSD and DragonFly BSD: the backend `kqueue` watches the number (`EVFILT_PROC`), from
///   `register` on. One `Poll` watches a number once, as a `ChildExit` or as a
///   `unix::KernelFilter`: a second source fails with `AlreadyExists`.
///   Level-triggered is `Unsupported`, and so is every registration with `posix_poll`. These kernels report the end a
///   moment before `try_wait` finds it, so call `wait`, which then returns within that moment. If the child ended
///   before `register`, the descriptor of the `Poll` doesn't become readable for the event, though `poll` reports it.
/// - Windows: each source has a handle of the process. `from_pid` fails with `PermissionDenied` if the program may not
///   wait for that process.
///
/// # Examples
///
/// ```
/// # #[cfg(unix)]
/// # fn main() -> std::io::Result<()> {
/// use std::io::ErrorKind;
/// use std::process::Command;
/// use wakeful::{process::ChildExit, Events, Interest, Poll, Token};
///
/// let mut poll = Poll::new()?;
/// let mut events = Events::with_capacity(8);
///
/// let mut child = Command::new("sh").args(["-c", "exit 7"]).spawn()?;
/// let mut exit = match ChildExit::new(&child) {
///     // An old kernel, or another system: wait for the child on a thread.
///     Err(e) if e.kind() == ErrorKind::Unsupported => return child.wait().map(drop),
///     exit => exit?,
/// };
/// poll.registry().register(&mut exit, Token(0), Interest::READABLE)?;
///
/// // The only source has one event.
/// while events.is_empty() {
///     match poll.poll(&mut events, None) {
///         Err(e) if e.kind() == ErrorKind::Interrupted => continue, // by a signal
///         result => result?,
///     }
/// }
/// assert_eq!(child.wait()?.code(), Some(7));
/// # Ok(())
/// # }
/// # #[cfg(not(unix))] fn main() {}
/// ```
pub struct ChildExit {
    process: Process,
}

/// A process as the system lets a `Poll` watch it.
#[cfg(unix)]
enum Process {
    Described(super::described::Described),
    Numbered(super::numbered::Numbered),
}

#[cfg(windows)]
use crate::windows::Waitable as Process;

/// A system without child processes.
#[cfg(not(any(unix, windows)))]
enum Process {}

impl ChildExit {
    /// Creates a source of the end of `child`, which has not been waited for.
    ///
    /// # Errors
    ///
    /// - `NotFound`: the child was waited for already. The source may watch another process if the child's number was
    ///   given to one since.
    /// - `Unsupported`: the system can't do that, or a sandbox forbids it.
    /// - Too many open descriptors or handles.
    pub fn new(child: &Child) -> io::Result<ChildExit> {
        #[cfg(windows)]
        return Ok(ChildExit { process: Process::new(child)? });
        #[cfg(not(windows))]
        match NonZeroU32::new(child.id()) {
            Some(id) => ChildExit::from_pid(id),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Creates a source of the end of the process with this number.
    ///
    /// The process need not be a child of this one, as far as the system allows. A number alone reserves nothing: after
    /// the process has ended and its parent has waited for it, another process may have the number.
    ///
    /// # Errors
    ///
    /// - `NotFound`: no process has this number.
    /// - Otherwise as [`new`](ChildExit::new).
    pub fn from_pid(pid: NonZeroU32) -> io::Result<ChildExit> {
        Ok(ChildExit { process: open(pid)? })
    }
}

#[cfg(unix)]
fn open(pid: NonZeroU32) -> io::Result<Process> {
    Ok(match crate::os::open_process(pid)? {
        crate::os::ProcessHandle::Descriptor(fd) => Process::Described(super::described::Described::new(fd)),
        crate::os::ProcessHandle::Number(id) => Process::Numbered(super::numbered::Numbered::new(id)),
    })
}

#[cfg(windows)]
fn open(pid: NonZeroU32) -> io::Result<Process> {
    Process::new(crate::os::open_process(pid)?)
}

#[cfg(not(any(unix, windows)))]
fn open(_: NonZeroU32) -> io::Result<Process> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no child processes"))
}

/// Returns the interest by which the process is watched, where one in readable was asked for.
///
/// One-shot instead of an edge: since Linux 6.9 a pidfd has a second edge when its process is waited for.
fn once(interest: Interest) -> io::Result<Interest> {
    if interest.kinds() != Interest::READABLE || interest.is_exclusive() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "a child's end is readable, and nothing else",
        ));
    }
    Ok(if interest.is_level() { interest } else { Interest::READABLE.edge_one_shot() })
}

impl Source for ChildExit {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.process.register(registry, token, once(interest)?)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.process.reregister(registry, token, once(interest)?)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.process.deregister(registry)
    }
}

#[cfg(unix)]
impl Source for Process {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Process::Described(source) => source.register(registry, token, interest),
            Process::Numbered(source) => source.register(registry, token, interest),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Process::Described(source) => source.reregister(registry, token, interest),
            Process::Numbered(source) => source.reregister(registry, token, interest),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Process::Described(source) => source.deregister(registry),
            Process::Numbered(source) => source.deregister(registry),
        }
    }
}

#[cfg(not(any(unix, windows)))]
impl Source for Process {
    fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        match *self {}
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        match *self {}
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        match *self {}
    }
}

impl fmt::Debug for ChildExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildExit").finish_non_exhaustive()
    }
}
