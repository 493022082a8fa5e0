//! The state of a world, which is used under its lock.
//!
//! Invariant: every choice is drawn from `choices`, and the plain ones are prompt and whole.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::choices::{ChoiceKind, Choices};
use super::faults::Faults;
use super::hosts::Hosts;
use super::log::Log;
use super::network::Due;
use super::registrations::Registrations;
use super::sockets::{Family, Socket};
use super::sources::{Channel, Id, Kind, Number, RegistrationKey, Reset, SourceState};
use super::table::Table;
use super::turns::{HostNumber, TaskNumber, Turns};

pub(super) struct State {
    pub(super) choices: Choices,
    pub(super) faults: Faults,
    pub(super) now: Duration,
    pub(super) next_id: Id,
    pub(super) sources: Table<Id, Kind>,
    pub(super) channels: Table<Number, Channel>,
    pub(super) registrations: Registrations,
    pub(super) polls: Table<Id, PollState>,
    pub(super) log: Log,
    pub(super) turns: Turns,
    pub(super) hosts: Hosts,
    pub(super) sockets: Table<Id, Socket>,
    pub(super) descriptors: Table<i32, Id>,
    /// What is on its way, by the time of its arrival.
    pub(super) agenda: BTreeMap<(Duration, u64), Due>,
    pub(super) next_event: u64,
    pub(super) next_message: u64,
    /// Whether the director acts.
    pub(super) is_directed: bool,
    /// The tasks that are blocked in an operation of a source.
    pub(super) blocked: BTreeMap<(Id, usize), Vec<TaskNumber>>,
}

#[derive(Default)]
pub(super) struct PollState {
    /// The host that it belongs to.
    pub(super) host: Option<HostNumber>,
    /// Whether a thread may notify it.
    pub(super) is_prepared: bool,
    pub(super) is_notified: bool,
    /// The task that waits in it.
    pub(super) sleeper: Option<TaskNumber>,
    /// How many calls have returned at once since the last one that waited.
    pub(super) calls: u32,
    /// The events on their way, by time and place.
    pub(super) due: BTreeMap<(Duration, u64), (RegistrationKey, usize)>,
    /// The level-triggered registrations.
    pub(super) levels: BTreeSet<RegistrationKey>,
    /// The source that its descriptor is.
    pub(super) source: Option<Id>,
}

impl State {
    pub(super) fn new(choices: Choices, faults: Faults, keeps_log: bool) -> State {
        State {
            choices,
            faults,
            now: Duration::ZERO,
            next_id: 1,
            sources: Table::new(),
            channels: Table::new(),
            registrations: Registrations::new(),
            polls: Table::new(),
            log: Log::new(keeps_log),
            turns: Turns::new(),
            hosts: Hosts::default(),
            sockets: Table::new(),
            descriptors: Table::new(),
            agenda: BTreeMap::new(),
            next_event: 0,
            next_message: 0,
            is_directed: false,
            blocked: BTreeMap::new(),
        }
    }

    pub(super) fn new_id(&mut self) -> Id {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn new_channel(&mut self, writer: Id, reader: Id) -> Number {
        let capacity = 8 << (13 - self.choices.below(ChoiceKind::Capacity, 4));
        let number = self.new_id();
        self.channels.insert(number, Channel::new(writer, reader, capacity));
        number
    }

    pub(super) fn stream_pair(&mut self) -> (Id, Id) {
        let (one, other) = (self.new_id(), self.new_id());
        let (there, back) = (self.new_channel(one, other), self.new_channel(other, one));
        let end = |out, into| Kind::Bytes { out: Some(out), into: Some(into), reset: Reset::No };
        self.sources.insert(one, end(there, back));
        self.sources.insert(other, end(back, there));
        (one, other)
    }

    pub(super) fn fault(&mut self, kind: ChoiceKind, one_in: impl FnOnce(&Faults) -> u32) -> bool {
        let one_in = one_in(&self.faults);
        self.choices.chance(kind, one_in)
    }

    /// Returns the extent of a fault, `most` at most; 0 if it doesn't occur.
    pub(super) fn extent(
        &mut self,
        kind: ChoiceKind,
        most: usize,
        one_in: impl FnOnce(&Faults) -> u32,
    ) -> usize {
        let one_in = one_in(&self.faults);
        self.choices.some(kind, one_in, most)
    }

    /// Returns whether an operation in the direction would return at once.
    pub(super) fn is_ready(&self, id: Id, direction: usize) -> bool {
        let state = self.readiness(id);
        state.is_ready(direction) || state.error
    }

    /// Returns the state of a source, as the poll functions of Linux determine it.
    pub(super) fn readiness(&self, id: Id) -> SourceState {
        let all = SourceState {
            readable: true,
            writable: true,
            read_closed: true,
            write_closed: true,
            ..SourceState::default()
        };
        let socket = self.sockets.get(&id);
        let mut state = match self.sources.get(&id) {
            Some(&Kind::Bytes { reset: reset @ (Reset::Unreported | Reset::Reported), .. }) => {
                SourceState { error: reset == Reset::Unreported, ..all }
            }
            Some(&Kind::Bytes { out: Some(out), into: Some(into), .. }) => {
                let (out, into) = (&self.channels[&out], &self.channels[&into]);
                let read_closed = into.is_at_end();
                // A Unix-domain socket isn't writable as long as its peer, though shut down, has unread bytes.
                let is_unix = socket.is_some_and(|socket| socket.family == Family::Unix);
                SourceState {
                    readable: read_closed || !into.bytes.is_empty(),
                    writable: out.room() > 0 || out.is_broken() && !is_unix,
                    read_closed,
                    write_closed: read_closed && out.is_broken(),
                    error: false,
                }
            }
            Some(&Kind::Bytes { into: Some(into), .. }) => {
                let into = &self.channels[&into];
                let ended = into.is_at_end();
                let readable = ended || !into.bytes.is_empty();
                SourceState { readable, read_closed: ended, write_closed: ended, ..SourceState::default() }
            }
            Some(&Kind::Bytes { out: Some(out), .. }) => {
                let out = &self.channels[&out];
                let is_broken = out.is_broken();
                let writable = out.room() > 0 || is_broken;
                SourceState { writable, write_closed: is_broken, error: is_broken, ..SourceState::default() }
            }
            Some(Kind::Messages { waiting, .. }) => {
                let [no_reads, no_writes] = socket.map_or([false; 2], |socket| socket.shut);
                SourceState {
                    readable: no_reads || !waiting.is_empty(),
                    writable: self.has_space_at_peer(id),
                    read_closed: no_reads,
                    write_closed: no_reads && no_writes,
                    error: false,
                }
            }
            // Linux reports a new stream socket as writable and hung up.
            Some(Kind::Idle) => SourceState { readable: false, ..all },
            Some(Kind::Failed) => all,
            Some(Kind::Datagrams { waiting, .. }) => {
                SourceState { readable: !waiting.is_empty(), writable: true, ..SourceState::default() }
            }
            Some(Kind::Listener { waiting }) => {
                SourceState { readable: !waiting.is_empty(), ..SourceState::default() }
            }
            Some(&Kind::Poll(poll)) => {
                SourceState { readable: self.has_events(poll), ..SourceState::default() }
            }
            Some(Kind::Bytes { .. } | Kind::Connecting) | None => SourceState::default(),
        };
        state.error |= socket.is_some_and(|socket| socket.error.is_some());
        state
    }
}
