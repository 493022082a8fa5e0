//! The port that overlapped operations complete on, and the events of user sources: sources whose readiness isn't that
//! of a socket. The program's own code derives it from completed operations, or the kernel signals an object.
//!
//! Invariant: a source is in `ready` once, and only while it has readiness to report: what wasn't reported, or all that
//! it has if it is level-triggered and no object.

use std::collections::VecDeque;
use std::io;
use std::os::windows::io::AsHandle;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::object_wait::{SharedWait, SIGNALLED};
use crate::backend::logic::slab::{Slab, SlabKey};
use crate::os::{Mark, Port, Ticket};
use crate::readiness::{Event, Events, Interest, Readiness, Token};

#[cfg_attr(not(feature = "os-ext"), allow(dead_code))] // only such sources use it
pub(crate) struct Completions {
    port: Port,
    user_events: Mutex<UserEvents>,
    /// Whether there are objects to ask again. Set and cleared by the polling thread.
    has_unasked: AtomicBool,
}

/// Names a user source, and never another one later.
pub(crate) type UserEventKey = SlabKey;

/// The owner of an operation's handle, kept so that the handle stays open.
pub(crate) trait HandleOwner: AsHandle + Send + Sync {}

impl<T: AsHandle + Send + Sync> HandleOwner for T {}

#[derive(Default)]
struct UserEvents {
    sources: Slab<UserSourceState>,
    /// The sources with readiness that wasn't reported, the oldest first.
    ready: VecDeque<SlabKey>,
    /// The objects that the next `wait` has to ask again.
    unasked: VecDeque<SlabKey>,
    /// Whether the polling thread must be notified of the next post.
    is_waiting: bool,
    /// Operations that go on after their source was dropped, each with a number to find it by.
    detached: Vec<(usize, Arc<dyn HandleOwner>, Ticket)>,
    next_detached: usize,
    /// Whether the `Poll` was dropped: nothing is reported any more, and no operation may go on.
    is_closed: bool,
}

#[cfg_attr(not(feature = "os-ext"), allow(dead_code))]
struct UserSourceState {
    token: Token,
    interest: Interest,
    pending: Readiness,
    /// Whether it is in `ready`.
    is_listed: bool,
    /// Whether the event of a one-shot registration has come.
    is_spent: bool,
    /// The wait for its object, if it has one.
    wait: Option<WaitState>,
}

#[cfg_attr(not(feature = "os-ext"), allow(dead_code))] // only such sources use it
struct WaitState {
    wait: Weak<SharedWait>,
    /// Whether the object loses its signal by the wait, so that each event is an edge.
    is_consumed: bool,
    /// Whether a wait is in progress.
    is_under_way: bool,
}

impl UserSourceState {
    fn new(token: Token, interest: Interest) -> UserSourceState {
        let (is_listed, is_spent) = (false, false);
        UserSourceState { token, interest, pending: Readiness::NONE, is_listed, is_spent, wait: None }
    }

    /// Returns whether the next `wait` after an event has to ask the object again. A signal that stays is an edge once.
    fn asks_again(&self) -> bool {
        let Some(wait) = &self.wait else {
            return false;
        };
        self.interest.is_level() || (self.interest.is_edge() && wait.is_consumed)
    }

    /// Returns the part of `readiness` that is of interest.
    fn of_interest(&self, readiness: Readiness) -> Readiness {
        let found = readiness
            .without(Readiness::READABLE.when(!self.interest.is_readable()))
            .without(Readiness::WRITABLE.when(!self.interest.is_writable()));
        let has_direction = found.intersects(Readiness::READABLE.union(Readiness::WRITABLE));
        found.when(has_direction)
    }
}

#[cfg_attr(not(feature = "os-ext"), allow(dead_code))] // only such sources use it
impl Completions {
    pub(super) fn new() -> io::Result<Completions> {
        Ok(Completions {
            port: Port::new()?,
            user_events: Mutex::default(),
            has_unasked: AtomicBool::new(false),
        })
    }

