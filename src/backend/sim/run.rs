//! The run of a world: which task has its turn, when the clock moves, and how the run ends.
//!
//! Invariant: a task that waits is outside of its world until its next turn.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::choices::ChoiceKind;
use super::seats::Seat;
use super::sources::Id;
use super::state::State;
use super::tasks::{Current, Outside};
use super::turns::{End, HostNumber, Next, TaskNumber};
use super::world::{Locked, World, END};
use crate::readiness::Events;

/// How many calls of a task may return at once before the others get a turn.
const CALLS_A_TURN: u32 = 16;

/// How often a task may read the clock between two waits. After that each read takes time, so that a loop until a
/// deadline ends.
const READS_A_TURN: u32 = 1000;

/// Acts on a world while it runs: at times of its choice, and whenever the clock has moved.
pub trait Director: Send {
    /// Returns the next time at which it wants to act. Without it the clock would move to `due`, or the world's tasks
    /// would wait for ever.
    fn next(&self, due: Option<Duration>) -> Option<Duration>;

    /// Acts. Each task of the world waits meanwhile.
    fn step(&mut self, now: Duration);
}

/// The task that goes on, and its seat.
type Called = (TaskNumber, Arc<dyn Seat>);

impl World {
    /// Waits as [`wait`](World::wait) does, while other tasks have their turns.
    pub(super) fn wait_in_turn(
        &self,
        task: TaskNumber,
        poll: Id,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let mut state = self.state();
        if timeout != Some(Duration::ZERO)
            && state.fault(ChoiceKind::Interrupted, |faults| faults.interrupted)
        {
            return Err(io::ErrorKind::Interrupted.into());
        }
        state.break_something();
        let deadline = timeout.and_then(|timeout| state.now.checked_add(timeout));
        let deadline = deadline.filter(|deadline| timeout == Some(Duration::ZERO) || *deadline < END);
        let mut has_yielded = false;
        loop {
            state.renew_levels(poll);
            let before = events.len();
            state.deliver(poll, events);
            let now = state.now;
            let Some(found) = state.polls.get_mut(&poll) else { return Ok(()) };
            let is_done = std::mem::take(&mut found.is_notified) || events.len() > before;
            let is_over = deadline.is_some_and(|deadline| deadline <= now);
            if is_done || is_over {
                found.calls = found.calls.saturating_add(1);
                if has_yielded || found.calls % CALLS_A_TURN != 0 {
                    return Ok(());
                }
                // The others get a turn, and a task that polls again and again moves the clock.
                has_yielded = true;
                let until = now + busy_time(found.calls);
                state = self.park(state, task, Some(until)).0;
                if is_done {
                    return Ok(());
                }
                continue;
            }
            found.calls = 0;
            found.sleeper = Some(task);
            let next = match (state.next_due(poll), deadline) {
                (Some(next), Some(deadline)) => Some(next.min(deadline)),
                (next, deadline) => next.or(deadline),
            };
            state = self.park(state, task, next).0;
            if let Some(found) = state.polls.get_mut(&poll) {
                found.sleeper = None;
            }
        }
    }

