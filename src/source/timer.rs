//! `Timer`: an event source that is ready at a time.
//!
//! Invariant: it holds the engine weakly, so it never keeps the descriptors of a `Poll` open.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::engine::errors::{already_registered, not_registered};
use crate::engine::timers::{Queue, Sleep, TimerKey};
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
/// Available everywhere, by the timeout of the system call that waits: a timer needs no descriptor, and setting it needs
/// a system call only if the polling thread sleeps for longer than until the new deadline. A `Poll` that is watched by
/// its descriptor doesn't become readable for a timer. On `wasm32-wasip1-threads` a `set` by another thread ends a sleep
/// within 10 ms.
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
    registration: Option<Registration>,
    /// How it is set while it isn't registered.
    setting: Mutex<Setting>,
}

struct Registration {
    poll_id: u32,
    queue: Arc<Queue>,
    key: TimerKey,
    /// To end a sleep.
    engine: Weak<Engine>,
}

#[derive(Clone, Copy)]
struct Setting {
    deadline: Option<Instant>,
    period: Duration,
}

impl Timer {
    /// Creates a timer that isn't set.
    #[must_use]
    pub const fn new() -> Timer {
        let setting = Setting { deadline: None, period: Duration::ZERO };
        Timer { registration: None, setting: Mutex::new(setting) }
    }

    /// Sets the deadline, or none. What was set before has no effect any more.
    ///
    /// A deadline that has passed is reported by the next `poll`.
    ///
    /// # Errors
    ///
    /// Any error of the system call that ends the sleep of the polling thread; none is known to happen. The timer is set
    /// nevertheless.
    #[inline]
    pub fn set(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.change(Setting { deadline, period: Duration::ZERO })
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
        self.change(Setting { deadline: Some(first), period })
    }

    /// Returns the next deadline. `None`: the timer isn't set, or its deadline has come.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match &self.registration {
            Some(registration) => registration.queue.deadline(registration.key),
            None => self.setting().deadline,
        }
    }

    #[inline]
    fn change(&self, setting: Setting) -> io::Result<()> {
        let Some(registration) = &self.registration else {
            *self.setting() = setting;
            return Ok(());
        };
        match registration.queue.set(registration.key, setting.deadline, setting.period) {
            Sleep::MayGoOn => Ok(()),
            sleep => registration.engine.upgrade().map_or(Ok(()), |engine| engine.adapt(sleep)),
        }
    }

    fn setting(&self) -> MutexGuard<'_, Setting> {
        self.setting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the registration. The timer stays set.
    fn end(&mut self) {
        if let Some(Registration { queue, key, .. }) = self.registration.take() {
            let (deadline, period) = queue.remove(key);
            *self.setting() = Setting { deadline, period };
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
        let engine = registry.engine();
        // Another thread may have to end a sleep.
        engine.selector.prepare_notify()?;
        self.end();
        let queue = Arc::clone(engine.timers.queue(engine.selector.now()));
        let key = queue.add(token, interest);
        let engine = Arc::downgrade(engine);
        self.registration = Some(Registration { poll_id: registry.engine().id, queue, key, engine });
        let setting = *self.setting();
        self.change(setting)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        let Registration { queue, key, .. } = self.of(registry)?;
        registry.engine().adapt(queue.replace(*key, token, interest))
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
