//! What a port of events is asked, and what its answers mean. Pure: no OS but through [`Port`].
//!
//! A descriptor is associated with a port until one event of it is fetched, and then no more. So it is noted here what
//! is associated, and who wants what the kernel is asked for already costs no call. A key goes to the kernel with each
//! association and comes back with its event: one that is late is known to be.
//!
//! A port has a limited number of places (`process.max-port-events`). An event that is sent takes one until it is
//! fetched; a descriptor takes one from its first association until it is dissociated or closed, whether or not its
//! event was fetched. Registrations give theirs back when they end, and a full port is woken without a place.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use super::poll_entry::PollMask;
use super::registrations::{Driver, Registrations, Table};
use super::watch::WatchKey;
use crate::backend::name::Backend;
use crate::readiness::Events;

/// The calls of one port.
pub(crate) trait PortCalls {
    /// One event with `user` when `fd` is ready for what is wanted, which may be now. Replaces what was asked before.
    fn associate(&self, fd: RawFd, mask: PollMask, user: u64) -> io::Result<()>;

    /// No event of `fd` any more, and its place is free. Its event may have been fetched already.
    fn dissociate(&self, fd: RawFd);

    /// Queues a notification. Fails with `WouldBlock` if the port is full.
    fn send(&self) -> io::Result<()>;

    /// Sets or clears the alert: while it is set, a fetch returns at once with the alert and nothing else.
    fn alert(&self, is_set: bool) -> io::Result<()>;

    /// Waits for one event, and gives at most `most` to `take`. Returns how many, and whether there may be more.
    fn fetch(
        &self,
        most: usize,
        timeout: Option<Duration>,
        take: &mut dyn FnMut(&mut dyn Iterator<Item = Found>),
    ) -> io::Result<bool>;
}

/// What was fetched from a port.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It was sent to end a sleep: there is nothing to report, and nothing to drain.
    Notification,
    /// The same of a port that is full: it comes alone, and until it is cleared.
    Alert,
    /// A descriptor's, with what was given when it was associated, and poll(2)'s flags.
    Descriptor { user: u64, raw: u32 },
}

/// What is associated with a port.
pub(in crate::backend) struct PortState<P: PortCalls> {
    port: Arc<P>,
    by_slot: Vec<Association>,
}

#[derive(Copy, Clone, Default)]
struct Association {
    mask: Option<PollMask>,
    /// The kernel keeps its place, though nothing may be associated any more.
    holds_event: bool,
}

impl<P: PortCalls> PortState<P> {
    pub(in crate::backend) fn new(port: Arc<P>) -> PortState<P> {
        PortState { port, by_slot: Vec::new() }
    }
}

impl<P: PortCalls> Driver for PortState<P> {
    type Entry = libc::pollfd;
    const BACKEND: Backend = Backend::EventPorts;
    const FORGETS_CLOSED: bool = true;

    fn submit(&mut self, key: WatchKey, fd: RawFd, mask: Option<PollMask>) -> io::Result<()> {
        let index = key.slot as usize;
        if self.by_slot.len() <= index {
            self.by_slot.resize(index + 1, Association::default());
        }
        let association = &mut self.by_slot[index];
        if association.mask == mask {
            return Ok(());
        }
        match mask {
            Some(mask) => self.port.associate(fd, mask, to_user(key))?,
            None => self.port.dissociate(fd),
        }
        *association = Association { mask, holds_event: mask.is_some() };
        Ok(())
    }

    fn forget(&mut self, key: WatchKey, fd: RawFd) {
        if let Some(association) = self.by_slot.get_mut(key.slot as usize) {
            if association.holds_event {
                self.port.dissociate(fd);
            }
            *association = Association::default();
        }
    }
}

/// Ends a sleep in the port, also if it is full.
pub(in crate::backend) fn notify(port: &impl PortCalls) -> io::Result<()> {
    match port.send() {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => port.alert(true),
        result => result,
    }
}

/// Fetches events for the registrations, and sleeps for the first.
pub(in crate::backend) fn wait<P: PortCalls>(
    port: &P,
    registrations: &Registrations<PortState<P>>,
    events: &mut Events,
    timeout: Option<Duration>,
) -> io::Result<()> {
    let (table, plan) = registrations.begin(events, timeout)?;
    drop(table);
    let mut timeout = plan.timeout;
    while events.spare() > 0 {
        let mut is_alert = false;
        let result = port.fetch(events.spare(), timeout, &mut |batch| {
            // Each may be associated anew, which is a call: no other thread is to wait for all of them.
            for found in batch {
                is_alert |= found == Found::Alert;
                registrations.lock().fetched(found, events);
            }
        });
        if is_alert {
            // Those who set it again meanwhile are heard after the sleep, which is over now.
            port.alert(false)?;
        }
        let is_more = result.or_else(|e| if events.is_empty() { Err(e) } else { Ok(false) })?;
        // Behind an alert, or a full batch, there may be events.
        if !is_alert && !is_more {
            break;
        }
        timeout = Some(Duration::ZERO);
    }
    registrations.end(registrations.lock(), &plan, events)
}

impl<P: PortCalls> Table<PortState<P>> {
    /// One event was fetched. If a slot wants more, it is associated anew.
    pub(in crate::backend) fn fetched(&mut self, found: Found, events: &mut Events) {
        let Found::Descriptor { user, raw } = found else {
            return;
        };
        let key = to_key(user);
        // Deregistered since, or another's by now.
        if self.key_at(key.slot) != Some(key) {
            return;
        }
        self.driver.by_slot[key.slot as usize].mask = None;
        self.apply(key.slot, raw, events);
        // It is this very thread that will look at the suspects.
        self.take_new_rechecks();
    }
}

fn to_user(key: WatchKey) -> u64 {
    u64::from(key.slot) | u64::from(key.generation) << 32
}

fn to_key(user: u64) -> WatchKey {
    WatchKey { slot: user as u32, generation: (user >> 32) as u32 }
}

#[cfg(all(test, not(wakeful_loom)))] // loom's lock is for its models
mod tests;
