//! The timers of one `Poll`: which are due, and until when a `poll` may sleep.
//!
//! A `Poll` without timers looks at nothing here. The first timer tells the polling thread by a bit among the wakes
//! (`wakes.rs`), and from then on each `poll` asks for the first deadline before it sleeps.
//!
//! Invariant: the polling thread announces its sleep (`Wakes::enter`) before it asks for the first deadline, and a
//! thread that has made its deadline the first looks for a sleep afterwards (`Wakes::raise_timers`). One of the two is
//! the later one under the lock, and sees the other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::deadlines::{Deadline, Deadlines};
use crate::backend::{SlabKey, NO_KERNEL};
use crate::readiness::{Event, Events, Interest, Readiness, Token};

/// Names a timer of one `Poll`.
pub(crate) type TimerKey = SlabKey;

/// The timers of one `Poll`.
pub(crate) struct Timers {
    /// Boxed, to keep the fields that each poll reads adjacent.
    state: Box<Mutex<State>>,
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
    /// Whether it is in `due`.
    is_queued: bool,
    /// Whether the event of a one-shot registration was reported.
    is_spent: bool,
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

/// What is left after those that are due were reported.
pub(super) struct Left {
    /// Some are due that found no room.
    pub(super) are_due: bool,
    /// The next `poll` has to look at the timers: there are some.
    pub(super) are_any: bool,
}

impl Timers {
    pub(crate) fn new() -> Timers {
        let state = State { deadlines: Deadlines::new(), due: VecDeque::new(), is_known: false };
        Timers { state: Box::new(Mutex::new(state)) }
    }

    /// Adds a timer, with the deadline that it has.
    pub(crate) fn add(&self, deadline: Arc<Deadline>, token: Token, interest: Interest) -> (TimerKey, Sleep) {
        let mut state = self.lock();
        let timer = Timer { token, interest, is_queued: false, is_spent: false };
        let key = state.deadlines.add(deadline, timer);
        // For the case that all are due.
        let missing = state.deadlines.count().saturating_sub(state.due.len());
        state.due.reserve(missing);
        let is_due = state.queue(key);
        let is_first = state.deadlines.insert(key);
        (key, state.sleep(is_due || is_first))
    }

    pub(crate) fn remove(&self, key: TimerKey) {
        let mut state = self.lock();
        if state.deadlines.remove(key).is_some_and(|timer| timer.is_queued) {
            state.due.retain(|&due| due != key);
        }
    }

    /// Notes a deadline that is earlier than the ones before.
    pub(crate) fn insert(&self, key: TimerKey) -> Sleep {
        let mut state = self.lock();
        let is_first = state.deadlines.insert(key);
        state.sleep(is_first)
    }

    /// Replaces token and interest. A timer that is due is reported again.
    pub(crate) fn replace(&self, key: TimerKey, token: Token, interest: Interest) -> Sleep {
        let mut state = self.lock();
        let Some((_, timer)) = state.deadlines.get_mut(key) else { return Sleep::MayGoOn };
        (timer.token, timer.interest, timer.is_spent) = (token, interest, false);
        let is_due = state.queue(key);
        state.sleep(is_due)
    }

    /// Reports the timers that are due, as many as there is space for.
    pub(super) fn take(&self, now: Instant, events: &mut Events) -> Left {
        let mut state = self.lock();
        while let Some(key) = state.deadlines.take_due(now) {
            state.queue(key);
        }
        // A level-triggered one comes again in the next `poll`, behind the others.
        let mut left = state.due.len();
        while left > 0 && events.spare() > 0 {
            left -= 1;
            let Some(key) = state.due.pop_front() else { break };
            let Some((deadline, timer)) = state.deadlines.get_mut(key) else { continue };
            timer.is_queued = false;
            if !timer.wants_event() || !deadline.is_due() {
                continue;
            }
            events.push(Event::new(timer.token, Readiness::READABLE, NO_KERNEL, 0));
            timer.is_spent = timer.interest.is_one_shot();
            if timer.interest.is_level() {
                state.queue(key);
            }
        }
        state.is_known = state.deadlines.count() > 0;
        Left { are_due: left > 0, are_any: state.is_known }
    }

    /// Returns until when a `poll` may sleep: `None` without a deadline.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        if state.due.is_empty() {
            return state.deadlines.first();
        }
        Some(now)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Queues a timer's event, if it has one to report. Returns whether it has.
    fn queue(&mut self, key: TimerKey) -> bool {
        let Some((deadline, timer)) = self.deadlines.get_mut(key) else { return false };
        let is_due = timer.wants_event() && deadline.is_due();
        if is_due && !timer.is_queued {
            timer.is_queued = true;
            self.due.push_back(key);
        }
        is_due
    }

    /// Returns what a change asks for that may make the first deadline earlier.
    fn sleep(&self, is_earlier: bool) -> Sleep {
        match (self.is_known, is_earlier) {
            (false, _) => Sleep::KnowsNone,
            (true, true) => Sleep::IsTooLong,
            (true, false) => Sleep::MayGoOn,
        }
    }
}

impl Timer {
    fn wants_event(&self) -> bool {
        self.interest.is_readable() && !self.is_spent
    }
}
