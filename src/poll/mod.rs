//! `Poll`, its registries and its wakers: the public face of the engine.
//!
//! Invariant: everything that threads share is in the engine; a `Poll` adds only the state that one call leaves to the
//! next.

mod registry;
mod waker;

#[cfg(all(unix, feature = "os-ext"))]
pub(crate) use self::registry::change_filter;
pub use self::registry::{Registry, Source};
pub use self::waker::Waker;

use std::fmt;
use std::io;
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::{Backend, Selector};
#[cfg(feature = "chaos")]
use crate::engine::chaos::Chaos;
use crate::engine::layer::Layer;
use crate::engine::wait::Waiting;
use crate::engine::Engine;
use crate::readiness::Events;

/// Waits until event sources are ready.
///
/// Register sources with the [`Registry`], then call [`poll`](Poll::poll) in a loop and handle the [`Events`]. The
/// [guide](crate::guide) has the contract that every platform keeps.
///
/// # Portability
///
/// On Unix a `Poll` has a descriptor (`AsFd`, `AsRawFd`), which is close-on-exec. Another `Poll`, or any other call
/// that watches descriptors, can watch it: it is readable while an event or a wake is pending. With the `posix_poll`
/// backend it is readable for wakes alone, since the kernel has no descriptor for a set of sources. Once a program has
/// obtained the descriptor, each wake costs a system call.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "net")]
/// # fn main() -> std::io::Result<()> {
/// use std::io::ErrorKind;
/// use wakeful::{net::TcpListener, net::TcpStream, Events, Interest, Poll, Token};
///
/// const SERVER: Token = Token(0);
/// const CLIENT: Token = Token(1);
///
/// let mut poll = Poll::new()?;
/// let mut events = Events::with_capacity(128);
///
/// let mut server = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// poll.registry().register(&mut server, SERVER, Interest::READABLE)?;
/// let mut client = TcpStream::connect(server.local_addr()?)?;
/// poll.registry().register(&mut client, CLIENT, Interest::WRITABLE)?;
///
/// let (mut accepted, mut connected) = (false, false);
/// while !(accepted && connected) {
///     match poll.poll(&mut events, None) {
///         Err(e) if e.kind() == ErrorKind::Interrupted => continue,
///         result => result?,
///     }
///     for event in &events {
///         match event.token() {
///             SERVER => accepted |= server.accept().is_ok(),
///             CLIENT => connected |= client.peer_addr().is_ok(),
///             _ => unreachable!(),
///         }
///     }
/// }
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "net"))] fn main() {}
/// ```
pub struct Poll {
    registry: Registry,
    waiting: Waiting,
}

impl Poll {
    /// Creates a `Poll` with the platform's default backend, [`Backend::default`].
    ///
    /// With the feature `backends` the environment variable `WAKEFUL_BACKEND` can name another backend. With the
    /// feature `chaos` the variable `WAKEFUL_CHAOS` can give a seed. The [guide](crate::guide) describes both.
    ///
    /// # Errors
    ///
    /// - `EMFILE`, `ENFILE`: out of descriptors. `ENOMEM`: out of memory.
    /// - `InvalidInput`: one of the two environment variables has an invalid value. For `WAKEFUL_BACKEND` the error
    ///   lists the names of the backends.
    /// - `Unsupported`: `WAKEFUL_BACKEND` names a backend that this platform lacks.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let poll = wakeful::Poll::new()?;
    /// println!("{}", poll.backend());
    /// # Ok(())
    /// # }
    /// ```
    pub fn new() -> io::Result<Poll> {
        #[cfg(feature = "sim")]
        if let Some(selector) = Selector::of_task() {
            return Ok(Poll::with_selector(selector));
        }
        Poll::of(Backend::chosen()?)
    }

    /// Creates a `Poll` with `backend`. A program can use polls with different backends side by side.
    ///
    /// # Errors
    ///
    /// - `Unsupported`: this platform lacks the backend. The error names those that are available.
    /// - `EMFILE`, `ENFILE`: out of descriptors. `ENOMEM`: out of memory.
    ///
    /// ```
    /// use wakeful::{Backend, Poll};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let poll = Poll::with_backend(Backend::default())?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "backends")]
    pub fn with_backend(backend: Backend) -> io::Result<Poll> {
        #[cfg(feature = "sim")]
        if let Some(selector) = Selector::of_task().filter(|_| backend == Backend::Sim) {
            return Ok(Poll::with_selector(selector));
        }
        Poll::of(backend)
    }

    fn of(backend: Backend) -> io::Result<Poll> {
        #[cfg(feature = "chaos")]
        if let Some(seed) = Chaos::seed_of_environment()? {
            return Poll::prepared(backend, |id| Layer::of_chaos(Chaos::of_poll(seed, id)));
        }
        Poll::prepared(backend, |_| Layer::NONE)
    }

    /// Creates a `Poll` that injects legal but rare behaviour, chosen by `seed`: delayed, split, merged, reordered and
    /// spurious events, short transfers, and `WouldBlock`, after which an event always follows. Use it in tests.
    ///
    /// The environment variable `WAKEFUL_CHAOS` does the same to every `Poll` of an unmodified program: see the
    /// [guide](crate::guide).
    ///
    /// # Errors
    ///
    /// - `Unsupported`: this build lacks the backend.
    /// - `EMFILE`, `ENFILE`: out of descriptors. `ENOMEM`: out of memory.
    ///
    /// ```
    /// use wakeful::{Backend, Poll};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let poll = Poll::with_chaos(Backend::default(), 17)?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "chaos")]
    pub fn with_chaos(backend: Backend, seed: u64) -> io::Result<Poll> {
        Poll::prepared(backend, |_| Layer::of_chaos(Chaos::new(seed)))
    }