    /// Gives the turn to other tasks until `deadline` or [`unpark`](World::unpark). Returns whether it was that.
    pub(super) fn park<'a>(
        &'a self,
        mut state: Locked<'a>,
        task: TaskNumber,
        deadline: Option<Duration>,
    ) -> (Locked<'a>, bool) {
        let now = state.now;
        state.turns.park(task, deadline, now);
        let seat = state.turns.seat(task);
        let (outside, called) = self.hand_on(state);
        match called {
            Some((next, _)) if next == task => {}
            Some((_, next)) => seat.hand_over(&*next),
            None => seat.wait(),
        }
        outside.forget_reads();
        let mut state = Locked { state: self.lock(), _outside: outside };
        state.note_turn(task);
        let was_unparked = state.turns.was_unparked(task);
        (state, was_unparked)
    }

    pub(super) fn unpark(&self, task: TaskNumber) -> bool {
        self.state().turns.unpark(task)
    }

    /// Chooses the task that goes on, which the caller has to call. If all wait, moves the clock until one doesn't, or
    /// ends the run. The calling thread stays outside.
    fn hand_on(&self, state: Locked<'_>) -> (Outside, Option<Called>) {
        let Locked { mut state, _outside: outside } = state;
        let called = loop {
            let State { turns, choices, .. } = &mut *state;
            let deadline = match turns.next(choices) {
                Next::Advance(deadline) => deadline,
                Next::Call(task, seat) => break Some((task, seat)),
                Next::Stay => break None,
            };
            let arrival = state.agenda.keys().next().map(|&(due, _)| due);
            let due = deadline.into_iter().chain(arrival).min();
            drop(state);
            let mut director = self.director.lock().unwrap_or_else(PoisonError::into_inner);
            let wanted = director.as_ref().and_then(|director| director.next(due));
            state = self.lock();
            let Some(to) = due.into_iter().chain(wanted).min() else {
                state.turns.end.get_or_insert(End::Deadlock);
                break None;
            };
            let to = to.max(state.now);
            state.advance(to);
            if let Some(director) = &mut *director {
                state.is_directed = true;
                drop(state);
                director.step(to);
                state = self.lock();
                state.is_directed = false;
            }
        };
        let has_ended = state.turns.end.is_some();
        drop(state);
        if has_ended {
            self.changed.notify_all();
        }
        (outside, called)
    }

    /// Calls the task that goes on.
    fn call_next(&self, state: Locked<'_>) {
        let (_outside, called) = self.hand_on(state);
        if let Some((_, seat)) = called {
            seat.call();
        }
    }

    /// Lets the tasks begin, under a director.
    pub(crate) fn start(&self, director: Option<Box<dyn Director>>) {
        let mut state = self.state();
        *self.director.lock().unwrap_or_else(PoisonError::into_inner) = director;
        state.turns.start();
        self.call_next(state);
    }

    /// Blocks the calling thread, which is no task, until the run ends. Returns `None` if no task has got a turn for
    /// `limit` of real time.
    pub(crate) fn wait_for_end(&self, limit: Duration) -> Option<End> {
        let mut state = self.state();
        loop {
            if let Some(end) = &state.turns.end {
                return Some(end.clone());
            }
            let before = state.turns.count;
            let waited = self.changed.wait_timeout(state.state, limit);
            let (locked, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state.state = locked;
            if timeout.timed_out() && state.turns.end.is_none() && state.turns.count == before {
                return None;
            }
        }
    }

    pub(crate) fn add_task(&self, host: HostNumber, is_main: bool) -> TaskNumber {
        let mut state = self.state();
        state.hosts.all[host as usize].is_down = false;
        state.turns.add(host, is_main)
    }

    pub(crate) fn turns(&self) -> u64 {
        self.state().turns.count
    }

    pub(crate) fn running(&self) -> Option<HostNumber> {
        let state = self.state();
        state.turns.running.map(|task| state.turns.host(task))
    }

    /// Draws a choice of the test.
    pub(crate) fn choose(&self, limit: usize) -> usize {
        self.state().choices.below(ChoiceKind::Test, limit)
    }

    /// Blocks the thread of a new task until its first turn.
    pub(super) fn begin(&self, task: TaskNumber) {
        let _outside = Outside::new();
        let seat = self.state().turns.seat(task);
        seat.wait();
        self.state().note_turn(task);
    }

    /// Sets the start of a host's clock from what an `Instant` of the host says now.
    pub(super) fn set_clock(&self, host: HostNumber, seen: Instant) {
        let mut state = self.state();
        let now = state.now;
        let host = &mut state.hosts.all[host as usize];
        if host.start.is_none() {
            host.start = seen.checked_sub(host.skew.of(now));
        }
    }

    /// Ends a task, and gives the turn to the next one.
    pub(super) fn finish(&self, task: TaskNumber) {
        let seat = self.state().turns.seat(task);
        {
            let _outside = Outside::new();
            seat.leave();
        }
        let mut state = self.state();
        state.turns.finish(task);
        self.call_next(state);
    }

    /// Ends the run as failed, by a host.
    pub(super) fn fail(&self, host: HostNumber, reason: String) {
        self.state().fail(host, reason);
        self.changed.notify_all();
    }

    pub(crate) fn end(&self, end: End) {
        let mut state = self.state();
        // The task that ends the run goes on until its next wait.
        state.log.close();
        state.turns.end.get_or_insert(end);
        drop(state);
        self.changed.notify_all();
    }

    /// Returns a host's time. A task that does nothing but read the clock waits a little.
    pub(super) fn read_clock(&self, current: &Current) -> Duration {
        let mut state = self.state();
        let count = current.count_looks();
        if count > READS_A_TURN {
            let until = state.now + busy_time(count - READS_A_TURN);
            state = self.park(state, current.task(), Some(until)).0;
            // The wait was none of the program's: until one is, each read takes time.
            current.set_looks(count + 1);
        }
        let skew = state.hosts.all[current.host() as usize].skew;
        skew.of(state.now)
    }
}

/// Returns how long a task waits that looks for a change for the `count`th time in a row: 1 us, and up to 64 us, so
/// that a busy loop costs little.
pub(super) fn busy_time(count: u32) -> Duration {
    Duration::from_micros(1 << (count / 256).min(6))
}
