//! The registrations of a kernel that keeps none, and the list that it is shown instead. No calls to the kernel but
//! through [`Ask`].

use std::collections::HashMap;
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::listed::Ask;
use super::watch::{Look, Tracking, Watch, WatchKey};
use crate::os::{errors, FileIdentity};
use crate::readiness::{Event, Events, Interest, Readiness, Token};

/// Every registration, and the list that the kernel is shown.
///
/// A registration keeps its slot for life, so that nothing moves; its place in the list is one further, since the
/// notifier has the first.
pub(super) struct Table<A: Ask> {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// The slot of each registered descriptor. Not by place: where numbers are never used again (WASI) they grow.
    by_fd: HashMap<RawFd, u32>,
    list: List<A>,
    notifier: RawFd,
    /// Whether the list is with a thread that sleeps on it.
    is_lent: bool,
    /// Slots that were changed while the list was lent.
    changed: Vec<u32>,
    /// Set with the first change that this thread must be woken for.
    pub(super) sleeper_is_behind: bool,
    /// Slots whose watch has a suspect.
    suspects: Vec<u32>,
    /// Whether the last look at them left no room for others.
    pub(super) suspects_filled_room: bool,
    /// Kept for its memory: what the suspects are looked at with.
    looks: List<A>,
    /// Where the last search for ready sources ended, so that a full `Events` starves none.
    next: usize,
}

/// What the kernel is shown, and memory for the call.
pub(super) struct List<A: Ask> {
    asks: Vec<A>,
    scratch: A::Scratch,
}

impl<A: Ask> List<A> {
    fn new(asks: Vec<A>) -> List<A> {
        List { asks, scratch: A::Scratch::default() }
    }

    pub(super) fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        A::poll(&mut self.asks, &mut self.scratch, timeout)
    }
}

impl<A: Ask> Default for List<A> {
    fn default() -> List<A> {
        List::new(Vec::new())
    }
}

struct Slot {
    generation: u32,
    entry: Option<Entry>,
}

struct Entry {
    fd: RawFd,
    /// Tells a descriptor that was closed without a word from the next one with its number.
    identity: FileIdentity,
    watch: Watch,
    /// Whether this slot is in `suspects`.
    is_suspect: bool,
}

/// By what a registration is found.
#[derive(Copy, Clone)]
pub(super) enum Place {
    Key(WatchKey),
    Fd(RawFd),
}

impl Place {
    pub(super) fn of(fd: RawFd, key: Option<WatchKey>) -> Place {
        key.map_or(Place::Fd(fd), Place::Key)
    }
}

impl<A: Ask> Table<A> {
    pub(super) fn new(notifier: RawFd) -> Table<A> {
        Table {
            slots: Vec::new(),
            free: Vec::new(),
            by_fd: HashMap::new(),
            list: List::new(vec![A::new(notifier, Some(Interest::READABLE), false)]),
            notifier,
            is_lent: false,
            changed: Vec::new(),
            sleeper_is_behind: false,
            suspects: Vec::new(),
            suspects_filled_room: false,
            looks: List::default(),
            next: 0,
        }
    }