    /// Returns the port of the operations.
    pub(crate) fn port(&self) -> &Port {
        &self.port
    }

    pub(crate) fn add(&self, token: Token, interest: Interest) -> UserEventKey {
        self.lock().sources.insert(UserSourceState::new(token, interest))
    }

    /// Replaces token and interest, and discards what was posted and not reported, except of an object: a wait may have
    /// consumed the signal. Returns what was posted after the event of a one-shot registration.
    pub(crate) fn replace(&self, key: UserEventKey, token: Token, interest: Interest) -> Readiness {
        match self.lock().sources.get_mut(key) {
            Some(source) => {
                let posted = match source.wait {
                    // The new interest may have other directions.
                    Some(_) if !source.pending.is_none() => source.pending.union(SIGNALLED),
                    _ => source.pending,
                };
                let unreported = posted.when(source.is_spent);
                (source.token, source.interest, source.is_spent) = (token, interest, false);
                source.pending = source.of_interest(posted).when(source.wait.is_some());
                unreported
            }
            None => Readiness::NONE,
        }
    }

    /// Sets the readiness of a level-triggered source, of which a part may be used up.
    pub(crate) fn set_level(&self, key: UserEventKey, readiness: Readiness) {
        if let Some(source) = self.lock().sources.get_mut(key) {
            source.pending = source.of_interest(readiness);
        }
    }

    /// Makes a source one of an object.
    pub(super) fn set_wait(&self, key: UserEventKey, wait: &Arc<SharedWait>, is_consumed: bool) {
        if let Some(source) = self.lock().sources.get_mut(key) {
            source.wait = Some(WaitState { wait: Arc::downgrade(wait), is_consumed, is_under_way: false });
        }
    }

    /// Notes that a wait is in progress. Returns `false` if there is one already, or no need of one.
    pub(super) fn begin_wait(&self, key: UserEventKey) -> bool {
        let mut state = self.lock();
        if state.is_closed {
            return false;
        }
        match state.sources.get_mut(key) {
            Some(UserSourceState { pending: Readiness::NONE, wait: Some(wait), .. }) => {
                !std::mem::replace(&mut wait.is_under_way, true)
            }
            _ => false,
        }
    }

    /// Makes the source of an object ready, whose wait has ended.
    pub(super) fn post_signal(&self, key: UserEventKey, readiness: Readiness) -> io::Result<()> {
        match self.raise_signal(key, readiness)? {
            true => self.port.notify(),
            false => Ok(()),
        }
    }

    /// Makes the source of an object ready, whose wait has sent a packet. The caller ensures that the polling thread
    /// doesn't sleep.
    pub(super) fn receive_signal(&self, mark: Mark) {
        let key = SlabKey { slot: mark.slot, generation: mark.generation };
        // An error means that the `Poll` is being dropped.
        let _ = self.raise_signal(key, SIGNALLED);
    }

    fn raise_signal(&self, key: UserEventKey, readiness: Readiness) -> io::Result<bool> {
        self.raise(key, readiness, |source| {
            if let Some(wait) = &mut source.wait {
                wait.is_under_way = false;
            }
        })
    }

    /// Asks the objects again that were reported.
    pub(super) fn ask_again(&self) {
        if !self.has_unasked.swap(false, Ordering::Relaxed) {
            return;
        }
        loop {
            let wait = {
                let mut state = self.lock();
                let Some(key) = state.unasked.pop_front() else {
                    return;
                };
                state.sources.get(key).and_then(|source| source.wait.as_ref()?.wait.upgrade())
            };
            if let Some(wait) = wait {
                // An error is reported as an event.
                let _ = wait.ask();
            }
        }
    }

    /// Ends the registration: the source's token is reported no more.
    pub(crate) fn remove(&self, key: UserEventKey) {
        let mut state = self.lock();
        if state.sources.remove(key).is_some_and(|source| source.is_listed) {
            state.ready.retain(|&listed| listed != key);
        }
    }

