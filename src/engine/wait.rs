//! How an engine waits: for events and for wakes, and no longer than a timeout.
//!
//! Invariant: one thread at a time waits, the one that holds the engine's [`Waiting`].

use std::io;
use std::mem;
use std::time::{Duration, Instant};

use super::wakes::Pending;
use super::Engine;
use crate::backend::NO_KERNEL;
use crate::readiness::{Event, Events, Readiness};

/// The state that one call of `poll` leaves to the next.
#[derive(Default)]
pub(crate) struct Waiting {
    /// The last call returned events, so this one may find some without sleeping.
    is_busy: bool,
    /// What a poll has to do beside the usual: the flags below.
    extra: u8,
    /// How long to spin before a sleep.
    pub(crate) spin: Option<Duration>,
}

/// The last call had no room for all wakes. The next one delivers wakes first, or a busy poll would starve them.
const WAKES_FIRST: u8 = 1 << 0;
/// The same, for timers.
const TIMERS_FIRST: u8 = 1 << 1;
/// There are timers.
const TIMERS: u8 = 1 << 2;

/// The shortest sleep that the timer slack shortens a longer one to.
const SHORTEST_SLEEP: Duration = Duration::from_micros(2);

impl Engine {
    /// Does the work of [`Poll::poll`](crate::Poll::poll).
    ///
    /// Inlined into the program, together with its callees down to the system call: some processors make returns after
    /// a system call expensive (`os/unix/calls.rs`), and a poll that finds nothing and doesn't sleep has no return.
    #[inline(always)]
    pub(crate) fn poll(
        &self,
        waiting: &mut Waiting,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        events.clear();
        if events.capacity() == 0 {
            return Err(zero_capacity());
        }
        if waiting.extra != 0 {
            return self.poll_with_extra(waiting, events, timeout);
        }
        self.poll_usual(waiting, events, timeout)
    }

    /// Waits for events and wakes.
    #[inline(always)]
    fn poll_usual(
        &self,
        waiting: &mut Waiting,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        // A sleep with a timeout needs the clock and two steps of the wakers' protocol. A busy poll mostly finds events
        // at once, and saves them.
        if timeout == Some(Duration::ZERO) || (waiting.is_busy && timeout.is_some()) {
            if let Err(e) = self.poll_now(waiting, events) {
                return waiting.end(events, Err(e));
            }
            waiting.is_busy = !events.is_empty();
            if waiting.is_busy || timeout == Some(Duration::ZERO) {
                return Ok(());
            }
        }
        self.sleep_until(waiting, events, timeout)
    }

    /// Delivers first what the last call had no room for. Waits for timers too, if there are any.
    #[cold]
    #[inline(never)]
    fn poll_with_extra(
        &self,
        waiting: &mut Waiting,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        if waiting.has(WAKES_FIRST) {
            let result = self.take_wakes(waiting, events);
            // The wakes that are left come after the sources now, or busy wakers would starve the sources.
            waiting.set(WAKES_FIRST, waiting.has(WAKES_FIRST) && events.spare() > 0);
            if result.is_err() || events.spare() == 0 {
                return waiting.end(events, result);
            }
        }
        if waiting.has(TIMERS_FIRST) {
            self.take_timers(waiting, events, self.selector.now());
            // Those that are left come after the sources now.
            waiting.set(TIMERS_FIRST, false);
            if events.spare() == 0 {
                return waiting.end(events, Ok(()));
            }
        }
        let timeout = if events.is_empty() { timeout } else { Some(Duration::ZERO) };
        match waiting.has(TIMERS) {
            true => self.poll_with_timers(waiting, events, timeout),
            false => self.poll_usual(waiting, events, timeout),
        }
    }

