//! poll(2): the kernel keeps nothing, so the list is here, and each `wait` shows it to the kernel.
//!
//! The list is changed in place. While a thread sleeps in poll(2) it has the list, so changes are noted, the sleeper
//! is woken, and takes them over before it looks at what it was told. poll(2) answers levels: an answer that a
//! change has made doubtful is passed over, and comes again.

mod sys;
mod table;

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::table::{Place, Table};
use super::select::{describe_bits, Select};
use super::watch::{Blocked, Tracking, WatchKey};
use crate::os::{Notifier, RawIo};
use crate::readiness::{Events, Interest, Token};

pub(crate) struct PosixPoll {
    table: Mutex<Table>,
    /// Ends a sleep, for a wake or for a change of the list.
    notifier: Notifier,
}

impl Select for PosixPoll {
    fn new() -> io::Result<PosixPoll> {
        let notifier = Notifier::new()?;
        Ok(PosixPoll { table: Mutex::new(Table::new(notifier.as_raw_fd())), notifier })
    }

    fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let before = events.len();
        let mut table = self.lock();
        let mut timeout = timeout;
        // Suspects that are always ready could take all the room in each call. When they have, the others come first,
        // and the caller comes again if there are none.
        let suspects_come_first = !mem::take(&mut table.suspects_filled_room);
        if suspects_come_first {
            if let Some(limit) = table.look_at_suspects(events)? {
                timeout = Some(timeout.map_or(limit, |timeout| timeout.min(limit)));
            }
            if events.spare() == 0 {
                table.suspects_filled_room = true;
                return Ok(());
            }
        }
        if events.len() > before || !suspects_come_first {
            timeout = Some(Duration::ZERO);
        }

        let mut list = table.lend_list();
        drop(table);
        let result = sys::poll(&mut list, timeout);
        let mut table = self.lock();
        table.take_back(list);
        result.or_else(|e| if events.len() > before { Ok(()) } else { Err(e) })?;
        if table.was_notified() {
            self.notifier.drain();
        }
        table.collect(events);
        Ok(())
    }

    fn prepare_notify(&self) -> io::Result<()> {
        Ok(())
    }

    fn notify(&self) -> io::Result<()> {
        self.notifier.notify()
    }

    fn register(
        &self,
        io: RawIo,
        tracking: Tracking,
        token: Token,
        interest: Interest,
    ) -> io::Result<Option<WatchKey>> {
        let mut table = self.lock();
        let key = table.insert(io, tracking, token, interest)?;
        self.changed(table)?;
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
        table.change(Place::of(io, key), |watch| watch.replace(token, interest))?;
        self.changed(table)
    }

    fn deregister(&self, io: RawIo, key: Option<WatchKey>) -> io::Result<()> {
        let mut table = self.lock();
        let removed = table.remove(Place::of(io, key));
        // The kernel holds on to a file for as long as a thread sleeps on it: the sleeper must let go, or the
        // connection would not be closed for the peer when its descriptor is.
        self.changed(table)?;
        removed
    }

    fn rearm(&self, key: WatchKey, blocked: Blocked) -> io::Result<()> {
        let mut table = self.lock();
        // Deregistered meanwhile: nothing to arm.
        let _ = table.change(Place::Key(key), |watch| watch.rearm(blocked));
        self.changed(table)
    }

    fn abandon(&self, key: WatchKey) {
        let mut table = self.lock();
        let _ = table.remove(Place::Key(key));
        // A notification that fails is late, not lost: the sleeper wakes for the closed descriptor.
        let _ = self.changed(table);
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.notifier.as_fd()
    }

    fn describe(raw: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe_bits(raw, &sys::NAMES, f)
    }
}

impl PosixPoll {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the sleeper, if there is one that doesn't know of a change yet.
    fn changed(&self, mut table: MutexGuard<'_, Table>) -> io::Result<()> {
        if mem::take(&mut table.sleeper_is_behind) {
            drop(table);
            self.notifier.notify()?;
        }
        Ok(())
    }
}