    /// Makes a source ready: the `wait` in progress, or else the next one, reports the part that is of interest. Fails
    /// with `NotFound` if the `Poll` was dropped.
    pub(crate) fn post(&self, key: UserEventKey, readiness: Readiness) -> io::Result<()> {
        match self.raise(key, readiness, |_| ())? {
            true => self.port.notify(),
            false => Ok(()),
        }
    }

    /// Returns whether the polling thread must be notified.
    fn raise(
        &self,
        key: UserEventKey,
        readiness: Readiness,
        change: impl FnOnce(&mut UserSourceState),
    ) -> io::Result<bool> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(io::ErrorKind::NotFound.into());
        }
        let Some(source) = state.sources.get_mut(key) else {
            return Ok(false);
        };
        change(source);
        let of_interest = source.of_interest(readiness);
        if of_interest.is_none() {
            return Ok(false);
        }
        source.pending = source.pending.union(of_interest);
        if source.is_spent {
            return Ok(false);
        }
        if !std::mem::replace(&mut source.is_listed, true) {
            state.ready.push_back(key);
        }
        Ok(std::mem::take(&mut state.is_waiting))
    }

    /// Keeps an operation whose source was dropped. It is cancelled when the `Poll` is dropped, or at once if that has
    /// happened already. Returns a number for [`forget_detached`](Completions::forget_detached), which must be called
    /// when the operation ends.
    pub(crate) fn detach(&self, owner: Arc<dyn HandleOwner>, ticket: Ticket) -> usize {
        let mut state = self.lock();
        let number = state.next_detached;
        state.next_detached = number.wrapping_add(1);
        if state.is_closed {
            ticket.cancel(owner.as_handle());
        } else {
            state.detached.push((number, owner, ticket));
        }
        number
    }

    pub(crate) fn forget_detached(&self, number: usize) {
        self.lock().detached.retain(|(other, ..)| *other != number);
    }

    /// Cancels the detached operations, now and later, because the `Poll` is being dropped. Ends the waits for objects,
    /// whose signals they would consume.
    pub(super) fn close(&self) {
        let (detached, waits) = {
            let mut state = self.lock();
            state.is_closed = true;
            let sources = state.sources.slots().filter_map(|slot| state.sources.at(slot));
            let waits = sources.filter_map(|source| source.wait.as_ref()?.wait.upgrade()).collect::<Vec<_>>();
            (std::mem::take(&mut state.detached), waits)
        };
        for wait in waits {
            wait.end();
        }
        for (_, owner, ticket) in &detached {
            ticket.cancel(owner.as_handle());
        }
    }

    /// Notes that the polling thread is about to block. Returns `false` if something is ready already.
    pub(super) fn may_sleep(&self) -> bool {
        let mut state = self.lock();
        state.is_waiting = state.ready.is_empty();
        state.is_waiting
    }

    /// Reports what was posted, as far as `events` has space. Returns whether there was space for all.
    pub(super) fn report(&self, events: &mut Events, origin: u8) -> bool {
        let mut state = self.lock();
        state.is_waiting = false;
        let UserEvents { ready, unasked, sources, .. } = &mut *state;
        // Those that stay ready are listed again behind the others, and each is reported once.
        let mut left = ready.len();
        while left > 0 && events.spare() > 0 {
            left -= 1;
            let Some(key) = ready.pop_front() else {
                break;
            };
            let Some(source) = sources.get_mut(key) else {
                continue;
            };
            source.is_listed = false;
            if source.pending.is_none() {
                continue;
            }
            events.push(Event::new(source.token, source.pending, origin, 0));
            if source.interest.is_level() && source.wait.is_none() {
                source.is_listed = true;
                ready.push_back(key);
                continue;
            }
            source.pending = Readiness::NONE;
            source.is_spent = source.interest.is_one_shot();
            if source.asks_again() {
                unasked.push_back(key);
                self.has_unasked.store(true, Ordering::Relaxed);
            }
        }
        left == 0
    }

    fn lock(&self) -> MutexGuard<'_, UserEvents> {
        self.user_events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
