//! `Poller`: a `Poll` that is used by reference, and its waker.
//!
//! Invariant: a thread that waits has the lock of the `Poll`; nothing else takes it, so no operation waits for a wait.

use std::fmt;
use std::io;
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use wakeful::{Interest, Poll, Registry, Token, Waker};

use crate::source::{number, Numbered};
use crate::{AsRawSource, AsSource, Event, Events, PollMode};

/// The key of the waker's events, which are not reported.
const NOTIFICATION: usize = usize::MAX;

/// Waits until sources are ready.
///
/// All methods take `&self`: threads can add sources, and notify, while another thread waits.
///
/// ```
/// use polling::{Event, Events, Poller};
/// use std::sync::Arc;
/// use std::thread;
///
/// # fn main() -> std::io::Result<()> {
/// let poller = Arc::new(Poller::new()?);
/// let notifier = Arc::clone(&poller);
/// let thread = thread::spawn(move || notifier.notify());
///
/// let mut events = Events::new();
/// poller.wait(&mut events, None)?;
/// assert!(events.is_empty());
/// # thread.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
pub struct Poller {
    poll: Mutex<Poll>,
    pub(crate) registry: Registry,
    pub(crate) waker: Waker,
    #[cfg(windows)]
    pub(crate) iocp: crate::os::iocp::State,
}

impl Poller {
    /// Creates a poller. With the feature `world`, and a seed in `WAKEFUL_WORLD_SEED`, the calling thread is the host
    /// of a world from now on: see the module `foreign` of `wakeful-world`.
    ///
    /// # Errors
    ///
    /// The errors of `wakeful::Poll::new`.
    pub fn new() -> io::Result<Poller> {
        #[cfg(polling_test_poll_backend)]
        let poll = Poll::with_backend(wakeful::Backend::PosixPoll)?;
        #[cfg(not(polling_test_poll_backend))]
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = Waker::new(&registry, Token(NOTIFICATION))?;
        Ok(Poller {
            poll: Mutex::new(poll),
            registry,
            waker,
            #[cfg(windows)]
            iocp: Default::default(),
        })
    }

    /// Returns whether [`PollMode::Level`] exists: `true` on every platform.
    #[must_use]
    pub fn supports_level(&self) -> bool {
        true
    }

    /// Returns whether [`PollMode::Edge`] and [`PollMode::EdgeOneshot`] exist: `true` on every platform.
    #[must_use]
    pub fn supports_edge(&self) -> bool {
        true
    }

    /// Adds a source in the one-shot mode: after one event it is silent until [`modify`](Poller::modify).
    ///
    /// The source should be in non-blocking mode.
    ///
    /// # Safety
    ///
    /// The source must be [deleted](Poller::delete) before it is closed.
    ///
    /// # Errors
    ///
    /// - `AlreadyExists`: the source has been added.
    /// - `InvalidInput`: the key is `usize::MAX`.
    /// - Otherwise the errors of `wakeful::Registry::register`.
    #[allow(unsafe_code)] // polling's signature: the body does nothing unsafe
    pub unsafe fn add(&self, source: impl AsRawSource, interest: Event) -> io::Result<()> {
        self.register(&source, interest, PollMode::Oneshot)
    }

    /// Adds a source in the given mode.
    ///
    /// # Safety
    ///
    /// The source must be [deleted](Poller::delete) before it is closed.
    ///
    /// # Errors
    ///
    /// The errors of [`add`](Poller::add).
    #[allow(unsafe_code)] // polling's signature: the body does nothing unsafe
    pub unsafe fn add_with_mode(
        &self,
        source: impl AsRawSource,
        interest: Event,
        mode: PollMode,
    ) -> io::Result<()> {
        self.register(&source, interest, mode)
    }

    fn register(&self, source: &impl AsRawSource, interest: Event, mode: PollMode) -> io::Result<()> {
        let (token, interest) = translated(interest, mode)?;
        trace!(source = ?source.raw(), ?token, ?interest, "add");
        self.registry.register(&mut Numbered(&source.raw()), token, interest)
    }

    /// Replaces key and interest of a source, in the one-shot mode, and arms it: an event follows if it is ready.
    ///
    /// # Errors
    ///
    /// - `NotFound`: the source has not been added.
    /// - `InvalidInput`: the key is `usize::MAX`.
    /// - Otherwise the errors of `wakeful::Registry::reregister`.
    #[inline]
    pub fn modify(&self, source: impl AsSource, interest: Event) -> io::Result<()> {
        self.modify_with_mode(source, interest, PollMode::Oneshot)
    }

