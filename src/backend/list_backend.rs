//! The backend for a kernel that keeps no registrations: the list is here, and each `wait` passes it to the kernel.
//!
//! The list is changed in place. While a thread waits it owns the list, so changes are queued and the thread is
//! notified; it applies them before it evaluates the kernel's result. Such a kernel is level-triggered: a result that a
//! change has made stale is skipped, and the next call returns it again. The end of a registration waits until the list
//! is returned, since the kernel holds a reference to each file of the list.
//!
//! Invariant: the list has one entry for each registration, and one thread at a time owns it.

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
#[cfg(not(all(test, wakeful_loom)))]
use std::sync::Condvar;
use std::sync::PoisonError;
use std::time::Duration;

#[cfg(all(test, wakeful_loom))]
use loom::sync::Condvar;

use super::poller::{check_mode, describe_bits, Absent, Poller};
use crate::backend::logic::poll_entry::{PollEntry, PollMask, PollSet};
use crate::backend::logic::registrations::{Driver, Locked, Registrations, Table};
use crate::backend::logic::watch::{RearmCause, Registration, Tracking, WatchKey};
use crate::backend::name::Backend;
#[cfg(not(all(test, wakeful_loom)))]
use crate::os::Notifier;
use crate::os::{errors, RawIo};
use crate::readiness::{Events, Interest};

#[cfg(all(test, wakeful_loom))]
mod loom_models;
#[cfg(all(test, wakeful_loom))]
use loom_models::Notifier;

pub(crate) struct ListBackend<E: PollEntry> {
    registrations: Registrations<PollList<E>>,
    /// Ends a wait, for a wake or for a change of the list.
    notifier: Notifier,
    /// Notified when a waiting thread has returned the list.
    returned: Condvar,
}

/// How long the end of a registration waits for the thread that has the list. After a `fork` the child has no such
/// thread; otherwise only one that isn't scheduled takes long.
const LONGEST_RETURN: Duration = Duration::from_millis(100);

impl<E: PollEntry> Poller for ListBackend<E> {
    type OrElse<B: Poller> = Absent;

    fn new() -> io::Result<ListBackend<E>> {
        let notifier = Notifier::new()?;
        let list = PollList::new(notifier.as_raw_fd());
        Ok(ListBackend { registrations: Registrations::new(list), notifier, returned: Condvar::new() })
    }

    fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let (mut table, plan) = self.registrations.begin(events, timeout)?;
        if events.spare() == 0 {
            return Ok(());
        }
        let mut set = table.driver.lend();
        drop(table);
        let mut result = set.poll(plan.timeout);
        if let Ok(found @ 1..) = result {
            if let Some(raw) = set.notification() {
                result = self.take_notification(raw).map(|()| found - 1);
            }
        }
        let mut table = self.registrations.lock();
        table.driver.take_back(set);
        if table.driver.is_awaited {
            self.end_waits(&mut table.driver);
        }
        match result {
            Ok(0) => {}
            Ok(found) => {
                let mut left = collect(&mut table, found, events);
                while !table.unchecked.is_empty() {
                    table = self.registrations.check(table, events);
                    // Sources that turned out to be closed leave their space to others.
                    if left > 0 && events.spare() > 0 {
                        left = collect(&mut table, left, events);
                    }
                }
            }
            Err(e) => plan.fail_if_empty(e, events)?,
        }
        self.registrations.end(table, &plan, events)
    }

    fn prepare_notify(&self) -> io::Result<()> {
        Ok(())
    }

    fn notify(&self) -> io::Result<()> {
        self.notifier.notify()
    }

    fn register(&self, io: RawIo, registration: Registration) -> io::Result<Option<WatchKey>> {
        check::<E>(registration.interest)?;
        let (table, key) = self.registrations.register(io, registration)?;
        if let Err(e) = self.changed(table) {
            let _ = self.registrations.lock().remove(key);
            return Err(e);
        }
        Ok(match registration.tracking {
            Tracking::Tracked => Some(key),
            Tracking::Untracked => None,
        })
    }

    fn reregister(&self, io: RawIo, key: Option<WatchKey>, registration: Registration) -> io::Result<()> {
        check::<E>(registration.interest)?;
        let (mut table, key) = self.registrations.find(io, key);
        let key = key?;
        match table.driver.is_lent {
            true => self.reregister_lent(table, key, registration),
            false => table.change(key, |watch| watch.replace(registration)),
        }
    }

    fn deregister(&self, io: RawIo, key: Option<WatchKey>) -> io::Result<()> {
        let (mut table, key) = self.registrations.find(io, key);
        key.and_then(|key| table.remove(key))?;
        self.release(table);
        Ok(())
    }

    fn rearm(&self, key: WatchKey, cause: RearmCause) -> io::Result<()> {
        let table = self.registrations.rearm(key, cause);
        self.changed(table)
    }

    fn abandon(&self, key: WatchKey) {
        let mut table = self.registrations.lock();
        if table.remove(key).is_ok() {
            self.release(table);
        }
    }

    fn allow_replacement(&self, key: WatchKey) {
        self.registrations.lock().allow_replacement(key);
    }

    #[cfg(unix)]
    fn descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.notifier)
    }

    fn describe(raw: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe_bits(raw, E::NAMES, f)
    }
}

