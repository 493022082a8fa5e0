//! Which descriptors are associated with an event port now, and the meaning of what it returns. Pure: no OS but through
//! [`PortCalls`].
//!
//! A descriptor is associated with a port until one event of it is fetched, and then no more. The associations are
//! recorded here, so that a registration whose mask hasn't changed costs no call. A key goes to the kernel with each
//! association and comes back with its event, so that a late one is recognised.
//!
//! A port has a limited number of events (`process.max-port-events`). A notification holds one until it is fetched. A
//! descriptor holds one from its first association until it is dissociated or closed, whether or not its event was
//! fetched. A registration releases its event when it ends, and a full port is woken without one.
//!
//! Invariant: `by_slot` has the mask that the kernel has, except for an event that was fetched and isn't applied yet.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use super::poll_entry::PollMask;
use super::registrations::{Driver, Registrations, Table};
use super::watch::WatchKey;
use crate::backend::name::Backend;
use crate::readiness::Events;

/// The calls of one event port.
pub(crate) trait PortCalls {
    /// Requests one event with `user` when `fd` is ready for `mask`, which it may be now. Replaces an earlier
    /// association.
    fn associate(&self, fd: RawFd, mask: PollMask, user: u64) -> io::Result<()>;

    /// Withdraws the association of `fd`, and releases its event. That may have been fetched already.
    fn dissociate(&self, fd: RawFd);

    /// Queues a notification. Fails with `WouldBlock` if the port is full.
    fn send(&self) -> io::Result<()>;

    /// Sets or clears the alert: while it is set, a fetch returns at once with the alert and nothing else.
    fn alert(&self, is_set: bool) -> io::Result<()>;

    /// Waits for one event, and passes at most `most` to `take`. Returns whether there may be more.
    fn fetch(
        &self,
        most: usize,
        timeout: Option<Duration>,
        take: &mut dyn FnMut(&mut dyn Iterator<Item = Found>),
    ) -> io::Result<bool>;
}

/// An event that was fetched from a port.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A notification, which ends a wait: there is nothing to report, and nothing to drain.
    Notification,
    /// The notification of a full port: it comes alone, and until it is cleared.
    Alert,
    /// An event of a descriptor: the number that it was associated with, and poll(2)'s flags.
    Descriptor { user: u64, raw: u32 },
}

/// The associations of a port.
pub(in crate::backend) struct PortState<P: PortCalls> {
    port: Arc<P>,
    by_slot: Vec<Association>,
}

#[derive(Copy, Clone, Default)]
struct Association {
    mask: Option<PollMask>,
    /// Whether the descriptor still holds an event of the port, though it may not be associated any more.
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

/// Ends a wait in the port, also if the port is full.
pub(in crate::backend) fn notify(port: &impl PortCalls) -> io::Result<()> {
    match port.send() {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => port.alert(true),
        result => result,
    }
}

/// Fetches events for the registrations, and blocks for the first.
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
            // Each may be associated again, which is a call: no other thread has to wait for all of them.
            for found in batch {
                is_alert |= found == Found::Alert;
                registrations.lock().fetched(found, events);
            }
        });
        if is_alert {
            // If it is set again meanwhile, that ends a wait that is over already.
            port.alert(false)?;
        }
        let is_more = result.or_else(|e| if events.is_empty() { Err(e) } else { Ok(false) })?;
        // There may be events behind an alert or a full batch.
        if !is_alert && !is_more {
            break;
        }
        timeout = Some(Duration::ZERO);
    }
    registrations.end(registrations.lock(), &plan, events)
}

impl<P: PortCalls> Table<PortState<P>> {
    /// Applies one event. If its registration waits for more, it is associated again.
    pub(in crate::backend) fn fetched(&mut self, found: Found, events: &mut Events) {
        let Found::Descriptor { user, raw } = found else {
            return;
        };
        let Some(key) = to_key(user) else {
            return;
        };
        // It was deregistered since, or the slot has another registration by now.
        if self.key_at(key.slot) != Some(key) {
            return;
        }
        self.driver.by_slot[key.slot as usize].mask = None;
        self.apply(key.slot, raw, events);
        // This very thread will recheck them.
        self.take_new_rechecks();
    }
}

fn to_user(key: WatchKey) -> u64 {
    u64::from(key.slot) | u64::from(key.generation.get()) << 32
}

fn to_key(user: u64) -> Option<WatchKey> {
    let generation = NonZeroU32::new((user >> 32) as u32)?;
    Some(WatchKey { slot: user as u32, generation })
}

#[cfg(all(test, not(wakeful_loom)))] // loom's lock is for its models
mod tests;
