//! Chaos: injects legal but rare behaviour into an unmodified program, on top of any backend.
//!
//! Events are delayed, split, merged, reordered and spurious. Operations of an `IoSource` move less than they could, or
//! fail with `WouldBlock`.
//!
//! Invariant: an event for the direction always follows an injected `WouldBlock`. No event is lost, none is reported
//! after its registration has ended, and no byte is changed.
//!
//! Without chaos the cost is one `Option` beside the selector, and nothing in the sources.

use std::io::{self, Write};
use std::mem;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use super::wakes::Wakes;
use crate::backend::{Selector, NO_KERNEL};
use crate::os::environment::Variable;
#[cfg(all(unix, feature = "os-ext"))]
use crate::os::FilterId;
use crate::os::RawIo;
use crate::readiness::{Event, Events, Interest, Readiness, Token};

/// The longest delay of an event.
const LATEST: Duration = Duration::from_millis(2);

pub(crate) struct Chaos(Mutex<State>);

struct State {
    random: u64,
    /// The number of sources so far, for their keys.
    sources: u64,
    /// The number of calls of `wait` so far.
    waits: u64,
    /// The registrations by key, and their keys by token. Both are sorted, and one function searches both: programs
    /// that never use chaos compile it too, and the standard library's maps and searches are large.
    registered: Vec<(LayerKey, ChaosRecord)>,
    owners: Vec<(Token, LayerKey)>,
    /// The events that are held back, at most one for each registration.
    held: Vec<Held>,
    /// The `Poll` was dropped: no event can follow any more.
    is_over: bool,
    /// The held events have taken all the room. The next time the kernel's come first, or they would starve.
    held_filled_room: bool,
    /// The buffer for the kernel's events, kept for its memory.
    fresh: Option<Events>,
}

struct ChaosRecord {
    token: Token,
    interest: Interest,
    /// The `wait` that was under way when this registration began, or the last one before. An event that it has got may
    /// belong to an earlier registration with the same token, so it must not be held back for this one.
    since: u64,
    /// The registration is being replaced. An event that was held back now would be dropped with it, though it may
    /// belong to the next.
    is_changing: bool,
}

struct Held {
    due: Instant,
    key: LayerKey,
    event: Event,
}

/// Names a registration.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LayerKey {
    Source(u64),
    #[cfg_attr(not(feature = "os-ext"), allow(dead_code))]
    Raw(RawIo),
    #[cfg(all(unix, feature = "os-ext"))]
    Filter(FilterId),
}

impl Chaos {
    /// Returns the seed in the environment, if there is one.
    pub(crate) fn seed_of_environment() -> io::Result<Option<u64>> {
        static VARIABLE: Variable = Variable::new("WAKEFUL_CHAOS");
        static LOGGED: Once = Once::new();
        let seed = VARIABLE.parse(|text| text.parse::<u64>().ok(), || "a number".to_owned())?;
        let Some(seed) = seed else { return Ok(None) };
        // For the log of a test that fails. A failed write to stderr is ignored.
        LOGGED.call_once(|| drop(writeln!(io::stderr(), "wakeful: WAKEFUL_CHAOS={seed}")));
        Ok(Some(seed))
    }

    /// Creates the chaos of one `Poll`. The polls of a program differ from each other, by their number.
    pub(crate) fn of_poll(seed: u64, poll: u32) -> Chaos {
        Chaos::new(seed.wrapping_add(u64::from(poll) << 32))
    }

    pub(crate) fn new(seed: u64) -> Chaos {
        Chaos(Mutex::new(State {
            // Neighbouring seeds must not give neighbouring numbers, and zero would stay zero.
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            sources: 0,
            waits: 0,
            registered: Vec::new(),
            owners: Vec::new(),
            held: Vec::new(),
            is_over: false,
            held_filled_room: false,
            fresh: None,
        }))
    }

    pub(crate) fn add_source(&self, token: Token, interest: Interest) -> LayerKey {
        let mut state = self.state();
        state.sources += 1;
        let key = LayerKey::Source(state.sources);
        state.set(key, token, interest);
        key
    }

