//! The table of registrations, for a kernel that keeps none, or that drops each as it reports it.
//!
//! Invariant: every method runs with the lock of [`super`] held, so none makes a system call about a source. The only
//! calls to the kernel are those of [`Driver`].

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::time::Instant;

use super::super::poll_entry::{PollEntry, PollMask, PollSet};
use super::super::recheck_queue::RecheckQueue;
use super::super::slab::Slab;
use super::super::watch::{Recheck, Registration, Tracking, Watch, WatchKey};
use super::fd_map::FdMap;
use crate::backend::name::Backend;
use crate::os::{errors, FileIdentity, FileKind};
use crate::readiness::{Event, Events, Interest, Readiness, Token};

/// What a backend does when the mask of a registration changes.
pub(in crate::backend) trait Driver {
    /// The entries by which sources are rechecked, without changing anything in the kernel.
    type Entry: PollEntry;
    /// The backend that events come from.
    const BACKEND: Backend;
    /// Whether the kernel drops a descriptor that is closed, and so never reports the next file with its number.
    const FORGETS_CLOSED: bool;

    /// Fails for a descriptor that the backend itself uses.
    fn accepts(&self, _fd: RawFd) -> io::Result<()> {
        Ok(())
    }

    /// Replaces the mask of `key`. Fails if the kernel refuses `fd`.
    fn submit(&mut self, key: WatchKey, fd: RawFd, mask: Option<PollMask>) -> io::Result<()>;

    /// Withdraws `key`, whose registration has ended.
    fn forget(&mut self, key: WatchKey, fd: RawFd);
}

/// Every registration.
pub(in crate::backend) struct Table<D: Driver> {
    records: Slab<Record>,
    /// The key of each registered descriptor.
    by_fd: FdMap,
    pub(in crate::backend) driver: D,
    pub(in crate::backend) rechecks: RecheckQueue,
    /// Whether a record has ever been one that may be replaced. Few programs have such records, so few look for them.
    has_replaceable: bool,
    /// Results for raw descriptors, whose numbers may belong to other files by now.
    pub(in crate::backend) unchecked: Vec<(Snapshot, u32)>,
    /// Kept for its memory: one round of rechecks.
    round: RecheckRound<D::Entry>,
    /// Kept for its memory: the recheck of one registration.
    pub(in crate::backend) single: PollSet<D::Entry>,
}

struct Record {
    fd: RawFd,
    /// Distinguishes a descriptor that was closed without `deregister` from the next one with its number.
    identity: FileIdentity,
    watch: Watch,
    /// Counts the changes of the watch.
    version: u32,
    /// Whether it is in the queue of rechecks.
    is_queued: bool,
    /// Whether its owner may close the descriptor before it deregisters.
    may_be_replaced: bool,
}

/// A registration as it was when the kernel was asked about it.
#[derive(Copy, Clone)]
pub(in crate::backend) struct Snapshot {
    key: WatchKey,
    version: u32,
    pub(in crate::backend) fd: RawFd,
    /// Set for a raw descriptor, whose number may belong to another file.
    pub(in crate::backend) raw_identity: Option<FileIdentity>,
    /// Whether its descriptor was found closed since.
    pub(in crate::backend) is_gone: bool,
}

/// One recheck of every queued registration.
pub(in crate::backend) struct RecheckRound<E: PollEntry> {
    /// An entry for each of `snapshots`.
    pub(in crate::backend) set: PollSet<E>,
    pub(in crate::backend) snapshots: Vec<Snapshot>,
    /// How many of `snapshots` stay queued: the first ones.
    kept: usize,
    /// When the next recheck is due.
    pub(in crate::backend) again: Option<Instant>,
    first_without_room: Option<usize>,
}

impl<D: Driver> Table<D> {
    pub(in crate::backend) fn new(driver: D) -> Table<D> {
        Table {
            records: Slab::new(),
            by_fd: FdMap::default(),
            driver,
            rechecks: RecheckQueue::default(),
            has_replaceable: false,
            unchecked: Vec::new(),
            round: RecheckRound::default(),
            single: PollSet::default(),
        }
    }

