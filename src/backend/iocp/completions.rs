//! What overlapped operations need of a `Poll`: the port that they complete on, and a way to report sources whose
//! readiness no kernel knows, because the program's own code makes it of operations that are done.

use std::collections::VecDeque;
use std::io;
use std::os::windows::io::AsHandle;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::logic::slab::{Key, Slab};
use crate::os::{Port, Ticket};
use crate::readiness::{Event, Events, Interest, Readiness, Token};

#[cfg_attr(not(feature = "os-ext"), allow(dead_code))] // only such sources use it
pub(crate) struct Completions {
    port: Port,
    raised: Mutex<Raised>,
}

/// Names a source whose readiness is raised by the program; never names another one later.
pub(crate) type RaisedKey = Key;

/// Whose operation goes on: it has the handle, and is kept so that the handle is open.
pub(crate) trait Orphan: AsHandle + Send + Sync {}

impl<T: AsHandle + Send + Sync> Orphan for T {}

#[derive(Default)]
struct Raised {
    sources: Slab<Source>,
    /// Those with readiness that wasn't reported, the oldest first.
    ready: VecDeque<Key>,
    /// The poller must be notified of what becomes ready.
    is_waiting: bool,
    /// Operations whose owner has gone while the kernel still works for it, with a number to find them by.
    orphans: Vec<(usize, Arc<dyn Orphan>, Ticket)>,
    next_orphan: usize,
    /// The `Poll` has gone: nobody hears of what becomes ready, and nothing is to go on.
    is_closed: bool,
}

#[cfg_attr(not(feature = "os-ext"), allow(dead_code))]
struct Source {
    token: Token,
    interest: Interest,
    pending: Readiness,
    /// Whether it is in `ready`.
    is_listed: bool,
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
        let source = Source { token, interest, pending: Readiness::NONE, is_listed: false };
        self.lock().sources.insert(source)
    }

    /// Replaces token and interest; what was raised and not reported is forgotten.
    pub(crate) fn replace(&self, key: RaisedKey, token: Token, interest: Interest) {
        if let Some(source) = self.lock().sources.get_mut(key) {
            *source = Source { token, interest, pending: Readiness::NONE, ..*source };
        }
    }

    /// After this the source's token is reported no more.
    pub(crate) fn remove(&self, key: RaisedKey) {
        let mut raised = self.lock();
        if raised.sources.remove(key).is_some_and(|source| source.is_listed) {
            raised.ready.retain(|&listed| listed != key);
        }
    }

    /// The source has become ready: the next wait, or the one that is under way, reports what of it is of interest.
    /// `NotFound`: the `Poll` has gone.
    pub(crate) fn raise(&self, key: RaisedKey, readiness: Readiness) -> io::Result<()> {
        let mut raised = self.lock();
        if raised.is_closed {
            return Err(io::ErrorKind::NotFound.into());
        }
        let Some(source) = raised.sources.get_mut(key) else {
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
            raised.ready.push_back(key);
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
            let Some(key) = raised.ready.pop_front() else {
                return true;
            };
            if let Some(source) = raised.sources.get_mut(key) {
                source.is_listed = false;
                let readiness = std::mem::replace(&mut source.pending, Readiness::NONE);
                if !readiness.is_none() {
                    events.push(Event::new(source.token, readiness, origin, 0));
                }
            }
        }
        raised.ready.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Raised> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