/// Refuses what the kernel can't report.
#[inline]
fn check<E: PollEntry>(interest: Interest) -> io::Result<()> {
    match interest.is_usual() {
        true => Ok(()),
        false => check_rare::<E>(interest),
    }
}

#[cold]
fn check_rare<E: PollEntry>(interest: Interest) -> io::Result<()> {
    if !E::REPORTS_ENDS && interest.is_end() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel reports no end by itself"));
    }
    check_mode(interest)
}

impl<E: PollEntry> ListBackend<E> {
    /// Replaces a registration while a thread waits. Notifying that thread may fail, and then the old one stays.
    #[inline(never)]
    fn reregister_lent(
        &self,
        mut table: Locked<'_, PollList<E>>,
        key: WatchKey,
        registration: Registration,
    ) -> io::Result<()> {
        let mut before = None;
        table.change(key, |watch| {
            before = Some(watch.clone());
            watch.replace(registration);
        })?;
        let result = self.changed(table);
        if let (Err(_), Some(before)) = (&result, before) {
            let _ = self.registrations.lock().change(key, |watch| *watch = before);
        }
        result
    }

    /// Notifies the waiting thread, if it has not been notified since the list changed. If that fails, the next change
    /// tries again.
    #[inline]
    fn changed(&self, mut table: Locked<'_, PollList<E>>) -> io::Result<()> {
        if !mem::take(&mut table.driver.must_notify) {
            return Ok(());
        }
        drop(table);
        self.notify_sleeper()
    }

    #[cold]
    fn notify_sleeper(&self) -> io::Result<()> {
        let result = self.notifier.notify();
        if result.is_err() {
            self.registrations.lock().driver.notify_failed();
        }
        result
    }

    /// Returns when no thread waits for the file of a registration that has ended.
    ///
    /// While a thread waits for a file the kernel holds a reference to it, and closing its descriptor closes nothing: a
    /// peer would not see the end of the connection, and the address of a listener would still be in use.
    fn release(&self, mut table: Locked<'_, PollList<E>>) {
        if !table.driver.is_lent {
            return;
        }
        table.driver.is_awaited = true;
        // If the notification fails, the thread releases the file later: the registration has ended all the same.
        if self.changed(table).is_ok() {
            self.await_return();
        }
    }

    #[cold]
    fn await_return(&self) {
        let mut table = self.registrations.lock();
        while table.driver.is_awaited && !table.driver.is_overdue {
            let waited = self.returned.wait_timeout(table, LONGEST_RETURN);
            let (locked, result) = waited.unwrap_or_else(PoisonError::into_inner);
            table = locked;
            table.driver.is_overdue = table.driver.is_awaited && result.timed_out();
        }
    }

    /// Lets the threads go on that wait for the list's return.
    #[cold]
    fn end_waits(&self, list: &mut PollList<E>) {
        (list.is_awaited, list.is_overdue) = (false, false);
        self.returned.notify_all();
    }

