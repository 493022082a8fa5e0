//! The registrations of a kernel that keeps none, or forgets each as it answers.
//!
//! Invariant: all of this runs with the lock of [`super::registrations`] held, so it makes no system call about a
//! source. The only calls to the kernel are those of [`Driver`].

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::time::Instant;

use super::super::fd_map::FdMap;
use super::super::poll_entry::{PollEntry, PollMask, PollSet};
use super::super::slab::Slab;
use super::super::watch::{Recheck, Registration, Tracking, Watch, WatchKey};
use crate::backend::name::Backend;
use crate::os::{errors, FileIdentity, FileKind};
use crate::readiness::{Event, Events, Interest, Readiness, Token};

/// Who is asked for what the registrations want to be told.
pub(in crate::backend) trait Driver {
    /// How to look at sources without changing anything.
    type Entry: PollEntry;
    /// Whose events these are.
    const BACKEND: Backend;
    /// The kernel drops a descriptor that is closed, and so never answers for the next one with its number.
    const FORGETS_CLOSED: bool;

    /// Fails for a descriptor that this poll needs itself.
    fn accepts(&self, _fd: RawFd) -> io::Result<()> {
        Ok(())
    }

    /// Replaces what was asked for `key`. Fails if the kernel won't have `fd`.
    fn submit(&mut self, key: WatchKey, fd: RawFd, mask: Option<PollMask>) -> io::Result<()>;

    /// Asks nothing for `key` any more, which has gone.
    fn forget(&mut self, key: WatchKey, fd: RawFd);
}

/// Every registration.
pub(in crate::backend) struct Table<D: Driver> {
    records: Slab<Record>,
    /// Who has each registered descriptor.
    by_fd: FdMap,
    pub(in crate::backend) driver: D,
    pub(in crate::backend) rechecks: RecheckQueue,
    /// What the kernel has answered about raw descriptors, and may be about the next owners of their numbers.
    pub(in crate::backend) unchecked: Vec<(Snapshot, u32)>,
    /// Kept for its memory: what the suspects are looked at with.
    round: RecheckRound<D::Entry>,
    /// Kept for its memory: what one registration is looked at with.
    pub(in crate::backend) single: PollSet<D::Entry>,
}

/// The registrations whose watch has a suspect.
#[derive(Default)]
pub(in crate::backend) struct RecheckQueue {
    /// Of those that have gone too, until the next look.
    pub(super) keys: Vec<WatchKey>,
    /// How many have gone, at least.
    gone: usize,
    /// One has become suspect since the last look.
    has_new: bool,
    /// Whether the last look left no room for others.
    pub(in crate::backend) filled_events: bool,
}

struct Record {
    fd: RawFd,
    /// Tells a descriptor that was closed without `deregister` from the next one with its number.
    identity: FileIdentity,
    watch: Watch,
    /// Counts the changes of the watch.
    version: u32,
    /// Whether it is in the list of suspects.
    is_queued: bool,
    /// Its owner may close the descriptor before it deregisters.
    may_be_replaced: bool,
}

/// One registration as it was when the kernel was asked about it.
#[derive(Copy, Clone)]
pub(in crate::backend) struct Snapshot {
    key: WatchKey,
    version: u32,
    pub(in crate::backend) fd: RawFd,
    /// Of a raw descriptor, whose number may have a new owner.
    pub(in crate::backend) raw_identity: Option<FileIdentity>,
    /// That was found out since.
    pub(in crate::backend) is_gone: bool,
}

/// One look at all suspects.
pub(in crate::backend) struct RecheckRound<E: PollEntry> {
    /// What is asked about each of `asked`.
    pub(in crate::backend) set: PollSet<E>,
    pub(in crate::backend) snapshots: Vec<Snapshot>,
    /// So many of `asked` are suspects still: the first ones.
    kept: usize,
    /// When to look again.
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

