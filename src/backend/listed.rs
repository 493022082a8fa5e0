//! A backend on a kernel that keeps nothing: the list of registrations is here, and each `wait` shows it to the kernel.
//!
//! The list is changed in place. While a thread sleeps it has the list, so changes are noted, the sleeper is woken,
//! and takes them over before it looks at what it was told. Such a kernel answers levels: an answer that a change has
//! made doubtful is passed over, and comes again.

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::select::{describe_bits, Select};
use super::table::{Place, Table};
use super::watch::{Blocked, Tracking, WatchKey};
use super::Backend;
use crate::os::{Notifier, RawIo};
use crate::readiness::{Events, Interest, PollWords, Token};

/// What the kernel is asked about one descriptor, and its answer.
pub(crate) trait Ask: Clone + Send {
    /// Whose events these are.
    const BACKEND: Backend;
    /// What its answers mean.
    const WORDS: PollWords;
    /// The names of the bits of its answers.
    const NAMES: &'static [(u32, &'static str)];
    /// The descriptor isn't open.
    const INVALID: u32;
    /// A place that the kernel passes over.
    const NOTHING: Self;

    /// What a call needs beside the list, kept for its memory.
    type Scratch: Default + Send;

    /// Errors and hang-ups are answered too, as far as the kernel does so unasked; that the peer sends no more is
    /// with `read_hangup`.
    fn new(fd: RawFd, interest: Option<Interest>, read_hangup: bool) -> Self;

    /// What the kernel has found.
    fn found(&self) -> u32;

    /// Asks about all, and sleeps until one is ready or `timeout` is over; it may come back early.
    fn poll(asks: &mut [Self], scratch: &mut Self::Scratch, timeout: Option<Duration>) -> io::Result<()>;
}

pub(crate) struct Listed<A: Ask> {
    /// Apart: it would make each `Selector` large, and what a poll reads is to lie together.
    table: Box<Mutex<Table<A>>>,
    /// Ends a sleep, for a wake or for a change of the list.
    notifier: Notifier,
}

impl<A: Ask> Select for Listed<A> {
    fn new() -> io::Result<Listed<A>> {
        let notifier = Notifier::new()?;
        Ok(Listed { table: Box::new(Mutex::new(Table::new(notifier.as_raw_fd()))), notifier })
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
        let result = list.poll(timeout);
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
        if blocked == Blocked::Unknown {
            // Now it shows which direction was used up. At the next poll it may be ready again, and would look unread.
            table.look_at(key);
        }
        self.changed(table)
    }

    fn abandon(&self, key: WatchKey) {
        let mut table = self.lock();
        let _ = table.remove(Place::Key(key));
        // A notification that fails is late, not lost: the sleeper wakes for the closed descriptor.
        let _ = self.changed(table);
    }

    #[cfg(unix)]
    fn descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.notifier)
    }

    fn describe(raw: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe_bits(raw, A::NAMES, f)
    }
}

impl<A: Ask> Listed<A> {
    fn lock(&self) -> MutexGuard<'_, Table<A>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the sleeper, if there is one that doesn't know of a change yet.
    fn changed(&self, mut table: MutexGuard<'_, Table<A>>) -> io::Result<()> {
        if mem::take(&mut table.sleeper_is_behind) {
            drop(table);
            self.notifier.notify()?;
        }
        Ok(())
    }
}
