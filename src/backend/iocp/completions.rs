//! What overlapped operations need of a `Poll`: the port that they complete on, and a way to report sources whose
//! readiness no kernel knows, because the program's own code makes it of operations that are done.

use std::collections::VecDeque;
use std::io;
use std::os::windows::io::AsHandle;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::logic::slab::{Slab, SlabKey};
use crate::os::{Port, Ticket};
use crate::readiness::{Event, Events, Interest, Readiness, Token};

#[cfg_attr(not(feature = "os-ext"), allow(dead_code))] // only such sources use it
pub(crate) struct Completions {
    port: Port,
    user_events: Mutex<UserEvents>,
}

/// Names a source whose readiness is raised by the program; never names another one later.
pub(crate) type UserEventKey = SlabKey;

/// Whose operation goes on: it has the handle, and is kept so that the handle is open.
pub(crate) trait HandleOwner: AsHandle + Send + Sync {}

impl<T: AsHandle + Send + Sync> HandleOwner for T {}

#[derive(Default)]
struct UserEvents {
    sources: Slab<UserSourceState>,
    /// Those with readiness that wasn't reported, the oldest first.
    ready: VecDeque<SlabKey>,
    /// The poller must be notified of what becomes ready.
    is_waiting: bool,
    /// Operations whose owner has gone while the kernel still works for it, with a number to find them by.
    detached: Vec<(usize, Arc<dyn HandleOwner>, Ticket)>,
    next_detached: usize,
    /// The `Poll` has gone: nobody hears of what becomes ready, and nothing is to go on.
    is_closed: bool,
}

#[cfg_attr(not(feature = "os-ext"), allow(dead_code))]
struct UserSourceState {
    token: Token,
    interest: Interest,
    pending: Readiness,
    /// Whether it is in `ready`.
    is_listed: bool,
}

#[cfg_attr(not(feature = "os-ext"), allow(dead_code))] // only such sources use it
impl Completions {
    pub(super) fn new() -> io::Result<Completions> {
        Ok(Completions { port: Port::new()?, user_events: Mutex::default() })
    }

    /// The port of the operations.
    pub(crate) fn port(&self) -> &Port {
        &self.port
    }

    pub(crate) fn add(&self, token: Token, interest: Interest) -> UserEventKey {
        let source = UserSourceState { token, interest, pending: Readiness::NONE, is_listed: false };
        self.lock().sources.insert(source)
    }

    /// Replaces token and interest; what was raised and not reported is forgotten.
    pub(crate) fn replace(&self, key: UserEventKey, token: Token, interest: Interest) {
        if let Some(source) = self.lock().sources.get_mut(key) {
            *source = UserSourceState { token, interest, pending: Readiness::NONE, ..*source };
        }
    }

    /// After this the source's token is reported no more.
    pub(crate) fn remove(&self, key: UserEventKey) {
        let mut state = self.lock();
        if state.sources.remove(key).is_some_and(|source| source.is_listed) {
            state.ready.retain(|&listed| listed != key);
        }
    }

    /// The source has become ready: the next wait, or the one that is under way, reports what of it is of interest.
    /// `NotFound`: the `Poll` has gone.
    pub(crate) fn post(&self, key: UserEventKey, readiness: Readiness) -> io::Result<()> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(io::ErrorKind::NotFound.into());
        }
        let Some(source) = state.sources.get_mut(key) else {
            return Ok(());
        };
        let of_interest = readiness
            .without(Readiness::READABLE.when(!source.interest.is_readable()))
            .without(Readiness::WRITABLE.when(!source.interest.is_writable()));
        if !of_interest.intersects(Readiness::READABLE.union(Readiness::WRITABLE)) {
            return Ok(());
        }
        source.pending = source.pending.union(of_interest);
        if !std::mem::replace(&mut source.is_listed, true) {
            state.ready.push_back(key);
        }
        let must_notify = std::mem::take(&mut state.is_waiting);
        drop(state);
        if must_notify {
            self.port.notify()?;
        }
        Ok(())
    }

    /// An operation goes on though its owner has gone. It is cancelled when the `Poll` goes, or now if that has gone
    /// first; else its end must be told by [`forget_detached`](Completions::forget_detached), with the number that this answers.
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

    /// The `Poll` goes: ends what goes on without an owner, now and later.
    pub(super) fn close(&self) {
        let detached = {
            let mut state = self.lock();
            state.is_closed = true;
            std::mem::take(&mut state.detached)
        };
        for (_, owner, ticket) in &detached {
            ticket.cancel(owner.as_handle());
        }
    }

    /// The poller goes to sleep, unless this answers `false`: something is ready already.
    pub(super) fn may_sleep(&self) -> bool {
        let mut state = self.lock();
        state.is_waiting = state.ready.is_empty();
        state.is_waiting
    }

    /// Reports what was raised, as far as there is room; whether there was room for all. The poller is awake.
    pub(super) fn report(&self, events: &mut Events, origin: u8) -> bool {
        let mut state = self.lock();
        state.is_waiting = false;
        while events.spare() > 0 {
            let Some(key) = state.ready.pop_front() else {
                return true;
            };
            if let Some(source) = state.sources.get_mut(key) {
                source.is_listed = false;
                let readiness = std::mem::replace(&mut source.pending, Readiness::NONE);
                if !readiness.is_none() {
                    events.push(Event::new(source.token, readiness, origin, 0));
                }
            }
        }
        state.ready.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, UserEvents> {
        self.user_events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