    /// Changes a watch by `change`, and entries the kernel after it.
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
            // Or the list would grow for those that have gone, where nothing polls.
            self.rechecks.gone += 1;
            if self.rechecks.gone * 2 > self.rechecks.keys.len() {
                let records = &self.records;
                self.rechecks.keys.retain(|&key| records.get(key).is_some());
                self.rechecks.gone = 0;
            }
        }
        Ok(())
    }

    /// Drops a registration.
    pub(in crate::backend) fn vacate(&mut self, key: WatchKey) {
        let _ = self.take(key);
    }

    /// Drops a registration, if it is there; whether it was suspect.
    fn take(&mut self, key: WatchKey) -> Option<bool> {
        let Record { fd, is_queued, .. } = self.records.remove(key)?;
        self.by_fd.remove(fd);
        self.driver.forget(key, fd);
        Some(is_queued)
    }

    /// From now on the descriptor may be closed without `deregister`, as a raw one.
    pub(in crate::backend) fn allow_replacement(&mut self, key: WatchKey) {
        if let Some(record) = self.records.get_mut(key) {
            record.may_be_replaced = true;
            record.version = record.version.wrapping_add(1);
        }
    }

    /// What is to be found out about the file of a registration that is [replaceable](Table::allow_replacement), before it is changed.
    #[inline]
    pub(in crate::backend) fn replaceable(&self, key: WatchKey) -> Option<Snapshot> {
        let record = self.records.get(key).filter(|record| record.may_be_replaced)?;
        Some(record.snapshot(key))
    }

    /// The registration of the number `fd`, and what that stood for when it was registered.
    pub(in crate::backend) fn at_fd(&self, fd: RawFd) -> Option<(WatchKey, FileIdentity)> {
        let key = self.by_fd.get(fd)?;
        self.records.get(key).map(|record| (key, record.identity))
    }

    #[allow(dead_code)] // a list is known by its slots
    pub(in crate::backend) fn key_at(&self, slot: u32) -> Option<WatchKey> {
        self.records.key_at(slot)
    }

    /// What to ask about the suspects of one registration, if it has any.
    pub(in crate::backend) fn recheck_entry(&self, key: WatchKey) -> Option<(Snapshot, D::Entry)> {
        let record = self.records.get(key)?;
        let directions = record.watch.to_recheck()?;
        Some((record.snapshot(key), record.entry_for::<D>(directions)))
    }

    /// The kernel has answered `raw` to the [`recheck_entry`](Table::recheck_entry).
    pub(in crate::backend) fn arm_used_up(&mut self, snapshot: &Snapshot, raw: u32) {
        let Some(record) = self.records.get_mut(snapshot.key).filter(|record| record.is_as(snapshot)) else {
            return;
        };
        if raw & D::Entry::INVALID == 0 {
            record.watch.arm_used_up(D::Entry::FLAGS.levels(raw));
        }
        // What the kernel has taken before, it takes again; if it is gone, the suspicion shows it.
        let _ = record.refresh(snapshot.key, &mut self.driver, &mut self.rechecks);
    }

    /// What to ask about all suspects. [`end_rechecks`](Table::end_rechecks) follows.
    pub(in crate::backend) fn begin_rechecks(&mut self) -> RecheckRound<D::Entry> {
        let mut round = mem::take(&mut self.round);
        for key in self.rechecks.keys.drain(..) {
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
        self.rechecks.gone = 0;
        self.rechecks.has_new = false;
        round
    }

    /// The looks are over. Whether one has become suspect meanwhile.
    pub(in crate::backend) fn end_rechecks(&mut self, mut round: RecheckRound<D::Entry>) -> bool {
        let kept = &mut round.snapshots[..round.kept];
        // It is the first next time, so that none starves.
        kept.rotate_left(round.first_without_room.unwrap_or(0));
        let news = self.rechecks.keys.len();
        self.rechecks.keys.extend(kept.iter().map(|snapshot| snapshot.key));
        self.rechecks.keys.rotate_left(news);
        round.clear();
        self.round = round;
        self.rechecks.has_new
    }

    /// Whether one has become suspect since the last look, or since this was asked.
    #[allow(dead_code)] // who shows lists tells each change
    pub(in crate::backend) fn take_new_rechecks(&mut self) -> bool {
        mem::take(&mut self.rechecks.has_new)
    }

    /// The kernel has answered `raw` to what was asked for the registration in `slot`. If that is a raw descriptor's,
    /// and there may be a new owner of its number, it is only noted as [`unchecked`](Table::unchecked).
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

    /// As [`apply`](Table::apply), once it is known whether the source is there.
    pub(in crate::backend) fn apply_checked(&mut self, snapshot: &Snapshot, raw: u32, events: &mut Events) {
        let key = snapshot.key;
        // What has changed meanwhile is answered anew.
        if let Some(record) = self.records.get_mut(key).filter(|record| record.is_as(snapshot)) {
            if snapshot.is_gone || !record.report(key, raw, &mut self.driver, &mut self.rechecks, events) {
                self.vacate(key);
            }
        }
    }

    /// Applies the answer to one of `looks`.
    pub(in crate::backend) fn apply_recheck(
        &mut self,
        round: &mut RecheckRound<D::Entry>,
        index: usize,
        now: Instant,
        events: &mut Events,
    ) {
        let (snapshot, raw) = (round.snapshots[index], round.set.entries[index].found());
        // Without room for a report a look would be wasted: the next call looks again, at once.
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

    /// The kernel has answered `raw` to what was suspect; the time of the next look, if there is to be one.
    fn recheck_one(
        &mut self,
        snapshot: &Snapshot,
        raw: u32,
        now: Instant,
        events: &mut Events,
    ) -> Option<Instant> {
        let key = snapshot.key;
        let record = self.records.get_mut(key)?;
        if !record.is_as(snapshot) {
            // The answer is to another question.
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

impl RecheckQueue {
    pub(in crate::backend) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl<E: PollEntry> RecheckRound<E> {
    /// The look has failed: all of them are suspects still.
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
    /// Asks the kernel for what the watch wants, which has changed.
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
            rechecks.keys.push(key);
            rechecks.has_new = true;
        }
        driver.submit(key, self.fd, PollMask::of(&self.watch))
    }

    /// Reports what is news. Whether the source is there still: what the kernel doesn't take again was closed without
    /// `deregister`.
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

    /// Whether its descriptor may be closed without `deregister`: a raw one, or that of an `IoSource` whose value may
    /// have been replaced.
    #[inline]
    fn may_be_closed(&self) -> bool {
        self.may_be_replaced || self.watch.tracking() == Tracking::Untracked
    }

    /// Whether nothing has changed since `asked`.
    fn is_as(&self, snapshot: &Snapshot) -> bool {
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