    #[cfg(feature = "sim")]
    pub(crate) fn with_selector(selector: Selector) -> Poll {
        Poll::from_engine(Engine::new(selector, |_| Layer::NONE))
    }

    fn prepared(backend: Backend, layer: impl FnOnce(u32) -> Layer) -> io::Result<Poll> {
        // Created first: if the rest fails, dropping it undoes the start.
        let poll = Poll::from_engine(Engine::new(Selector::new(backend)?, layer));
        let Engine { selector, layer, .. } = poll.engine();
        trace!("poll: {}, {}", selector.backend(), if layer.is_none() { "plain" } else { "with chaos" });
        layer.prepare(selector)?;
        Ok(poll)
    }

    fn from_engine(engine: Engine) -> Poll {
        Poll { registry: Registry::new(Arc::new(engine)), waiting: Waiting::default() }
    }

    /// Returns the backend of this `Poll`.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.engine().selector.backend()
    }

    /// Returns the registry, which registers sources with this `Poll`.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Waits until an event arrives or `timeout` has elapsed, and stores the events in `events`.
    ///
    /// `None` blocks until an event arrives, and a zero timeout returns at once. With any other timeout, `poll` does
    /// not return empty before the timeout has elapsed, and nothing that happens meanwhile restarts it. The resolution
    /// is that of the kernel's timers, at best a nanosecond; on Linux expect to be about 15 us late.
    ///
    /// `poll` clears `events` first, and stores no more events than its capacity. Events that don't fit are returned by
    /// later calls, and no source starves.
    ///
    /// Events can be spurious; the operation then fails with `WouldBlock`.
    ///
    /// # Errors
    ///
    /// - `Interrupted`: a signal has arrived, usually one that has a handler. On Linux the end of a child process can
    ///   interrupt `poll` without a handler. No event is lost: call `poll` again.
    /// - `InvalidInput`: the capacity of `events` is 0. With `posix_poll` also: more sources are registered than the
    ///   process may have descriptors open (`RLIMIT_NOFILE`), for example after that limit was lowered.
    ///
    /// After an error `events` is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use wakeful::{Events, Poll};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let mut poll = Poll::new()?;
    /// let mut events = Events::with_capacity(8);
    ///
    /// let start = Instant::now();
    /// poll.poll(&mut events, Some(Duration::from_micros(500)))?;
    /// assert!(events.is_empty());
    /// assert!(start.elapsed() >= Duration::from_micros(500));
    /// # Ok(())
    /// # }
    /// ```
    #[inline(always)]
    pub fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.registry.engine().poll(&mut self.waiting, events, timeout)
    }

    /// Waits as [`poll`](Poll::poll) does, until an event arrives or `deadline` is reached. A deadline in the past
    /// returns at once.
    ///
    /// # Errors
    ///
    /// The errors of [`poll`](Poll::poll).
    ///
    /// # Examples
    ///
    /// A loop with a deadline needs no arithmetic:
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use std::time::{Duration, Instant};
    /// use wakeful::{Events, Poll};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let mut poll = Poll::new()?;
    /// let mut events = Events::with_capacity(8);
    /// let deadline = Instant::now() + Duration::from_millis(2);
    ///
    /// while Instant::now() < deadline {
    ///     match poll.poll_until(&mut events, deadline) {
    ///         Err(e) if e.kind() == ErrorKind::Interrupted => continue,
    ///         result => result?,
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[inline(always)]
    pub fn poll_until(&mut self, events: &mut Events, deadline: Instant) -> io::Result<()> {
        let timeout = deadline.saturating_duration_since(self.registry.engine().selector.now());
        self.poll(events, Some(timeout))
    }

    /// Makes [`poll`](Poll::poll) check for events repeatedly, for as long as `limit`, before it sleeps. With `None`,
    /// the default, `poll` sleeps at once.
    ///
    /// Waking a thread on another processor takes 5 to 50 us. A thread that spins finds the event in less than 1 us,
    /// and a [`Waker`] needs no system call to wake it. The price is a busy processor, for up to `limit` in each call
    /// that finds no event.
    ///
    /// Spin for 20 to 50 us, and only if the next event comes soon (requests that are answered within microseconds) and
    /// there are more processors than busy threads. If the spinning thread occupies the processor that the sender of
    /// the event needs, it delays the event that it waits for. Measure.
    ///
    /// Timeouts are the same with and without spinning. A signal that arrives while `poll` spins does not cause
    /// `Interrupted`; neither does one that arrives just before `poll`. A simulated `Poll` never spins, since spinning
    /// doesn't advance its time.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    /// use wakeful::{Events, Poll};
    ///
    /// let mut poll = Poll::new()?;
    /// poll.set_spin(Some(Duration::from_micros(20)));
    /// poll.poll(&mut Events::with_capacity(8), Some(Duration::from_millis(1)))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_spin(&mut self, limit: Option<Duration>) {
        self.waiting.spin = limit.filter(|limit| !limit.is_zero());
    }

    #[inline]
    fn engine(&self) -> &Engine {
        self.registry.engine()
    }
}

#[cfg(unix)]
impl AsFd for Poll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.registry.as_fd()
    }
}

#[cfg(unix)]
impl AsRawFd for Poll {
    fn as_raw_fd(&self) -> RawFd {
        self.registry.as_raw_fd()
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.engine().layer.end();
    }
}

impl fmt::Debug for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poll").field("registry", &self.registry).finish_non_exhaustive()
    }
}