    /// Drains the notifier, for which the kernel has returned `raw`. Fails if the notifier is closed or has no writer:
    /// the kernel would report that on each call, and no wake could end a wait.
    fn take_notification(&self, raw: u32) -> io::Result<()> {
        if raw & (E::INVALID | E::FLAGS.hangup) != 0 {
            return Err(io::Error::from_raw_os_error(errors::BAD_DESCRIPTOR));
        }
        self.notifier.drain();
        Ok(())
    }
}

impl<E: PollEntry> PollSet<E> {
    /// Returns the kernel's flags for the notifier, which is the first entry, if it has any.
    #[inline]
    fn notification(&self) -> Option<u32> {
        self.entries.first().map(PollEntry::found).filter(|&raw| raw != 0)
    }
}

/// The list that is passed to the kernel: the notifier, and each registration.
///
/// Invariant: it has no other entries. A kernel takes time for each, and may refuse a list that is longer than the
/// limit of descriptors. The last entry moves to the position of an entry that is removed.
struct PollList<E: PollEntry> {
    set: PollSet<E>,
    /// The slot of each entry of the list. That of the first entry, the notifier, isn't read.
    slots: Vec<u32>,
    /// The position of each slot's entry in the list; 0 for none.
    positions: Vec<u32>,
    notifier: RawFd,
    /// Whether a waiting thread owns the list.
    is_lent: bool,
    /// Whether a thread waits for the list's return. Cleared by the return alone.
    is_awaited: bool,
    /// Whether one has waited for too long, so that no other one does.
    is_overdue: bool,
    /// What has changed while the list was lent, by slot. A slot that changes repeatedly takes no more memory than one.
    pending_changes: Vec<Option<PendingChange<E>>>,
    changed: Vec<u32>,
    /// Whether the waiting thread must be notified: set by the first change.
    must_notify: bool,
    /// Where the next search for ready sources begins, so that a full `Events` starves none of them.
    next: usize,
}

enum PendingChange<E> {
    Submit(E),
    Forget,
}

impl<E: PollEntry> Driver for PollList<E> {
    type Entry = E;
    const BACKEND: Backend = E::BACKEND;
    const FORGETS_CLOSED: bool = false;

    fn accepts(&self, fd: RawFd) -> io::Result<()> {
        if fd == self.notifier {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a poll can't watch itself"));
        }
        Ok(())
    }

    #[inline]
    fn submit(&mut self, key: WatchKey, fd: RawFd, mask: Option<PollMask>) -> io::Result<()> {
        let entry = mask.map_or(E::NOTHING, |mask| E::new(fd, mask));
        if self.is_lent {
            self.defer(key.slot, PendingChange::Submit(entry));
        } else {
            self.set_entry(key.slot, entry);
        }
        Ok(())
    }

    fn forget(&mut self, key: WatchKey, _: RawFd) {
        if self.is_lent {
            self.defer(key.slot, PendingChange::Forget);
        } else {
            self.remove_entry(key.slot);
        }
    }
}

impl<E: PollEntry> PollList<E> {
    fn new(notifier: RawFd) -> PollList<E> {
        let readable = PollMask { interest: Some(Interest::READABLE), read_hangup: false };
        PollList {
            set: PollSet::new(vec![E::new(notifier, readable)]),
            slots: vec![0],
            positions: Vec::new(),
            notifier,
            is_lent: false,
            is_awaited: false,
            is_overdue: false,
            pending_changes: Vec::new(),
            changed: Vec::new(),
            must_notify: false,
            next: FIRST,
        }
    }

    #[inline]
    fn set_entry(&mut self, slot: u32, entry: E) {
        match self.positions.get(slot as usize) {
            Some(&position) if position != 0 => self.set.entries[position as usize] = entry,
            _ => self.append(slot, entry),
        }
    }

