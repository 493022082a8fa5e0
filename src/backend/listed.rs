//! A backend on a kernel that keeps nothing: the list of registrations is here, and each `wait` shows it to the kernel.
//!
//! The list is changed in place. While a thread sleeps it has the list, so changes are noted, the sleeper is woken,
//! and takes them over before it looks at what it was told. Such a kernel answers levels: an answer that a change has
//! made doubtful is passed over, and comes again.
//!
//! Invariant: the list has one entry for each registration, and is with one thread at a time.

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use super::poller::{describe_bits, Poller};
use crate::backend::logic::ask::{Ask, List, Wanted};
use crate::backend::logic::registrations::{Locked, Registrations};
use crate::backend::logic::table::{Asked, Table};
use crate::backend::logic::watch::{Blocked, Registration, Tracking, WatchKey};
use crate::backend::name::Backend;
#[cfg(not(all(test, wakeful_loom)))]
use crate::os::Notifier;
use crate::os::{errors, RawIo};
use crate::readiness::{Events, Interest};

#[cfg(all(test, wakeful_loom))]
mod loom_models;
#[cfg(all(test, wakeful_loom))]
use loom_models::Notifier;

pub(crate) struct Listed<A: Ask> {
    registrations: Registrations<Shown<A>>,
    /// Ends a sleep, for a wake or for a change of the list.
    notifier: Notifier,
}

impl<A: Ask> Poller for Listed<A> {
    fn new() -> io::Result<Listed<A>> {
        let notifier = Notifier::new()?;
        let shown = Shown::new(notifier.as_raw_fd());
        Ok(Listed { registrations: Registrations::new(shown), notifier })
    }

    fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let (mut table, turn) = self.registrations.begin(events, timeout)?;
        if events.spare() == 0 {
            return Ok(());
        }
        let mut list = table.kernel.lend();
        drop(table);
        let mut result = list.poll(turn.timeout);
        if let Ok(found @ 1..) = result {
            if let Some(raw) = list.notification() {
                result = self.take_notification(raw).map(|()| found - 1);
            }
        }
        let mut table = self.registrations.lock();
        table.kernel.take_back(list);
        match result {
            Ok(0) => {}
            Ok(found) => {
                let mut left = collect(&mut table, found, events);
                while !table.unchecked.is_empty() {
                    table = self.registrations.check(table, events);
                    // Those that turned out to have gone have left their room to others.
                    if left > 0 && events.spare() > 0 {
                        left = collect(&mut table, left, events);
                    }
                }
            }
            Err(e) => turn.excuse(e, events)?,
        }
        self.registrations.end(table, &turn, events)
    }

    fn prepare_notify(&self) -> io::Result<()> {
        Ok(())
    }

    fn notify(&self) -> io::Result<()> {
        self.notifier.notify()
    }

    fn register(&self, io: RawIo, registration: Registration) -> io::Result<Option<WatchKey>> {
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
        let (mut table, key) = self.registrations.find(io, key);
        let key = key?;
        // Only a sleeper must be told, which may fail.
        let may_fail = table.kernel.is_lent;
        let mut before = None;
        table.change(key, |watch| {
            before = may_fail.then(|| watch.clone());
            watch.replace(registration);
        })?;
        let result = self.changed(table);
        if let (Err(_), Some(before)) = (&result, before) {
            let _ = self.registrations.lock().change(key, |watch| *watch = before);
        }
        result
    }

    fn deregister(&self, io: RawIo, key: Option<WatchKey>) -> io::Result<()> {
        let (mut table, key) = self.registrations.find(io, key);
        let removed = key.and_then(|key| table.remove(key));
        // The kernel holds on to a file for as long as a thread sleeps on it: the sleeper must let go, or the
        // connection would not be closed for the peer when its descriptor is. If it can't be told it does so later: the
        // source is deregistered all the same.
        let _ = self.changed(table);
        removed
    }

    fn rearm(&self, key: WatchKey, blocked: Blocked) -> io::Result<()> {
        let table = self.registrations.rearm(key, blocked);
        self.changed(table)
    }

    fn abandon(&self, key: WatchKey) {
        let mut table = self.registrations.lock();
        let _ = table.remove(key);
        // A notification that fails is late, not lost: the sleeper wakes for the closed descriptor.
        let _ = self.changed(table);
    }

    fn doubt(&self, key: WatchKey) {
        self.registrations.lock().doubt(key);
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
    /// Wakes the sleeper, if there is one that doesn't know of a change yet. If that fails the next change tries again.
    #[inline]
    fn changed(&self, mut table: Locked<'_, Shown<A>>) -> io::Result<()> {
        if !mem::take(&mut table.kernel.sleeper_is_behind) {
            return Ok(());
        }
        drop(table);
        self.tell_sleeper()
    }

    #[cold]
    fn tell_sleeper(&self) -> io::Result<()> {
        let result = self.notifier.notify();
        if result.is_err() {
            self.registrations.lock().kernel.sleeper_was_not_told();
        }
        result
    }

    /// The kernel has answered `raw` about the notifier. An error if that is closed, or cannot be written any more: a
    /// poller would be told so again and again, and nothing could end its sleep.
    fn take_notification(&self, raw: u32) -> io::Result<()> {
        if raw & (A::INVALID | A::WORDS.hangup) != 0 {
            return Err(io::Error::from_raw_os_error(errors::BAD_DESCRIPTOR));
        }
        self.notifier.drain();
        Ok(())
    }
}

