//! The world: every source, every registration, and the clock.
//!
//! Invariant: each operation holds the lock from beginning to end.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::choices::{Choice, ChoiceKind, Choices};
use super::faults::Faults;
use super::sources::{Address, Id, Kind, Reset, READ, WRITE};
use super::state::{Notified, State};
use crate::backend::poller::check_mode;
use crate::readiness::{Events, Interest, Token};

/// How many datagrams, or connections, are queued for a program.
const MOST_WAITING: usize = 16;

/// The end of time, the same on every platform. Each can represent it as an `Instant`, and no wait lasts until then.
const END: Duration = Duration::from_secs(1 << 36);

pub(crate) struct World {
    /// Only the real clock makes an `Instant`: the virtual one counts from this.
    start: Instant,
    seed: u64,
    state: Mutex<State>,
    /// For programs with several threads: signalled after each change that a poll may wait for.
    changed: Condvar,
}

impl World {
    pub(crate) fn new(choices: Choices, faults: Faults) -> World {
        let seed = choices.seed();
        let state = State {
            choices,
            faults,
            now: Duration::ZERO,
            next_id: 1,
            sources: BTreeMap::new(),
            channels: BTreeMap::new(),
            registrations: BTreeMap::new(),
            polls: BTreeMap::new(),
        };
        World { start: Instant::now(), seed, state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn recorded_choices(&self) -> Vec<Choice> {
        self.state().choices.record().to_vec()
    }

    pub(crate) fn now(&self) -> Instant {
        self.start + self.elapsed()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.state().now
    }

    pub(crate) fn add_poll(&self) -> Id {
        let mut state = self.state();
        let number = state.new_id();
        state.polls.insert(number, Notified::default());
        number
    }

    pub(super) fn remove_poll(&self, poll: Id) {
        let mut state = self.state();
        state.polls.remove(&poll);
        state.registrations.retain(|_, registration| registration.poll != poll);
    }

    pub(super) fn prepare_notify(&self, poll: Id) {
        if let Some(poll) = self.state().polls.get_mut(&poll) {
            poll.is_prepared = true;
        }
    }

    pub(super) fn notify(&self, poll: Id) {
        // It may have ended while a waker lives.
        if let Some(poll) = self.state().polls.get_mut(&poll) {
            poll.is_notified = true;
        }
        self.changed.notify_all();
    }

    pub(super) fn wait(&self, poll: Id, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let mut state = self.state();
        // The program's own work takes time, and a program that never waits must not stop the clock.
        let step = 1 + state.choices.below(ChoiceKind::Work, 20) as u64;
        state.now += Duration::from_micros(step);
        if timeout != Some(Duration::ZERO)
            && state.fault(ChoiceKind::Interrupted, |faults| faults.interrupted)
        {
            return Err(io::ErrorKind::Interrupted.into());
        }
        state.break_something();
        state.renew_levels(poll);
        let deadline = timeout.and_then(|timeout| state.now.checked_add(timeout));
        let deadline = deadline.filter(|deadline| timeout == Some(Duration::ZERO) || *deadline < END);
        loop {
            let before = events.len();
            state.deliver(poll, events);
            let was_notified =
                state.polls.get_mut(&poll).is_some_and(|poll| std::mem::take(&mut poll.is_notified));
            if events.len() > before || was_notified {
                return Ok(());
            }
            let next = state.next_due(poll);
            match (next, deadline) {
                (Some(next), deadline) if deadline.map_or(true, |deadline| next <= deadline) => {
                    state.now = state.now.max(next);
                }
                (_, Some(deadline)) => {
                    let slack = match timeout {
                        Some(Duration::ZERO) => 0,
                        _ => state.choices.below(ChoiceKind::Slack, 80),
                    };
                    state.now = deadline.saturating_add(Duration::from_micros(slack as u64));
                    return Ok(());
                }
                _ if state.polls.get(&poll).is_some_and(|poll| poll.is_prepared) => {
                    // Nothing in this world will happen by itself, but another thread may change it.
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                _ => {
                    return Err(io::Error::new(
                        io::ErrorKind::Other,
                        "the simulated program sleeps for ever: no event is due, and no waker lives",
                    ));
                }
            }
        }
    }

    pub(crate) fn register(&self, poll: Id, id: Id, token: Token, interest: Interest) -> io::Result<()> {
        let mut state = self.state();
        check_mode(interest)?;
        if state.registrations.contains_key(&id) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.watch(poll, id, token, interest);
        self.changed.notify_all();
        Ok(())
    }

    pub(crate) fn reregister(&self, poll: Id, id: Id, token: Token, interest: Interest) -> io::Result<()> {
        let mut state = self.state();
        check_mode(interest)?;
        state.belongs_to(poll, id)?;
        state.watch(poll, id, token, interest);
        self.changed.notify_all();
        Ok(())
    }

    pub(crate) fn deregister(&self, poll: Id, id: Id) -> io::Result<()> {
        let mut state = self.state();
        state.belongs_to(poll, id)?;
        state.registrations.remove(&id);
        Ok(())
    }

    pub(crate) fn stream_pair(&self) -> (Id, Id) {
        self.state().stream_pair()
    }

    /// Returns the writing and the reading end.
    pub(crate) fn pipe(&self) -> (Id, Id) {
        let mut state = self.state();
        let (sender, receiver) = (state.new_id(), state.new_id());
        let channel = state.new_channel(sender, receiver);
        let end = |out, into| Kind::Bytes { out, into, reset: Reset::No };
        state.sources.insert(sender, end(Some(channel), None));
        state.sources.insert(receiver, end(None, Some(channel)));
        (sender, receiver)
    }

    pub(crate) fn datagram(&self) -> (Id, Address) {
        let mut state = self.state();
        let id = state.new_id();
        state.sources.insert(id, Kind::Datagrams { address: Address(id), waiting: VecDeque::new() });
        (id, Address(id))
    }

    pub(crate) fn listener(&self) -> (Id, Address) {
        let mut state = self.state();
        let id = state.new_id();
        state.sources.insert(id, Kind::Listener { waiting: VecDeque::new() });
        (id, Address(id))
    }

    pub(crate) fn connect(&self, to: Address) -> io::Result<Id> {
        let mut state = self.state();
        let is_full = match state.sources.get(&to.0) {
            Some(Kind::Listener { waiting }) => waiting.len() >= MOST_WAITING,
            _ => true,
        };
        if is_full {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (client, server) = state.stream_pair();
        if let Some(Kind::Listener { waiting }) = state.sources.get_mut(&to.0) {
            waiting.push_back(server);
        }
        state.changed(to.0, READ);
        self.changed.notify_all();
        Ok(client)
    }

    pub(crate) fn accept(&self, id: Id) -> io::Result<Id> {
        let mut state = self.state();
        state.may_fail(id, READ)?;
        let accepted = match state.sources.get_mut(&id) {
            Some(Kind::Listener { waiting }) => waiting.pop_front(),
            _ => None,
        };
        match accepted {
            Some(accepted) => Ok(accepted),
            None => state.would_block(id, READ),
        }
    }

    pub(crate) fn read(&self, id: Id, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        let result = state.read(id, buf);
        self.changed.notify_all();
        result
    }

    pub(crate) fn write(&self, id: Id, buf: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        let result = state.write(id, buf);
        self.changed.notify_all();
        result
    }

    pub(crate) fn send_to(&self, id: Id, buf: &[u8], to: Address) -> io::Result<usize> {
        let mut state = self.state();
        state.may_fail(id, WRITE)?;
        let Some(Kind::Datagrams { address: from, .. }) = state.sources.get(&id) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let from = *from;
        let is_lost = state.fault(ChoiceKind::Lost, |faults| faults.lost);
        if let Some(Kind::Datagrams { waiting, .. }) = state.sources.get_mut(&to.0) {
            // As in a kernel: a datagram that finds no space is lost.
            if !is_lost && waiting.len() < MOST_WAITING {
                waiting.push_back((buf.to_vec(), from));
            }
        }
        state.changed(to.0, READ);
        self.changed.notify_all();
        Ok(buf.len())
    }

    pub(crate) fn recv_from(&self, id: Id, buf: &mut [u8]) -> io::Result<(usize, Address)> {
        let mut state = self.state();
        state.may_fail(id, READ)?;
        let received = match state.sources.get_mut(&id) {
            Some(Kind::Datagrams { waiting, .. }) => waiting.pop_front(),
            _ => None,
        };
        match received {
            Some((bytes, from)) => {
                let len = bytes.len().min(buf.len());
                buf[..len].copy_from_slice(&bytes[..len]);
                Ok((len, from))
            }
            None => state.would_block(id, READ),
        }
    }

    pub(crate) fn shutdown(&self, id: Id, reading: bool, writing: bool) {
        let mut state = self.state();
        state.shutdown(id, reading, writing);
        self.changed.notify_all();
    }

    pub(crate) fn reset(&self, id: Id) {
        let mut state = self.state();
        state.reset(id);
        self.changed.notify_all();
    }

    pub(crate) fn close(&self, id: Id) {
        let mut state = self.state();
        state.close(id);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A test has failed, and this number repeats it. A failed write to stderr is ignored.
            let _ = writeln!(io::stderr(), "wakeful: the seed of the simulation was {}", self.seed);
        }
    }
}