    /// Waits for events, wakes and timers.
    #[cold]
    #[inline(never)]
    fn poll_with_timers(
        &self,
        waiting: &mut Waiting,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            let result = self.poll_now(waiting, events);
            self.take_timers(waiting, events, self.selector.now());
            return waiting.end(events, result);
        }
        let mut now = self.selector.now();
        // A time that an `Instant` can't hold never comes.
        let after = |length: Duration| now.checked_add(length);
        let end = timeout.and_then(after);
        let is_spinning = waiting.spin.filter(|_| self.selector.time_passes());
        let sleep_from = is_spinning.map_or(Some(now), after);
        let mut slack = self.selector.timer_slack();
        loop {
            let result = match sleep_from.is_some_and(|from| from <= now) {
                // As in `sleep_until`, only the first sleep is shortened.
                true => self.sleep_beside_timers(waiting, events, now, end, mem::take(&mut slack)),
                false => self.poll_now(waiting, events),
            };
            now = self.selector.now();
            self.take_timers(waiting, events, now);
            let is_over = end.is_some_and(|end| end <= now);
            if !events.is_empty() || result.is_err() || is_over {
                return waiting.end(events, result);
            }
        }
    }

    /// Sleeps once, until `end` or the first deadline. May return early and empty.
    fn sleep_beside_timers(
        &self,
        waiting: &mut Waiting,
        events: &mut Events,
        now: Instant,
        end: Option<Instant>,
        slack: Duration,
    ) -> io::Result<()> {
        let may_sleep = self.wakes.enter();
        let until = self.timers.next(now).into_iter().chain(end).min();
        let timeout = match may_sleep {
            true => until.map(|until| shortened(until.saturating_duration_since(now), slack)),
            false => Some(Duration::ZERO),
        };
        if let Err(e) = self.wait_cold(events, timeout) {
            self.wakes.abandon();
            return Err(e);
        }
        self.take_wakes(waiting, events)
    }

    /// Reports the timers that are due, as far as there is room.
    fn take_timers(&self, waiting: &mut Waiting, events: &mut Events, now: Instant) {
        let left = self.timers.take(now, events);
        waiting.set(TIMERS, left.are_any);
        waiting.set(TIMERS_FIRST, left.are_due);
    }

    /// Takes the events and wakes that are there, without sleeping.
    #[inline(always)]
    fn poll_now(&self, waiting: &mut Waiting, events: &mut Events) -> io::Result<()> {
        self.wait(events, Some(Duration::ZERO))?;
        self.take_pending_wakes(waiting, events)
    }

    /// Sleeps until an event arrives or `timeout` has elapsed, however often the backend returns empty. Ends the poll.
    #[inline(never)]
    fn sleep_until(
        &self,
        waiting: &mut Waiting,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        // A deadline that an `Instant` can't hold is no deadline.
        let deadline = timeout.and_then(|timeout| self.selector.now().checked_add(timeout));
        // The kernel extends a sleep by the timer slack, so the first sleep is shorter by that. If it does end early
        // (another timer was due, or the thread is a real-time one, which has no slack), a second sleep lasts for the
        // rest. A timeout that has elapsed before the kernel checks it causes no sleep at all (Linux 6.18), so a sleep
        // is never shortened to nothing.
        let slack = self.selector.timer_slack();
        let mut left = timeout.map(|timeout| shortened(timeout, slack));
        if let Some(limit) = waiting.spin.filter(|_| self.selector.time_passes()) {
            match self.spin(waiting, events, limit.min(timeout.unwrap_or(limit))) {
                Ok(now) => {
                    left = deadline.map(|deadline| shortened(deadline.saturating_duration_since(now), slack));
                }
                Err(e) => return waiting.end(events, Err(e)),
            }
            if !events.is_empty() || left == Some(Duration::ZERO) {
                return waiting.end(events, Ok(()));
            }
        }
        let result = self.sleep(waiting, events, left);
        if !events.is_empty() || result.is_err() {
            return waiting.end(events, result);
        }
        if deadline.is_some_and(|deadline| deadline <= self.selector.now()) {
            return waiting.end(events, Ok(()));
        }
        self.sleep_on(waiting, events, deadline)
    }

    /// Sleeps until `deadline` after a sleep that ended early: a change has notified the backend, the kernel has a
    /// limit on timeouts, or there are timers now.
    #[cold]
    #[inline(never)]
    fn sleep_on(
        &self,
        waiting: &mut Waiting,
        events: &mut Events,
        deadline: Option<Instant>,
    ) -> io::Result<()> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(self.selector.now()));
            if waiting.has(TIMERS) {
                return self.poll_with_timers(waiting, events, left);
            }
            let result = match left {
                Some(Duration::ZERO) => return waiting.end(events, Ok(())),
                left => self.sleep(waiting, events, left),
            };
            if !events.is_empty() || result.is_err() {
                return waiting.end(events, result);
            }
        }
    }

    /// Checks for events until there are some, or a timer, or `limit` has elapsed. Returns the time at the end.
    #[inline(never)]
    fn spin(&self, waiting: &mut Waiting, events: &mut Events, limit: Duration) -> io::Result<Instant> {
        let start = Instant::now();
        loop {
            self.wait_cold(events, Some(Duration::ZERO))?;
            self.take_pending_wakes(waiting, events)?;
            let now = Instant::now();
            if !events.is_empty() || waiting.has(TIMERS) || now.duration_since(start) >= limit {
                return Ok(now);
            }
            // A wake shows without a system call, which would take as long as all of this.
            for _ in 0..8 {
                if self.wakes.is_pending() {
                    break;
                }
                std::hint::spin_loop();
            }
        }
    }

    /// Sleeps once. May return early and empty.
    #[inline(always)]
    fn sleep(&self, waiting: &mut Waiting, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = if self.wakes.enter() { timeout } else { Some(Duration::ZERO) };
        if let Err(e) = self.wait(events, timeout) {
            self.wakes.abandon();
            return Err(e);
        }
        self.take_wakes(waiting, events)
    }

    #[inline(always)]
    fn take_pending_wakes(&self, waiting: &mut Waiting, events: &mut Events) -> io::Result<()> {
        if self.wakes.is_pending() {
            self.take_wakes(waiting, events)?;
        }
        Ok(())
    }

    /// Ends the sleep in the wakers' protocol, and delivers the wakes as far as there is room. The others stay pending,
    /// and come first in the next call.
    #[inline(never)]
    fn take_wakes(&self, waiting: &mut Waiting, events: &mut Events) -> io::Result<()> {
        let pending = self.wakes.leave();
        if pending.is_none() {
            waiting.set(WAKES_FIRST, false);
            return Ok(());
        }
        self.deliver(waiting, pending, events)
    }

    #[inline(never)]
    fn deliver(&self, waiting: &mut Waiting, pending: Pending, events: &mut Events) -> io::Result<()> {
        let left = self.wakes.deliver(pending, events.spare(), |token| {
            events.push(Event::new(token, Readiness::READABLE, NO_KERNEL, 0));
        });
        if left.is_none() {
            waiting.set(WAKES_FIRST, false);
            return Ok(());
        }
        self.keep(waiting, left, events)
    }

    /// Has the next call deliver the wakes that found no room, and this one the timers that are due.
    #[cold]
    #[inline(never)]
    fn keep(&self, waiting: &mut Waiting, mut left: Pending, events: &mut Events) -> io::Result<()> {
        waiting.set(WAKES_FIRST, left.without_timers() != Pending::NONE);
        if left.are_timers() {
            // A `poll` that knows of timers looks at them anyway. To another one the change stays pending, so that
            // `sleep_until` doesn't sleep, and `sleep_on` finds that there are timers.
            let knew = waiting.has(TIMERS);
            if !knew {
                self.take_timers(waiting, events, self.selector.now());
            }
            if knew || !waiting.has(TIMERS) {
                left = left.without_timers();
            }
        }
        if !left.is_none() && self.wakes.keep(left) {
            self.notify()?;
        }
        Ok(())
    }
}

/// Returns the length of a sleep that the kernel extends by `slack`.
#[inline]
fn shortened(left: Duration, slack: Duration) -> Duration {
    left.saturating_sub(slack).max(left.min(SHORTEST_SLEEP))
}

impl Waiting {
    fn has(&self, extra: u8) -> bool {
        self.extra & extra != 0
    }

    #[inline]
    fn set(&mut self, extra: u8, is_so: bool) {
        self.extra = self.extra & !extra | if is_so { extra } else { 0 };
    }

    /// The last step of each poll.
    #[inline(never)]
    fn end(&mut self, events: &Events, result: io::Result<()>) -> io::Result<()> {
        self.is_busy = !events.is_empty();
        match result {
            // An error loses no event that was found before it.
            Err(e) if self.is_busy => discard(e),
            result => result,
        }
    }
}

/// Out of line: an inlined drop makes each end of a poll save registers.
#[cold]
#[inline(never)]
fn discard(_: io::Error) -> io::Result<()> {
    Ok(())
}

#[cold]
fn zero_capacity() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the capacity of `events` is 0")
}
