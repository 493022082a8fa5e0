//! Registrations, and the events that they cause.
//!
//! Invariant: readiness that was used up and comes again is always reported; all other choices are drawn.

use std::io;
use std::time::Duration;

use super::choices::ChoiceKind;
use super::sources::{
    readiness, DirectionState, Id, Kind, RegistrationKey, RegistrationState, Reset, READ, WRITE,
};
use super::state::State;
use crate::backend::name::Backend;
use crate::readiness::{Event, Events, Interest, Readiness, Token};

/// The longest that an event is late.
const LATEST: Duration = Duration::from_millis(10);

impl State {
    /// Begins or replaces a registration.
    pub(super) fn watch(&mut self, key: RegistrationKey, token: Token, interest: Interest) {
        let direction = |wanted| DirectionState { wanted, armed: wanted, due: None };
        let reads = interest.is_readable() || interest.is_end();
        let directions = [direction(reads), direction(interest.is_writable())];
        let state = RegistrationState { token, interest, is_spent: false, directions };
        if self.registrations.insert(key, state).is_none() {
            self.watchers.entry(key.1).or_default().push(key);
        }
        self.changed_for(key, READ);
        self.changed_for(key, WRITE);
    }

    pub(super) fn unwatch(&mut self, key: RegistrationKey) {
        self.registrations.remove(&key);
        if let Some(watchers) = self.watchers.get_mut(&key.1) {
            watchers.retain(|watcher| *watcher != key);
            if watchers.is_empty() {
                self.watchers.remove(&key.1);
            }
        }
    }

    /// Ends all registrations of a source.
    pub(super) fn unwatch_all(&mut self, id: Id) {
        for key in self.watchers.remove(&id).unwrap_or_default() {
            self.registrations.remove(&key);
        }
    }

    /// Ends all registrations of a poll.
    pub(super) fn remove_poll(&mut self, poll: Id) {
        self.polls.remove(&poll);
        let all = self.registrations.range((poll, 0, i32::MIN)..=(poll, Id::MAX, i32::MAX));
        let all: Vec<RegistrationKey> = all.map(|(&key, _)| key).collect();
        for key in all {
            self.unwatch(key);
        }
    }

    pub(super) fn is_watched(&self, id: Id) -> bool {
        self.watchers.contains_key(&id)
    }

