//! The timers of one `Poll`: which are due, and until when a `poll` may sleep.
//!
//! A `Poll` without timers looks at nothing here. The first timer tells the polling thread by a bit among the wakes
//! (`wakes.rs`), and from then on each `poll` asks for the first deadline before it sleeps.
//!
//! Invariant: `earliest` is no later than the first deadline. It is written under the lock, and read without it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::deadlines::{Deadlines, Nanos, NEVER};
use crate::backend::{SlabKey, NO_KERNEL};
use crate::readiness::{Event, Events, Interest, Readiness, Token};

/// Names a timer of one `Poll`.
pub(crate) type TimerKey = SlabKey;

/// The base in nanoseconds: there are deadlines before it.
const BASE: Nanos = 1 << 63;

/// The timers of one `Poll`.
pub(crate) struct Timers {
    queue: OnceLock<Arc<Queue>>,
}

/// The timers, for the polling thread and for those who set them.
pub(crate) struct Queue {
    /// Where the deadlines count from.
    base: Instant,
    earliest: AtomicU64,
    state: Mutex<State>,
}

struct State {
    deadlines: Deadlines<Timer>,
    /// The timers whose event is due, in the order in which they came to be.
    due: VecDeque<TimerKey>,
    /// Whether the polling thread knows that there are timers.
    is_known: bool,
}

struct Timer {
    token: Token,
    interest: Interest,
    /// How long after a deadline the next one is; 0 for none.
    period: Nanos,
    /// The last deadline that has come since the timer was set; [`NEVER`] if none has.
    expired: Nanos,
    /// Whether it is in `due`.
    is_queued: bool,
    /// Whether the event of a one-shot registration was reported.
    is_spent: bool,
}

impl Timer {
    fn wants_event(&self) -> bool {
        self.expired != NEVER && self.interest.is_readable() && !self.is_spent
    }
}

/// What a change asks of the caller: to end a sleep of the polling thread, if it sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sleep {
    MayGoOn,
    /// The first deadline is earlier now.
    IsTooLong,
    /// The polling thread doesn't know of timers.
    KnowsNone,
}

impl Timers {
    pub(crate) const fn new() -> Timers {
        Timers { queue: OnceLock::new() }
    }

    /// Returns the queue, which is made for the first timer. `now` is any time of the engine's clock.
    pub(crate) fn queue(&self, now: Instant) -> &Arc<Queue> {
        self.queue.get_or_init(|| {
            let state = State { deadlines: Deadlines::new(), due: VecDeque::new(), is_known: false };
            Arc::new(Queue { base: now, earliest: AtomicU64::new(NEVER), state: Mutex::new(state) })
        })
    }

    /// Reports timers that are due, as many as there is space for. Returns whether some are left.
    pub(super) fn take(&self, now: Instant, events: &mut Events) -> bool {
        let Some(queue) = self.queue.get() else { return false };
        let mut state = queue.lock();
        state.expire(queue.nanos(now));
        // A level-triggered one comes again in the next `poll`, behind the others.
        for _ in 0..state.due.len() {
            if events.spare() == 0 {
                return true;
            }
            let Some(key) = state.due.pop_front() else { break };
            let Some(timer) = state.deadlines.get_mut(key) else { continue };
            timer.is_queued = false;
            if !timer.wants_event() {
                continue;
            }
            events.push(Event::new(timer.token, Readiness::READABLE, NO_KERNEL, 0));
            timer.is_spent = timer.interest.is_one_shot();
            if timer.interest.is_level() {
                state.queue(key);
            }
        }
        false
    }

    /// Returns until when a `poll` may sleep: `None` without a deadline. What is due is in the past.
    pub(super) fn next(&self) -> Option<Instant> {
        let queue = self.queue.get()?;
        let mut state = queue.lock();
        let first = if state.due.is_empty() { state.deadlines.first() } else { 0 };
        queue.earliest.store(first, Ordering::Release);
        (first != NEVER).then(|| queue.instant(first))
    }

    /// Returns whether a deadline has been set that is earlier than `planned`, without the lock.
    pub(super) fn is_earlier_than(&self, planned: Option<Instant>) -> bool {
        let Some(queue) = self.queue.get() else { return false };
        let planned = planned.map_or(NEVER, |planned| queue.nanos(planned));
        queue.earliest.load(Ordering::Acquire) < planned
    }

    /// Notes whether the polling thread asks for timers. Without timers it needs not.
    pub(super) fn are_needed(&self) -> bool {
        let Some(queue) = self.queue.get() else { return false };
        let mut state = queue.lock();
        state.is_known = !state.deadlines.is_empty();
        state.is_known
    }
}