    /// Registers `fd`, which isn't registered.
    pub(in crate::backend) fn insert(
        &mut self,
        fd: RawFd,
        (identity, kind): (FileIdentity, FileKind),
        registration: Registration,
    ) -> io::Result<WatchKey> {
        self.driver.accepts(fd)?;
        let watch = Watch::new(registration).of_kind(kind);
        let mask = PollMask::of(&watch);
        let record = Record { fd, identity, watch, version: 0, is_queued: false, may_be_replaced: false };
        let key = self.records.insert(record);
        self.by_fd.insert(fd, key);
        if let Err(e) = self.driver.submit(key, fd, mask) {
            self.vacate(key);
            return Err(e);
        }
        Ok(key)
    }

    /// Applies `change` to a watch, and submits its new mask.
    #[inline]
    pub(in crate::backend) fn change(
        &mut self,
        key: WatchKey,
        change: impl FnOnce(&mut Watch),
    ) -> io::Result<()> {
        let record = self.records.get_mut(key).ok_or_else(not_found)?;
        change(&mut record.watch);
        record.refresh(key, &mut self.driver, &mut self.rechecks)
    }

    pub(in crate::backend) fn remove(&mut self, key: WatchKey) -> io::Result<()> {
        if self.take(key).ok_or_else(not_found)? {
            // Without this the queue would grow with each registration that ends, if no thread polls.
            let records = &self.records;
            self.rechecks.note_ended(|key| records.get(key).is_some());
        }
        Ok(())
    }

    /// Ends a registration.
    pub(in crate::backend) fn vacate(&mut self, key: WatchKey) {
        let _ = self.take(key);
    }

    /// Ends a registration, if it exists. Returns whether it was queued.
    fn take(&mut self, key: WatchKey) -> Option<bool> {
        let Record { fd, is_queued, .. } = self.records.remove(key)?;
        self.by_fd.remove(fd);
        self.driver.forget(key, fd);
        Some(is_queued)
    }

    /// From now on the descriptor may be closed without `deregister`, like a raw one.
    pub(in crate::backend) fn allow_replacement(&mut self, key: WatchKey) {
        if let Some(record) = self.records.get_mut(key) {
            record.may_be_replaced = true;
            self.has_replaceable = true;
            record.version = record.version.wrapping_add(1);
        }
    }

    /// Returns a snapshot of a registration whose descriptor [may have been closed](Table::allow_replacement), to
    /// verify its file before a change.
    #[inline]
    pub(in crate::backend) fn replaceable(&self, key: WatchKey) -> Option<Snapshot> {
        if !self.has_replaceable {
            return None;
        }
        let record = self.records.get(key).filter(|record| record.may_be_replaced)?;
        Some(record.snapshot(key))
    }

    /// Returns the registration of the number `fd`, and the file that it referred to then.
    pub(in crate::backend) fn at_fd(&self, fd: RawFd) -> Option<(WatchKey, FileIdentity)> {
        let key = self.by_fd.get(fd)?;
        self.records.get(key).map(|record| (key, record.identity))
    }

    #[allow(dead_code)] // a list is known by its slots
    pub(in crate::backend) fn key_at(&self, slot: u32) -> Option<WatchKey> {
        self.records.key_at(slot)
    }

    /// Returns the entry that rechecks one registration, if it has a direction to recheck.
    pub(in crate::backend) fn recheck_entry(&self, key: WatchKey) -> Option<(Snapshot, D::Entry)> {
        let record = self.records.get(key)?;
        let directions = record.watch.to_recheck()?;
        Some((record.snapshot(key), record.entry_for::<D>(directions)))
    }

    /// Applies the result `raw` of [`recheck_entry`](Table::recheck_entry).
    pub(in crate::backend) fn arm_used_up(&mut self, snapshot: &Snapshot, raw: u32) {
        let Some(record) =
            self.records.get_mut(snapshot.key).filter(|record| record.is_unchanged_since(snapshot))
        else {
            return;
        };
        if raw & D::Entry::INVALID == 0 {
            record.watch.arm_used_up(D::Entry::FLAGS.levels(raw));
        }
        // The kernel has accepted this descriptor before. If it is closed now, the next recheck shows that.
        let _ = record.refresh(snapshot.key, &mut self.driver, &mut self.rechecks);
    }