    pub(super) fn insert(
        &mut self,
        fd: RawFd,
        tracking: Tracking,
        token: Token,
        interest: Interest,
    ) -> io::Result<WatchKey> {
        let identity = FileIdentity::of_watchable(fd, interest.is_priority())?;
        if fd == self.notifier {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a poll can't watch itself"));
        }
        if let Some(slot) = self.slot_of(fd) {
            if self.entry(slot).is_some_and(|entry| entry.identity == identity) {
                return Err(io::Error::from_raw_os_error(errors::ALREADY_EXISTS));
            }
            // Its descriptor was closed without a word, and this is the next one with that number.
            self.vacate(slot);
        }

        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, entry: None });
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        place.entry =
            Some(Entry { fd, identity, watch: Watch::new(token, interest, tracking), is_suspect: false });
        let generation = place.generation;
        self.by_fd.insert(fd, slot);
        self.refresh(slot);
        Ok(WatchKey { slot, generation })
    }

    /// Changes a watch by `change`, and the list after it.
    pub(super) fn change(&mut self, place: Place, change: impl FnOnce(&mut Watch)) -> io::Result<()> {
        let slot = self.find(place)?;
        if let Some(entry) = &mut self.slots[slot as usize].entry {
            change(&mut entry.watch);
        }
        self.refresh(slot);
        Ok(())
    }

    /// Looks at the suspects of one registration, and arms those that were used up. If that fails they stay suspects.
    pub(super) fn look_at(&mut self, key: WatchKey) {
        let Ok(slot) = self.find(Place::Key(key)) else {
            return;
        };
        let Some((fd, suspect)) = self.entry(slot).map(|entry| (entry.fd, entry.watch.suspect())) else {
            return;
        };
        self.looks.asks.clear();
        self.looks.asks.push(A::new(fd, suspect, false));
        if self.looks.poll(Some(Duration::ZERO)).is_err() {
            return;
        }
        let found = self.readiness(slot, self.looks.asks[0].found());
        if let (Some(found), Some(entry)) = (found, &mut self.slots[slot as usize].entry) {
            entry.watch.acquit(found);
        }
        self.refresh(slot);
    }

    pub(super) fn remove(&mut self, place: Place) -> io::Result<()> {
        let slot = self.find(place)?;
        self.vacate(slot);
        Ok(())
    }

    /// Looks at the suspects, reports those that are due, and answers when to look again.
    pub(super) fn look_at_suspects(&mut self, events: &mut Events) -> io::Result<Option<Duration>> {
        if self.suspects.is_empty() {
            return Ok(None);
        }
        let mut looks = mem::take(&mut self.looks);
        looks.asks.clear();
        looks.asks.extend(self.suspects.iter().map(|&slot| match self.entry(slot) {
            Some(Entry { fd, watch, .. }) => match watch.suspect() {
                Some(suspect) => A::new(*fd, Some(suspect), false),
                None => A::NOTHING,
            },
            None => A::NOTHING,
        }));
        let looked = looks.poll(Some(Duration::ZERO));
        self.looks = looks;
        looked?;

        let now = Instant::now();
        let mut again: Option<Instant> = None;
        let mut first_without_room = None;
        let mut index = 0;
        while index < self.suspects.len() {
            let slot = self.suspects[index];
            let raw = self.looks.asks[index].found();
            // Without room for a report a look would be wasted: the next call looks again, at once.
            if raw != 0 && events.spare() == 0 {
                again = Some(now);
                first_without_room = first_without_room.or(Some(index));
                index += 1;
                continue;
            }
            match self.look(slot, raw, now, events) {
                Some(due) => {
                    again = Some(again.map_or(due, |again| again.min(due)));
                    index += 1;
                }
                None => {
                    if let Some(entry) = &mut self.slots[slot as usize].entry {
                        entry.is_suspect = false;
                    }
                    self.suspects.swap_remove(index);
                    self.looks.asks.swap_remove(index);
                }
            }
        }
        // It is the first next time, so that none starves. What was taken from the list since stood behind it.
        if let Some(first) = first_without_room {
            self.suspects.rotate_left(first);
        }
        Ok(again.map(|again| again.saturating_duration_since(now)))
    }

    /// Gives the list to a thread that goes to sleep on it.
    pub(super) fn lend_list(&mut self) -> List<A> {
        self.is_lent = true;
        mem::take(&mut self.list)
    }

    /// Takes the list back, and makes up for what has changed meanwhile.
    pub(super) fn take_back(&mut self, list: List<A>) {
        self.list = list;
        self.is_lent = false;
        self.sleeper_is_behind = false;
        let mut changed = mem::take(&mut self.changed);
        for slot in changed.drain(..) {
            self.refresh(slot);
        }
        self.changed = changed;
    }

    /// The thread that sleeps on the list was to be woken for a change, and that has failed.
    pub(super) fn sleeper_was_not_told(&mut self) {
        self.sleeper_is_behind = self.is_lent && !self.changed.is_empty();
    }

    pub(super) fn was_notified(&self) -> bool {
        self.list.asks[0].found() != 0
    }

    /// Turns what the kernel has found into events, as many as there is room for. It will find the others again.
    pub(super) fn collect(&mut self, events: &mut Events) {
        let count = self.list.asks.len() - 1;
        for step in 0..count {
            let slot = (self.next + step) % count;
            let raw = self.list.asks[slot + 1].found();
            if raw == 0 {
                continue;
            }
            if events.spare() == 0 {
                self.next = slot;
                return;
            }
            self.answer(slot as u32, raw, events);
        }
        self.next = 0;
    }

    /// The kernel has answered `raw` to what was armed.
    fn answer(&mut self, slot: u32, raw: u32, events: &mut Events) {
        let Some(found) = self.readiness(slot, raw) else {
            return self.vacate(slot);
        };
        if let Some(entry) = &mut self.slots[slot as usize].entry {
            if let Some(reported) = entry.watch.ready(found) {
                events.push(event::<A>(entry.watch.token(), reported, raw));
            }
        }
        self.refresh(slot);
    }

    /// The kernel has answered `raw` to what was suspect; the time of the next look, if there is to be one.
    fn look(&mut self, slot: u32, raw: u32, now: Instant, events: &mut Events) -> Option<Instant> {
        let found = match raw {
            0 => Readiness::NONE,
            raw => match self.readiness(slot, raw) {
                Some(found) => found,
                None => {
                    // The caller is walking through the suspects, and takes this one from them itself.
                    self.slots[slot as usize].entry.as_mut()?.is_suspect = false;
                    self.vacate(slot);
                    return None;
                }
            },
        };
        let entry = self.slots[slot as usize].entry.as_mut()?;
        let mut look = entry.watch.look(found, now);
        if let Look::Report(reported) = look {
            events.push(event::<A>(entry.watch.token(), reported, raw));
            look = entry.watch.look(found, now);
        }
        self.refresh(slot);
        match look {
            Look::Later(due) => Some(due),
            Look::Clear => None,
            Look::Report(_) => Some(now),
        }
    }

    /// What `raw` tells of a slot's source; `None` if the source is there no more.
    fn readiness(&self, slot: u32, raw: u32) -> Option<Readiness> {
        let entry = self.entry(slot)?;
        if raw & A::INVALID != 0 {
            return None;
        }
        // An `IoSource` says when it goes, but a raw descriptor may have been closed without a word, and its number
        // may have a new owner, who must not wake the old one's token.
        if entry.watch.tracking() == Tracking::Levels && entry.identity.has_left(entry.fd) {
            return None;
        }
        Some(A::WORDS.readiness(raw))
    }

    fn find(&mut self, place: Place) -> io::Result<u32> {
        let not_found = || io::Error::from_raw_os_error(errors::NOT_FOUND);
        match place {
            Place::Key(WatchKey { slot, generation }) => match self.slots.get(slot as usize) {
                Some(found) if found.generation == generation && found.entry.is_some() => Ok(slot),
                _ => Err(not_found()),
            },
            Place::Fd(fd) => {
                let identity = FileIdentity::of(fd);
                let Some(slot) = self.slot_of(fd) else {
                    return Err(identity.err().unwrap_or_else(not_found));
                };
                match identity {
                    Ok(now) if self.entry(slot).is_some_and(|entry| entry.identity == now) => Ok(slot),
                    // It may be there all the same.
                    Err(e) if e.raw_os_error() != Some(errors::BAD_DESCRIPTOR) => Err(e),
                    // Closed without a word, like epoll forgets it; perhaps another has its number.
                    other => {
                        self.vacate(slot);
                        Err(other.err().unwrap_or_else(not_found))
                    }
                }
            }
        }
    }

    fn slot_of(&self, fd: RawFd) -> Option<u32> {
        self.by_fd.get(&fd).copied()
    }

    fn entry(&self, slot: u32) -> Option<&Entry> {
        self.slots[slot as usize].entry.as_ref()
    }

    fn vacate(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        if let Some(entry) = place.entry.take() {
            place.generation = place.generation.wrapping_add(1);
            self.by_fd.remove(&entry.fd);
            if entry.is_suspect {
                self.suspects.retain(|&suspect| suspect != slot);
            }
            self.free.push(slot);
        }
        self.refresh(slot);
    }

    /// Brings the list in line with a slot.
    fn refresh(&mut self, slot: u32) {
        let entry = self.slots[slot as usize].entry.as_mut();
        if let Some(entry) = entry {
            if entry.watch.suspect().is_some() && !mem::replace(&mut entry.is_suspect, true) {
                self.suspects.push(slot);
            }
        }
        if self.is_lent {
            if self.changed.is_empty() {
                self.sleeper_is_behind = true;
            }
            self.changed.push(slot);
            return;
        }
        let index = slot as usize + 1;
        if self.list.asks.len() <= index {
            self.list.asks.resize(index + 1, A::NOTHING);
        }
        self.list.asks[index] = match self.entry(slot) {
            Some(Entry { fd, watch, .. }) if watch.armed().is_some() || watch.awaits_end() => {
                A::new(*fd, watch.armed(), watch.awaits_read_end())
            }
            _ => A::NOTHING,
        };
    }
}

fn event<A: Ask>(token: Token, readiness: Readiness, raw: u32) -> Event {
    Event::new(token, readiness, A::BACKEND as u8, raw)
}