    pub(super) fn check_watched(&self, key: RegistrationKey) -> io::Result<()> {
        match self.registrations.contains_key(&key) {
            true => Ok(()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Returns whether a registration of the source wants the direction.
    pub(super) fn is_wanted(&self, id: Id, direction: usize) -> bool {
        let keys = self.watchers.get(&id).map_or(&[][..], |keys| keys);
        keys.iter().any(|key| self.registrations[key].directions[direction].wanted)
    }

    /// Returns whether the registration of a source reports the state of a direction.
    fn is_reported(&self, key: RegistrationKey, direction: usize) -> bool {
        match self.registrations.get(&key) {
            Some(registration) if registration.interest.is_end() => self.has_ended(key.1),
            _ => self.is_ready(key.1, direction),
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
        if !self.blocked.is_empty() && self.is_ready(id, direction) {
            for task in self.blocked.remove(&(id, direction)).unwrap_or_default() {
                self.turns.unpark(task);
            }
        }
        for at in 0.. {
            let Some(&key) = self.watchers.get(&id).and_then(|keys| keys.get(at)) else { return };
            self.changed_for(key, direction);
        }
    }

    fn changed_for(&mut self, key: RegistrationKey, direction: usize) {
        if !self.is_reported(key, direction) {
            return;
        }
        let Some(registration) = self.registrations.get(&key).filter(|found| !found.is_spent) else { return };
        let direction = if registration.interest.is_end() { READ } else { direction };
        let DirectionState { wanted, armed, due } = registration.directions[direction];
        let is_level = registration.interest.is_level();
        // If the last event wasn't used up, another one may follow, as with epoll, or not, as with poll(2).
        if wanted && due.is_none() && (armed || is_level || self.choices.chance(ChoiceKind::Repeat, 2)) {
            let due = self.now + self.lateness();
            if let Some(registration) = self.registrations.get_mut(&key) {
                registration.directions[direction].due = Some(due);
            }
            if let Some(sleeper) = self.polls.get(&key.0).and_then(|poll| poll.sleeper) {
                let now = self.now;
                self.turns.hasten(sleeper, due, now);
            }
        }
    }

    /// Sends the events of the level-triggered sources that are ready, as each wait does.
    pub(super) fn renew_levels(&mut self, poll: Id) {
        let all = self.registrations.range((poll, 0, i32::MIN)..=(poll, Id::MAX, i32::MAX));
        let all = all.filter(|(_, found)| found.interest.is_level());
        let all: Vec<RegistrationKey> = all.map(|(&key, _)| key).collect();
        for key in all {
            self.changed_for(key, READ);
            self.changed_for(key, WRITE);
        }
    }

    fn lateness(&mut self) -> Duration {
        let micros = self.extent(ChoiceKind::Late, LATEST.as_micros() as usize, |faults| faults.late);
        Duration::from_micros(micros as u64)
    }

    /// Notes that an operation has used up its direction, or pretends to: the next readiness, which may exist now, is
    /// reported.
    pub(super) fn used_up(&mut self, id: Id, direction: usize) {
        for at in 0.. {
            let Some(&key) = self.watchers.get(&id).and_then(|keys| keys.get(at)) else { return };
            if let Some(registration) = self.registrations.get_mut(&key) {
                let wanted = registration.directions[direction].wanted;
                registration.directions[direction].armed = wanted;
            }
            self.changed_for(key, direction);
        }
    }

    pub(super) fn would_block<T>(&mut self, id: Id, direction: usize) -> io::Result<T> {
        self.used_up(id, direction);
        Err(io::ErrorKind::WouldBlock.into())
    }

    pub(super) fn next_due(&self, poll: Id) -> Option<Duration> {
        let registrations = self.registrations.range((poll, 0, i32::MIN)..=(poll, Id::MAX, i32::MAX));
        registrations.flat_map(|(_, found)| found.directions).filter_map(|direction| direction.due).min()
    }

    /// Reports what is due, as far as there is space, in any order.
    pub(super) fn deliver(&mut self, poll: Id, events: &mut Events) {
        let mut due: Vec<RegistrationKey> = Vec::new();
        for (&key, registration) in self.registrations.range((poll, 0, i32::MIN)..=(poll, Id::MAX, i32::MAX))
        {
            let is_due = |direction: &DirectionState| direction.due.is_some_and(|due| due <= self.now);
            if registration.directions.iter().any(is_due) {
                due.push(key);
            }
        }
        for last in (1..due.len()).rev() {
            due.swap(last, last - self.choices.below(ChoiceKind::Order, last + 1));
        }
        for key in due {
            if events.spare() == 0 {
                return;
            }
            let postponed = self.extent(ChoiceKind::Postponed, 1000, |faults| faults.postponed);
            if postponed > 0 {
                self.postpone(key, postponed);
                continue;
            }
            if let Some(event) = self.event(key) {
                events.push(event);
            }
        }
        if events.spare() > 0 && self.fault(ChoiceKind::Spurious, |faults| faults.spurious) {
            if let Some(event) = self.spurious(poll) {
                events.push(event);
            }
        }
    }

    fn postpone(&mut self, key: RegistrationKey, micros: usize) {
        let later = self.now + Duration::from_micros(micros as u64);
        if let Some(registration) = self.registrations.get_mut(&key) {
            for direction in &mut registration.directions {
                direction.due = direction.due.map(|due| due.max(later));
            }
        }
    }

    /// Returns the event that is due for a registration; `None` if its reason has gone meanwhile.
    fn event(&mut self, key: RegistrationKey) -> Option<Event> {
        let mut reported = [false; 2];
        let is_one_shot = self.registrations.get(&key)?.interest.is_one_shot();
        let may_be_spurious = may_be_spurious(self.registrations.get(&key)?);
        for direction in [READ, WRITE] {
            let is_ready = self.is_reported(key, direction);
            let found = self.registrations.get(&key)?.directions[direction];
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
            let direction_of = &mut self.registrations.get_mut(&key)?.directions[direction];
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
        let registration = self.registrations.get_mut(&key)?;
        let (token, readiness) = (registration.token, readiness(reported));
        if is_one_shot && !readiness.is_none() {
            registration.is_spent = true;
            registration.directions.iter_mut().for_each(|direction| direction.due = None);
        }
        (!readiness.is_none()).then(|| simulated(token, readiness.union(self.endings(key.1))))
    }

    fn spurious(&mut self, poll: Id) -> Option<Event> {
        let all = self.registrations.range((poll, 0, i32::MIN)..=(poll, Id::MAX, i32::MAX));
        let all = all.filter(|(_, one)| may_be_spurious(one));
        let all: Vec<RegistrationKey> = all.map(|(&key, _)| key).collect();
        let key = *all.get(self.choices.below(ChoiceKind::Which, all.len()))?;
        let registration = &self.registrations[&key];
        let reported = registration.directions.map(|direction| direction.wanted);
        Some(simulated(registration.token, readiness(reported)))
    }

    /// Returns the flags of what is closed. They are only hints: a kernel may omit them.
    fn endings(&mut self, id: Id) -> Readiness {
        let (mut read_closed, mut write_closed) = (false, false);
        let mut error = self.sockets.get(&id).is_some_and(|socket| socket.error.is_some());
        match self.sources.get(&id) {
            Some(&Kind::Bytes { out, into, reset }) => {
                read_closed = into.is_some_and(|into| self.channels[&into].is_at_end());
                let no_more_out = out.is_some_and(|out| self.channels[&out].is_broken());
                write_closed = no_more_out && (read_closed || into.is_none());
                error |= reset == Reset::Unreported;
            }
            // Linux reports a stream socket without a connection as hung up.
            Some(Kind::Idle) => (read_closed, write_closed) = (true, true),
            _ => {}
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