    /// Runs `change`, which begins or replaces a registration: no event of the old one is reported afterwards.
    pub(crate) fn replace(
        &self,
        key: LayerKey,
        token: Token,
        interest: Interest,
        change: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        // The poller may get the kernel's events of the new registration before `change` returns.
        self.state().set_changing(key, true);
        let result = change();
        let mut state = self.state();
        match result {
            Ok(()) => state.set(key, token, interest),
            Err(_) => state.set_changing(key, false),
        }
        result
    }

    pub(crate) fn remove(&self, key: LayerKey) {
        self.state().remove(key);
    }

    /// Ends chaos: the `Poll` is being dropped. Sources that live longer behave as without chaos.
    pub(crate) fn end(&self) {
        self.state().is_over = true;
    }

    /// Returns whether an event is held back.
    #[cfg(unix)]
    pub(crate) fn holds_some(&self) -> bool {
        !self.state().held.is_empty()
    }

    /// Waits as the selector does, and changes its events. While the poll's descriptor may be watched, no event is held
    /// back, since the descriptor wouldn't show it.
    #[cold]
    pub(crate) fn wait(
        &self,
        selector: &Selector,
        wakes: &Wakes,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let before = events.len();
        let mut state = self.state();
        state.waits += 1;
        let wait = state.waits;
        let held_first = !mem::take(&mut state.held_filled_room);
        if held_first {
            state.deliver(wakes.is_exposed(), events);
        }
        if events.spare() == 0 {
            state.held_filled_room = true;
            return self.notify_watcher(state, selector, wakes);
        }
        let timeout = match state.next_due() {
            _ if events.len() > before => Some(Duration::ZERO),
            Some(next) => {
                let until = next.saturating_duration_since(Instant::now());
                Some(timeout.map_or(until, |timeout| timeout.min(until)))
            }
            None => timeout,
        };
        let mut fresh = match state.fresh.take() {
            Some(fresh) if fresh.capacity() == events.spare() => fresh,
            _ => Events::with_capacity(events.spare()),
        };
        drop(state);

        fresh.clear();
        let result = selector.wait_cold(&mut fresh, timeout);
        let mut state = self.state();
        let may_hold = !wakes.is_exposed();
        for event in &fresh {
            state.pass(event, wait, may_hold, events);
        }
        if !held_first {
            state.deliver(!may_hold, events);
        }
        if events.spare() > 0 && state.chance(20) {
            state.make_up(events);
        }
        state.fresh = Some(fresh);
        let notified = self.notify_watcher(state, selector, wakes);
        if events.len() > before {
            return Ok(());
        }
        result.and(notified)
    }

    /// Notifies the watcher of the poll's descriptor if held events are left: it must poll again for them.
    fn notify_watcher(
        &self,
        state: MutexGuard<'_, State>,
        selector: &Selector,
        wakes: &Wakes,
    ) -> io::Result<()> {
        let are_left = !state.held.is_empty();
        drop(state);
        match are_left && wakes.is_exposed() {
            true => selector.notify(),
            false => Ok(()),
        }
    }

    /// Runs an operation, possibly with a limit on the bytes that it moves. Or returns `WouldBlock` without running it:
    /// then an event follows.
    pub(super) fn operate<R>(
        &self,
        key: LayerKey,
        direction: Interest,
        wanted: usize,
        selector: &Selector,
        operation: impl FnOnce(usize) -> io::Result<R>,
    ) -> io::Result<R> {
        if self.pretends_to_block(key, direction, selector) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let limit = self.limit(wanted);
        let result = operation(limit);
        // A program that stops after a short transfer gets an event for the rest.
        if limit < wanted && result.is_ok() && self.state().follow_up(key, direction) {
            self.announce(selector);
        }
        result
    }

    /// Decides whether an operation shall fail with `WouldBlock`, and if so sends the event that follows.
    #[inline(never)]
    fn pretends_to_block(&self, key: LayerKey, direction: Interest, selector: &Selector) -> bool {
        let mut state = self.state();
        let is_so = state.chance(8) && state.follow_up(key, direction);
        drop(state);
        is_so && self.announce(selector)
    }

