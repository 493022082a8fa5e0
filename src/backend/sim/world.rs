//! The world: every source, every registration, and the clock.
//!
//! Invariant: each operation holds the lock from beginning to end, and a thread that holds it is outside of the world:
//! what it calls meanwhile is real.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::choices::{mixed, Choice, ChoiceKind, Choices};
use super::errno;
use super::faults::Faults;
use super::hosts::{Link, Skew};
use super::log::{Record, What};
use super::run::Director;
use super::sources::{Address, Id, Kind, Reset, READ, WRITE};
use super::state::{PollState, State};
use super::tasks::{Current, Outside};
use super::turns::{End, HostNumber, TaskNumber};
use crate::backend::logic::watch::{Registration, Tracking};
use crate::backend::poller::check_mode;
use crate::readiness::{Events, Interest, Token};

/// How many datagrams, or connections, are queued for a program without a host.
const MOST_WAITING: usize = 16;

/// The end of time, the same on every platform. Each can represent it as an `Instant`, and no wait lasts until then.
pub(super) const END: Duration = Duration::from_secs(1 << 36);

pub(crate) struct World {
    /// Only the real clock makes an `Instant`: the virtual one counts from this.
    start: Instant,
    seed: u64,
    state: Mutex<State>,
    /// For programs with several threads: signalled after each change that a poll may wait for.
    pub(super) changed: Condvar,
    pub(super) director: Mutex<Option<Box<dyn Director>>>,
}

