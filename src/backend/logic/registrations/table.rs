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
use super::super::watch::{Look, Registration, Tracking, Watch, WatchKey};
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
    pub(in crate::backend) suspects: Suspects,
    /// What the kernel has answered about raw descriptors, and may be about the next owners of their numbers.
    pub(in crate::backend) unchecked: Vec<(Snapshot, u32)>,
    /// Kept for its memory: what the suspects are looked at with.
    looks: Looks<D::Entry>,
    /// Kept for its memory: what one registration is looked at with.
    pub(in crate::backend) one: PollSet<D::Entry>,
}

/// The registrations whose watch has a suspect.
#[derive(Default)]
pub(in crate::backend) struct Suspects {
    /// Of those that have gone too, until the next look.
    pub(super) keys: Vec<WatchKey>,
    /// How many have gone, at least.
    stale: usize,
    /// One has become suspect since the last look.
    has_news: bool,
    /// Whether the last look left no room for others.
    pub(in crate::backend) filled_room: bool,
}

struct Record {
    fd: RawFd,
    /// Tells a descriptor that was closed without `deregister` from the next one with its number.
    identity: FileIdentity,
    watch: Watch,
    /// Counts the changes of the watch.
    version: u32,
    /// Whether it is in the list of suspects.
    is_suspect: bool,
    /// Its owner may close the descriptor before it deregisters.
    is_doubtful: bool,
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
pub(in crate::backend) struct Looks<E: PollEntry> {
    /// What is asked about each of `asked`.
    pub(in crate::backend) list: PollSet<E>,
    pub(in crate::backend) asked: Vec<Snapshot>,
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
            suspects: Suspects::default(),
            unchecked: Vec::new(),
            looks: Looks::default(),
            one: PollSet::default(),
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
        let record = Record { fd, identity, watch, version: 0, is_suspect: false, is_doubtful: false };
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
        record.refresh(key, &mut self.driver, &mut self.suspects)
    }

