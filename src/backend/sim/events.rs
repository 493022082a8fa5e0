//! Registrations, and the events that they cause.
//!
//! Invariant: readiness that was used up and comes again is always reported; all other choices are drawn.

use std::io;
use std::time::Duration;

use super::choices::ChoiceKind;
use super::sources::{
    readiness, DirectionState, Id, Kind, RegistrationKey, RegistrationState, SourceState, READ, WRITE,
};
use super::state::State;
use super::world::NO_DESCRIPTOR;
use crate::backend::logic::watch::Tracking;
use crate::backend::name::Backend;
use crate::readiness::{Event, Events, Interest, Readiness, Token};

/// The longest that an event is late.
const LATEST: Duration = Duration::from_millis(10);

impl State {
    /// Begins or replaces a registration.
    pub(super) fn watch(
        &mut self,
        key: RegistrationKey,
        token: Token,
        interest: Interest,
        tracking: Tracking,
    ) {
        self.cancel(key);
        let Some(poll) = self.polls.get_mut(&key.0) else { return };
        if interest.is_level() {
            poll.levels.insert(key);
        } else {
            poll.levels.remove(&key);
        }
        let direction = |wanted| DirectionState { wanted, armed: wanted, due: None };
        let reads = interest.is_readable() || interest.is_end();
        let directions = [direction(reads), direction(interest.is_writable())];
        let (is_spent, known) = (false, Readiness::NONE);
        let state = RegistrationState { token, interest, tracking, is_spent, known, directions };
        self.registrations.insert(key, state);
        self.changed_for(key, READ, false);
        self.changed_for(key, WRITE, false);
        self.follow(key);
    }

    /// Lets a registration of a poll's descriptor look at that poll when its next event is due.
    fn follow(&mut self, key: RegistrationKey) {
        let Some(&Kind::Poll(inner)) = self.sources.get(&key.1) else { return };
        if let Some(due) = self.next_due(inner).filter(|due| *due > self.now) {
            self.inner_due(key.1, due);
        }
    }

    pub(super) fn unwatch(&mut self, key: RegistrationKey) {
        self.cancel(key);
        if let Some(poll) = self.polls.get_mut(&key.0) {
            poll.levels.remove(&key);
        }
        self.registrations.remove(&key);
    }

    /// Ends all registrations of a source.
    pub(super) fn unwatch_all(&mut self, id: Id) {
        while let Some(&(key, _)) = self.registrations.of(id).first() {
            self.unwatch(key);
        }
    }

    /// Ends all registrations of a poll.
    pub(super) fn remove_poll(&mut self, poll: Id) {
        self.polls.remove(&poll);
        for key in self.registrations.of_poll(poll, |_| true) {
            self.unwatch(key);
        }
    }

    pub(super) fn is_watched(&self, id: Id) -> bool {
        !self.registrations.of(id).is_empty()
    }