impl Queue {
    /// Adds a timer, which isn't set.
    pub(crate) fn add(&self, token: Token, interest: Interest) -> TimerKey {
        let (expired, period) = (NEVER, 0);
        self.lock().deadlines.add(Timer {
            token,
            interest,
            period,
            expired,
            is_queued: false,
            is_spent: false,
        })
    }

    /// Removes a timer. Returns how it was set: one that has expired since then is due where it is added next.
    pub(crate) fn remove(&self, key: TimerKey) -> (Option<Instant>, Duration) {
        let mut state = self.lock();
        let deadline = state.deadlines.deadline(key);
        let Some(timer) = state.deadlines.remove(key) else { return (None, Duration::ZERO) };
        if timer.is_queued {
            state.due.retain(|&due| due != key);
        }
        let deadline = deadline.min(timer.expired);
        ((deadline != NEVER).then(|| self.instant(deadline)), Duration::from_nanos(timer.period))
    }

    /// Sets a timer, or ends its wait.
    #[inline]
    pub(crate) fn set(&self, key: TimerKey, deadline: Option<Instant>, period: Duration) -> Sleep {
        let deadline = deadline.map_or(NEVER, |deadline| self.nanos(deadline));
        let mut state = self.lock();
        let Some(timer) = state.deadlines.get_mut(key) else { return Sleep::MayGoOn };
        timer.expired = NEVER;
        timer.period = saturated(period);
        state.deadlines.set(key, deadline);
        self.changed(&state, deadline)
    }

    /// Replaces token and interest. A timer that has expired since it was set is reported again.
    pub(crate) fn replace(&self, key: TimerKey, token: Token, interest: Interest) -> Sleep {
        let mut state = self.lock();
        let Some(timer) = state.deadlines.get_mut(key) else { return Sleep::MayGoOn };
        (timer.token, timer.interest, timer.is_spent) = (token, interest, false);
        let is_due = timer.wants_event();
        state.queue(key);
        self.changed(&state, if is_due { 0 } else { NEVER })
    }

    /// Returns when a timer is due next.
    pub(crate) fn deadline(&self, key: TimerKey) -> Option<Instant> {
        let deadline = self.lock().deadlines.deadline(key);
        (deadline != NEVER).then(|| self.instant(deadline))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nanos(&self, time: Instant) -> Nanos {
        match time.checked_duration_since(self.base) {
            Some(after) => BASE.saturating_add(saturated(after)).min(NEVER - 1),
            None => BASE.saturating_sub(saturated(self.base - time)),
        }
    }

    fn instant(&self, nanos: Nanos) -> Instant {
        match nanos.checked_sub(BASE) {
            Some(after) => self.base.checked_add(Duration::from_nanos(after)),
            None => self.base.checked_sub(Duration::from_nanos(BASE - nanos)),
        }
        .unwrap_or(self.base)
    }

    /// Notes that a deadline was set.
    fn changed(&self, state: &State, deadline: Nanos) -> Sleep {
        if !state.is_known {
            return Sleep::KnowsNone;
        }
        // Only under the lock is it written.
        if deadline >= self.earliest.load(Ordering::Relaxed) {
            return Sleep::MayGoOn;
        }
        self.earliest.store(deadline, Ordering::Release);
        Sleep::IsTooLong
    }
}

fn saturated(length: Duration) -> Nanos {
    Nanos::try_from(length.as_nanos()).unwrap_or(NEVER)
}

impl State {
    /// Queues what has come to be due, and sets the next deadline of what is periodic.
    fn expire(&mut self, now: Nanos) {
        while let Some((key, deadline)) = self.deadlines.take_due(now) {
            let Some(timer) = self.deadlines.get_mut(key) else { continue };
            timer.expired = deadline;
            if let Some(missed) = (now - deadline).checked_div(timer.period) {
                // The phase is kept, and what was missed isn't made up for.
                let next =
                    (missed + 1).checked_mul(timer.period).and_then(|ahead| deadline.checked_add(ahead));
                self.deadlines.set(key, next.unwrap_or(NEVER));
            }
            self.queue(key);
        }
    }

    /// Queues a timer's event, if it has one to report.
    fn queue(&mut self, key: TimerKey) {
        let Some(timer) = self.deadlines.get_mut(key) else { return };
        if timer.wants_event() && !timer.is_queued {
            timer.is_queued = true;
            self.due.push_back(key);
        }
    }
}
