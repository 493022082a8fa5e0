//! The registrations behind their lock: calls about sources are made without the lock, and their results are applied
//! with it.
//!
//! Invariant: no thread makes a system call about a source while it holds the lock, except those of [`Driver`], which
//! must follow the order of the changes. So a registration may change, or end, while a call is in progress. Each result
//! comes with a [`Snapshot`] of the registration, and is skipped if the registration has changed since.

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::sync::PoisonError;
#[cfg(not(all(test, wakeful_loom)))]
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

#[cfg(all(test, wakeful_loom))]
use loom::sync::{Mutex, MutexGuard};

use self::table::{already_exists, not_found, RecheckRound};
pub(in crate::backend) use self::table::{Driver, Snapshot, Table};
use super::poll_entry::PollEntry;
use super::watch::{RearmCause, Registration, WatchKey, LONGEST_PAUSE};
use crate::os::{errors, FileIdentity};
use crate::readiness::Events;

mod fd_map;
mod table;

/// Boxed, to keep a `Selector` small and the fields that each poll reads adjacent.
pub(in crate::backend) struct Registrations<D: Driver>(Box<Mutex<Table<D>>>);

/// The locked table.
pub(in crate::backend) type Locked<'a, D> = MutexGuard<'a, Table<D>>;

/// How one wait proceeds.
pub(in crate::backend) struct WaitPlan {
    /// How long the kernel may block.
    pub(in crate::backend) timeout: Option<Duration>,
    had_events: usize,
    rechecks_come_last: bool,
}

impl WaitPlan {
    /// Returns `Ok` for an error of the kernel's if there are events to report.
    #[cold]
    pub(in crate::backend) fn fail_if_empty(&self, error: io::Error, events: &Events) -> io::Result<()> {
        if events.len() > self.had_events {
            Ok(())
        } else {
            Err(error)
        }
    }
}

/// How many rechecks are applied before the lock is released for other threads.
const CHUNK: usize = 64;

impl<D: Driver> Registrations<D> {
    pub(in crate::backend) fn new(driver: D) -> Registrations<D> {
        Registrations(Box::new(Mutex::new(Table::new(driver))))
    }

    #[inline]
    pub(in crate::backend) fn lock(&self) -> Locked<'_, D> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether no thread holds the lock.
    #[cfg(all(test, unix, not(wakeful_loom)))]
    pub(in crate::backend) fn is_unlocked(&self) -> bool {
        self.0.try_lock().is_ok()
    }

    pub(in crate::backend) fn register(
        &self,
        fd: RawFd,
        registration: Registration,
    ) -> io::Result<(Locked<'_, D>, WatchKey)> {
        loop {
            let file = D::Entry::watchable(fd, registration.interest.is_priority())?;
            let mut table = self.lock();
            if table.at_fd(fd).is_some() {
                let identity;
                (table, identity) = self.drop_closed(table, fd, file.0)?;
                if identity != file.0 {
                    // Another thread has closed `fd`, and this is the next file with that number.
                    continue;
                }
            }
            let key = table.insert(fd, file, registration)?;
            return Ok((table, key));
        }
    }

