//! What a port of events is asked, and what its answers mean. Pure: no OS but through [`Port`].
//!
//! A descriptor is associated with a port until one event of it is fetched, and then no more. So it is noted here what
//! is associated, and who wants what the kernel is asked for already costs no call. A key goes to the kernel with each
//! association and comes back with its event: one that is late is known to be.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use super::ask::Wanted;
use super::slab::Key;
use super::table::{Asked, Table};
use super::Backend;
use crate::readiness::Events;

/// The calls of one port.
pub(crate) trait Port {
    /// One event with `user` when `fd` is ready for what is wanted, which may be now. Replaces what was asked before.
    fn associate(&self, fd: RawFd, wanted: Wanted, user: u64) -> io::Result<()>;

    /// No event of `fd` any more; it may have been fetched already.
    fn dissociate(&self, fd: RawFd);
}

/// What was fetched from a port.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It was sent to end a sleep: there is nothing to report, and nothing to drain.
    Notification,
    /// A descriptor's, with what was given when it was associated, and poll(2)'s words.
    Descriptor { user: u64, raw: u32 },
}

/// What is associated with a port.
pub(super) struct Associations<P: Port> {
    port: Arc<P>,
    by_slot: Vec<Option<Wanted>>,
}

impl<P: Port> Associations<P> {
    pub(super) fn new(port: Arc<P>) -> Associations<P> {
        Associations { port, by_slot: Vec::new() }
    }
}

impl<P: Port> Asked for Associations<P> {
    type Ask = libc::pollfd;
    const BACKEND: Backend = Backend::EventPorts;
    const FORGETS_CLOSED: bool = true;

    fn ask(&mut self, key: Key, fd: RawFd, wanted: Option<Wanted>) -> io::Result<()> {
        let index = key.slot as usize;
        if self.by_slot.len() <= index {
            self.by_slot.resize(index + 1, None);
        }
        if self.by_slot[index] == wanted {
            return Ok(());
        }
        match wanted {
            Some(wanted) => self.port.associate(fd, wanted, to_user(key))?,
            None => self.port.dissociate(fd),
        }
        self.by_slot[index] = wanted;
        Ok(())
    }

    fn forget(&mut self, key: Key, fd: RawFd) {
        // To ask for nothing can't fail in a way that matters.
        let _ = self.ask(key, fd, None);
    }
}

impl<P: Port> Table<Associations<P>> {
    /// One event was fetched. If a slot wants more, it is associated anew.
    pub(super) fn fetched(&mut self, found: Found, events: &mut Events) {
        let Found::Descriptor { user, raw } = found else {
            return;
        };
        let key = to_key(user);
        // Deregistered since, or another's by now.
        if self.key_at(key.slot) != Some(key) {
            return;
        }
        self.kernel.by_slot[key.slot as usize] = None;
        self.answer(key.slot, raw, events);
        // It is this very thread that will look at the suspects.
        self.take_news_of_suspects();
    }
}

fn to_user(key: Key) -> u64 {
    u64::from(key.slot) | u64::from(key.generation) << 32
}

fn to_key(user: u64) -> Key {
    Key { slot: user as u32, generation: (user >> 32) as u32 }
}

#[cfg(all(test, not(wakeful_loom)))] // loom's lock is for its models
mod tests;