impl<A: Ask> List<A> {
    /// What the kernel has answered about the notifier, which has the first place, if anything.
    #[inline]
    fn notification(&self) -> Option<u32> {
        self.asks.first().map(Ask::found).filter(|&raw| raw != 0)
    }
}

/// The list that the kernel is shown: the notifier, and each registration.
///
/// Invariant: it has no more entries than that. A kernel takes time for each, and may refuse a list that is longer than
/// the limit of descriptors. An entry that goes leaves its place to the last one.
struct Shown<A: Ask> {
    list: List<A>,
    /// Whose each entry of the list is. That of the first, the notifier, isn't read.
    slots: Vec<u32>,
    /// Where the entry of each slot is; 0 where none is.
    places: Vec<u32>,
    notifier: RawFd,
    /// Whether the list is with a thread that sleeps on it.
    is_lent: bool,
    /// What has changed while the list was lent, by slot, and of which slots there is such. A slot that changes again
    /// and again takes no more room than one.
    noted: Vec<Option<Note<A>>>,
    changed: Vec<u32>,
    /// Set with the first change that the sleeper must be woken for.
    sleeper_is_behind: bool,
    /// Where the next search for ready sources begins, so that a full `Events` starves none.
    next: usize,
}

enum Note<A> {
    Ask(A),
    Forget,
}

impl<A: Ask> Asked for Shown<A> {
    type Ask = A;
    const BACKEND: Backend = A::BACKEND;
    const FORGETS_CLOSED: bool = false;

    fn accepts(&self, fd: RawFd) -> io::Result<()> {
        if fd == self.notifier {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a poll can't watch itself"));
        }
        Ok(())
    }

    #[inline]
    fn ask(&mut self, key: WatchKey, fd: RawFd, wanted: Option<Wanted>) -> io::Result<()> {
        let ask = wanted.map_or(A::NOTHING, |wanted| A::new(fd, wanted));
        if self.is_lent {
            self.note(key.slot, Note::Ask(ask));
        } else {
            self.show(key.slot, ask);
        }
        Ok(())
    }

    fn forget(&mut self, key: WatchKey, _: RawFd) {
        if self.is_lent {
            self.note(key.slot, Note::Forget);
        } else {
            self.withdraw(key.slot);
        }
    }
}

impl<A: Ask> Shown<A> {
    fn new(notifier: RawFd) -> Shown<A> {
        let readable = Wanted { interest: Some(Interest::READABLE), read_hangup: false };
        Shown {
            list: List::new(vec![A::new(notifier, readable)]),
            slots: vec![0],
            places: Vec::new(),
            notifier,
            is_lent: false,
            noted: Vec::new(),
            changed: Vec::new(),
            sleeper_is_behind: false,
            next: FIRST,
        }
    }