    /// Begins a round with every queued registration. [`end_rechecks`](Table::end_rechecks) must follow.
    pub(in crate::backend) fn begin_rechecks(&mut self) -> RecheckRound<D::Entry> {
        let mut round = mem::take(&mut self.round);
        self.rechecks.take_new();
        while let Some(key) = self.rechecks.pop() {
            let Some(record) = self.records.get_mut(key) else {
                continue;
            };
            match record.watch.to_recheck() {
                Some(directions) => {
                    round.set.entries.push(record.entry_for::<D>(directions));
                    round.snapshots.push(record.snapshot(key));
                }
                None => record.is_queued = false,
            }
        }
        round
    }

    /// Ends a round. Returns whether a registration was queued meanwhile.
    pub(in crate::backend) fn end_rechecks(&mut self, mut round: RecheckRound<D::Entry>) -> bool {
        let handled = round.first_without_room.unwrap_or(round.kept);
        let kept = round.snapshots[..round.kept].iter().map(|snapshot| snapshot.key);
        self.rechecks.put_back(kept.clone().skip(handled));
        kept.take(handled).for_each(|key| self.rechecks.keep(key));
        round.clear();
        self.round = round;
        self.rechecks.end_round()
    }

    /// Returns whether a registration was queued since the last round, or since the last call of this.
    #[allow(dead_code)] // a list backend notifies with each change
    pub(in crate::backend) fn take_new_rechecks(&mut self) -> bool {
        self.rechecks.take_new()
    }

    /// Applies the result `raw` for the registration in `slot`. If that is a raw descriptor, whose number may belong to
    /// another file, the result only becomes [`unchecked`](Table::unchecked).
    #[inline(never)]
    pub(in crate::backend) fn apply(&mut self, slot: u32, raw: u32, events: &mut Events) {
        let Some((key, record)) = self.records.entry_at(slot) else {
            return;
        };
        let is_raw = record.may_be_closed();
        if is_raw && raw & D::Entry::INVALID == 0 && !D::FORGETS_CLOSED {
            self.unchecked.push((record.snapshot(key), raw));
            return;
        }
        let is_closed = is_raw && raw & D::Entry::INVALID != 0;
        if is_closed || !record.report(key, raw, &mut self.driver, &mut self.rechecks, events) {
            self.vacate(key);
        }
    }

    /// As [`apply`](Table::apply), after the file of the descriptor was verified.
    pub(in crate::backend) fn apply_checked(&mut self, snapshot: &Snapshot, raw: u32, events: &mut Events) {
        let key = snapshot.key;
        // A registration that has changed gets a new result.
        if let Some(record) = self.records.get_mut(key).filter(|record| record.is_unchanged_since(snapshot)) {
            if snapshot.is_gone || !record.report(key, raw, &mut self.driver, &mut self.rechecks, events) {
                self.vacate(key);
            }
        }
    }

    /// Applies one result of `round`.
    pub(in crate::backend) fn apply_recheck(
        &mut self,
        round: &mut RecheckRound<D::Entry>,
        index: usize,
        now: Instant,
        events: &mut Events,
    ) {
        let (snapshot, raw) = (round.snapshots[index], round.set.entries[index].found());
        // Without space for a report the recheck would be wasted: the next call repeats it at once.
        let due = if raw != 0 && events.spare() == 0 {
            round.first_without_room.get_or_insert(round.kept);
            Some(now)
        } else {
            self.recheck_one(&snapshot, raw, now, events)
        };
        if let Some(due) = due {
            round.again = Some(round.again.map_or(due, |again| again.min(due)));
            round.snapshots[round.kept] = snapshot;
            round.kept += 1;
        }
    }

