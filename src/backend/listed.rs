//! A backend on a kernel that keeps nothing: the list of registrations is here, and each `wait` shows it to the kernel.
//!
//! The list is changed in place. While a thread sleeps it has the list, so changes are noted, the sleeper is woken,
//! and takes them over before it looks at what it was told. Such a kernel answers levels: an answer that a change has
//! made doubtful is passed over, and comes again.

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::PoisonError;
#[cfg(not(all(test, wakeful_loom)))]
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

#[cfg(all(test, wakeful_loom))]
use loom::sync::{Mutex, MutexGuard};

use super::ask::{Ask, List, Wanted};
use super::select::{describe_bits, Select};
use super::table::{Asked, Place, Table};
use super::watch::{Blocked, Tracking, WatchKey};
use super::Backend;
#[cfg(not(all(test, wakeful_loom)))]
use crate::os::Notifier;
use crate::os::RawIo;
use crate::readiness::{Events, Interest, Token};

#[cfg(all(test, wakeful_loom))]
mod loom_models;
#[cfg(all(test, wakeful_loom))]
use loom_models::Notifier;

pub(crate) struct Listed<A: Ask> {
    /// Apart: it would make each `Selector` large, and what a poll reads is to lie together.
    table: Box<Mutex<Table<Shown<A>>>>,
    /// Ends a sleep, for a wake or for a change of the list.
    notifier: Notifier,
}

impl<A: Ask> Select for Listed<A> {
    fn new() -> io::Result<Listed<A>> {
        let notifier = Notifier::new()?;
        let shown = Shown::new(notifier.as_raw_fd());
        Ok(Listed { table: Box::new(Mutex::new(Table::new(shown))), notifier })
    }

    fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let mut table = self.lock();
        let turn = table.begin(events, timeout)?;
        if events.spare() == 0 {
            return Ok(());
        }
        let mut list = table.kernel.lend();
        drop(table);
        let result = list.poll(turn.timeout);
        let mut table = self.lock();
        table.kernel.take_back(list);
        match result {
            Ok(0) => {}
            Ok(found) => {
                let was_notified = table.kernel.was_notified();
                if was_notified {
                    self.notifier.drain();
                }
                collect(&mut table, found - usize::from(was_notified), events);
            }
            Err(e) => turn.excuse(e, events)?,
        }
        table.end(&turn, events)
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
        if let Err(e) = self.changed(table) {
            let _ = self.lock().remove(Place::Key(key));
            return Err(e);
        }
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
        let place = Place::of(io, key);
        // Only a sleeper must be told, which may fail.
        let may_fail = table.kernel.is_lent;
        let mut before = None;
        table.change(place, |watch| {
            before = may_fail.then(|| watch.clone());
            watch.replace(token, interest);
        })?;
        let result = self.changed(table);
        if let (Err(_), Some(before)) = (&result, before) {
            let _ = self.lock().change(place, |watch| *watch = before);
        }
        result
    }

    fn deregister(&self, io: RawIo, key: Option<WatchKey>) -> io::Result<()> {
        let mut table = self.lock();
        let removed = table.remove(Place::of(io, key));
        // The kernel holds on to a file for as long as a thread sleeps on it: the sleeper must let go, or the
        // connection would not be closed for the peer when its descriptor is. If it can't be told it does so later: the
        // source is deregistered all the same.
        let _ = self.changed(table);
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
    #[inline(never)]
    fn lock(&self) -> MutexGuard<'_, Table<Shown<A>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the sleeper, if there is one that doesn't know of a change yet. If that fails the next change tries again.
    #[inline]
    fn changed(&self, mut table: MutexGuard<'_, Table<Shown<A>>>) -> io::Result<()> {
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
            self.lock().kernel.sleeper_was_not_told();
        }
        result
    }
}

/// The list that the kernel is shown. A registration's place in it is one further than its slot, since the notifier has
/// the first.
struct Shown<A: Ask> {
    list: List<A>,
    notifier: RawFd,
    /// Whether the list is with a thread that sleeps on it.
    is_lent: bool,
    /// What was asked for while the list was lent, by slot, and of which slots there is such. A slot that changes again
    /// and again takes no more room than one.
    noted: Vec<Option<A>>,
    changed: Vec<u32>,
    /// Set with the first change that the sleeper must be woken for.
    sleeper_is_behind: bool,
    /// Where the last search for ready sources ended, so that a full `Events` starves none.
    next: usize,
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
            self.note(key.slot, ask);
        } else {
            self.show(key.slot, ask);
        }
        Ok(())
    }
}

impl<A: Ask> Shown<A> {
    fn new(notifier: RawFd) -> Shown<A> {
        let readable = Wanted { interest: Some(Interest::READABLE), read_hangup: false };
        Shown {
            list: List::new(vec![A::new(notifier, readable)]),
            notifier,
            is_lent: false,
            noted: Vec::new(),
            changed: Vec::new(),
            sleeper_is_behind: false,
            next: 0,
        }
    }

    #[inline]
    fn show(&mut self, slot: u32, ask: A) {
        match self.list.asks.get_mut(slot as usize + 1) {
            Some(shown) => *shown = ask,
            None => self.lengthen(slot, ask),
        }
    }

    #[cold]
    fn lengthen(&mut self, slot: u32, ask: A) {
        while self.list.asks.len() <= slot as usize {
            self.list.asks.push(A::NOTHING);
        }
        self.list.asks.push(ask);
    }

    #[inline(never)]
    fn note(&mut self, slot: u32, ask: A) {
        self.sleeper_is_behind |= self.changed.is_empty();
        let index = slot as usize;
        while self.noted.len() <= index {
            self.noted.push(None);
        }
        if self.noted[index].replace(ask).is_none() {
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
            if let Some(ask) = self.noted[slot as usize].take() {
                self.show(slot, ask);
            }
        }
    }

    /// The thread that sleeps on the list was to be woken for a change, and that has failed.
    fn sleeper_was_not_told(&mut self) {
        self.sleeper_is_behind = self.is_lent && !self.changed.is_empty();
    }

    fn was_notified(&self) -> bool {
        self.list.asks.first().is_some_and(|notifier| notifier.found() != 0)
    }
}

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

/// Turns what the kernel has `found` into events, as many as there is room for. It will find the others again.
fn collect<A: Ask>(table: &mut Table<Shown<A>>, found: usize, events: &mut Events) {
    let count = table.kernel.list.asks.len() - 1;
    let first = mem::take(&mut table.kernel.next);
    let mut left = found;
    for slots in [first..count, 0..first] {
        let mut next = slots.start;
        // A change may have taken an answer from the list, so there may be fewer than were found.
        while left > 0 {
            let Some((step, raw)) = first_found(&table.kernel.list.asks[next + 1..=slots.end]) else {
                break;
            };
            let slot = next + step;
            if events.spare() == 0 {
                table.kernel.next = slot;
                return;
            }
            if let Some(key) = table.key_at(slot as u32) {
                table.answer(key, raw, events);
            }
            left -= 1;
            next = slot + 1;
        }
    }
}

#[cfg(all(test, unix, not(wakeful_loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_found_wherever_it_stands() {
        for count in 0..3 * CHUNK {
            let mut asks = vec![libc::pollfd::NOTHING; count];
            assert_eq!(first_found(&asks), None);
            for place in (0..count).rev() {
                // And what stands behind it is passed over.
                asks[place].revents = libc::POLLHUP;
                assert_eq!(first_found(&asks), Some((place, libc::POLLHUP as u32)));
            }
        }
    }
}