    /// Ends the registration of `fd`, unless `fd` still refers to the source that was registered.
    #[cold]
    fn drop_closed<'a>(
        &'a self,
        table: Locked<'a, D>,
        fd: RawFd,
        identity: FileIdentity,
    ) -> io::Result<(Locked<'a, D>, FileIdentity)> {
        let (table, identity, key) = self.find_fd(table, fd, Ok(identity));
        match key {
            Some(_) => Err(already_exists()),
            None => Ok((table, identity?)),
        }
    }

    /// Finds a registration by its key, or that of a raw descriptor by its number.
    #[inline]
    pub(in crate::backend) fn find(
        &self,
        fd: RawFd,
        key: Option<WatchKey>,
    ) -> (Locked<'_, D>, io::Result<WatchKey>) {
        match key {
            Some(key) => self.find_key(key),
            None => self.find_raw(fd),
        }
    }

    #[inline]
    fn find_key(&self, key: WatchKey) -> (Locked<'_, D>, io::Result<WatchKey>) {
        let table = self.lock();
        match table.replaceable(key) {
            None => (table, Ok(key)),
            Some(snapshot) => self.check_file(table, snapshot, key),
        }
    }

    /// Checks the file of a registration whose descriptor may have been closed: the number may belong to another file,
    /// which the kernel must not be asked about.
    #[cold]
    fn check_file<'a>(
        &'a self,
        table: Locked<'a, D>,
        snapshot: Snapshot,
        key: WatchKey,
    ) -> (Locked<'a, D>, io::Result<WatchKey>) {
        drop(table);
        let was_closed = snapshot.was_closed::<D::Entry>(0, true);
        let mut table = self.lock();
        if was_closed {
            table.vacate(key);
            return (table, Err(not_found()));
        }
        (table, Ok(key))
    }

    fn find_raw(&self, fd: RawFd) -> (Locked<'_, D>, io::Result<WatchKey>) {
        let identity = D::Entry::identity(fd);
        let (table, identity, key) = self.find_fd(self.lock(), fd, identity);
        (table, key.ok_or_else(|| identity.err().unwrap_or_else(not_found)))
    }

    /// Finds the registration of `fd`, whose file is `identity`. Ends a registration whose descriptor was closed
    /// without `deregister`, as epoll does; `fd` may be the number of another file by now.
    fn find_fd<'a>(
        &'a self,
        mut table: Locked<'a, D>,
        fd: RawFd,
        mut identity: io::Result<FileIdentity>,
    ) -> (Locked<'a, D>, io::Result<FileIdentity>, Option<WatchKey>) {
        let mut verified = None;
        loop {
            let Some((key, registered)) = table.at_fd(fd) else {
                return (table, identity, None);
            };
            match &identity {
                Ok(now) if *now == registered => return (table, identity, Some(key)),
                // The descriptor may be open all the same.
                Err(e) if e.raw_os_error() != Some(errors::BAD_DESCRIPTOR) => return (table, identity, None),
                _ if verified == Some(key) => {
                    table.vacate(key);
                    return (table, identity, None);
                }
                _ => {}
            }
            // `identity` may be older than the registration: another thread may have opened this number since.
            verified = Some(key);
            drop(table);
            identity = D::Entry::identity(fd);
            table = self.lock();
        }
    }

    /// Re-arms a registration whose operation has returned `WouldBlock`.
    pub(in crate::backend) fn rearm(&self, key: WatchKey, cause: RearmCause) -> Locked<'_, D> {
        let (mut table, found) = self.find_key(key);
        // If it was deregistered meanwhile, there is nothing to arm.
        let _ = found.and_then(|key| table.change(key, |watch| watch.rearm(cause)));
        if cause.needs_recheck() {
            // A recheck now shows which direction was used up. By the next poll that may be ready again, and would look
            // unread.
            return self.recheck_one(table, key);
        }
        table
    }

    /// Rechecks one registration, and arms the directions that were used up. If that fails they stay due.
    #[inline(never)]
    pub(in crate::backend) fn recheck_one<'a>(
        &'a self,
        mut table: Locked<'a, D>,
        key: WatchKey,
    ) -> Locked<'a, D> {
        let Some((snapshot, entry)) = table.recheck_entry(key) else {
            return table;
        };
        let mut set = mem::take(&mut table.single);
        drop(table);
        set.entries.clear();
        set.entries.push(entry);
        let rechecked = set.poll(Some(Duration::ZERO));
        let mut table = self.lock();
        if rechecked.is_ok() {
            table.arm_used_up(&snapshot, set.entries[0].found());
        }
        table.single = set;
        table
    }

    /// Reports the rechecks that are due, and plans the wait. If no space for events is left, the wait is over.
    #[inline]
    pub(in crate::backend) fn begin(
        &self,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<(Locked<'_, D>, WaitPlan)> {
        let had_events = events.len();
        let mut timeout = timeout;
        let mut table = self.lock();
        // Rechecks that are always ready could fill `Events` in each call. After they have, other sources come first.
        let rechecks_come_last = mem::take(&mut table.rechecks.filled_events);
        if !rechecks_come_last && !table.rechecks.is_empty() {
            let (locked, rechecked) = self.recheck_all(table, events);
            table = locked;
            if let Some(limit) = rechecked? {
                timeout = Some(timeout.map_or(limit, |timeout| timeout.min(limit)));
            }
            table.rechecks.filled_events = events.spare() == 0;
        }
        if events.len() > had_events || rechecks_come_last {
            timeout = Some(Duration::ZERO);
        }
        Ok((table, WaitPlan { timeout, had_events, rechecks_come_last }))
    }

    /// Ends a wait: reports the rechecks that had to come last.
    #[inline]
    pub(in crate::backend) fn end(
        &self,
        table: Locked<'_, D>,
        plan: &WaitPlan,
        events: &mut Events,
    ) -> io::Result<()> {
        if plan.rechecks_come_last && events.spare() > 0 && !table.rechecks.is_empty() {
            let (_table, rechecked) = self.recheck_all(table, events);
            if events.len() == plan.had_events {
                rechecked?;
            }
        }
        Ok(())
    }

    /// Rechecks every registration that is queued, reports those that are due, and returns when the next recheck is
    /// due.
    #[inline(never)]
    pub(in crate::backend) fn recheck_all<'a>(
        &'a self,
        mut table: Locked<'a, D>,
        events: &mut Events,
    ) -> (Locked<'a, D>, io::Result<Option<Duration>>) {
        let mut round = table.begin_rechecks();
        if round.set.entries.is_empty() {
            table.end_rechecks(round);
            return (table, Ok(None));
        }
        drop(table);
        let rechecked = round.set.poll(Some(Duration::ZERO));
        let now = D::Entry::now();
        match rechecked {
            Ok(_) => table = self.apply(&mut round, now, events),
            Err(e) => {
                round.keep_all();
                let mut table = self.lock();
                table.end_rechecks(round);
                // A signal handler may have run, which the program has to see. Any other error concerns the recheck
                // alone: the poll goes on, and rechecks later.
                let result = match e.kind() {
                    io::ErrorKind::Interrupted => Err(e),
                    _ => Ok(Some(LONGEST_PAUSE)),
                };
                return (table, result);
            }
        }
        let again = round.again;
        let has_new = table.end_rechecks(round);
        let again = if has_new { Some(now) } else { again };
        (table, Ok(again.map(|again| again.saturating_duration_since(now))))
    }

    /// Applies the results of `round`, a chunk at a time.
    fn apply(&self, round: &mut RecheckRound<D::Entry>, now: Instant, events: &mut Events) -> Locked<'_, D> {
        let count = round.snapshots.len();
        let mut start = 0;
        loop {
            let end = (start + CHUNK).min(count);
            for index in start..end {
                let (raw, snapshot) = (round.set.entries[index].found(), &mut round.snapshots[index]);
                // A list backend verifies every entry that has flags. Another kernel must not be asked about the next
                // owner of a number. A result that there is no space to report is verified another time.
                let may_be_another = if raw == 0 { D::FORGETS_CLOSED } else { events.spare() > 0 };
                snapshot.is_gone = snapshot.was_closed::<D::Entry>(raw, may_be_another);
            }
            let mut table = self.lock();
            for index in start..end {
                table.apply_recheck(round, index, now, events);
            }
            if end == count {
                return table;
            }
            start = end;
        }
    }

    /// Applies results for raw descriptors, once each number is known to belong to the same file.
    #[inline(never)]
    pub(in crate::backend) fn check<'a>(
        &'a self,
        mut table: Locked<'a, D>,
        events: &mut Events,
    ) -> Locked<'a, D> {
        let mut unchecked = mem::take(&mut table.unchecked);
        drop(table);
        for (snapshot, raw) in &mut unchecked {
            snapshot.is_gone = snapshot.was_closed::<D::Entry>(*raw, true);
        }
        let mut table = self.lock();
        for (snapshot, raw) in unchecked.drain(..) {
            table.apply_checked(&snapshot, raw, events);
        }
        table.unchecked = unchecked;
        table
    }
}

