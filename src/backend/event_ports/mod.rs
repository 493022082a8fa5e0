//! Event ports: Solaris, and illumos' native way. One-shot: a descriptor whose event was fetched is associated with the
//! port no more. What is associated when is in [`super::associations`], which is pure; the calls are in `sys`.
//!
//! Other threads may associate while one sleeps in the port, and the kernel takes that into account at once. A sleeper
//! must be woken for one thing alone: a descriptor that nobody tells of, and that must be looked at from now on.

mod sys;

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::sys::SystemPort;
use super::ask::Ask;
use super::associations::{self, Associations};
use super::select::{describe_bits, Select};
use super::table::{Place, Table};
use super::watch::{Blocked, Tracking, WatchKey};
use crate::os::RawIo;
use crate::readiness::{Events, Interest, Token};

pub(crate) struct EventPorts {
    port: Arc<SystemPort>,
    table: Mutex<Table<Associations<SystemPort>>>,
}

impl Select for EventPorts {
    fn new() -> io::Result<EventPorts> {
        let port = Arc::new(SystemPort::new()?);
        Ok(EventPorts { table: Mutex::new(Table::new(Associations::new(Arc::clone(&port)))), port })
    }

    fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        associations::wait(&*self.port, &self.table, events, timeout)
    }

    fn prepare_notify(&self) -> io::Result<()> {
        Ok(())
    }

    fn notify(&self) -> io::Result<()> {
        associations::notify(&*self.port)
    }

    fn register(
        &self,
        io: RawIo,
        tracking: Tracking,
        token: Token,
        interest: Interest,
    ) -> io::Result<Option<WatchKey>> {
        let key = self.lock().insert(io, tracking, token, interest)?;
        Ok(match tracking {
            Tracking::Operations => Some(key),
            Tracking::Levels => None,
        })
    }

    fn reregister(
        &self,
        io: RawIo,
        key: Option<WatchKey>,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let mut table = self.lock();
        table.change(Place::of(io, key), |watch| watch.replace(token, interest))
    }

    fn deregister(&self, io: RawIo, key: Option<WatchKey>) -> io::Result<()> {
        self.lock().remove(Place::of(io, key))
    }

    fn rearm(&self, key: WatchKey, blocked: Blocked) -> io::Result<()> {
        let mut table = self.lock();
        // Deregistered meanwhile: nothing to arm.
        let _ = table.change(Place::Key(key), |watch| watch.rearm(blocked));
        if blocked == Blocked::Unknown {
            // Now it shows which direction was used up. At the next poll it may be ready again, and would look unread.
            table.look_at(key);
        }
        if table.take_news_of_suspects() {
            drop(table);
            self.notify()?;
        }
        Ok(())
    }

    fn abandon(&self, key: WatchKey) {
        let _ = self.lock().remove(Place::Key(key));
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.port.descriptor()
    }

    fn describe(raw: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe_bits(raw, libc::pollfd::NAMES, f)
    }
}

impl EventPorts {
    fn lock(&self) -> MutexGuard<'_, Table<Associations<SystemPort>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