    #[inline]
    fn show(&mut self, slot: u32, ask: A) {
        match self.places.get(slot as usize) {
            Some(&place) if place != 0 => self.list.asks[place as usize] = ask,
            _ => self.append(slot, ask),
        }
    }

    #[inline(never)]
    fn append(&mut self, slot: u32, ask: A) {
        let index = slot as usize;
        while self.places.len() <= index {
            self.places.push(0);
        }
        self.places[index] = self.list.asks.len() as u32;
        self.list.asks.push(ask);
        self.slots.push(slot);
    }

    /// Takes the entry of `slot` from the list; the last one gets its place.
    fn withdraw(&mut self, slot: u32) {
        let place = self.places.get_mut(slot as usize).map_or(0, mem::take);
        if place == 0 {
            return;
        }
        if let (Some(last), Some(whose)) = (self.list.asks.pop(), self.slots.pop()) {
            if whose != slot {
                self.list.asks[place as usize] = last;
                self.slots[place as usize] = whose;
                self.places[whose as usize] = place;
            }
        }
    }

    #[inline(never)]
    fn note(&mut self, slot: u32, note: Note<A>) {
        self.sleeper_is_behind |= self.changed.is_empty();
        let index = slot as usize;
        while self.noted.len() <= index {
            self.noted.push(None);
        }
        if self.noted[index].replace(note).is_none() {
            self.changed.push(slot);
        }
    }

    /// Gives the list to a thread that goes to sleep on it.
    fn lend(&mut self) -> List<A> {
        self.is_lent = true;
        mem::take(&mut self.list)
    }

    /// Takes the list back, and makes up for what has changed meanwhile.
    fn take_back(&mut self, list: List<A>) {
        self.list = list;
        self.is_lent = false;
        self.sleeper_is_behind = false;
        while let Some(slot) = self.changed.pop() {
            match self.noted[slot as usize].take() {
                Some(Note::Ask(ask)) => self.show(slot, ask),
                Some(Note::Forget) => self.withdraw(slot),
                None => {}
            }
        }
    }

    /// The thread that sleeps on the list was to be woken for a change, and that has failed.
    fn sleeper_was_not_told(&mut self) {
        self.sleeper_is_behind = self.is_lent && !self.changed.is_empty();
    }
}

/// The first place of the list that isn't the notifier's.
const FIRST: usize = 1;

/// How many answers are looked at together, since most of a long list are nothing.
const CHUNK: usize = 16;

/// The first of `asks` that has an answer, and the answer.
#[inline(never)]
fn first_found<A: Ask>(asks: &[A]) -> Option<(usize, u32)> {
    let has_any = |chunk: &&[A]| chunk.iter().fold(0, |all, ask| all | ask.found()) != 0;
    let (index, chunk) = asks.chunks(CHUNK).enumerate().find(|(_, chunk)| has_any(chunk))?;
    let answers = chunk.iter().map(Ask::found).enumerate();
    answers.map(|(step, raw)| (index * CHUNK + step, raw)).find(|(_, raw)| *raw != 0)
}

/// Turns what the kernel has `found` into events, as many as there is room for. How many are left for want of room: the
/// kernel will find them again.
fn collect<A: Ask>(table: &mut Table<Shown<A>>, found: usize, events: &mut Events) -> usize {
    let first = mem::replace(&mut table.kernel.next, FIRST);
    let mut left = found;
    for (start, end) in [(first, usize::MAX), (FIRST, first)] {
        let mut next = start;
        // A change may have taken an answer from the list, so there may be fewer than were found.
        loop {
            let asks = &table.kernel.list.asks;
            let Some((step, raw)) = asks.get(next..end.min(asks.len())).and_then(first_found) else {
                break;
            };
            let place = next + step;
            if events.spare() == table.unchecked.len() {
                table.kernel.next = place;
                return left;
            }
            let slot = table.kernel.slots[place];
            table.answer(slot, raw, events);
            left -= 1;
            if left == 0 {
                return 0;
            }
            // If it was forgotten, another has its place now.
            next = place + usize::from(table.kernel.slots.get(place) == Some(&slot));
        }
    }
    0
}

#[cfg(all(test, unix, not(wakeful_loom)))]
mod tests;
