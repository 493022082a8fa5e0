//! The rules of a world, which run under its lock.
//!
//! Invariant: readiness that was used up and comes again is always reported; all other choices are drawn, and the plain
//! ones are prompt and whole.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::choices::{ChoiceKind, Choices};
use super::faults::Faults;
use super::sources::{
    readiness, Channel, DirectionState, Id, Kind, Number, RegistrationState, Reset, READ, WRITE,
};
use crate::backend::name::Backend;
use crate::readiness::{Event, Events, Interest, Readiness, Token};

/// The longest that an event is late.
const LATEST: Duration = Duration::from_millis(10);

pub(super) struct State {
    pub(super) choices: Choices,
    pub(super) faults: Faults,
    pub(super) now: Duration,
    pub(super) next_id: Id,
    pub(super) sources: BTreeMap<Id, Kind>,
    pub(super) channels: BTreeMap<Number, Channel>,
    pub(super) registrations: BTreeMap<Id, RegistrationState>,
    pub(super) polls: BTreeMap<Id, Notified>,
}

#[derive(Default)]
pub(super) struct Notified {
    /// Whether a thread may notify it.
    pub(super) is_prepared: bool,
    pub(super) is_notified: bool,
}

impl State {
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
    fn extent(&mut self, kind: ChoiceKind, most: usize, one_in: impl FnOnce(&Faults) -> u32) -> usize {
        let one_in = one_in(&self.faults);
        self.choices.some(kind, one_in, most)
    }

    pub(super) fn watch(&mut self, poll: Id, id: Id, token: Token, interest: Interest) {
        let direction = |wanted| DirectionState { wanted, armed: wanted, due: None };
        let reads = interest.is_readable() || interest.is_end();
        let directions = [direction(reads), direction(interest.is_writable())];
        let state = RegistrationState { poll, token, interest, is_spent: false, directions };
        self.registrations.insert(id, state);
        self.changed(id, READ);
        self.changed(id, WRITE);
    }

