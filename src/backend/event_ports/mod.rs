//! Event ports: Solaris, and illumos beside its epoll. One-shot: a descriptor whose event was fetched is no longer
//! associated with the port. `logic::port_state`, which is pure, has the associations; `sys` has the calls.
//!
//! Other threads may associate descriptors while one waits in the port, and the kernel takes that into account at once.
//! The waiting thread must be notified only of a new recheck, since no event announces that.
//!
//! Invariant: every association is made with the lock on the registrations held.

mod sys;

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use self::sys::SystemPort;
use super::poller::{check_mode, describe_bits, Absent, Poller};
use crate::backend::logic::poll_entry::PollEntry;
use crate::backend::logic::port_state::{self, PortState};
use crate::backend::logic::registrations::Registrations;
use crate::backend::logic::watch::{RearmCause, Registration, Tracking, WatchKey};
use crate::os::RawIo;
use crate::readiness::Events;

pub(crate) struct EventPorts {
    port: Arc<SystemPort>,
    registrations: Registrations<PortState<SystemPort>>,
}

impl Poller for EventPorts {
    type OrElse<B: Poller> = Absent;

    fn new() -> io::Result<EventPorts> {
        let port = Arc::new(SystemPort::new()?);
        Ok(EventPorts { registrations: Registrations::new(PortState::new(Arc::clone(&port))), port })
    }

    fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        port_state::wait(&*self.port, &self.registrations, events, timeout)
    }

    fn prepare_notify(&self) -> io::Result<()> {
        Ok(())
    }

    fn notify(&self) -> io::Result<()> {
        port_state::notify(&*self.port)
    }

    fn register(&self, io: RawIo, registration: Registration) -> io::Result<Option<WatchKey>> {
        check_mode(registration.interest)?;
        let (_table, key) = self.registrations.register(io, registration)?;
        Ok(match registration.tracking {
            Tracking::Tracked => Some(key),
            Tracking::Untracked => None,
        })
    }

    fn reregister(&self, io: RawIo, key: Option<WatchKey>, registration: Registration) -> io::Result<()> {
        check_mode(registration.interest)?;
        let (mut table, key) = self.registrations.find(io, key);
        table.change(key?, |watch| watch.replace(registration))
    }

    fn deregister(&self, io: RawIo, key: Option<WatchKey>) -> io::Result<()> {
        let (mut table, key) = self.registrations.find(io, key);
        table.remove(key?)
    }

    fn rearm(&self, key: WatchKey, cause: RearmCause) -> io::Result<()> {
        let mut table = self.registrations.rearm(key, cause);
        if table.take_new_rechecks() {
            drop(table);
            self.notify()?;
        }
        Ok(())
    }

    fn abandon(&self, key: WatchKey) {
        let _ = self.registrations.lock().remove(key);
    }

    fn allow_replacement(&self, key: WatchKey) {
        self.registrations.lock().allow_replacement(key);
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.port.descriptor()
    }

    fn describe(raw: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe_bits(raw, libc::pollfd::NAMES, f)
    }
}
