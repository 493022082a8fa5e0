//! AFD polls on an I/O completion port: Windows.
//!
//! Each armed socket has one poll with the kernel, which is answered once and then forgotten. What a poll asks can't
//! be changed: to ask for more it is cancelled and started anew, once its packet is back; a second poll beside it
//! would take away answers from the first (Windows 10, Server 2019).
//!
//! Changes that come while nobody waits are collected, so that a read and a write that both block cost one poll.

mod groups;
mod sys;
mod table;

use std::fmt;
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::table::{Place, Table};
use super::completions::Completions;
use super::select::{describe_bits, Select};
use super::watch::{Blocked, Tracking, Watch, WatchKey};
use super::Backend;
use crate::os::{Batch, Packet, RawIo};
use crate::readiness::{afd_words, Events, Interest, Readiness, Token};

pub(crate) struct Iocp {
    table: Mutex<Table>,
    /// Shared with sources whose operations may be under way after the `Poll` has gone.
    completions: Arc<Completions>,
}

/// How often a `wait` that must not sleep looks again for the answers to what was asked anew. The kernel cancels a
/// poll within the call; this is for one that takes its time.
const ROUNDS: usize = 50;
const ROUND: Duration = Duration::from_millis(1);

impl Select for Iocp {
    fn new() -> io::Result<Iocp> {
        Ok(Iocp { table: Mutex::new(Table::new()?), completions: Arc::new(Completions::new()?) })
    }

    fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let before = events.len();
        let mut batch = self.lock().lend_batch();
        let result = self.wait_with(&mut batch, events, timeout);
        self.lock().take_back(batch);
        match result {
            Err(_) if events.len() > before => Ok(()),
            result => result,
        }
    }

    fn prepare_notify(&self) -> io::Result<()> {
        Ok(())
    }

    fn notify(&self) -> io::Result<()> {
        self.completions.port().notify()
    }

    fn register(
        &self,
        io: RawIo,
        tracking: Tracking,
        token: Token,
        interest: Interest,
    ) -> io::Result<Option<WatchKey>> {
        let key = self.lock().insert(self.completions.port(), io, tracking, token, interest)?;
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
        self.change(Place::of(io, key), |watch, _| watch.replace(token, interest))
    }

    fn deregister(&self, io: RawIo, key: Option<WatchKey>) -> io::Result<()> {
        self.lock().remove(Place::of(io, key))
    }

    fn rearm(&self, key: WatchKey, blocked: Blocked) -> io::Result<()> {
        // Deregistered meanwhile: nothing to arm.
        let _ = self.change(Place::Key(key), |watch, look| {
            watch.rearm(blocked);
            if let (true, Some(suspect)) = (blocked.leaves_doubt(), watch.suspect()) {
                // What blocked shows now, and needn't wait for the poller to look.
                if let Some(found) = look(suspect) {
                    watch.acquit(found);
                }
            }
        });
        Ok(())
    }

    fn abandon(&self, key: WatchKey) {
        let _ = self.lock().remove(Place::Key(key));
    }

    fn completions(&self) -> Option<&Arc<Completions>> {
        Some(&self.completions)
    }

    fn describe(raw: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe_bits(raw, &afd_words::NAMES, f)
    }
}

/// What a round does beside asking the kernel, and when.
struct Turn {
    /// How long the kernel may sleep.
    sleeps: Option<Duration>,
    suspects_come_last: bool,
}

impl Iocp {
    fn wait_with(&self, batch: &mut Batch, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let before = events.len();
        let mut timeout = timeout;
        for _ in 0..ROUNDS {
            let Turn { sleeps, suspects_come_last } = self.begin(events, before, timeout);
            if events.spare() == 0 {
                return Ok(());
            }
            let result = self.completions.port().wait(batch, events.spare(), sleeps);
            let is_settled = self.end(batch, events);
            result?;
            if events.len() > before {
                return Ok(());
            }
            // Notifications, or answers that concern nobody any more, may have taken the room of events; suspects may
            // not have been looked at. And who asks without sleeping is to hear of what is ready now, though it was
            // asked anew a moment ago.
            let may_have_more =
                batch.is_full() || suspects_come_last || (!is_settled && timeout == Some(Duration::ZERO));
            if !may_have_more {
                return Ok(());
            }
            timeout = Some(Duration::ZERO);
        }
        Ok(())
    }

    /// Before the kernel is called.
    fn begin(&self, events: &mut Events, before: usize, timeout: Option<Duration>) -> Turn {
        let mut table = self.lock();
        // What had no room comes first, and what has filled it last. Who is late because of that comes with the next
        // call, which is made at once.
        if mem::take(&mut table.raised_had_no_room) {
            self.completions.report(events, Backend::Iocp as u8);
        }
        let suspects_come_last = mem::take(&mut table.suspects_filled_room);
        let mut limit = Some(Duration::ZERO);
        if !suspects_come_last && events.spare() > 0 {
            limit = table.look_at_suspects(events);
            table.suspects_filled_room = events.spare() == 0;
        }
        table.update_all(self.completions.port());
        table.report_failed(events);
        let sleeps = if events.len() > before || timeout == Some(Duration::ZERO) {
            Some(if table.is_replacing() && events.len() == before { ROUND } else { Duration::ZERO })
        } else if !self.completions.may_sleep() {
            Some(Duration::ZERO)
        } else {
            table.poller_sleeps(true);
            match (timeout, limit) {
                (Some(timeout), Some(limit)) => Some(timeout.min(limit)),
                (timeout, limit) => timeout.or(limit),
            }
        };
        Turn { sleeps, suspects_come_last }
    }

    /// After the kernel was called: reports what it has said. Whether nothing is being asked anew.
    fn end(&self, batch: &mut Batch, events: &mut Events) -> bool {
        let mut table = self.lock();
        table.poller_sleeps(false);
        while let Some(packet) = batch.next() {
            let Packet::Returned(returned) = packet else {
                continue;
            };
            match returned.downcast() {
                Ok(poll) => table.answer(poll, events),
                Err(other) => {
                    // Its owner may call us.
                    drop(table);
                    other.deliver();
                    table = self.lock();
                }
            }
        }
        table.raised_had_no_room = !self.completions.report(events, Backend::Iocp as u8);
        table.is_settled()
    }

    fn change(
        &self,
        place: Place,
        change: impl FnOnce(&mut Watch, &dyn Fn(Interest) -> Option<Readiness>),
    ) -> io::Result<()> {
        let mut table = self.lock();
        let slot = table.change(place, change)?;
        if table.must_update_at_once(slot) {
            table.update(self.completions.port(), slot);
            if table.take_sleeper_is_behind() {
                drop(table);
                return self.notify();
            }
        }
        Ok(())
    }

    /// Takes back what has come in, without a report; whether there was anything.
    fn drain(&self, batch: &mut Batch) -> io::Result<bool> {
        self.completions.port().wait(batch, usize::MAX, Some(Duration::ZERO))?;
        let mut found = false;
        while let Some(packet) = batch.next() {
            found = true;
            if let Packet::Returned(returned) = packet {
                // A source that has outlived us must learn of its operation's end.
                returned.deliver();
            }
        }
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Iocp {
    fn drop(&mut self) {
        self.lock().cancel_all();
        self.completions.close();
        // Whoever shares the port may keep it for long: what was cancelled is freed now. What the kernel takes its
        // time for is freed with the port.
        let mut batch = self.lock().lend_batch();
        while let Ok(true) = self.drain(&mut batch) {}
    }
}