    pub(super) fn check_watched(&self, key: RegistrationKey) -> io::Result<()> {
        match self.registrations.contains_key(&key) {
            true => Ok(()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Returns whether an operation of the source may pretend to block: an event of the direction can follow, and no
    /// raw descriptor, whose operations a `Poll` doesn't see, is registered.
    pub(super) fn may_pretend(&self, id: Id, direction: usize) -> bool {
        let mut all = self.registrations.of(id).iter().map(|(_, registration)| registration);
        // An interest in the end has no event for data.
        let reports =
            |found: &RegistrationState| found.directions[direction].wanted && !found.interest.is_end();
        let is_wanted = all.clone().any(reports);
        is_wanted && all.all(|found| found.tracking == Tracking::Tracked)
    }

    /// Returns whether the registration of a source reports the state of a direction.
    fn is_reported(&self, key: RegistrationKey, direction: usize) -> bool {
        let state = self.readiness(key.1);
        match self.registrations.get(&key) {
            Some(registration) if registration.interest.is_end() => state.has_ended(),
            Some(registration) => {
                let other = 1 - direction;
                // Linux reports a hang-up without an interest: it counts for the directions of the interest, unless
                // one of them is ready by itself.
                let is_other = registration.directions[other].wanted && state.is_ready(other);
                state.is_ready(direction) || state.error || state.is_hung_up() && !is_other
            }
            None => false,
        }
    }

    /// Handles a change in a direction: if it is ready now, and that must be reported, an event sets out.
    pub(super) fn changed(&mut self, id: Id, direction: usize) {
        if !self.blocked.is_empty() {
            for task in self.blocked.remove(&(id, direction)).unwrap_or_default() {
                self.turns.unpark(task);
            }
        }
        for at in 0.. {
            let Some(&(key, _)) = self.registrations.of(id).get(at) else { return };
            self.changed_for(key, direction, true);
        }
    }

    /// Sends an event if the registration reports the direction. `is_news`: it was less ready before.
    fn changed_for(&mut self, key: RegistrationKey, direction: usize, is_news: bool) {
        if !self.is_reported(key, direction) {
            return;
        }
        let Some(registration) = self.registrations.get(&key).filter(|found| !found.is_spent) else { return };
        let direction = if registration.interest.is_end() { READ } else { direction };
        let DirectionState { wanted, armed, due } = registration.directions[direction];
        // The reads of a raw descriptor are not seen, so each arrival is reported.
        let is_arrival = is_news && direction == READ && registration.tracking == Tracking::Untracked;
        let must_come = armed || is_arrival || registration.interest.is_level();
        // If the last event wasn't used up, another one may follow, as with epoll, or not, as with poll(2).
        if wanted && due.is_none() && (must_come || self.choices.chance(ChoiceKind::Repeat, 2)) {
            let due = self.now + self.lateness();
            self.set_due(key, direction, Some(due));
        } else if let Some((due, _)) = due {
            // A poll that watches this one may have taken no note of it.
            if let Some(outer) = self.polls.get(&key.0).and_then(|poll| poll.source) {
                self.inner_due(outer, due);
            }
        }
    }

    /// Sets when the event of a direction comes.
    fn set_due(&mut self, key: RegistrationKey, direction: usize, due: Option<Duration>) {
        let (Some(registration), Some(poll)) = (self.registrations.get_mut(&key), self.polls.get_mut(&key.0))
        else {
            return;
        };
        let place = &mut registration.directions[direction].due;
        if let Some(old) = place.take() {
            poll.due.remove(&old);
        }
        let Some(time) = due else { return };
        self.next_event += 1;
        *place = Some((time, self.next_event));
        poll.due.insert((time, self.next_event), (key, direction));
        let (sleeper, outer) = (poll.sleeper, poll.source);
        if let Some(sleeper) = sleeper {
            let now = self.now;
            self.turns.hasten(sleeper, time, now);
        }
        if let Some(outer) = outer {
            self.inner_due(outer, time);
        }
    }

    /// Lets the polls that watch another poll's descriptor look at it when it has an event.
    fn inner_due(&mut self, id: Id, time: Duration) {
        for at in 0.. {
            let Some(&(key, _)) = self.registrations.of(id).get(at) else { return };
            let found = self.registrations.get(&key).filter(|found| !found.is_spent);
            let found = found.map(|found| found.directions[READ]);
            if found.is_some_and(|direction| direction.wanted && direction.due.is_none()) {
                let due = time.max(self.now) + self.lateness();
                self.set_due(key, READ, Some(due));
            }
        }
    }

    /// Removes the events of a registration that are on their way.
    fn cancel(&mut self, key: RegistrationKey) {
        self.set_due(key, READ, None);
        self.set_due(key, WRITE, None);
    }

    /// Sends the events of the level-triggered sources that are ready, as each wait does.
    pub(super) fn renew_levels(&mut self, poll: Id) {
        let Some(poll) = self.polls.get(&poll).filter(|poll| !poll.levels.is_empty()) else { return };
        let all: Vec<RegistrationKey> = poll.levels.iter().copied().collect();
        for key in all {
            self.changed_for(key, READ, false);
            self.changed_for(key, WRITE, false);
        }
    }

    /// Returns whether a wait on a poll would return at once.
    pub(super) fn has_events(&self, poll: Id) -> bool {
        let Some(poll) = self.polls.get(&poll) else { return false };
        let mut due = poll.due.range(..=(self.now, u64::MAX));
        poll.is_notified
            || due.any(|(_, &(key, direction))| self.is_reported(key, direction))
            || poll.levels.iter().any(|&key| {
                let wanted = self.registrations[&key].directions.map(|direction| direction.wanted);
                [READ, WRITE].iter().any(|&at| wanted[at] && self.is_reported(key, at))
            })
    }

    fn lateness(&mut self) -> Duration {
        let micros = self.extent(ChoiceKind::Late, LATEST.as_micros() as usize, |faults| faults.late);
        Duration::from_micros(micros as u64)
    }

    /// Notes that an operation has used up its direction, or pretends to (`is_fault`): the next readiness, which may
    /// exist now, is reported.
    pub(super) fn used_up(&mut self, id: Id, direction: usize, is_fault: bool) {
        for at in 0.. {
            let Some(&(key, _)) = self.registrations.of(id).get(at) else { return };
            let endings = self.endings_of(key).endings();
            let Some(registration) = self.registrations.get_mut(&key) else { continue };
            let state = &mut registration.directions[direction];
            state.armed = state.wanted;
            // A program that knows the end needs no event to find it.
            if is_fault || endings.is_none() || registration.known != endings {
                self.changed_for(key, direction, false);
            }
        }
    }

    /// Notes that an operation has found nothing. An event follows the next change.
    pub(super) fn would_block<T>(&mut self, id: Id, direction: usize) -> io::Result<T> {
        self.used_up(id, direction, false);
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Makes the next change of a source one that is reported: an error has come, or was taken.
    pub(super) fn arm(&mut self, id: Id) {
        for (_, registration) in self.registrations.of_mut(id) {
            registration.directions.iter_mut().for_each(|direction| direction.armed = direction.wanted);
        }
    }

    pub(super) fn next_due(&self, poll: Id) -> Option<Duration> {
        let first = self.polls.get(&poll)?.due.keys().next();
        first.map(|&(due, _)| due)
    }

    /// Reports what is due, as far as there is space, in any order. In the plain one the event that has waited longest
    /// comes first.
    pub(super) fn deliver(&mut self, poll: Id, events: &mut Events) {
        let Some(found) = self.polls.get(&poll) else { return };
        let mut due: Vec<RegistrationKey> = Vec::new();
        // Some more than there is space for, since some may come to nothing.
        let most = events.spare().saturating_mul(2).saturating_add(16);
        for (place, &(key, direction)) in found.due.range(..=(self.now, u64::MAX)) {
            let other = self.registrations[&key].directions[1 - direction].due;
            if other.map_or(true, |other| *place < other) {
                due.push(key);
            }
            if due.len() == most {
                break;
            }
        }
        // Only the order of those that come now is drawn: the others would starve.
        for last in (1..due.len().min(events.spare())).rev() {
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
        for direction in [READ, WRITE] {
            let due = self.registrations.get(&key).and_then(|found| found.directions[direction].due);
            if let Some((due, _)) = due {
                self.set_due(key, direction, Some(due.max(later)));
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
            let is_due = found.due.is_some_and(|(due, _)| due <= self.now);
            // A ready direction may come early, or as a repetition; with the only event of a one-shot interest it does.
            let comes = match is_due {
                true => is_ready || may_be_spurious && self.choices.chance(ChoiceKind::Stale, 4),
                false => {
                    is_ready && found.wanted && (is_one_shot || self.choices.chance(ChoiceKind::Merge, 2))
                }
            };
            let is_split = direction == WRITE
                && reported[READ]
                && !is_one_shot
                && self.fault(ChoiceKind::Split, |faults| faults.split);
            if is_split {
                continue;
            }
            if is_due || comes {
                self.set_due(key, direction, None);
            }
            if comes {
                // An event without a reason is none of the readiness that comes next.
                self.registrations.get_mut(&key)?.directions[direction].armed &= !is_ready;
                reported[direction] = true;
            }
        }
        let flags = readiness(reported);
        if flags.is_none() {
            self.follow(key);
            return None;
        }
        if is_one_shot {
            self.cancel(key);
        }
        let endings = self.endings(key);
        let registration = self.registrations.get_mut(&key)?;
        registration.is_spent = is_one_shot;
        registration.known = endings;
        Some(simulated(registration.token, flags.union(endings)))
    }

    fn spurious(&mut self, poll: Id) -> Option<Event> {
        let all = self.registrations.of_poll(poll, may_be_spurious);
        let key = *all.get(self.choices.below(ChoiceKind::Which, all.len()))?;
        let registration = &self.registrations[&key];
        let reported = registration.directions.map(|direction| direction.wanted);
        Some(simulated(registration.token, readiness(reported)))
    }

    /// Returns what is closed, as far as the registration hears of it: a half-close is a matter of readers.
    fn endings_of(&self, key: RegistrationKey) -> SourceState {
        let state = self.readiness(key.1);
        let reads = self.registrations.get(&key).is_some_and(|found| found.directions[READ].wanted);
        SourceState { read_closed: state.read_closed && reads || state.is_hung_up(), ..state }
    }

    /// Returns the flags of what is closed. They are only hints: a kernel may omit them. Linux omits none, and a source
    /// with a descriptor is one of Linux's.
    fn endings(&mut self, key: RegistrationKey) -> Readiness {
        let state = self.endings_of(key);
        // An event for the end alone says which it is.
        let is_end = self.registrations.get(&key).is_some_and(|found| found.interest.is_end());
        let one_in = if is_end || key.2 != NO_DESCRIPTOR { 0 } else { 4 };
        let mut hint =
            |is_so: bool, flag: Readiness| flag.when(is_so && !self.choices.chance(ChoiceKind::Hint, one_in));
        hint(state.read_closed, Readiness::READ_CLOSED)
            .union(hint(state.write_closed, Readiness::WRITE_CLOSED))
            .union(hint(state.error, Readiness::ERROR))
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
