//! How an engine waits: for events and for wakes, and no longer than a timeout.
//!
//! Invariant: one thread at a time waits, the one that holds the engine's [`Waiting`].

use std::io;
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
    /// The last call had no room for all wakes. The next one delivers wakes first, or a busy poll would starve them.
    wakes_first: bool,
    /// How long to spin before a sleep.
    pub(crate) spin: Option<Duration>,
}

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
        let mut timeout = timeout;
        if waiting.wakes_first {
            let result = self.take_wakes_first(waiting, events);
            if result.is_err() || events.spare() == 0 {
                return waiting.end(events, result);
            }
            if !events.is_empty() {
                timeout = Some(Duration::ZERO);
            }
        }
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
        let shortened = |left: Duration| left.saturating_sub(slack).max(left.min(SHORTEST_SLEEP));
        let mut left = timeout.map(shortened);
        if let Some(limit) = waiting.spin.filter(|_| self.selector.time_passes()) {
            match self.spin(waiting, events, limit.min(timeout.unwrap_or(limit))) {
                Ok(now) => {
                    left = deadline.map(|deadline| shortened(deadline.saturating_duration_since(now)));
                }
                Err(e) => return waiting.end(events, Err(e)),
            }
            if !events.is_empty() || left == Some(Duration::ZERO) {
                return waiting.end(events, Ok(()));
            }
        }
        loop {
            let result = self.sleep(waiting, events, left);
            if !events.is_empty() || result.is_err() {
                return waiting.end(events, result);
            }
            // The backend may return early: a change has notified it, or the kernel has a limit on timeouts.
            if let Some(deadline) = deadline {
                let rest = deadline.saturating_duration_since(self.selector.now());
                if rest.is_zero() {
                    return waiting.end(events, Ok(()));
                }
                left = Some(rest);
            }
        }
    }

    /// Checks for events until there are some or `limit` has elapsed. Returns the time at the end.
    #[inline(never)]
    fn spin(&self, waiting: &mut Waiting, events: &mut Events, limit: Duration) -> io::Result<Instant> {
        let start = Instant::now();
        loop {
            self.wait_cold(events, Some(Duration::ZERO))?;
            self.take_pending_wakes(waiting, events)?;
            let now = Instant::now();
            if !events.is_empty() || now.duration_since(start) >= limit {
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

    /// Takes the wakes for which the last call had no room.
    #[cold]
    #[inline(never)]
    fn take_wakes_first(&self, waiting: &mut Waiting, events: &mut Events) -> io::Result<()> {
        self.take_wakes(waiting, events)?;
        // The wakes that are left come after the sources now, or busy wakers would starve the sources.
        waiting.wakes_first &= events.spare() > 0;
        Ok(())
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
            waiting.wakes_first = false;
            return Ok(());
        }
        self.deliver(waiting, pending, events)
    }

    #[inline(never)]
    fn deliver(&self, waiting: &mut Waiting, pending: Pending, events: &mut Events) -> io::Result<()> {
        let left = self.wakes.deliver(pending, events.spare(), |token| {
            events.push(Event::new(token, Readiness::READABLE, NO_KERNEL, 0));
        });
        waiting.wakes_first = !left.is_none();
        if waiting.wakes_first && self.wakes.keep(left) {
            self.notify()?;
        }
        Ok(())
    }
}

impl Waiting {
    /// The last step of each poll.
    #[inline(never)]
    fn end(&mut self, events: &Events, result: io::Result<()>) -> io::Result<()> {
        self.is_busy = !events.is_empty();
        // An error loses no event that was found before it.
        if self.is_busy {
            return Ok(());
        }
        result
    }
}

#[cold]
fn zero_capacity() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the capacity of `events` is 0")
}