    pub(in crate::backend) fn remove(&mut self, key: WatchKey) -> io::Result<()> {
        if self.take(key).ok_or_else(not_found)? {
            // Or the list would grow for those that have gone, where nothing polls.
            self.suspects.stale += 1;
            if self.suspects.stale * 2 > self.suspects.keys.len() {
                let records = &self.records;
                self.suspects.keys.retain(|&key| records.get(key).is_some());
                self.suspects.stale = 0;
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
        let Record { fd, is_suspect, .. } = self.records.remove(key)?;
        self.by_fd.remove(fd);
        self.driver.forget(key, fd);
        Some(is_suspect)
    }

    /// From now on the descriptor may be closed without `deregister`, as a raw one.
    pub(in crate::backend) fn doubt(&mut self, key: WatchKey) {
        if let Some(record) = self.records.get_mut(key) {
            record.is_doubtful = true;
            record.version = record.version.wrapping_add(1);
        }
    }

    /// What is to be found out about the file of a registration that is [doubted](Table::doubt), before it is changed.
    #[inline]
    pub(in crate::backend) fn doubted(&self, key: WatchKey) -> Option<Snapshot> {
        let record = self.records.get(key).filter(|record| record.is_doubtful)?;
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
    pub(in crate::backend) fn question(&self, key: WatchKey) -> Option<(Snapshot, D::Entry)> {
        let record = self.records.get(key)?;
        let suspect = record.watch.suspect()?;
        Some((record.snapshot(key), record.look_for::<D>(suspect)))
    }

    /// The kernel has answered `raw` to the [`question`](Table::question).
    pub(in crate::backend) fn acquit(&mut self, asked: &Snapshot, raw: u32) {
        let Some(record) = self.records.get_mut(asked.key).filter(|record| record.is_as(asked)) else {
            return;
        };
        if raw & D::Entry::INVALID == 0 {
            record.watch.acquit(D::Entry::FLAGS.levels(raw));
        }
        // What the kernel has taken before, it takes again; if it is gone, the suspicion shows it.
        let _ = record.refresh(asked.key, &mut self.driver, &mut self.suspects);
    }

    /// What to ask about all suspects. [`take_back`](Table::take_back) follows.
    pub(in crate::backend) fn questions(&mut self) -> Looks<D::Entry> {
        let mut looks = mem::take(&mut self.looks);
        for key in self.suspects.keys.drain(..) {
            let Some(record) = self.records.get_mut(key) else {
                continue;
            };
            match record.watch.suspect() {
                Some(suspect) => {
                    looks.list.entries.push(record.look_for::<D>(suspect));
                    looks.asked.push(record.snapshot(key));
                }
                None => record.is_suspect = false,
            }
        }
        self.suspects.stale = 0;
        self.suspects.has_news = false;
        looks
    }

    /// The looks are over. Whether one has become suspect meanwhile.
    pub(in crate::backend) fn take_back(&mut self, mut looks: Looks<D::Entry>) -> bool {
        let kept = &mut looks.asked[..looks.kept];
        // It is the first next time, so that none starves.
        kept.rotate_left(looks.first_without_room.unwrap_or(0));
        let news = self.suspects.keys.len();
        self.suspects.keys.extend(kept.iter().map(|asked| asked.key));
        self.suspects.keys.rotate_left(news);
        looks.clear();
        self.looks = looks;
        self.suspects.has_news
    }

    /// Whether one has become suspect since the last look, or since this was asked.
    #[allow(dead_code)] // who shows lists tells each change
    pub(in crate::backend) fn take_news_of_suspects(&mut self) -> bool {
        mem::take(&mut self.suspects.has_news)
    }

    /// The kernel has answered `raw` to what was asked for the registration in `slot`. If that is a raw descriptor's,
    /// and there may be a new owner of its number, it is only noted as [`unchecked`](Table::unchecked).
    #[inline(never)]
    pub(in crate::backend) fn answer(&mut self, slot: u32, raw: u32, events: &mut Events) {
        let Some((key, record)) = self.records.entry_at(slot) else {
            return;
        };
        let is_raw = record.may_be_closed();
        if is_raw && raw & D::Entry::INVALID == 0 && !D::FORGETS_CLOSED {
            self.unchecked.push((record.snapshot(key), raw));
            return;
        }
        let is_closed = is_raw && raw & D::Entry::INVALID != 0;
        if is_closed || !record.report(key, raw, &mut self.driver, &mut self.suspects, events) {
            self.vacate(key);
        }
    }

    /// As [`answer`](Table::answer), once it is known whether the source is there.
    pub(in crate::backend) fn answer_checked(&mut self, asked: &Snapshot, raw: u32, events: &mut Events) {
        let key = asked.key;
        // What has changed meanwhile is answered anew.
        if let Some(record) = self.records.get_mut(key).filter(|record| record.is_as(asked)) {
            if asked.is_gone || !record.report(key, raw, &mut self.driver, &mut self.suspects, events) {
                self.vacate(key);
            }
        }
    }

    /// Applies the answer to one of `looks`.
    pub(in crate::backend) fn look(
        &mut self,
        looks: &mut Looks<D::Entry>,
        index: usize,
        now: Instant,
        events: &mut Events,
    ) {
        let (asked, raw) = (looks.asked[index], looks.list.entries[index].found());
        // Without room for a report a look would be wasted: the next call looks again, at once.
        let due = if raw != 0 && events.spare() == 0 {
            looks.first_without_room.get_or_insert(looks.kept);
            Some(now)
        } else {
            self.look_at(&asked, raw, now, events)
        };
        if let Some(due) = due {
            looks.again = Some(looks.again.map_or(due, |again| again.min(due)));
            looks.asked[looks.kept] = asked;
            looks.kept += 1;
        }
    }

    /// The kernel has answered `raw` to what was suspect; the time of the next look, if there is to be one.
    fn look_at(&mut self, asked: &Snapshot, raw: u32, now: Instant, events: &mut Events) -> Option<Instant> {
        let key = asked.key;
        let record = self.records.get_mut(key)?;
        if !record.is_as(asked) {
            // The answer is to another question.
            record.is_suspect = record.watch.suspect().is_some();
            return record.is_suspect.then_some(now);
        }
        if asked.is_gone {
            self.vacate(key);
            return None;
        }
        let found = D::Entry::FLAGS.levels(raw);
        let mut look = record.watch.look(found, now);
        if let Look::Report(reported) = look {
            events.push(event::<D>(record.watch.token(), reported, raw));
            look = record.watch.look(found, now);
        }
        if record.refresh(key, &mut self.driver, &mut self.suspects).is_err() {
            self.vacate(key);
            return None;
        }
        match look {
            Look::Later(due) => Some(due),
            Look::Report(_) => Some(now),
            Look::Clear => {
                record.is_suspect = false;
                None
            }
        }
    }
}

impl Suspects {
    pub(in crate::backend) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl<E: PollEntry> Looks<E> {
    /// The look has failed: all of them are suspects still.
    pub(in crate::backend) fn keep_all(&mut self) {
        self.kept = self.asked.len();
    }

    fn clear(&mut self) {
        self.list.entries.clear();
        self.asked.clear();
        (self.kept, self.again, self.first_without_room) = (0, None, None);
    }
}

impl<E: PollEntry> Default for Looks<E> {
    fn default() -> Looks<E> {
        Looks { list: PollSet::default(), asked: Vec::new(), kept: 0, again: None, first_without_room: None }
    }
}

impl Record {
    /// Asks the kernel for what the watch wants, which has changed.
    #[inline]
    fn refresh<D: Driver>(
        &mut self,
        key: WatchKey,
        driver: &mut D,
        suspects: &mut Suspects,
    ) -> io::Result<()> {
        self.version = self.version.wrapping_add(1);
        if !self.is_suspect && self.watch.suspect().is_some() {
            self.is_suspect = true;
            suspects.keys.push(key);
            suspects.has_news = true;
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
        suspects: &mut Suspects,
        events: &mut Events,
    ) -> bool {
        if let Some(reported) = self.watch.ready(D::Entry::FLAGS.levels(raw)) {
            events.push(event::<D>(self.watch.token(), reported, raw));
        }
        self.refresh(key, driver, suspects).is_ok()
    }

    fn snapshot(&self, key: WatchKey) -> Snapshot {
        let raw_identity = self.may_be_closed().then_some(self.identity);
        Snapshot { key, version: self.version, fd: self.fd, raw_identity, is_gone: false }
    }

    /// Whether its descriptor may be closed without `deregister`: a raw one, or that of an `IoSource` whose value may
    /// have been replaced.
    #[inline]
    fn may_be_closed(&self) -> bool {
        self.is_doubtful || self.watch.tracking() == Tracking::Untracked
    }

    /// Whether nothing has changed since `asked`.
    fn is_as(&self, asked: &Snapshot) -> bool {
        self.version == asked.version
    }

    fn look_for<D: Driver>(&self, suspect: Interest) -> D::Entry {
        D::Entry::new(self.fd, PollMask { interest: Some(suspect), read_hangup: false })
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