/// The state, locked, by a thread that is outside of its world as long as this lives.
pub(super) struct Locked<'a> {
    // Unlocked first: that may call the system.
    pub(super) state: MutexGuard<'a, State>,
    pub(super) _outside: Outside,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl World {
    pub(crate) fn new(choices: Choices, faults: Faults, keeps_log: bool) -> World {
        let seed = choices.seed();
        let state = Mutex::new(State::new(choices, faults, keeps_log));
        let start = Instant::now();
        World { start, seed, state, changed: Condvar::new(), director: Mutex::new(None) }
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

    pub(crate) fn add_poll(&self, host: Option<HostNumber>) -> Id {
        let mut state = self.state();
        let number = state.new_id();
        state.polls.insert(number, PollState { host, ..PollState::default() });
        number
    }

    /// Returns the time by the clock of the host that a poll belongs to.
    pub(super) fn now_of(&self, poll: Id) -> Instant {
        let state = self.state();
        let host = state.polls.get(&poll).and_then(|poll| poll.host);
        match host.map(|host| &state.hosts.all[host as usize]) {
            Some(host) => host.start.unwrap_or(self.start) + host.skew.of(state.now),
            None => self.start + state.now,
        }
    }

    pub(super) fn remove_poll(&self, poll: Id) {
        self.state().remove_poll(poll);
    }

    pub(super) fn prepare_notify(&self, poll: Id) {
        if let Some(poll) = self.state().polls.get_mut(&poll) {
            poll.is_prepared = true;
        }
    }

    pub(super) fn notify(&self, poll: Id) {
        let is_task = Current::get().is_some();
        let mut state = self.state();
        let is_foreign = !is_task && state.has_hosts() && !state.is_directed;
        // It may have ended while a waker lives.
        if let Some(poll) = state.polls.get_mut(&poll) {
            poll.is_notified = true;
            let (sleeper, source) = (poll.sleeper, poll.source);
            if let Some(sleeper) = sleeper {
                state.turns.unpark(sleeper);
            }
            if let Some(source) = source {
                state.changed(source, READ);
            }
        }
        if is_foreign {
            state.fail(Record::WORLD, foreign("has woken a `Poll`"));
        }
        // A run that has failed ends.
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn wait(&self, poll: Id, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        if let Some(current) = Current::get().filter(|current| std::ptr::eq(&**current.world(), self)) {
            return self.wait_in_turn(current.task(), poll, events, timeout);
        }
        let mut state = self.state();
        if state.has_hosts() {
            state.fail(Record::WORLD, foreign("polls"));
            return Err(io::Error::new(io::ErrorKind::Unsupported, foreign("polls")));
        }
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
                    state.state = self.changed.wait(state.state).unwrap_or_else(PoisonError::into_inner);
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

    /// Registers a source that has no descriptor.
    pub(crate) fn register(&self, poll: Id, id: Id, token: Token, interest: Interest) -> io::Result<()> {
        let mut state = self.state();
        check_mode(interest)?;
        if state.is_watched(id) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.watch((poll, id, NO_DESCRIPTOR), token, interest, Tracking::Tracked);
        self.signal(state);
        Ok(())
    }

    pub(crate) fn reregister(&self, poll: Id, id: Id, token: Token, interest: Interest) -> io::Result<()> {
        let mut state = self.state();
        check_mode(interest)?;
        let key = (poll, id, NO_DESCRIPTOR);
        state.check_watched(key)?;
        state.watch(key, token, interest, Tracking::Tracked);
        self.signal(state);
        Ok(())
    }

    pub(crate) fn deregister(&self, poll: Id, id: Id) -> io::Result<()> {
        let mut state = self.state();
        let key = (poll, id, NO_DESCRIPTOR);
        state.check_watched(key)?;
        state.unwatch(key);
        Ok(())
    }

    /// Registers a source by its descriptor. Returns `None` if the descriptor is none of this world.
    pub(super) fn register_descriptor(
        &self,
        poll: Id,
        fd: i32,
        registration: Registration,
    ) -> Option<io::Result<()>> {
        let mut state = self.state();
        let id = *state.descriptors.get(&fd)?;
        Some(state.register(poll, id, fd, registration))
    }

    /// Returns `None` if the descriptor is none of this world.
    pub(super) fn reregister_descriptor(
        &self,
        poll: Id,
        fd: i32,
        registration: Registration,
    ) -> Option<io::Result<()>> {
        let mut state = self.state();
        let id = *state.descriptors.get(&fd)?;
        let result = check_mode(registration.interest).and_then(|()| state.check_watched((poll, id, fd)));
        Some(result.map(|()| {
            let Registration { token, interest, tracking } = registration;
            state.watch((poll, id, fd), token, interest, tracking);
        }))
    }

    /// Returns `None` if the descriptor is none of this world.
    pub(super) fn deregister_descriptor(&self, poll: Id, fd: i32) -> Option<io::Result<()>> {
        let mut state = self.state();
        let id = *state.descriptors.get(&fd)?;
        Some(state.check_watched((poll, id, fd)).map(|()| state.unwatch((poll, id, fd))))
    }

    /// Makes a source of the world of a poll's descriptor, for the polls of its host.
    #[cfg(unix)]
    pub(super) fn add_poll_descriptor(&self, poll: Id, fd: i32) {
        let mut state = self.state();
        if let Some(host) = state.polls.get(&poll).and_then(|poll| poll.host) {
            let source = state.add_file(host, fd, Kind::Poll(poll));
            if let Some(poll) = state.polls.get_mut(&poll) {
                poll.source = Some(source);
            }
        }
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
        self.signal(state);
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
        let result = state.read(id, &mut [io::IoSliceMut::new(buf)], false);
        self.signal(state);
        result
    }

    pub(crate) fn write(&self, id: Id, buf: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        let result = state.write(id, &[io::IoSlice::new(buf)]);
        self.signal(state);
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
        self.signal(state);
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
        self.signal(state);
    }

    pub(crate) fn reset(&self, id: Id) {
        let mut state = self.state();
        state.reset(id);
        self.signal(state);
    }

    pub(crate) fn close(&self, id: Id) {
        let mut state = self.state();
        state.close(id);
        self.signal(state);
    }

    pub(super) fn state(&self) -> Locked<'_> {
        let outside = Outside::new();
        Locked { state: self.lock(), _outside: outside }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signals a change to the threads of a program without hosts.
    fn signal(&self, state: Locked<'_>) {
        if !state.has_hosts() {
            self.changed.notify_all();
        }
    }

    pub(crate) fn add_host(&self, name: &str, addresses: &[IpAddr]) -> Option<HostNumber> {
        let mut state = self.state();
        // Each host has random numbers of its own.
        let random = mixed(self.seed ^ mixed(state.hosts.all.len() as u64 + 1));
        state.hosts.add(name, addresses, random)
    }

    pub(crate) fn set_usual_link(&self, link: Link) {
        self.state().hosts.usual = link;
    }

    pub(crate) fn set_link(&self, one: HostNumber, other: HostNumber, link: Link) {
        self.state().hosts.set_link(one, other, link);
    }

    pub(crate) fn cut(&self, from: HostNumber, to: HostNumber, is_cut: bool) {
        let mut state = self.state();
        if state.hosts.cut(from, to, is_cut) {
            let now = state.now;
            let what = match is_cut {
                true => What::LinkCut { a: from, b: to },
                false => What::LinkHealed { a: from, b: to },
            };
            state.log.push(now, Record::WORLD, what);
        }
    }

    pub(crate) fn crash(&self, host: HostNumber, is_power_lost: bool) {
        self.state().crash(host, is_power_lost);
    }

    pub(crate) fn reset_between(&self, one: HostNumber, other: HostNumber) {
        self.state().reset_between(one, other);
    }

    pub(crate) fn pause(&self, host: HostNumber, is_paused: bool) {
        let mut state = self.state();
        state.turns.pause(host, is_paused);
        let now = state.now;
        state.log.push(now, host, if is_paused { What::HostPaused } else { What::HostResumed });
    }

    pub(crate) fn set_skew(&self, host: HostNumber, ahead: Duration, behind: Duration) {
        self.state().hosts.all[host as usize].skew = Skew { ahead, behind };
    }

    pub(crate) fn log_hash(&self) -> u64 {
        self.state().log.hash()
    }

    pub(crate) fn log_records(&self) -> Vec<Record> {
        self.state().log.kept().to_vec()
    }

    pub(crate) fn log(&self, host: u32, what: What) {
        let mut state = self.state();
        let now = state.now;
        state.log.push(now, host, what);
    }
}

/// The place of the descriptor in the key of a registration without one.
pub(super) const NO_DESCRIPTOR: i32 = -1;

/// Returns the message about a thread that no world schedules.
fn foreign(act: &str) -> String {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("without a name");
    format!(
        "the thread {name:?} {act} of a simulated host, but was not started by a task of this world: \
         start it within the host's closure"
    )
}

impl State {
    fn register(&mut self, poll: Id, id: Id, fd: i32, registration: Registration) -> io::Result<()> {
        let Registration { token, interest, tracking } = registration;
        check_mode(interest)?;
        if let Some(&Kind::Poll(inner)) = self.sources.get(&id) {
            self.check_nesting(poll, inner)?;
        }
        if self.registrations.contains_key(&(poll, id, fd)) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.watch((poll, id, fd), token, interest, tracking);
        Ok(())
    }

    /// Fails if a poll would watch itself, as epoll does.
    fn check_nesting(&self, outer: Id, inner: Id) -> io::Result<()> {
        if outer == inner {
            return Err(errno::error(errno::INVALID));
        }
        for (_, id, _) in self.registrations.of_poll(inner, |_| true) {
            if let Some(&Kind::Poll(next)) = self.sources.get(&id) {
                self.check_nesting(outer, next).map_err(|_| errno::error(errno::LOOP))?;
            }
        }
        Ok(())
    }

    pub(super) fn has_hosts(&self) -> bool {
        !self.hosts.all.is_empty()
    }

    pub(super) fn fail(&mut self, host: u32, reason: String) {
        let now = self.now;
        self.log.push(now, host, What::Failed(reason.clone()));
        self.log.close();
        self.turns.end.get_or_insert(End::Failed(reason));
    }

    pub(super) fn note_turn(&mut self, task: TaskNumber) {
        let host = self.turns.host(task);
        let now = self.now;
        self.log.push(now, host, What::Turn { task });
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