    /// Applies the result `raw` of a recheck. Returns when the next one is due, if there is one.
    fn recheck_one(
        &mut self,
        snapshot: &Snapshot,
        raw: u32,
        now: Instant,
        events: &mut Events,
    ) -> Option<Instant> {
        let key = snapshot.key;
        let record = self.records.get_mut(key)?;
        if !record.is_unchanged_since(snapshot) {
            // The result belongs to an older state.
            record.is_queued = record.watch.to_recheck().is_some();
            return record.is_queued.then_some(now);
        }
        if snapshot.is_gone {
            self.vacate(key);
            return None;
        }
        let found = D::Entry::FLAGS.levels(raw);
        let mut recheck = record.watch.recheck(found, now);
        if let Recheck::Report(reported) = recheck {
            events.push(event::<D>(record.watch.token(), reported, raw));
            recheck = record.watch.recheck(found, now);
        }
        if record.refresh(key, &mut self.driver, &mut self.rechecks).is_err() {
            self.vacate(key);
            return None;
        }
        match recheck {
            Recheck::At(due) => Some(due),
            Recheck::Report(_) => Some(now),
            Recheck::Done => {
                record.is_queued = false;
                None
            }
        }
    }
}

impl<E: PollEntry> RecheckRound<E> {
    /// Keeps every registration queued, after a recheck that has failed.
    pub(in crate::backend) fn keep_all(&mut self) {
        self.kept = self.snapshots.len();
    }

    fn clear(&mut self) {
        self.set.entries.clear();
        self.snapshots.clear();
        (self.kept, self.again, self.first_without_room) = (0, None, None);
    }
}

impl<E: PollEntry> Default for RecheckRound<E> {
    fn default() -> RecheckRound<E> {
        RecheckRound {
            set: PollSet::default(),
            snapshots: Vec::new(),
            kept: 0,
            again: None,
            first_without_room: None,
        }
    }
}

impl Record {
    /// Submits the mask of the watch, which has changed.
    #[inline]
    fn refresh<D: Driver>(
        &mut self,
        key: WatchKey,
        driver: &mut D,
        rechecks: &mut RecheckQueue,
    ) -> io::Result<()> {
        self.version = self.version.wrapping_add(1);
        if !self.is_queued && self.watch.to_recheck().is_some() {
            self.is_queued = true;
            rechecks.push(key);
        }
        driver.submit(key, self.fd, PollMask::of(&self.watch))
    }

    /// Reports what is news. Returns whether the source still exists: a descriptor that the kernel refuses was closed
    /// without `deregister`.
    #[inline]
    fn report<D: Driver>(
        &mut self,
        key: WatchKey,
        raw: u32,
        driver: &mut D,
        rechecks: &mut RecheckQueue,
        events: &mut Events,
    ) -> bool {
        if let Some(reported) = self.watch.ready(D::Entry::FLAGS.levels(raw)) {
            events.push(event::<D>(self.watch.token(), reported, raw));
        }
        self.refresh(key, driver, rechecks).is_ok()
    }

    fn snapshot(&self, key: WatchKey) -> Snapshot {
        let raw_identity = self.may_be_closed().then_some(self.identity);
        Snapshot { key, version: self.version, fd: self.fd, raw_identity, is_gone: false }
    }

    /// Returns whether the descriptor may be closed without `deregister`: a raw one, or that of an `IoSource` whose
    /// value may have been replaced.
    #[inline]
    fn may_be_closed(&self) -> bool {
        self.may_be_replaced || self.watch.tracking() == Tracking::Untracked
    }

    /// Returns whether the registration hasn't changed since `snapshot`.
    fn is_unchanged_since(&self, snapshot: &Snapshot) -> bool {
        self.version == snapshot.version
    }

    fn entry_for<D: Driver>(&self, directions: Interest) -> D::Entry {
        D::Entry::new(self.fd, PollMask { interest: Some(directions), read_hangup: false })
    }
}

#[cold]
pub(in crate::backend) fn not_found() -> io::Error {
    io::Error::from_raw_os_error(errors::NOT_FOUND)
}

#[cold]
pub(in crate::backend) fn already_exists() -> io::Error {
    io::Error::from_raw_os_error(errors::ALREADY_EXISTS)
}

fn event<D: Driver>(token: Token, readiness: Readiness, raw: u32) -> Event {
    Event::new(token, readiness, D::BACKEND as u8, raw)
}
