//! `Poll`, its registries and its wakers: the face of the engine.

mod registry;
mod waker;

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

/// Sleeps until one of many event sources is ready.
///
/// Register sources with its [`Registry`], then call [`poll`](Poll::poll) in a loop and do what the [`Events`] say.
/// The contract that every platform keeps is in the [guide](crate::guide).
///
/// # Portability
///
/// On Unix the `Poll` has a descriptor (`AsFd`, `AsRawFd`), close-on-exec, that can be watched by another `Poll` or
/// by anything else: it is readable when an event or a wake is pending. With the `posix_poll` backend the kernel
/// has no such thing, and it is readable for wakes alone. Once it was asked for, each wake costs a system call.
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
    /// Creates a `Poll` with the default backend of the platform, [`Backend::default`].
    ///
    /// With the feature `backends` the environment variable `WAKEFUL_BACKEND` may name another one. With the feature
    /// `chaos` the variable `WAKEFUL_CHAOS` may give a seed. The [guide](crate::guide) has both.
    ///
    /// # Errors
    ///
    /// Descriptors or memory have run out (`EMFILE`, `ENFILE`, `ENOMEM`). `InvalidInput`: one of the two environment
    /// variables has a value that it can't have; the error lists the names of the backends. `Unsupported`: it names a
    /// backend that this platform lacks.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let poll = wakeful::Poll::new()?;
    /// println!("{}", poll.backend());
    /// # Ok(())
    /// # }
    /// ```
    pub fn new() -> io::Result<Poll> {
        Poll::of(Backend::chosen()?)
    }

    /// Creates a `Poll` with this backend. Polls with different backends live side by side.
    ///
    /// # Errors
    ///
    /// `Unsupported`: this platform lacks the backend; the error names those that are available. Descriptors or memory
    /// have run out (`EMFILE`, `ENFILE`, `ENOMEM`).
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
    /// spurious events, short transfers, and operations that return `WouldBlock`, after which an event always follows.
    /// For tests.
    ///
    /// The environment variable `WAKEFUL_CHAOS` does the same to every `Poll` of an unmodified program: see the
    /// [guide](crate::guide).
    ///
    /// # Errors
    ///
    /// `Unsupported`: this build lacks the backend. Descriptors or memory have run out (`EMFILE`, `ENFILE`, `ENOMEM`).
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
        // First, since it ends what has begun if the rest fails.
        let poll = Poll::from_engine(Engine::new(Selector::new(backend)?, layer));
        let Engine { selector, layer, .. } = poll.engine();
        trace!("poll: {}, {}", selector.backend(), if layer.is_none() { "plain" } else { "with chaos" });
        layer.prepare(selector)?;
        Ok(poll)
    }

    fn from_engine(engine: Engine) -> Poll {
        Poll { registry: Registry::new(Arc::new(engine)), waiting: Waiting::default() }
    }

    /// The backend that this uses.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.engine().selector.backend()
    }

    /// Where sources are registered.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Sleeps until there are events, or until `timeout` is over, and puts the events into `events`.
    ///
    /// `None` sleeps until an event; zero doesn't sleep. Any other timeout is kept to the nanosecond, as far as the
    /// kernel's timers go (on Linux mostly some 15 us late): the call never comes back empty before it is over, and
    /// nothing that happens within restarts it.
    ///
    /// `events` is cleared first. It takes at most its capacity; what is left comes with the next calls, and
    /// nothing starves.
    ///
    /// Spurious events are possible, and `WouldBlock` is then the answer of the operation.
    ///
    /// # Errors
    ///
    /// - `Interrupted`: a signal handler has run; nothing is lost, call again.
    /// - `InvalidInput`: the capacity of `events` is 0. With `posix_poll` also if more sources are registered than the
    ///   process may have descriptors open (`RLIMIT_NOFILE`), as after lowering that limit.
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

    /// Like [`poll`](Poll::poll), but sleeps until `deadline` at the latest. One that is past doesn't sleep.
    ///
    /// # Errors
    ///
    /// Those of [`poll`](Poll::poll).
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

    /// Makes [`poll`](Poll::poll) look for events again and again, for as long as `limit`, before it sleeps. `None`, as
    /// it is in a new `Poll`, lets it sleep at once.
    ///
    /// To wake a thread on another processor takes 5 to 50 us; a thread that spins finds the event in less than one,
    /// and a [`Waker`] needs no system call to wake it. The price is a processor kept busy, up to `limit` for each call
    /// that finds nothing. Spin where what comes next comes soon (requests that are answered within microseconds), by
    /// 20 to 50 us, and only with more processors than busy threads: whoever spins on the processor that the sender of
    /// the event waits for delays it. Measure it.
    ///
    /// Timeouts are kept as without it. A signal that comes while it spins gives no `Interrupted`, as one that comes
    /// just before a `poll` gives none. A simulated `Poll` never spins: its time doesn't pass by itself.
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