    /// Chooses how much an operation may move.
    #[inline(never)]
    fn limit(&self, wanted: usize) -> usize {
        if wanted <= 1 {
            return usize::MAX;
        }
        let mut state = self.state();
        match !state.is_over && state.chance(3) {
            true => 1 + state.below(wanted - 1),
            false => usize::MAX,
        }
    }

    /// Ends the sleep of the poller, which must take the new held event into account. Returns true.
    fn announce(&self, selector: &Selector) -> bool {
        // `Layer::prepare` has done the part that can fail. A failure here would only delay the event.
        let _ = selector.notify();
        true
    }

    #[inline(never)]
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    #[inline(never)]
    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let number = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        (number % limit as u64) as usize
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn set(&mut self, key: LayerKey, token: Token, interest: Interest) {
        self.remove(key);
        let registration = ChaosRecord { token, interest, since: self.waits, is_changing: false };
        self.registered.insert(self.place_of(key), (key, registration));
        self.owners.insert(self.place_of_owner(token, key), (token, key));
    }

    fn set_changing(&mut self, key: LayerKey, is_changing: bool) {
        if let Some(place) = self.place(key) {
            self.registered[place].1.is_changing = is_changing;
        }
    }

    fn remove(&mut self, key: LayerKey) {
        if let Some(place) = self.place(key) {
            let (_, old) = self.registered.remove(place);
            self.owners.remove(self.place_of_owner(old.token, key));
            if let Some(place) = self.held(key) {
                self.held.swap_remove(place);
            }
        }
    }

    /// Returns the index of `key`.
    fn place(&self, key: LayerKey) -> Option<usize> {
        let place = self.place_of(key);
        self.registered.get(place).is_some_and(|(other, _)| *other == key).then_some(place)
    }

    /// Returns the index that `key` has or would have.
    fn place_of(&self, key: LayerKey) -> usize {
        first_place(self.registered.len(), &|place| self.registered[place].0 >= key)
    }

    fn place_of_owner(&self, token: Token, key: LayerKey) -> usize {
        first_place(self.owners.len(), &|place| self.owners[place] >= (token, key))
    }

    /// Returns the registration that an event of a `wait` belongs to, if that is certain. It isn't if several
    /// registrations have the token, or if another may have had it during that `wait`: held back, the event might be
    /// reported for the wrong one.
    fn owner(&self, token: Token, wait: u64) -> Option<LayerKey> {
        let first = first_place(self.owners.len(), &|place| self.owners[place].0 >= token);
        let key = match self.owners[first..] {
            [(other, _), (another, _), ..] if other == token && another == token => return None,
            [(other, key), ..] if other == token => key,
            _ => return None,
        };
        let (_, registration) = &self.registered[self.place(key)?];
        (registration.since < wait && !registration.is_changing).then_some(key)
    }

    /// Returns the index of the event that is held for `key`.
    fn held(&self, key: LayerKey) -> Option<usize> {
        self.held.iter().position(|held| held.key == key)
    }

