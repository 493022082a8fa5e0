//! The state of a world, which is used under its lock.
//!
//! Invariant: every choice is drawn from `choices`, and the plain ones are prompt and whole.

use std::collections::BTreeMap;
use std::time::Duration;

use super::choices::{ChoiceKind, Choices};
use super::faults::Faults;
use super::hosts::Hosts;
use super::log::Log;
use super::network::Due;
use super::sockets::Socket;
use super::sources::{Channel, Id, Kind, Number, RegistrationKey, RegistrationState, Reset, READ, WRITE};
use super::turns::{HostNumber, TaskNumber, Turns};

pub(super) struct State {
    pub(super) choices: Choices,
    pub(super) faults: Faults,
    pub(super) now: Duration,
    pub(super) next_id: Id,
    pub(super) sources: BTreeMap<Id, Kind>,
    pub(super) channels: BTreeMap<Number, Channel>,
    pub(super) registrations: BTreeMap<RegistrationKey, RegistrationState>,
    /// The registrations of each source.
    pub(super) watchers: BTreeMap<Id, Vec<RegistrationKey>>,
    pub(super) polls: BTreeMap<Id, PollState>,
    pub(super) log: Log,
    pub(super) turns: Turns,
    pub(super) hosts: Hosts,
    pub(super) sockets: BTreeMap<Id, Socket>,
    pub(super) descriptors: BTreeMap<i32, Id>,
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
}

impl State {
    pub(super) fn new(choices: Choices, faults: Faults, keeps_log: bool) -> State {
        State {
            choices,
            faults,
            now: Duration::ZERO,
            next_id: 1,
            sources: BTreeMap::new(),
            channels: BTreeMap::new(),
            registrations: BTreeMap::new(),
            watchers: BTreeMap::new(),
            polls: BTreeMap::new(),
            log: Log::new(keeps_log),
            turns: Turns::default(),
            hosts: Hosts::default(),
            sockets: BTreeMap::new(),
            descriptors: BTreeMap::new(),
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

    pub(super) fn is_ready(&self, id: Id, direction: usize) -> bool {
        if self.sockets.get(&id).is_some_and(|socket| socket.error.is_some()) {
            return true;
        }
        match self.sources.get(&id) {
            Some(Kind::Bytes { reset: Reset::Unreported | Reset::Reported, .. }) => true,
            Some(Kind::Bytes { into: Some(into), .. }) if direction == READ => {
                let into = &self.channels[into];
                !into.bytes.is_empty() || into.is_at_end()
            }
            Some(Kind::Bytes { out: Some(out), .. }) if direction == WRITE => {
                let out = &self.channels[out];
                out.room() > 0 || out.is_broken()
            }
            Some(Kind::Messages { waiting, .. }) if direction == READ => !waiting.is_empty(),
            Some(Kind::Messages { .. }) => self.has_space_at_peer(id),
            // Linux reports a new stream socket as writable and hung up.
            Some(Kind::Idle) => true,
            Some(Kind::Datagrams { waiting, .. }) => direction == WRITE || !waiting.is_empty(),
            Some(Kind::Listener { waiting }) => direction == READ && !waiting.is_empty(),
            _ => false,
        }
    }
}
