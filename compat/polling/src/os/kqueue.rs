//! What a kqueue watches beside descriptors.
//!
//! Invariant: a filter is a source of wakeful's, and nothing is kept beside its registration.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::num::NonZeroI32;
use std::os::raw::c_int;
use std::process::Child;
use std::time::Duration;

use wakeful::unix::KernelFilter;

use crate::poller::translated;
use crate::{Event, PollMode, Poller};

/// Adds signals, processes and timers to a [`Poller`].
///
/// An event of a filter is readable. The kernel makes each an edge, so [`PollMode::Level`] is the same as
/// [`PollMode::Edge`] here.
///
/// ```no_run
/// use std::time::Duration;
/// use polling::os::kqueue::{PollerKqueueExt, Timer};
/// use polling::{Events, PollMode, Poller};
///
/// # fn main() -> std::io::Result<()> {
/// let poller = Poller::new()?;
/// poller.add_filter(Timer { id: 1, timeout: Duration::from_millis(20) }, 7, PollMode::Oneshot)?;
/// let mut events = Events::new();
/// poller.wait(&mut events, None)?;
/// assert_eq!(events.iter().next().expect("the timer's").key, 7);
/// # Ok(())
/// # }
/// ```
pub trait PollerKqueueExt<F: Filter>: sealed::Poller {
    /// Adds a filter.
    ///
    /// # Errors
    ///
    /// - `AlreadyExists`: a filter with the same signal, process or timer has been added.
    /// - `InvalidInput`: the key is `usize::MAX`.
    /// - `Unsupported`: another backend than kqueue was chosen.
    /// - `ESRCH`: no process has the number, or the process has ended and some kernels no longer watch it.
    /// - Otherwise the errors of `wakeful::Registry::register`.
    fn add_filter(&self, filter: F, key: usize, mode: PollMode) -> io::Result<()>;

    /// Replaces key and mode of a filter, and arms it. A timer restarts.
    ///
    /// # Errors
    ///
    /// - `NotFound`: the filter has not been added.
    /// - Otherwise the errors of [`add_filter`](PollerKqueueExt::add_filter).
    fn modify_filter(&self, filter: F, key: usize, mode: PollMode) -> io::Result<()>;

    /// Removes a filter. No `wait` that starts afterwards reports it.
    ///
    /// # Errors
    ///
    /// `NotFound`: the filter has not been added.
    fn delete_filter(&self, filter: F) -> io::Result<()>;
}

impl<F: Filter> PollerKqueueExt<F> for Poller {
    fn add_filter(&self, filter: F, key: usize, mode: PollMode) -> io::Result<()> {
        let (token, interest) = translated(Event::readable(key), of_edges(mode))?;
        self.registry.register(&mut filter.source(), token, interest)
    }

    fn modify_filter(&self, filter: F, key: usize, mode: PollMode) -> io::Result<()> {
        let (token, interest) = translated(Event::readable(key), of_edges(mode))?;
        self.registry.reregister(&mut filter.source(), token, interest)
    }

    fn delete_filter(&self, filter: F) -> io::Result<()> {
        self.registry.deregister(&mut filter.source())
    }
}

/// Returns the mode in which the kernel reports a filter.
fn of_edges(mode: PollMode) -> PollMode {
    match mode {
        PollMode::Level => PollMode::Edge,
        other => other,
    }
}

/// A signal, a process or a timer. No other type can implement this trait.
pub trait Filter: sealed::Filter {}

impl<F: Filter + ?Sized> Filter for &F {}

/// The arrival of a signal, by its number, at this process.
///
/// The kernel still does with the signal as the process has set. A filter reports ignored signals too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Signal(pub c_int);

impl Filter for Signal {}

/// Changes of a process.
///
/// ```no_run
/// use polling::os::kqueue::{PollerKqueueExt, Process, ProcessOps};
/// use polling::{PollMode, Poller};
///
/// # fn main() -> std::io::Result<()> {
/// let child = std::process::Command::new("true").spawn()?;
/// let poller = Poller::new()?;
/// poller.add_filter(Process::new(&child, ProcessOps::Exit), 7, PollMode::Oneshot)?;
/// # Ok(())
/// # }
/// ```
pub struct Process<'a> {
    filter: KernelFilter,
    child: PhantomData<&'a Child>,
}

/// Which changes of a process are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ProcessOps {
    /// The process ends.
    Exit,
    /// The process forks.
    Fork,
    /// The process executes another program.
    Exec,
}

impl<'a> Process<'a> {
    /// Watches a child.
    #[must_use]
    pub fn new(child: &'a Child, ops: ProcessOps) -> Process<'a> {
        Process::of(child.id(), ops)
    }

    /// Watches the process with this number.
    ///
    /// # Safety
    ///
    /// The number must belong to a child that this process has not waited for, as long as the filter is added.
    /// Otherwise the filter may watch another process.
    #[allow(unsafe_code)] // polling's signature: the body does nothing unsafe
    #[must_use]
    pub unsafe fn from_pid(pid: NonZeroI32, ops: ProcessOps) -> Process<'a> {
        // The kernel refuses a negative number in either form.
        Process::of(pid.get() as u32, ops)
    }

