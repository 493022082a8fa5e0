//! The filters of kqueue(2): those that watch no descriptor, and those that only some kernels have. NetBSD numbers its
//! filters from 0; elsewhere the numbers are negative.
//!
//! Invariant: a filter that the kernel lacks is `None`, and no backend names a kernel.

use std::time::Duration;

/// A signal, a process or a timer as an event source, by a filter of kqueue(2).
///
/// `KernelFilter` stores no state: kind and identifier name the registration, so any `KernelFilter` with the same ones
/// refers to it. Process 5, signal 5, timer 5 and descriptor 5 are four different sources.
///
/// Each event is readable, and an edge. So the interest is [`READABLE`](crate::Interest::READABLE), edge-triggered or
/// one-shot; registering with another interest fails with `Unsupported`.
///
/// # Portability
///
/// The backend `kqueue`: Apple, FreeBSD, NetBSD, OpenBSD and DragonFly BSD. With every other backend registering fails
/// with `Unsupported`.
///
/// # Errors
///
/// Registering returns the errors of [`Registry::register`](crate::Registry::register),
/// [`reregister`](crate::Registry::reregister) and [`deregister`](crate::Registry::deregister). For a process it also
/// fails with `ESRCH` if no process has the number. Most kernels return that for a process that has ended and that its
/// parent has not waited for; others report such a process at once.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use wakeful::{unix::KernelFilter, Interest, Poll, Token};
///
/// # fn main() -> std::io::Result<()> {
/// let poll = Poll::new()?;
/// let mut timer = KernelFilter::Timer { id: 1, interval: Duration::from_millis(20) };
/// poll.registry().register(&mut timer, Token(0), Interest::READABLE.one_shot())?;
///
/// let child = std::process::Command::new("true").spawn()?;
/// let mut exit = KernelFilter::ProcessExit(child.id());
/// poll.registry().register(&mut exit, Token(1), Interest::READABLE)?;
/// # Ok(())
/// # }
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "os-ext"), allow(dead_code))]
#[non_exhaustive]
pub enum KernelFilter {
    /// The arrival of a signal, by its number, at this process (`EVFILT_SIGNAL`). Signals that arrive between two polls
    /// are one event.
    ///
    /// The kernel still does with the signal as the process has set. To receive only the event, ignore the signal
    /// (`SIG_IGN`): a filter reports ignored signals too.
    ///
    /// In a one-shot mode `reregister` reports a signal that has arrived since the event.
    Signal(i32),
    /// The end of the process with this number (`EVFILT_PROC` with `NOTE_EXIT`).
    ///
    /// The event leaves the process to its parent, which still has to wait for it. The kernel watches nothing after
    /// this event, so another process with the same number can be registered without `deregister`.
    ProcessExit(u32),
    /// A process with this number has forked (`EVFILT_PROC` with `NOTE_FORK`).
    ///
    /// A process has one registration: watching its end too, at the same time, fails with `AlreadyExists`.
    ProcessFork(u32),
    /// A process with this number has executed another program (`EVFILT_PROC` with `NOTE_EXEC`).
    ProcessExec(u32),
    /// A timer (`EVFILT_TIMER`), which elapses after each interval. Intervals that elapse between two polls are one
    /// event. In a one-shot mode it elapses once. `reregister` restarts it.
    ///
    /// It never elapses early. OpenBSD, NetBSD and DragonFly BSD round the interval up to milliseconds.
    Timer {
        /// The identifier, which the program chooses. Each `Poll` has its own timers.
        id: usize,
        /// The time to the first event, and between two events. Zero counts as the shortest interval that the kernel
        /// has.
        interval: Duration,
    },
}

/// Names the registration of a [`KernelFilter`]: its kind, and the number within that.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FilterId {
    Signal(i32),
    Process(u32),
    Timer(usize),
}

impl KernelFilter {
    pub(crate) fn id(&self) -> FilterId {
        match *self {
            KernelFilter::Signal(number) => FilterId::Signal(number),
            KernelFilter::ProcessExit(id) | KernelFilter::ProcessFork(id) | KernelFilter::ProcessExec(id) => {
                FilterId::Process(id)
            }
            KernelFilter::Timer { id, .. } => FilterId::Timer(id),
        }
    }
}

/// The note by which a timer counts nanoseconds. NetBSD has it since 10; before that, it took the number for
/// milliseconds.
#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
pub(crate) const TIMER_NANOSECONDS: Option<u32> = Some(libc::NOTE_NSECONDS);

/// libkqueue's.
#[cfg(wakeful_libkqueue)]
pub(crate) const TIMER_NANOSECONDS: Option<u32> = Some(4);

/// The filter that reports out-of-band data, and its note.
#[cfg(any(target_vendor = "apple", target_os = "dragonfly", target_os = "openbsd"))]
pub(crate) const FILTER_EXCEPT: Option<(i32, u32)> = Some((libc::EVFILT_EXCEPT as i32, libc::NOTE_OOB));

/// The filter that reports lists of asynchronous file I/O.
#[cfg(target_os = "freebsd")]
pub(crate) const FILTER_LIO: Option<i32> = Some(libc::EVFILT_LIO as i32);

/// For kernels without a filter.
#[allow(dead_code)] // a kernel without kqueues has no filters
mod fallback {
    pub(crate) const FILTER_EXCEPT: Option<(i32, u32)> = None;
    pub(crate) const FILTER_LIO: Option<i32> = None;
    pub(crate) const TIMER_NANOSECONDS: Option<u32> = None;
}
#[allow(unused_imports)]
pub(crate) use self::fallback::*;
