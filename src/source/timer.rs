//! `Timer`: an event source that is ready at a time.
//!
//! Invariant: it holds the engine weakly, so it never keeps the descriptors of a `Poll` open.

use std::fmt;
use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::backend::check_mode;
use crate::engine::deadlines::Deadline;
use crate::engine::errors::{already_registered, not_registered};
use crate::engine::timers::TimerKey;
use crate::engine::{lives, Engine};
use crate::poll::{Registry, Source};
use crate::readiness::{Interest, Token};

/// An event source that becomes readable at a time.
///
/// A new timer isn't set. [`set`](Timer::set) gives it a deadline, or takes it away, from any thread, whether the timer
/// is registered or not. When the deadline has passed, [`poll`](crate::Poll::poll) reports a readable event. There is
/// nothing to read: the next `set` ends the readiness.
///
/// # Guarantees
///
/// - A timer is never early, and late only by what the kernel's sleep is late, or the program's own work between two
///   polls. Deadlines are kept to the nanosecond.
/// - After `set` returns, no later `poll` reports the deadline before.
/// - An event follows each deadline that has passed, one for several of a [periodic](Timer::set_every) timer that no
///   `poll` has found in time. With [`Interest::level`] each `poll` reports the timer until it is set again, and with
///   [`Interest::one_shot`] it is reported once, until `reregister`.
/// - Sources, wakers and timers take turns if the [`Events`](crate::Events) have no room for all.
///
/// # Portability
///
/// Available everywhere, by the timeout of the system call that waits: a timer needs no descriptor, and `set` needs a
/// system call only if the polling thread sleeps beyond the new deadline. The descriptor of a `Poll` doesn't become
/// readable for a timer: a program that watches it passes the time until its first deadline to the outer `poll`. On
/// `wasm32-wasip1-threads` a `set` by another thread ends a sleep within 10 ms.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
/// use wakeful::{Events, Interest, Poll, Timer, Token};
///
/// # fn main() -> std::io::Result<()> {
/// let mut poll = Poll::new()?;
/// let mut events = Events::with_capacity(8);
/// let mut timer = Timer::new();
/// poll.registry().register(&mut timer, Token(3), Interest::READABLE)?;
///
/// let deadline = Instant::now() + Duration::from_millis(5);
/// timer.set(Some(deadline))?;
/// while events.is_empty() {
///     match poll.poll(&mut events, None) {
///         Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
///         result => result?,
///     }
/// }
/// assert!(events.iter().all(|event| event.token() == Token(3) && event.is_readable()));
/// assert!(Instant::now() >= deadline);
/// # Ok(())
/// # }
/// ```
pub struct Timer {
    deadline: Arc<Deadline>,
    registration: Option<Registration>,
}

struct Registration {
    poll_id: u32,
    engine: Weak<Engine>,
    key: TimerKey,
}

impl Timer {
    /// Creates a timer that isn't set.
    #[must_use]
    pub fn new() -> Timer {
        Timer { deadline: Arc::new(Deadline::new()), registration: None }
    }

    /// Sets the deadline, or none. What was set before has no effect any more.
    ///
    /// A deadline that has passed is reported by the next `poll`.
    ///
    /// # Errors
    ///
    /// Any error of the system call that ends the sleep of the polling thread; none is known to happen. The timer is
    /// set nevertheless.
    #[inline]
    pub fn set(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.change(deadline, Duration::ZERO)
    }

    /// Sets the first deadline, and the time from each deadline to the next.
    ///
    /// Deadlines that pass without a `poll` are reported as one. The ones after them keep the phase.
    ///
    /// # Errors
    ///
    /// `InvalidInput`: the period is zero. The timer is set as before then. Otherwise as [`set`](Timer::set).
    pub fn set_every(&self, first: Instant, period: Duration) -> io::Result<()> {
        if period.is_zero() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the period of a timer is zero"));
        }
        self.change(Some(first), period)
    }

    /// Returns the next deadline. Returns `None` if the timer isn't set, or a `poll` has found that its deadline has
    /// elapsed.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.next()
    }

    #[inline]
    fn change(&self, deadline: Option<Instant>, period: Duration) -> io::Result<()> {
        match self.deadline.set(deadline, period) {
            true => self.insert(),
            false => Ok(()),
        }
    }

    /// Has the engine note a deadline that is earlier than the ones before.
    #[inline(never)]
    fn insert(&self) -> io::Result<()> {
        let Some(Registration { engine, key, .. }) = &self.registration else { return Ok(()) };
        engine.upgrade().map_or(Ok(()), |engine| engine.adapt(engine.timers.insert(*key)))
    }

    /// Ends the registration. The timer stays set.
    fn end(&mut self) {
        let Some(Registration { engine, key, .. }) = self.registration.take() else { return };
        if let Some(engine) = engine.upgrade() {
            engine.timers.remove(key);
        }
    }

    /// Returns the registration, if it is one with this `Poll`.
    fn of(&self, registry: &Registry) -> io::Result<&Registration> {
        match &self.registration {
            Some(registration) if registration.poll_id == registry.engine().id => Ok(registration),
            _ => Err(not_registered()),
        }
    }
}

impl Default for Timer {
    fn default() -> Timer {
        Timer::new()
    }
}

impl Source for Timer {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        if self.registration.as_ref().is_some_and(|registration| lives::is_living(registration.poll_id)) {
            return Err(already_registered());
        }
        check_mode(interest)?;
        let engine = registry.engine();
        // Another thread may have to end a sleep.
        engine.selector.prepare_notify()?;
        self.end();
        let (key, sleep) = engine.timers.add(Arc::clone(&self.deadline), token, interest);
        let weak = Arc::downgrade(engine);
        self.registration = Some(Registration { poll_id: engine.id, engine: weak, key });
        engine.adapt(sleep).map_err(|e| {
            self.end();
            e
        })
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        let Registration { key, .. } = self.of(registry)?;
        check_mode(interest)?;
        let engine = registry.engine();
        engine.adapt(engine.timers.replace(*key, token, interest))
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.of(registry)?;
        self.end();
        Ok(())
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}