    fn of(id: u32, ops: ProcessOps) -> Process<'a> {
        let filter = match ops {
            ProcessOps::Exit => KernelFilter::ProcessExit(id),
            ProcessOps::Fork => KernelFilter::ProcessFork(id),
            ProcessOps::Exec => KernelFilter::ProcessExec(id),
        };
        Process { filter, child: PhantomData }
    }
}

impl Filter for Process<'_> {}

impl fmt::Debug for Process<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Process").field(&self.filter).finish()
    }
}

/// A timer, which elapses after each `timeout`, or once in a one-shot mode. It never elapses early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    /// The identifier, which the program chooses. Each `Poller` has its own timers.
    pub id: usize,
    /// The time until the timer elapses.
    pub timeout: Duration,
}

impl Filter for Timer {}

mod sealed {
    use wakeful::unix::KernelFilter;

    use super::{Process, Signal, Timer};

    pub trait Poller {}

    impl Poller for crate::Poller {}

    pub trait Filter {
        fn source(&self) -> KernelFilter;
    }

    impl<F: Filter + ?Sized> Filter for &F {
        fn source(&self) -> KernelFilter {
            (**self).source()
        }
    }

    impl Filter for Signal {
        fn source(&self) -> KernelFilter {
            KernelFilter::Signal(self.0)
        }
    }

    impl Filter for Process<'_> {
        fn source(&self) -> KernelFilter {
            self.filter
        }
    }

    impl Filter for Timer {
        fn source(&self) -> KernelFilter {
            KernelFilter::Timer { id: self.id, interval: self.timeout }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use super::*;
    use crate::Events;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_micros(5_500);

    /// Waits for one event, and returns its key.
    fn next(poller: &Poller, events: &mut Events) -> usize {
        let end = Instant::now() + LONG;
        events.clear();
        while poller.wait(events, Some(LONG)).unwrap() == 0 {
            assert!(Instant::now() < end, "no event");
        }
        assert_eq!(events.len(), 1);
        let event = events.iter().next().unwrap();
        assert_eq!(event, Event::readable(event.key));
        event.key
    }

    fn is_silent(poller: &Poller, events: &mut Events) -> bool {
        events.clear();
        poller.wait(events, Some(4 * SHORT)).unwrap() == 0
    }

    fn kind(result: io::Result<()>) -> ErrorKind {
        result.expect_err("an error").kind()
    }

    #[test]
    fn a_timer_elapses_in_each_mode() {
        let poller = Poller::new().unwrap();
        let mut events = Events::new();
        let timer = Timer { id: 3, timeout: SHORT };
        assert_eq!(kind(poller.modify_filter(timer, 1, PollMode::Edge)), ErrorKind::NotFound);
        assert_eq!(kind(poller.delete_filter(timer)), ErrorKind::NotFound);
        assert_eq!(kind(poller.add_filter(timer, usize::MAX, PollMode::Edge)), ErrorKind::InvalidInput);
        let start = Instant::now();
        poller.add_filter(timer, 1, PollMode::Oneshot).unwrap();
        assert_eq!(kind(poller.add_filter(timer, 1, PollMode::Edge)), ErrorKind::AlreadyExists);
        assert_eq!(next(&poller, &mut events), 1);
        assert!(start.elapsed() >= SHORT);
        assert!(is_silent(&poller, &mut events));
        for mode in [PollMode::Level, PollMode::Edge] {
            poller.modify_filter(timer, 2, mode).unwrap();
            assert_eq!(next(&poller, &mut events), 2);
            assert_eq!(next(&poller, &mut events), 2);
        }
        poller.modify_filter(timer, 3, PollMode::EdgeOneshot).unwrap();
        assert_eq!(next(&poller, &mut events), 3);
        assert!(is_silent(&poller, &mut events));
        poller.modify_filter(timer, 4, PollMode::Edge).unwrap();
        poller.delete_filter(timer).unwrap();
        assert!(is_silent(&poller, &mut events));
    }

    #[test]
    fn a_child_ends_once() {
        let poller = Poller::new().unwrap();
        let mut events = Events::new();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        poller.add_filter(&Process::new(&child, ProcessOps::Exit), 5, PollMode::Oneshot).unwrap();
        let pid = NonZeroI32::new(child.id() as i32).unwrap();
        // SAFETY: it is waited for below.
        #[allow(unsafe_code)]
        let same = unsafe { Process::from_pid(pid, ProcessOps::Fork) };
        assert_eq!(kind(poller.add_filter(&same, 5, PollMode::Oneshot)), ErrorKind::AlreadyExists);
        assert!(is_silent(&poller, &mut events));
        drop(child.stdin.take());
        assert_eq!(next(&poller, &mut events), 5);
        assert!(is_silent(&poller, &mut events));
        assert!(child.wait().unwrap().success());
        poller.delete_filter(&same).unwrap();
        assert_eq!(kind(poller.delete_filter(&same)), ErrorKind::NotFound);
    }

    #[test]
    fn a_signal_is_added_once() {
        let poller = Poller::new().unwrap();
        let signal = Signal(libc::SIGWINCH);
        poller.add_filter(signal, 1, PollMode::Edge).unwrap();
        assert_eq!(kind(poller.add_filter(signal, 2, PollMode::Edge)), ErrorKind::AlreadyExists);
        poller.modify_filter(signal, 2, PollMode::Oneshot).unwrap();
        assert!(is_silent(&poller, &mut Events::new()));
        poller.delete_filter(signal).unwrap();
    }
}
