//! What overlapped operations need of a `Poll`: the port that they complete on, and a way to report sources whose
//! readiness no kernel knows, because the program's own code makes it of operations that are done.

use std::collections::VecDeque;
use std::io;
use std::os::windows::io::AsHandle;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::os::{Port, Ticket};
use crate::readiness::{Event, Events, Interest, Readiness, Token};

#[cfg_attr(not(feature = "os-ext"), allow(dead_code))] // only such sources use it
pub(crate) struct Completions {
    port: Port,
    raised: Mutex<Raised>,
}

/// Names a source whose readiness is raised by the program; never names another one later.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct RaisedKey {
    slot: u32,
    generation: u32,
}

/// Whose operation goes on: it has the handle, and is kept so that the handle is open.
pub(crate) trait Orphan: AsHandle + Send + Sync {}

impl<T: AsHandle + Send + Sync> Orphan for T {}

#[derive(Default)]
struct Raised {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Slots with readiness that wasn't reported, the oldest first.
    ready: VecDeque<u32>,
    /// The poller must be notified of what becomes ready.
    is_waiting: bool,
    /// Operations whose owner has gone while the kernel still works for it, with a number to find them by.
    orphans: Vec<(usize, Arc<dyn Orphan>, Ticket)>,
    next_orphan: usize,
    /// The `Poll` has gone: nobody hears of what becomes ready, and nothing is to go on.
    is_closed: bool,
}

#[derive(Default)]
#[cfg_attr(not(feature = "os-ext"), allow(dead_code))]
struct Slot {
    generation: u32,
    source: Option<Source>,
    /// Whether this slot is in `ready`.
    is_listed: bool,
}

#[cfg_attr(not(feature = "os-ext"), allow(dead_code))]
struct Source {
    token: Token,
    interest: Interest,
    pending: Readiness,
}

#[cfg_attr(not(feature = "os-ext"), allow(dead_code))] // only such sources use it
impl Completions {
    pub(super) fn new() -> io::Result<Completions> {
        Ok(Completions { port: Port::new()?, raised: Mutex::default() })
    }

    /// The port of the operations.
    pub(crate) fn port(&self) -> &Port {
        &self.port
    }

    pub(crate) fn add(&self, token: Token, interest: Interest) -> RaisedKey {
        let mut raised = self.lock();
        let slot = raised.free.pop().unwrap_or_else(|| {
            raised.slots.push(Slot::default());
            (raised.slots.len() - 1) as u32
        });
        let place = &mut raised.slots[slot as usize];
        place.source = Some(Source { token, interest, pending: Readiness::NONE });
        RaisedKey { slot, generation: place.generation }
    }

    /// Replaces token and interest; what was raised and not reported is forgotten.
    pub(crate) fn replace(&self, key: RaisedKey, token: Token, interest: Interest) {
        if let Some(source) = self.lock().source(key) {
            *source = Source { token, interest, pending: Readiness::NONE };
        }
    }

    /// After this the source's token is reported no more.
    pub(crate) fn remove(&self, key: RaisedKey) {
        let mut raised = self.lock();
        if raised.source(key).is_none() {
            return;
        }
        let place = &mut raised.slots[key.slot as usize];
        place.source = None;
        place.generation = place.generation.wrapping_add(1);
        // If it is listed, it is free when its turn has come.
        if !place.is_listed {
            raised.free.push(key.slot);
        }
    }

    /// The source has become ready: the next wait, or the one that is under way, reports what of it is of interest.
    pub(crate) fn raise(&self, key: RaisedKey, readiness: Readiness) -> io::Result<()> {
        let mut raised = self.lock();
        let Some(source) = raised.source(key) else {
            return Ok(());
        };
        let of_interest = readiness
            .without(Readiness::READABLE.when(!source.interest.is_readable()))
            .without(Readiness::WRITABLE.when(!source.interest.is_writable()));
        if !of_interest.intersects(Readiness::READABLE.union(Readiness::WRITABLE)) {
            return Ok(());
        }
        source.pending = source.pending.union(of_interest);
        let place = &mut raised.slots[key.slot as usize];
        if !place.is_listed {
            place.is_listed = true;
            raised.ready.push_back(key.slot);
        }
        let must_notify = std::mem::take(&mut raised.is_waiting);
        drop(raised);
        if must_notify {
            self.port.notify()?;
        }
        Ok(())
    }

    /// An operation goes on though its owner has gone. It is cancelled when the `Poll` goes, or now if that has gone
    /// first; else its end must be told by [`forget`](Completions::forget), with the number that this answers.
    pub(crate) fn adopt(&self, orphan: Arc<dyn Orphan>, ticket: Ticket) -> usize {
        let mut raised = self.lock();
        let number = raised.next_orphan;
        raised.next_orphan = number.wrapping_add(1);
        if raised.is_closed {
            ticket.cancel(orphan.as_handle());
        } else {
            raised.orphans.push((number, orphan, ticket));
        }
        number
    }

    pub(crate) fn forget(&self, number: usize) {
        self.lock().orphans.retain(|(other, ..)| *other != number);
    }

    /// The `Poll` goes: ends what goes on without an owner, now and later.
    pub(super) fn close(&self) {
        let orphans = {
            let mut raised = self.lock();
            raised.is_closed = true;
            std::mem::take(&mut raised.orphans)
        };
        for (_, orphan, ticket) in &orphans {
            ticket.cancel(orphan.as_handle());
        }
    }

    /// The poller goes to sleep, unless this answers `false`: something is ready already.
    pub(super) fn may_sleep(&self) -> bool {
        let mut raised = self.lock();
        raised.is_waiting = raised.ready.is_empty();
        raised.is_waiting
    }

    /// Reports what was raised, as far as there is room; whether there was room for all. The poller is awake.
    pub(super) fn report(&self, events: &mut Events, origin: u8) -> bool {
        let mut raised = self.lock();
        raised.is_waiting = false;
        while events.spare() > 0 {
            let Some(slot) = raised.ready.pop_front() else {
                return true;
            };
            let place = &mut raised.slots[slot as usize];
            place.is_listed = false;
            match &mut place.source {
                None => raised.free.push(slot),
                Some(source) => {
                    let readiness = std::mem::replace(&mut source.pending, Readiness::NONE);
                    if !readiness.is_none() {
                        events.push(Event::new(source.token, readiness, origin, 0));
                    }
                }
            }
        }
        raised.ready.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Raised> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg_attr(not(feature = "os-ext"), allow(dead_code))]
impl Raised {
    fn source(&mut self, key: RaisedKey) -> Option<&mut Source> {
        self.slots
            .get_mut(key.slot as usize)
            .filter(|place| place.generation == key.generation)
            .and_then(|place| place.source.as_mut())
    }
}