    fn next_due(&self) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for held in &self.held {
            next = Some(next.map_or(held.due, |next| next.min(held.due)));
        }
        next
    }

    /// Holds an event back, or merges it with the one that is held.
    fn hold(&mut self, key: LayerKey, event: Event) {
        if let Some(place) = self.held(key) {
            return self.held[place].add(&event);
        }
        let late = self.below(LATEST.as_micros() as usize) as u64;
        self.held.push(Held { due: Instant::now() + Duration::from_micros(late), key, event });
    }

    /// Holds an event for `direction`, to follow an operation. Returns false if the registration can't get one.
    fn follow_up(&mut self, key: LayerKey, direction: Interest) -> bool {
        let Some(place) = self.place(key) else { return false };
        let (_, registration) = &self.registered[place];
        if registration.is_changing || self.is_over {
            return false;
        }
        let token = registration.token;
        let interest = registration.interest;
        let Some(direction) = direction.intersection(interest) else { return false };
        if interest.is_level() || interest.is_one_shot() {
            // The kernel reports the readiness again: with the next wait, or after the program's `reregister`.
            return true;
        }
        let readiness = readiness(direction);
        if readiness.is_none() {
            return false;
        }
        self.hold(key, Event::new(token, readiness, NO_KERNEL, 0));
        true
    }

    /// Reports the held events that are due, or all of them, in random order.
    fn deliver(&mut self, all: bool, events: &mut Events) {
        for last in (1..self.held.len()).rev() {
            let other = self.below(last + 1);
            self.held.swap(last, other);
        }
        let now = Instant::now();
        let mut index = 0;
        while index < self.held.len() && events.spare() > 0 {
            if !all && self.held[index].due > now {
                index += 1;
                continue;
            }
            events.push(self.held.swap_remove(index).event);
        }
    }

    /// Passes an event of the kernel on: at once, later, merged with another of its registration, or split in two.
    fn pass(&mut self, event: &Event, wait: u64, may_hold: bool, events: &mut Events) {
        let Some(key) = self.owner(event.token(), wait).filter(|_| may_hold) else {
            return events.push(event.clone());
        };
        if self.held(key).is_some() && self.chance(2) {
            return self.hold(key, event.clone());
        }
        let interest = self.place(key).map(|place| self.registered[place].1.interest);
        if interest.is_some_and(Interest::is_level) {
            // The kernel reports the readiness again with the next wait, until the program has used it up. An event
            // that is held could be reported after that.
            if !self.chance(4) {
                events.push(event.clone());
            }
            return;
        }
        // A one-shot registration gets one event alone.
        let is_one_shot = interest.is_some_and(Interest::is_one_shot);
        let may_split = event.is_readable() && event.is_writable() && !is_one_shot;
        if may_split && self.chance(3) {
            let (origin, raw) = event.raw();
            let reading = event.readiness().without(Readiness::WRITABLE.union(Readiness::WRITE_CLOSED));
            let writing = event
                .readiness()
                .without(Readiness::READABLE.union(Readiness::READ_CLOSED).union(Readiness::PRIORITY));
            let (now, later) = if self.chance(2) { (writing, reading) } else { (reading, writing) };
            events.push(Event::new(event.token(), now, origin, raw));
            self.hold(key, Event::new(event.token(), later, origin, raw));
        } else if self.chance(4) {
            self.hold(key, event.clone());
        } else {
            events.push(event.clone());
        }
    }

    /// Reports a spurious event of a random source.
    fn make_up(&mut self, events: &mut Events) {
        // Raw descriptors get none, since one may have been closed without a deregistration, and filters none, since no
        // operation shows that a process lives. Their keys sort last.
        let sources = first_place(self.registered.len(), &|place| {
            !matches!(self.registered[place].0, LayerKey::Source(_))
        });
        if sources == 0 {
            return;
        }
        let index = self.below(sources);
        let (_, registration) = &self.registered[index];
        let readiness = readiness(registration.interest);
        if !readiness.is_none() && !registration.interest.is_one_shot() {
            events.push(Event::new(registration.token, readiness, NO_KERNEL, 0));
        }
    }
}

impl Held {
    fn add(&mut self, event: &Event) {
        let (origin, raw) = event.raw();
        let readiness = self.event.readiness().union(event.readiness());
        self.event = Event::new(event.token(), readiness, origin, raw);
    }
}

/// Returns the first of `len` indices for which `is_reached` holds. It must hold for all indices behind it too.
#[inline(never)]
fn first_place(len: usize, is_reached: &dyn Fn(usize) -> bool) -> usize {
    let (mut first, mut end) = (0, len);
    while first < end {
        let middle = first + (end - first) / 2;
        if is_reached(middle) {
            end = middle;
        } else {
            first = middle + 1;
        }
    }
    first
}

fn readiness(directions: Interest) -> Readiness {
    let reading = Readiness::READABLE.when(directions.is_readable());
    reading.union(Readiness::WRITABLE.when(directions.is_writable()))
}

#[cfg(test)]
mod tests;