    #[inline(never)]
    fn append(&mut self, slot: u32, entry: E) {
        let index = slot as usize;
        while self.positions.len() <= index {
            self.positions.push(0);
        }
        self.positions[index] = self.set.entries.len() as u32;
        self.set.entries.push(entry);
        self.slots.push(slot);
    }

    /// Removes the entry of `slot` from the list. The last entry moves to its position.
    fn remove_entry(&mut self, slot: u32) {
        let position = self.positions.get_mut(slot as usize).map_or(0, mem::take);
        if position == 0 {
            return;
        }
        if let (Some(last), Some(owner)) = (self.set.entries.pop(), self.slots.pop()) {
            if owner != slot {
                self.set.entries[position as usize] = last;
                self.slots[position as usize] = owner;
                self.positions[owner as usize] = position;
            }
        }
    }

    #[inline(never)]
    fn defer(&mut self, slot: u32, change: PendingChange<E>) {
        self.must_notify |= self.changed.is_empty();
        let index = slot as usize;
        while self.pending_changes.len() <= index {
            self.pending_changes.push(None);
        }
        if self.pending_changes[index].replace(change).is_none() {
            self.changed.push(slot);
        }
    }

    /// Lends the list to a thread that is about to wait.
    fn lend(&mut self) -> PollSet<E> {
        self.is_lent = true;
        mem::take(&mut self.set)
    }

    /// Takes the list back, and applies the changes of the meantime.
    fn take_back(&mut self, set: PollSet<E>) {
        self.set = set;
        self.is_lent = false;
        self.must_notify = false;
        while let Some(slot) = self.changed.pop() {
            match self.pending_changes[slot as usize].take() {
                Some(PendingChange::Submit(entry)) => self.set_entry(slot, entry),
                Some(PendingChange::Forget) => self.remove_entry(slot),
                None => {}
            }
        }
    }

    /// Makes the next change notify the waiting thread again.
    fn notify_failed(&mut self) {
        self.must_notify = self.is_lent && !self.changed.is_empty();
    }
}

/// The first position of the list that isn't the notifier's.
const FIRST: usize = 1;

/// How many entries are tested together, since most entries of a long list have no flags.
const CHUNK: usize = 16;

/// Returns the first of `entries` that has flags, and its flags.
#[inline(never)]
fn first_found<E: PollEntry>(entries: &[E]) -> Option<(usize, u32)> {
    let has_any = |chunk: &&[E]| chunk.iter().fold(0, |all, entry| all | entry.found()) != 0;
    let (index, chunk) = entries.chunks(CHUNK).enumerate().find(|(_, chunk)| has_any(chunk))?;
    let found = chunk.iter().map(PollEntry::found).enumerate();
    found.map(|(step, raw)| (index * CHUNK + step, raw)).find(|(_, raw)| *raw != 0)
}

/// Turns entries that the kernel has `found` ready into events, as far as `events` has space. Returns how many remain:
/// the next call finds them again.
fn collect<E: PollEntry>(table: &mut Table<PollList<E>>, found: usize, events: &mut Events) -> usize {
    let first = mem::replace(&mut table.driver.next, FIRST);
    let mut left = found;
    for (start, end) in [(first, usize::MAX), (FIRST, first)] {
        let mut next = start;
        // A change may have removed a ready entry from the list, so there may be fewer than were found.
        loop {
            let entries = &table.driver.set.entries;
            let Some((step, raw)) = entries.get(next..end.min(entries.len())).and_then(first_found) else {
                break;
            };
            let position = next + step;
            if events.spare() == table.unchecked.len() {
                table.driver.next = position;
                return left;
            }
            let slot = table.driver.slots[position];
            table.apply(slot, raw, events);
            left -= 1;
            if left == 0 {
                return 0;
            }
            // If the registration was forgotten, the last entry has this position now. In the second search that entry
            // has had its turn in the first: counted twice, it would take the place of one that is still to come.
            let slots = &table.driver.slots;
            let is_handled = slots.get(position) == Some(&slot) || end == first && slots.len() >= first;
            next = position + usize::from(is_handled);
        }
    }
    0
}

#[cfg(all(test, unix, not(wakeful_loom)))]
mod tests;
