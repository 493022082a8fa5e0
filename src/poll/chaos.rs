//! Everything that the contract allows, done on purpose to a program as it is, on top of any backend.
//!
//! Events come late, split, merged, in another order, and for no reason. Operations of an `IoSource` move less than
//! they could, or answer `WouldBlock`: then an event for that direction always follows. No event is lost, none comes
//! after its registration, and no byte is changed.
//!
//! Off, it is one `Option` beside the selector, and nothing in the sources.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::backend::{Selector, NO_KERNEL};
use crate::os::RawIo;
use crate::readiness::{Event, Events, Interest, Readiness, Token};

const VARIABLE: &str = "WAKEFUL_CHAOS";
/// The longest that an event is late.
const LATEST: Duration = Duration::from_millis(2);

pub(crate) struct Chaos(Mutex<State>);

struct State {
    random: u64,
    next: u64,
    /// Whose events may come without a reason, and what they asked for.
    registered: BTreeMap<Key, (Token, Interest)>,
    held: Vec<(Instant, Event)>,
    /// Kept for its memory: what the kernel gives.
    fresh: Option<Events>,
}

/// Names a registration.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Source(u64),
    #[cfg_attr(not(feature = "os-ext"), allow(dead_code))]
    Raw(RawIo),
}

impl Chaos {
    /// If the environment asks for it. The `Poll`s of a program differ from each other, by their number.
    pub(super) fn from_environment(poll: u32) -> io::Result<Option<Box<Chaos>>> {
        let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let seed: u64 = text.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{VARIABLE}={text:?} is no number"))
        })?;
        // For the log of a test that fails. If nobody listens, nobody wants to know.
        let _ = writeln!(io::stderr(), "wakeful: {VARIABLE}={seed}");
        Ok(Some(Box::new(Chaos::new(seed.wrapping_add(u64::from(poll) << 32)))))
    }

    pub(super) fn new(seed: u64) -> Chaos {
        Chaos(Mutex::new(State {
            // Neighbouring seeds must not give neighbouring numbers, and zero would stay zero.
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            next: 0,
            registered: BTreeMap::new(),
            held: Vec::new(),
            fresh: None,
        }))
    }

    pub(super) fn add_source(&self, token: Token, interest: Interest) -> Key {
        let mut state = self.state();
        state.next += 1;
        let key = Key::Source(state.next);
        state.registered.insert(key, (token, interest));
        key
    }

    /// A registration begins, or is replaced: nothing of the old one comes any more.
    pub(crate) fn set(&self, key: Key, token: Token, interest: Interest) {
        let mut state = self.state();
        if let Some((old, _)) = state.registered.insert(key, (token, interest)) {
            state.forget(old);
        }
    }

    pub(crate) fn remove(&self, key: Key) {
        let mut state = self.state();
        if let Some((old, _)) = state.registered.remove(&key) {
            state.forget(old);
        }
    }

    /// Like the selector's `wait`. `may_hold` is false if somebody watches the poll's descriptor: what is held here
    /// doesn't show there.
    #[cold]
    pub(super) fn wait(
        &self,
        selector: &Selector,
        events: &mut Events,
        timeout: Option<Duration>,
        may_hold: bool,
    ) -> io::Result<()> {
        let before = events.len();
        let mut state = self.state();
        let now = Instant::now();
        let next = state.deliver(now, events);
        let timeout = match next {
            _ if events.len() > before => Some(Duration::ZERO),
            Some(next) => {
                let until = next.saturating_duration_since(now);
                Some(timeout.map_or(until, |timeout| timeout.min(until)))
            }
            None => timeout,
        };
        if events.spare() == 0 {
            return Ok(());
        }
        let mut fresh = match state.fresh.take() {
            Some(fresh) if fresh.capacity() == events.spare() => fresh,
            _ => Events::with_capacity(events.spare()),
        };
        drop(state);

        fresh.clear();
        let result = selector.wait(&mut fresh, timeout);
        let mut state = self.state();
        for event in &fresh {
            state.pass(event, events, may_hold);
        }
        if events.spare() > 0 && state.chance(20) {
            state.make_up(events);
        }
        state.fresh = Some(fresh);
        if events.len() > before {
            return Ok(());
        }
        result
    }

    /// Whether an operation shall answer `WouldBlock` without being tried: an event follows.
    pub(super) fn pretends_to_block(&self, key: Key, direction: Interest, selector: &Selector) -> bool {
        let mut state = self.state();
        let is_so = state.chance(8) && state.follow_up(key, direction);
        drop(state);
        is_so && self.announce(selector)
    }

    /// How much an operation may move.
    #[cfg(any(feature = "net", all(unix, feature = "os-ext")))]
    pub(super) fn limit(&self, wanted: usize) -> usize {
        let mut state = self.state();
        match wanted > 1 && state.chance(3) {
            true => 1 + state.below(wanted - 1),
            false => usize::MAX,
        }
    }

    /// An operation was cut short: who takes that for the end must hear that it isn't.
    #[cfg(any(feature = "net", all(unix, feature = "os-ext")))]
    pub(super) fn was_cut_short(&self, key: Key, direction: Interest, selector: &Selector) {
        if self.state().follow_up(key, direction) {
            self.announce(selector);
        }
    }

    /// A sleeper doesn't know of what is held since it fell asleep.
    fn announce(&self, selector: &Selector) -> bool {
        // It was prepared when the poll was made, so it doesn't fail. If it did, the event would only be later.
        let _ = selector.notify();
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
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

    /// No event with this token any more, unless another registration has the same.
    fn forget(&mut self, token: Token) {
        if !self.registered.values().any(|(other, _)| *other == token) {
            self.held.retain(|(_, event)| event.token() != token);
        }
    }

    fn hold(&mut self, event: Event) {
        let late = self.below(LATEST.as_micros() as usize) as u64;
        self.held.push((Instant::now() + Duration::from_micros(late), event));
    }

    /// An event for `direction` sets out; false if nobody asked for it.
    fn follow_up(&mut self, key: Key, direction: Interest) -> bool {
        let Some(&(token, interest)) = self.registered.get(&key) else { return false };
        let Some(direction) = direction.intersection(interest) else { return false };
        let readiness = Readiness::READABLE
            .when(direction.is_readable())
            .union(Readiness::WRITABLE.when(direction.is_writable()));
        if readiness.is_none() {
            return false;
        }
        self.hold(Event::new(token, readiness, NO_KERNEL, 0));
        true
    }

    /// Reports what is due, in any order; when the next is.
    fn deliver(&mut self, now: Instant, events: &mut Events) -> Option<Instant> {
        for last in (1..self.held.len()).rev() {
            let other = self.below(last + 1);
            self.held.swap(last, other);
        }
        let mut index = 0;
        while index < self.held.len() && events.spare() > 0 {
            if self.held[index].0 > now {
                index += 1;
                continue;
            }
            let (_, event) = self.held.swap_remove(index);
            events.push(event);
        }
        self.held.iter().map(|(due, _)| *due).min()
    }

    /// An event of the kernel's: at once, later, with another of its token, or in two parts.
    fn pass(&mut self, event: &Event, events: &mut Events, may_hold: bool) {
        let token = event.token();
        // A registration that has ended since the kernel said so may not be heard of in a later `poll`.
        let may_hold = may_hold && self.registered.values().any(|(other, _)| *other == token);
        if let Some(at) = self.held.iter().position(|(_, held)| held.token() == token).filter(|_| may_hold) {
            if self.chance(2) {
                let (origin, raw) = event.raw();
                let readiness = self.held[at].1.readiness().union(event.readiness());
                self.held[at].1 = Event::new(token, readiness, origin, raw);
                return;
            }
        }
        if may_hold && event.is_readable() && event.is_writable() && self.chance(3) {
            let (origin, raw) = event.raw();
            let reading = event.readiness().without(Readiness::WRITABLE.union(Readiness::WRITE_CLOSED));
            let writing = event
                .readiness()
                .without(Readiness::READABLE.union(Readiness::READ_CLOSED).union(Readiness::PRIORITY));
            let parts = [reading, writing].map(|readiness| Event::new(token, readiness, origin, raw));
            let [now, later] = parts;
            events.push(now);
            self.hold(later);
        } else if may_hold && self.chance(4) {
            self.hold(event.clone());
        } else {
            events.push(event.clone());
        }
    }

    /// An event without a reason, for anybody.
    fn make_up(&mut self, events: &mut Events) {
        // A raw descriptor may be closed without a word, and is left alone.
        let sources = || self.registered.iter().filter(|(key, _)| matches!(key, Key::Source(_)));
        let count = sources().count();
        if count == 0 {
            return;
        }
        let index = self.below(count);
        let mut sources = self.registered.iter().filter(|(key, _)| matches!(key, Key::Source(_)));
        if let Some((_, &(token, interest))) = sources.nth(index) {
            let readiness = Readiness::READABLE
                .when(interest.is_readable())
                .union(Readiness::WRITABLE.when(interest.is_writable()));
            if !readiness.is_none() {
                events.push(Event::new(token, readiness, NO_KERNEL, 0));
            }
        }
    }
}