impl Snapshot {
    /// Returns whether the source is gone for which the kernel has found `raw`. An `IoSource` deregisters itself, so
    /// there a descriptor that isn't open is an error like others. A raw descriptor may have been closed without
    /// `deregister`, and its number may belong to another file, which must not be reported by the old token.
    fn was_closed<E: PollEntry>(&self, raw: u32, may_be_another: bool) -> bool {
        let Some(identity) = self.raw_identity else {
            return false;
        };
        let is_another = || match E::identity(self.fd) {
            Ok(now) => now != identity,
            // Unknown is not closed.
            Err(e) => e.raw_os_error() == Some(errors::BAD_DESCRIPTOR),
        };
        raw & E::INVALID != 0 || may_be_another && is_another()
    }
}

#[cfg(all(test, unix, not(wakeful_loom)))]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::backend::logic::poll_entry::PollMask;
    use crate::backend::name::Backend;
    use crate::readiness::{Interest, Token};

    /// A driver that accepts everything.
    struct NullDriver;

    impl Driver for NullDriver {
        type Entry = libc::pollfd;
        const BACKEND: Backend = Backend::PosixPoll;
        const FORGETS_CLOSED: bool = false;

        fn submit(&mut self, _: WatchKey, _: RawFd, _: Option<PollMask>) -> io::Result<()> {
            Ok(())
        }

        fn forget(&mut self, _: WatchKey, _: RawFd) {}
    }

    #[test]
    fn queued_registrations_that_end_fill_no_memory_without_a_poll() {
        let (single, _other) = UnixStream::pair().unwrap();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registrations = Registrations::new(NullDriver);
        for _ in 0..1000 {
            let (mut table, key) = registrations
                .register(single.as_raw_fd(), Registration::tracked(Token(1), interest))
                .unwrap();
            // It was reported, and then blocked in an unknown direction.
            table.apply(key.slot, libc::POLLIN as u32 | libc::POLLOUT as u32, &mut Events::with_capacity(1));
            table.change(key, |watch| watch.rearm(RearmCause::Unknown)).unwrap();
            assert!(table.take_new_rechecks());
            table.remove(key).unwrap();
        }
        let table = registrations.lock();
        assert!(table.rechecks.len() < 10);
        let (table, again) = registrations.recheck_all(table, &mut Events::with_capacity(1));
        assert!(again.unwrap().is_none());
        assert!(table.rechecks.is_empty());
    }
}
