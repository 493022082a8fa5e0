use std::io;
use std::mem;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::{Duration, Instant};

use super::super::watch::{Look, Tracking, Watch, WatchKey};
use super::super::Backend;
use super::sys::{self, PollFd};
use crate::os::FileIdentity;
use crate::readiness::{Event, Events, Interest, Readiness, Token};

/// Every registration. A key goes to the kernel with each association and comes back with its event, so that one that
/// is late is known to be.
#[derive(Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// The slot of each registered descriptor, by number; descriptors are small.
    by_fd: Vec<Option<u32>>,
    /// Slots whose watch has a suspect.
    suspects: Vec<u32>,
    /// One has become suspect since [`Table::has_new_suspect`] was asked.
    is_newly_suspect: bool,
    /// Whether the last look at them left no room for others.
    pub(super) suspects_filled_room: bool,
    /// Kept for its memory: what the suspects are looked at with.
    looks: Vec<PollFd>,
}

#[derive(Default)]
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

impl Table {
    pub(super) fn insert(
        &mut self,
        port: BorrowedFd<'_>,
        fd: RawFd,
        tracking: Tracking,
        token: Token,
        interest: Interest,
    ) -> io::Result<WatchKey> {
        let identity = FileIdentity::of_watchable(fd, interest.is_priority())?;
        if let Some(slot) = self.slot_of(fd) {
            if self.entry(slot).is_some_and(|entry| entry.identity == identity) {
                return Err(io::Error::from_raw_os_error(sys::ALREADY_EXISTS));
            }
            // Its descriptor was closed without a word, and this is the next one with that number.
            self.vacate(slot);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let watch = Watch::new(token, interest, tracking);
        let place = &mut self.slots[slot as usize];
        place.entry = Some(Entry { fd, identity, watch, is_suspect: false });
        let generation = place.generation;
        if self.by_fd.len() <= fd as usize {
            self.by_fd.resize(fd as usize + 1, None);
        }
        self.by_fd[fd as usize] = Some(slot);
        self.ask(port, slot).map_err(|e| {
            self.vacate(slot);
            e
        })?;
        Ok(WatchKey { slot, generation })
    }

    /// Changes a watch by `change`, and asks the kernel after it.
    pub(super) fn change(
        &mut self,
        port: BorrowedFd<'_>,
        place: Place,
        change: impl FnOnce(&mut Watch),
    ) -> io::Result<()> {
        let slot = self.find(place)?;
        if let Some(entry) = &mut self.slots[slot as usize].entry {
            change(&mut entry.watch);
        }
        self.ask(port, slot)
    }

    pub(super) fn remove(&mut self, port: BorrowedFd<'_>, place: Place) -> io::Result<()> {
        let slot = self.find(place)?;
        if let Some(entry) = self.entry(slot) {
            sys::dissociate(port, entry.fd);
        }
        self.vacate(slot);
        Ok(())
    }

    /// Whether there is something to look at that a sleeper doesn't know of.
    pub(super) fn has_new_suspect(&mut self) -> bool {
        mem::take(&mut self.is_newly_suspect)
    }

    /// The port has told `raw` of what was associated with `user`, once.
    pub(super) fn answer(&mut self, port: BorrowedFd<'_>, user: u64, raw: u32, events: &mut Events) {
        let (slot, generation) = (user as u32, (user >> 32) as u32);
        let Some(place) = self.slots.get_mut(slot as usize) else {
            return;
        };
        // Deregistered since, or another's by now.
        let Some(entry) = place.entry.as_mut().filter(|_| place.generation == generation) else {
            return;
        };
        if raw & sys::INVALID != 0 {
            return self.vacate(slot);
        }
        if let Some(reported) = entry.watch.ready(sys::WORDS.readiness(raw)) {
            events.push(event(entry.watch.token(), reported, raw));
        }
        if self.ask(port, slot).is_err() {
            // Closed without a word.
            self.vacate(slot);
        }
        // It is this very thread that will look.
        self.is_newly_suspect = false;
    }

    /// Looks at the suspects, reports those that are due, and answers when to look again.
    pub(super) fn look_at_suspects(
        &mut self,
        port: BorrowedFd<'_>,
        events: &mut Events,
    ) -> io::Result<Option<Duration>> {
        self.is_newly_suspect = false;
        if self.suspects.is_empty() {
            return Ok(None);
        }
        let mut looks = mem::take(&mut self.looks);
        looks.clear();
        looks.extend(self.suspects.iter().map(|&slot| {
            let entry = self.entry(slot);
            match entry.and_then(|entry| entry.watch.suspect().map(|suspect| (entry.fd, suspect))) {
                Some((fd, suspect)) => PollFd::new(fd, suspect),
                None => PollFd::NOTHING,
            }
        }));
        let looked = sys::poll_now(&mut looks);
        self.looks = looks;
        looked?;

        let now = Instant::now();
        let mut again: Option<Instant> = None;
        let mut first_without_room = None;
        let mut index = 0;
        while index < self.suspects.len() {
            let slot = self.suspects[index];
            let raw = self.looks[index].found();
            // Without room for a report a look would be wasted: the next call looks again, at once.
            let due = if raw != 0 && events.spare() == 0 {
                first_without_room = first_without_room.or(Some(index));
                Some(now)
            } else {
                self.look(port, slot, raw, now, events)
            };
            if let Some(due) = due {
                again = Some(again.map_or(due, |again| again.min(due)));
                index += 1;
                continue;
            }
            if let Some(entry) = &mut self.slots[slot as usize].entry {
                entry.is_suspect = false;
            }
            self.suspects.swap_remove(index);
            self.looks.swap_remove(index);
        }
        // It is the first next time, so that none starves. What was taken from the list since stood behind it.
        if let Some(first) = first_without_room {
            self.suspects.rotate_left(first);
        }
        Ok(again.map(|again| again.saturating_duration_since(now)))
    }

    /// Looks at the suspects of one registration, and arms those that were used up. If that fails they stay suspects.
    pub(super) fn look_at(&mut self, port: BorrowedFd<'_>, key: WatchKey) {
        let Ok(slot) = self.find(Place::Key(key)) else {
            return;
        };
        let entry = self.entry(slot);
        let Some((fd, suspect)) = entry.and_then(|entry| Some((entry.fd, entry.watch.suspect()?))) else {
            return;
        };
        let mut look = [PollFd::new(fd, suspect)];
        if sys::poll_now(&mut look).is_err() || look[0].found() & sys::INVALID != 0 {
            return;
        }
        if let Some(entry) = &mut self.slots[slot as usize].entry {
            entry.watch.acquit(sys::WORDS.readiness(look[0].found()));
        }
        // It is registered, and the kernel has taken it before.
        let _ = self.ask(port, slot);
    }

    /// poll(2) has answered `raw` to what was suspect; the time of the next look, if there is to be one.
    fn look(
        &mut self,
        port: BorrowedFd<'_>,
        slot: u32,
        raw: u32,
        now: Instant,
        events: &mut Events,
    ) -> Option<Instant> {
        let entry = self.slots[slot as usize].entry.as_mut()?;
        // A raw descriptor may have been closed without a word, and its number may have a new owner.
        let is_another = entry.watch.tracking() == Tracking::Levels && entry.identity.has_left(entry.fd);
        if raw & sys::INVALID != 0 || is_another {
            // The caller walks through the suspects, and takes this one from them itself.
            entry.is_suspect = false;
            self.vacate(slot);
            return None;
        }
        let found = if raw == 0 { Readiness::NONE } else { sys::WORDS.readiness(raw) };
        let before = entry.watch.armed();
        let mut look = entry.watch.look(found, now);
        if let Look::Report(reported) = look {
            events.push(event(entry.watch.token(), reported, raw));
            look = entry.watch.look(found, now);
        }
        if entry.watch.armed() != before && self.ask(port, slot).is_err() {
            if let Some(entry) = &mut self.slots[slot as usize].entry {
                entry.is_suspect = false;
            }
            self.vacate(slot);
            return None;
        }
        match look {
            Look::Later(due) => Some(due),
            Look::Clear => None,
            Look::Report(_) => Some(now),
        }
    }

    fn find(&mut self, place: Place) -> io::Result<u32> {
        let not_found = || io::Error::from_raw_os_error(sys::NOT_FOUND);
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
                    Err(e) if e.raw_os_error() != Some(sys::BAD_DESCRIPTOR) => Err(e),
                    // Closed without a word, as the kernel has noticed; perhaps another has its number.
                    other => {
                        self.vacate(slot);
                        Err(other.err().unwrap_or_else(not_found))
                    }
                }
            }
        }
    }

    /// Asks the kernel for what is armed, or for nothing.
    fn ask(&mut self, port: BorrowedFd<'_>, slot: u32) -> io::Result<()> {
        let place = &mut self.slots[slot as usize];
        let user = u64::from(slot) | u64::from(place.generation) << 32;
        let Some(entry) = &mut place.entry else {
            return Ok(());
        };
        if entry.watch.suspect().is_some() && !mem::replace(&mut entry.is_suspect, true) {
            self.suspects.push(slot);
            self.is_newly_suspect = true;
        }
        let watch = &entry.watch;
        if watch.armed().is_some() || watch.awaits_end() {
            sys::associate(port, entry.fd, watch.armed(), watch.awaits_read_end(), user)
        } else {
            sys::dissociate(port, entry.fd);
            Ok(())
        }
    }

    fn vacate(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        if let Some(entry) = place.entry.take() {
            place.generation = place.generation.wrapping_add(1);
            self.by_fd[entry.fd as usize] = None;
            if entry.is_suspect {
                self.suspects.retain(|&suspect| suspect != slot);
            }
            self.free.push(slot);
        }
    }

    fn slot_of(&self, fd: RawFd) -> Option<u32> {
        self.by_fd.get(usize::try_from(fd).ok()?).copied().flatten()
    }

    fn entry(&self, slot: u32) -> Option<&Entry> {
        self.slots[slot as usize].entry.as_ref()
    }
}

fn event(token: Token, readiness: Readiness, raw: u32) -> Event {
    Event::new(token, readiness, Backend::EventPorts as u8, raw)
}

/// A key fits into the kernel's pointer.
const _: () = assert!(usize::BITS == 64);