    /// Replaces key, interest and mode of a source, and arms it: an event follows if it is ready.
    ///
    /// # Errors
    ///
    /// The errors of [`modify`](Poller::modify).
    #[inline]
    pub fn modify_with_mode(&self, source: impl AsSource, interest: Event, mode: PollMode) -> io::Result<()> {
        let (token, interest) = translated(interest, mode)?;
        let source = number(&source);
        trace!(source = ?source.raw(), ?token, ?interest, "modify");
        self.registry.reregister(&mut Numbered(&source.raw()), token, interest)
    }

    /// Removes a source. No `wait` that starts afterwards reports it.
    ///
    /// # Errors
    ///
    /// `NotFound`: the source has not been added.
    pub fn delete(&self, source: impl AsSource) -> io::Result<()> {
        let source = number(&source);
        trace!(source = ?source.raw(), "delete");
        self.registry.deregister(&mut Numbered(&source.raw()))
    }

    /// Waits until an event arrives, a [notification](Poller::notify) arrives, or `timeout` has elapsed; appends the
    /// events to `events`, and returns how many the list has.
    ///
    /// `None` waits until an event or a notification arrives. A signal doesn't end the wait. If another thread waits
    /// already, `wait` returns `Ok(0)` at once.
    ///
    /// # Errors
    ///
    /// The errors of `wakeful::Poll::poll`, except `Interrupted`.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        let Some(mut poll) = self.lock() else { return Ok(0) };
        #[cfg(windows)]
        self.iocp.wait(events, timeout, |events, timeout| wait_with(&mut poll, events, timeout))?;
        #[cfg(not(windows))]
        wait_with(&mut poll, events, timeout)?;
        trace!(events = events.len(), "wait");
        Ok(events.len())
    }

    /// Waits as [`wait`](Poller::wait) does, until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// The errors of [`wait`](Poller::wait).
    pub fn wait_deadline(&self, events: &mut Events, deadline: Instant) -> io::Result<usize> {
        self.wait(events, Some(deadline.saturating_duration_since(Instant::now())))
    }

    /// Ends the wait of another thread, or makes the next one return at once. Notifications before that `wait` merge
    /// into one, and none is an event.
    ///
    /// A notification makes a system call only if a thread waits, or if the program has obtained the descriptor of the
    /// poller.
    ///
    /// # Errors
    ///
    /// Any error of the system call that ends the wait; none is known to happen.
    #[inline]
    pub fn notify(&self) -> io::Result<()> {
        trace!("notify");
        #[cfg(windows)]
        self.iocp.notify();
        self.waker.wake()
    }

    /// Returns the `Poll`, unless another thread waits with it.
    fn lock(&self) -> Option<MutexGuard<'_, Poll>> {
        match self.poll.try_lock() {
            Ok(poll) => Some(poll),
            // A panic in a wait leaves a `Poll` that is as good as before.
            Err(TryLockError::Poisoned(poll)) => Some(poll.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// Waits in spite of signals, and appends the events of sources.
#[inline]
fn wait_with(poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
    // The clock is needed only for a wait that may sleep, and that a signal may interrupt.
    let deadline = match timeout {
        None => None,
        Some(timeout) if timeout.is_zero() => None,
        Some(timeout) => Instant::now().checked_add(timeout),
    };
    let mut result = poll.poll(&mut events.batch, timeout);
    while let Err(error) = result {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        result = match deadline {
            Some(deadline) => poll.poll_until(&mut events.batch, deadline),
            None => poll.poll(&mut events.batch, timeout),
        };
    }
    events.append();
    Ok(())
}

/// Returns what a source is registered with.
#[inline]
pub(crate) fn translated(event: Event, mode: PollMode) -> io::Result<(Token, Interest)> {
    if event.key == NOTIFICATION {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "`usize::MAX` is the key of notifications"));
    }
    Ok((Token(event.key), event.interest(mode)))
}

impl Events {
    /// Moves what one `poll` has found into the list.
    fn append(&mut self) {
        let found = self.batch.iter().filter(|event| event.token().0 != NOTIFICATION);
        self.list.extend(found.map(Event::of));
    }

    /// Returns whether the waker has ended the last `poll`.
    #[cfg(windows)]
    pub(crate) fn was_woken(&self) -> bool {
        self.batch.iter().any(|event| event.token().0 == NOTIFICATION)
    }
}

#[cfg(unix)]
impl AsRawFd for Poller {
    fn as_raw_fd(&self) -> RawFd {
        self.registry.as_raw_fd()
    }
}

#[cfg(unix)]
impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.registry.as_fd()
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("registry", &self.registry).finish_non_exhaustive()
    }
}