    pub(super) fn belongs_to(&self, poll: Id, id: Id) -> io::Result<()> {
        match self.registrations.get(&id) {
            Some(registration) if registration.poll == poll => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn is_ready(&self, id: Id, direction: usize) -> bool {
        match self.sources.get(&id) {
            Some(Kind::Bytes { reset: Reset::Unreported | Reset::Reported, .. }) => true,
            Some(Kind::Bytes { into: Some(into), .. }) if direction == READ => {
                let into = &self.channels[into];
                !into.bytes.is_empty() || into.ended || into.unread
            }
            Some(Kind::Bytes { out: Some(out), .. }) if direction == WRITE => {
                let out = &self.channels[out];
                out.room() > 0 || out.unread || out.ended
            }
            Some(Kind::Datagrams { waiting, .. }) => direction == WRITE || !waiting.is_empty(),
            Some(Kind::Listener { waiting }) => direction == READ && !waiting.is_empty(),
            _ => false,
        }
    }

    /// Returns whether the registration of a source reports the state of a direction.
    fn is_reported(&self, id: Id, direction: usize) -> bool {
        match self.registrations.get(&id) {
            Some(registration) if registration.interest.is_end() => self.has_ended(id),
            _ => self.is_ready(id, direction),
        }
    }

    /// Returns whether a source was reset, or its peer sends no more or receives no more.
    fn has_ended(&self, id: Id) -> bool {
        match self.sources.get(&id) {
            Some(Kind::Bytes { reset: Reset::Unreported | Reset::Reported, .. }) => true,
            Some(Kind::Bytes { into: Some(into), .. }) => self.channels[into].ended,
            Some(Kind::Bytes { out: Some(out), .. }) => self.channels[out].unread,
            _ => false,
        }
    }

    /// Handles a change in a direction: if it is ready now, and that must be reported, an event sets out.
    pub(super) fn changed(&mut self, id: Id, direction: usize) {
        if !self.is_reported(id, direction) {
            return;
        }
        let Some(registration) = self.registrations.get(&id).filter(|found| !found.is_spent) else { return };
        let direction = if registration.interest.is_end() { READ } else { direction };
        let DirectionState { wanted, armed, due } = registration.directions[direction];
        let is_level = registration.interest.is_level();
        // If the last event wasn't used up, another one may follow, as with epoll, or not, as with poll(2).
        if wanted && due.is_none() && (armed || is_level || self.choices.chance(ChoiceKind::Repeat, 2)) {
            let due = self.now + self.latency();
            if let Some(registration) = self.registrations.get_mut(&id) {
                registration.directions[direction].due = Some(due);
            }
        }
    }

    /// Sends the events of the level-triggered sources that are ready, as each wait does.
    pub(super) fn renew_levels(&mut self, poll: Id) {
        let is_level = |found: &RegistrationState| found.poll == poll && found.interest.is_level();
        let all = self.registrations.iter().filter(|(_, found)| is_level(found));
        let all: Vec<Id> = all.map(|(&id, _)| id).collect();
        for id in all {
            self.changed(id, READ);
            self.changed(id, WRITE);
        }
    }

    pub(super) fn latency(&mut self) -> Duration {
        let micros = self.extent(ChoiceKind::Late, LATEST.as_micros() as usize, |faults| faults.late);
        Duration::from_micros(micros as u64)
    }

    /// Notes that an operation has used up its direction, or pretends to: the next readiness, which may exist now, is
    /// reported.
    pub(super) fn used_up(&mut self, id: Id, direction: usize) {
        if let Some(registration) = self.registrations.get_mut(&id) {
            let wanted = registration.directions[direction].wanted;
            registration.directions[direction].armed = wanted;
        }
        self.changed(id, direction);
    }

    pub(super) fn would_block<T>(&mut self, id: Id, direction: usize) -> io::Result<T> {
        self.used_up(id, direction);
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Applies the faults that any operation may have.
    pub(super) fn may_fail(&mut self, id: Id, direction: usize) -> io::Result<()> {
        if self.fault(ChoiceKind::Interrupted, |faults| faults.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        // Only if an event can follow.
        let wanted = self.registrations.get(&id).is_some_and(|found| found.directions[direction].wanted);
        if wanted && self.fault(ChoiceKind::WouldBlock, |faults| faults.would_block) {
            return self.would_block(id, direction);
        }
        Ok(())
    }

    /// Returns how much of `wanted` is moved.
    pub(super) fn share(&mut self, wanted: usize) -> usize {
        wanted - self.extent(ChoiceKind::Short, wanted.saturating_sub(1), |faults| faults.short)
    }

    pub(super) fn read(&mut self, id: Id, buf: &mut [u8]) -> io::Result<usize> {
        if self.fault(ChoiceKind::Reset, |faults| faults.reset) {
            self.reset(id);
        }
        let Some(&Kind::Bytes { into: Some(number), .. }) = self.sources.get(&id) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        if self.take_reset(id) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.may_fail(id, READ)?;
        let channel = &self.channels[&number];
        let (there, at_end) = (channel.bytes.len(), channel.ended || channel.unread);
        if buf.is_empty() || there == 0 && at_end {
            return Ok(0);
        }
        if there == 0 {
            return self.would_block(id, READ);
        }
        let count = self.share(there.min(buf.len()));
        let Some(channel) = self.channels.get_mut(&number) else { return Ok(0) };
        for (place, byte) in buf.iter_mut().zip(channel.bytes.drain(..count)) {
            *place = byte;
        }
        let writer = channel.writer;
        self.changed(writer, WRITE);
        if count < buf.len() {
            self.used_up(id, READ);
        }
        Ok(count)
    }

    pub(super) fn write(&mut self, id: Id, buf: &[u8]) -> io::Result<usize> {
        if self.fault(ChoiceKind::Reset, |faults| faults.reset) {
            self.reset(id);
        }
        if self.fault(ChoiceKind::HalfClose, |faults| faults.half_close) {
            self.shutdown(id, false, true);
        }
        let Some(&Kind::Bytes { out: Some(number), .. }) = self.sources.get(&id) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        if self.take_reset(id) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let channel = &self.channels[&number];
        let (room, broken) = (channel.room(), channel.ended || channel.unread);
        if broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.may_fail(id, WRITE)?;
        if buf.is_empty() {
            return Ok(0);
        }
        if room == 0 {
            return self.would_block(id, WRITE);
        }
        let count = self.share(room.min(buf.len()));
        let Some(channel) = self.channels.get_mut(&number) else { return Ok(0) };
        channel.bytes.extend(&buf[..count]);
        let reader = channel.reader;
        self.changed(reader, READ);
        if count < buf.len() {
            self.used_up(id, WRITE);
        }
        Ok(count)
    }

    /// Returns whether the reset of a connection is reported now: it is reported once, and then it is the end.
    pub(super) fn take_reset(&mut self, id: Id) -> bool {
        match self.sources.get_mut(&id) {
            Some(Kind::Bytes { reset: reset @ Reset::Unreported, .. }) => {
                *reset = Reset::Reported;
                true
            }
            _ => false,
        }
    }

    pub(super) fn shutdown(&mut self, id: Id, reading: bool, writing: bool) {
        let Some(&Kind::Bytes { out, into, .. }) = self.sources.get(&id) else { return };
        if let Some(channel) = out.filter(|_| writing).and_then(|out| self.channels.get_mut(&out)) {
            channel.ended = true;
            let reader = channel.reader;
            self.changed(reader, READ);
            self.changed(id, WRITE);
        }
        if let Some(channel) = into.filter(|_| reading).and_then(|into| self.channels.get_mut(&into)) {
            channel.unread = true;
            let writer = channel.writer;
            self.changed(writer, WRITE);
            self.changed(id, READ);
        }
    }

    /// Resets a connection: what is on the way is lost, and each end that is open gets an event.
    pub(super) fn reset(&mut self, id: Id) {
        let Some(&Kind::Bytes { out: Some(out), into: Some(into), .. }) = self.sources.get(&id) else {
            return;
        };
        for number in [out, into] {
            if let Some(channel) = self.channels.get_mut(&number) {
                channel.bytes.clear();
                (channel.ended, channel.unread) = (true, true);
            }
        }
        let peer = self.channels[&out].reader;
        for end in [id, peer] {
            if let Some(Kind::Bytes { reset: reset @ Reset::No, .. }) = self.sources.get_mut(&end) {
                *reset = Reset::Unreported;
            }
            self.changed(end, READ);
            self.changed(end, WRITE);
        }
    }

    /// Breaks connections while a program waits.
    pub(super) fn break_something(&mut self) {
        if self.fault(ChoiceKind::Reset, |faults| faults.reset) {
            if let Some(id) = self.any_connection() {
                self.reset(id);
            }
        }
        if self.fault(ChoiceKind::HalfClose, |faults| faults.half_close) {
            if let Some(id) = self.any_connection() {
                self.shutdown(id, false, true);
            }
        }
    }

    fn any_connection(&mut self) -> Option<Id> {
        let is_connection = |kind: &Kind| matches!(kind, Kind::Bytes { out: Some(_), into: Some(_), .. });
        let all: Vec<Id> =
            self.sources.iter().filter(|(_, kind)| is_connection(kind)).map(|(&id, _)| id).collect();
        all.get(self.choices.below(ChoiceKind::Which, all.len())).copied()
    }

    pub(super) fn close(&mut self, id: Id) {
        self.shutdown(id, true, true);
        self.registrations.remove(&id);
        match self.sources.remove(&id) {
            Some(Kind::Bytes { out, into, .. }) => {
                for number in [out, into].into_iter().flatten() {
                    let channel = &self.channels[&number];
                    let lives = |end| self.sources.contains_key(&end);
                    if !lives(channel.writer) && !lives(channel.reader) {
                        self.channels.remove(&number);
                    }
                }
            }
            Some(Kind::Listener { waiting }) => {
                for accepted in waiting {
                    self.reset(accepted);
                    self.close(accepted);
                }
            }
            _ => {}
        }
    }

    pub(super) fn next_due(&self, poll: Id) -> Option<Duration> {
        let registrations = self.registrations.values().filter(|found| found.poll == poll);
        registrations.flat_map(|found| found.directions).filter_map(|direction| direction.due).min()
    }

    /// Reports what is due, as far as there is space, in any order.
    pub(super) fn deliver(&mut self, poll: Id, events: &mut Events) {
        let mut due: Vec<Id> = Vec::new();
        for (&id, registration) in &self.registrations {
            let is_due = |direction: &DirectionState| direction.due.is_some_and(|due| due <= self.now);
            if registration.poll == poll && registration.directions.iter().any(is_due) {
                due.push(id);
            }
        }
        for last in (1..due.len()).rev() {
            due.swap(last, last - self.choices.below(ChoiceKind::Order, last + 1));
        }
        for id in due {
            if events.spare() == 0 {
                return;
            }
            let postponed = self.extent(ChoiceKind::Postponed, 1000, |faults| faults.postponed);
            if postponed > 0 {
                self.postpone(id, postponed);
                continue;
            }
            if let Some(event) = self.event(id) {
                events.push(event);
            }
        }
        if events.spare() > 0 && self.fault(ChoiceKind::Spurious, |faults| faults.spurious) {
            if let Some(event) = self.spurious(poll) {
                events.push(event);
            }
        }
    }

    fn postpone(&mut self, id: Id, micros: usize) {
        let later = self.now + Duration::from_micros(micros as u64);
        if let Some(registration) = self.registrations.get_mut(&id) {
            for direction in &mut registration.directions {
                direction.due = direction.due.map(|due| due.max(later));
            }
        }
    }

    /// Returns the event that is due for a source; `None` if its reason has gone meanwhile.
    pub(super) fn event(&mut self, id: Id) -> Option<Event> {
        let mut reported = [false; 2];
        let is_one_shot = self.registrations.get(&id)?.interest.is_one_shot();
        let may_be_spurious = may_be_spurious(self.registrations.get(&id)?);
        for direction in [READ, WRITE] {
            let is_ready = self.is_reported(id, direction);
            let found = self.registrations.get(&id)?.directions[direction];
            let is_due = found.due.is_some_and(|due| due <= self.now);
            // A ready direction may come early, or as a repetition.
            let comes = match is_due {
                true => is_ready || may_be_spurious && self.choices.chance(ChoiceKind::Stale, 4),
                false => is_ready && found.wanted && self.choices.chance(ChoiceKind::Merge, 2),
            };
            let is_split = direction == WRITE
                && reported[READ]
                && !is_one_shot
                && self.fault(ChoiceKind::Split, |faults| faults.split);
            let direction_of = &mut self.registrations.get_mut(&id)?.directions[direction];
            if is_split {
                continue;
            }
            if is_due {
                direction_of.due = None;
            }
            if comes {
                *direction_of = DirectionState { armed: false, due: None, ..*direction_of };
                reported[direction] = true;
            }
        }
        let registration = self.registrations.get_mut(&id)?;
        let (token, readiness) = (registration.token, readiness(reported));
        if is_one_shot && !readiness.is_none() {
            registration.is_spent = true;
            registration.directions.iter_mut().for_each(|direction| direction.due = None);
        }
        (!readiness.is_none()).then(|| simulated(token, readiness.union(self.endings(id))))
    }

    pub(super) fn spurious(&mut self, poll: Id) -> Option<Event> {
        let is_candidate = |one: &RegistrationState| one.poll == poll && may_be_spurious(one);
        let all: Vec<Id> =
            self.registrations.iter().filter(|(_, one)| is_candidate(one)).map(|(&id, _)| id).collect();
        let id = *all.get(self.choices.below(ChoiceKind::Which, all.len()))?;
        let registration = &self.registrations[&id];
        let reported = registration.directions.map(|direction| direction.wanted);
        Some(simulated(registration.token, readiness(reported)))
    }

    /// Returns the flags of what is closed. They are only hints: a kernel may omit them.
    pub(super) fn endings(&mut self, id: Id) -> Readiness {
        let (mut read_closed, mut write_closed, mut error) = (false, false, false);
        if let Some(&Kind::Bytes { out, into, reset }) = self.sources.get(&id) {
            let is_over = |channel: &Channel| channel.ended || channel.unread;
            read_closed = into.is_some_and(|into| is_over(&self.channels[&into]));
            let no_more_out = out.is_some_and(|out| is_over(&self.channels[&out]));
            write_closed = no_more_out && (read_closed || into.is_none());
            error = reset == Reset::Unreported;
        }
        let mut hint =
            |is_so: bool, flag: Readiness| flag.when(is_so && !self.choices.chance(ChoiceKind::Hint, 4));
        hint(read_closed, Readiness::READ_CLOSED)
            .union(hint(write_closed, Readiness::WRITE_CLOSED))
            .union(hint(error, Readiness::ERROR))
    }
}

/// Returns whether an event without a reason is legal: a one-shot registration would be disarmed by it, and an interest
/// in the end alone has no operation that finds nothing there.
fn may_be_spurious(registration: &RegistrationState) -> bool {
    !registration.interest.is_one_shot() && !registration.interest.is_end()
}

fn simulated(token: Token, readiness: Readiness) -> Event {
    Event::new(token, readiness, Backend::Sim as u8, 0)
}
