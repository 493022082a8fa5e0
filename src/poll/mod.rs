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

use crate::backend::{Backend, Selector, NO_KERNEL};
#[cfg(feature = "chaos")]
use crate::engine::chaos::Chaos;
use crate::engine::layer::Layer;
use crate::engine::wakes::Pending;
use crate::engine::Engine;
use crate::os::TIMER_SLACK;
use crate::readiness::{Event, Events, Readiness};

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
    /// The last call brought events, so this one may well find some without sleeping.
    is_busy: bool,
    /// The last call had no room for all wakes: they come first now, or a busy poll would starve them.
    wakes_first: bool,
    /// How long to look for events before a sleep.
    spin: Option<Duration>,
}

impl Poll {
    /// Creates a `Poll` with the default backend of the platform, [`Backend::default`].
    ///
    /// With the feature `backends` the environment variable `WAKEFUL_BACKEND` may name another one, and with the feature
    /// `chaos` the variable `WAKEFUL_CHAOS` may give a seed: see the [guide](crate::guide).
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
        Poll { registry: Registry::new(Arc::new(engine)), is_busy: false, wakes_first: false, spin: None }
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
        // Inlined into the program, with what is called here, down to the system call: where returns are dear after
        // one (`os/unix/calls.rs`), a poll that finds nothing and doesn't sleep has none.
        events.clear();
        if events.capacity() == 0 {
            return Err(no_room());
        }
        let mut timeout = timeout;
        if self.wakes_first {
            let result = self.take_wakes_first(events);
            if result.is_err() || events.spare() == 0 {
                return self.end(events, result);
            }
            if !events.is_empty() {
                timeout = Some(Duration::ZERO);
            }
        }
        // A sleep with a limit needs the clock and two steps of the wakers' protocol. A busy poll mostly finds
        // something at once, and saves them.
        if timeout == Some(Duration::ZERO) || (self.is_busy && timeout.is_some()) {
            if let Err(e) = self.look(events) {
                return self.end(events, Err(e));
            }
            self.is_busy = !events.is_empty();
            if self.is_busy || timeout == Some(Duration::ZERO) {
                return Ok(());
            }
        }
        self.sleep_until(events, timeout)
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
        let timeout = deadline.saturating_duration_since(self.engine().selector.now());
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
        let time_passes = self.backend() != Backend::Sim;
        self.spin = limit.filter(|limit| time_passes && !limit.is_zero());
    }

    /// Takes the wakes for which the last call had no room.
    #[cold]
    #[inline(never)]
    fn take_wakes_first(&mut self, events: &mut Events) -> io::Result<()> {
        self.take_wakes(events)?;
        // Those that are left come after the sources now, or busy wakers would starve these.
        self.wakes_first &= events.spare() > 0;
        Ok(())
    }

    /// The last step of each poll.
    #[inline(never)]
    fn end(&mut self, events: &Events, result: io::Result<()>) -> io::Result<()> {
        self.is_busy = !events.is_empty();
        // What was found before an error is not lost.
        if self.is_busy {
            return Ok(());
        }
        result
    }

    /// Sleeps until there are events or `timeout` is over, however often the backend comes back. It ends the poll.
    #[inline(never)]
    fn sleep_until(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        // A timeout that is over after the end of time is none.
        let deadline = timeout.and_then(|timeout| self.engine().selector.now().checked_add(timeout));
        // A sleep lasts as much longer as the kernel allows itself, so it is asked to be so much shorter. If it does
        // end early (another timer was due, or the thread is a real-time one, which has no slack), the rest is asked
        // for as it is. What is over before the kernel looks isn't slept at all (Linux 6.18), so something is left.
        let slack = if self.backend() == Backend::Sim { Duration::ZERO } else { TIMER_SLACK };
        let shortened = |left: Duration| left.saturating_sub(slack).max(left.min(SHORTEST_SLEEP));
        let mut left = timeout.map(shortened);
        if let Some(limit) = self.spin {
            match self.spin(events, limit.min(timeout.unwrap_or(limit))) {
                Ok(now) => {
                    left = deadline.map(|deadline| shortened(deadline.saturating_duration_since(now)));
                }
                Err(e) => return self.end(events, Err(e)),
            }
            if !events.is_empty() || left == Some(Duration::ZERO) {
                return self.end(events, Ok(()));
            }
        }
        loop {
            let result = self.sleep(events, left);
            if !events.is_empty() || result.is_err() {
                return self.end(events, result);
            }
            // The backend may come back early: it was notified of a change, or the kernel can't count that far.
            if let Some(deadline) = deadline {
                let rest = deadline.saturating_duration_since(self.engine().selector.now());
                if rest.is_zero() {
                    return self.end(events, Ok(()));
                }
                left = Some(rest);
            }
        }
    }

    /// Looks for events until there are some or `limit` is over; the time then.
    #[inline(never)]
    fn spin(&mut self, events: &mut Events, limit: Duration) -> io::Result<Instant> {
        let start = Instant::now();
        loop {
            self.engine().wait_apart(events, Some(Duration::ZERO))?;
            self.take_pending_wakes(events)?;
            let now = Instant::now();
            if !events.is_empty() || now.duration_since(start) >= limit {
                return Ok(now);
            }
            // A wake shows without asking the kernel, which would take as long as all of this.
            for _ in 0..8 {
                if self.engine().wakes.is_pending() {
                    break;
                }
                std::hint::spin_loop();
            }
        }
    }

    /// Takes what is there.
    #[inline(always)]
    fn look(&mut self, events: &mut Events) -> io::Result<()> {
        self.engine().wait(events, Some(Duration::ZERO))?;
        self.take_pending_wakes(events)
    }

    #[inline(always)]
    fn take_pending_wakes(&mut self, events: &mut Events) -> io::Result<()> {
        if self.engine().wakes.is_pending() {
            self.take_wakes(events)?;
        }
        Ok(())
    }

    /// Waits for something, though it may come back with nothing.
    #[inline(always)]
    fn sleep(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let engine = self.engine();
        let timeout = if engine.wakes.enter() { timeout } else { Some(Duration::ZERO) };
        if let Err(e) = engine.wait(events, timeout) {
            engine.wakes.abandon();
            return Err(e);
        }
        self.take_wakes(events)
    }

    /// The poller is awake: takes the wakes and delivers them as far as there is room. Others stay pending, and come
    /// first in the next call.
    #[inline(never)]
    fn take_wakes(&mut self, events: &mut Events) -> io::Result<()> {
        let pending = self.engine().wakes.leave();
        if pending.is_none() {
            self.wakes_first = false;
            return Ok(());
        }
        self.deliver(pending, events)
    }

    #[inline(never)]
    fn deliver(&mut self, pending: Pending, events: &mut Events) -> io::Result<()> {
        let engine = self.registry.engine();
        let left = engine.wakes.deliver(pending, events.spare(), |token| {
            events.push(Event::new(token, Readiness::READABLE, NO_KERNEL, 0));
        });
        self.wakes_first = !left.is_none();
        if self.wakes_first && engine.wakes.keep(left) {
            engine.notify()?;
        }
        Ok(())
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

/// The shortest sleep that is made of a longer one.
const SHORTEST_SLEEP: Duration = Duration::from_micros(2);

#[cold]
fn no_room() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the capacity of `events` is 0")
}
