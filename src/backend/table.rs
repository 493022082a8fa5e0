//! The registrations of a kernel that keeps none, or forgets each as it answers. No calls to the kernel but through
//! [`Ask`] and [`Asked`].

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::ask::{Ask, List, Wanted};
use super::fd_map::FdMap;
use super::slab::Slab;
use super::watch::{Look, Tracking, Watch, WatchKey};
use super::Backend;
use crate::os::{errors, FileIdentity};
use crate::readiness::{Event, Events, Interest, Readiness, Token};

/// Who is asked for what the registrations want to be told.
pub(super) trait Asked {
    /// How to look at sources without changing anything.
    type Ask: Ask;
    /// Whose events these are.
    const BACKEND: Backend;
    /// The kernel drops a descriptor that is closed, and so never answers for the next one with its number.
    const FORGETS_CLOSED: bool;

    /// Fails for a descriptor that this poll needs itself.
    fn accepts(&self, _fd: RawFd) -> io::Result<()> {
        Ok(())
    }

    /// Replaces what was asked for `key`. Fails if the kernel won't have `fd`.
    fn ask(&mut self, key: WatchKey, fd: RawFd, wanted: Option<Wanted>) -> io::Result<()>;
}

/// Every registration.
pub(super) struct Table<K: Asked> {
    entries: Slab<Entry>,
    /// The slot of each registered descriptor.
    by_fd: FdMap,
    pub(super) kernel: K,
    /// Slots whose watch has a suspect.
    suspects: Vec<u32>,
    /// One has become suspect since the last look.
    pub(super) is_newly_suspect: bool,
    /// Whether the last look at them left no room for others.
    pub(super) suspects_filled_room: bool,
    /// Kept for its memory: what the suspects are looked at with.
    looks: List<K::Ask>,
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

impl<K: Asked> Table<K> {
    pub(super) fn new(kernel: K) -> Table<K> {
        Table {
            entries: Slab::new(),
            by_fd: FdMap::default(),
            kernel,
            suspects: Vec::new(),
            is_newly_suspect: false,
            suspects_filled_room: false,
            looks: List::default(),
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
        self.kernel.accepts(fd)?;
        if let Some(slot) = self.slot_of(fd) {
            if self.entries.at(slot).is_some_and(|entry| entry.identity == identity) {
                return Err(io::Error::from_raw_os_error(errors::ALREADY_EXISTS));
            }
            // Its descriptor was closed without a word, and this is the next one with that number.
            self.vacate(slot);
        }

        let watch = Watch::new(token, interest, tracking);
        let key = self.entries.insert(Entry { fd, identity, watch, is_suspect: false });
        self.by_fd.insert(fd, key.slot);
        if let Err(e) = self.refresh(key.slot) {
            self.vacate(key.slot);
            return Err(e);
        }
        Ok(key)
    }

    /// Changes a watch by `change`, and asks the kernel after it.
    pub(super) fn change(&mut self, place: Place, change: impl FnOnce(&mut Watch)) -> io::Result<()> {
        let slot = self.find(place)?;
        if let Some(entry) = self.entries.at_mut(slot) {
            change(&mut entry.watch);
        }
        self.refresh(slot)
    }

    /// Looks at the suspects of one registration, and arms those that were used up. If that fails they stay suspects.
    pub(super) fn look_at(&mut self, key: WatchKey) {
        let Ok(slot) = self.find(Place::Key(key)) else {
            return;
        };
        let Some((fd, suspect)) = self.entries.at(slot).map(|entry| (entry.fd, entry.watch.suspect())) else {
            return;
        };
        self.looks.asks.clear();
        self.looks.asks.push(look_for::<K>(fd, suspect));
        if self.looks.poll(Some(Duration::ZERO)).is_err() {
            return;
        }
        let raw = self.looks.asks[0].found();
        if let Some(entry) = self.entries.at_mut(slot).filter(|_| raw & K::Ask::INVALID == 0) {
            entry.watch.acquit(K::Ask::WORDS.readiness(raw));
        }
        // What the kernel has taken before, it takes again; if it is gone, the suspicion shows it.
        let _ = self.refresh(slot);
    }

    pub(super) fn remove(&mut self, place: Place) -> io::Result<()> {
        let slot = self.find(place)?;
        self.vacate(slot);
        Ok(())
    }

    /// Looks at the suspects, reports those that are due, and answers when to look again.
    pub(super) fn look_at_suspects(&mut self, events: &mut Events) -> io::Result<Option<Duration>> {
        self.is_newly_suspect = false;
        if self.suspects.is_empty() {
            return Ok(None);
        }
        let mut looks = mem::take(&mut self.looks);
        looks.asks.clear();
        looks.asks.extend(self.suspects.iter().map(|&slot| match self.entries.at(slot) {
            Some(Entry { fd, watch, .. }) => look_for::<K>(*fd, watch.suspect()),
            None => K::Ask::NOTHING,
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
                    if let Some(entry) = self.entries.at_mut(slot) {
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

    /// The kernel has answered `raw` to what was asked for a slot.
    pub(super) fn answer(&mut self, slot: u32, raw: u32, events: &mut Events) {
        if self.is_gone(slot, raw, !K::FORGETS_CLOSED) {
            return self.vacate(slot);
        }
        if let Some(entry) = self.entries.at_mut(slot) {
            if let Some(reported) = entry.watch.ready(K::Ask::WORDS.readiness(raw)) {
                events.push(event::<K>(entry.watch.token(), reported, raw));
            }
        }
        if self.refresh(slot).is_err() {
            // Closed without a word.
            self.vacate(slot);
        }
    }

    /// The kernel has answered `raw` to what was suspect; the time of the next look, if there is to be one.
    fn look(&mut self, slot: u32, raw: u32, now: Instant, events: &mut Events) -> Option<Instant> {
        // Of a list every answer is looked at so. Another kernel must not be asked about the next owner of a number.
        let is_gone = self.is_gone(slot, raw, raw != 0 || K::FORGETS_CLOSED);
        let entry = self.entries.at_mut(slot)?;
        if is_gone {
            // The caller is walking through the suspects, and takes this one from them itself.
            entry.is_suspect = false;
            self.vacate(slot);
            return None;
        }
        let found = K::Ask::WORDS.readiness(raw);
        let mut look = entry.watch.look(found, now);
        if let Look::Report(reported) = look {
            events.push(event::<K>(entry.watch.token(), reported, raw));
            look = entry.watch.look(found, now);
        }
        if self.refresh(slot).is_err() {
            self.entries.at_mut(slot)?.is_suspect = false;
            self.vacate(slot);
            return None;
        }
        match look {
            Look::Later(due) => Some(due),
            Look::Clear => None,
            Look::Report(_) => Some(now),
        }
    }

    /// Whether the source that the kernel has answered `raw` for is there no more. An `IoSource` says when it goes:
    /// that its descriptor isn't open is an error like others. But a raw one may have been closed without a word, and
    /// its number may have a new owner, who must not wake the old one's token.
    fn is_gone(&self, slot: u32, raw: u32, may_be_another: bool) -> bool {
        self.entries.at(slot).is_some_and(|entry| {
            entry.watch.tracking() == Tracking::Levels
                && (raw & K::Ask::INVALID != 0 || may_be_another && entry.identity.has_left(entry.fd))
        })
    }

    fn find(&mut self, place: Place) -> io::Result<u32> {
        let not_found = || io::Error::from_raw_os_error(errors::NOT_FOUND);
        match place {
            Place::Key(key) => self.entries.slot_of(key).ok_or_else(not_found),
            Place::Fd(fd) => {
                let identity = FileIdentity::of(fd);
                let Some(slot) = self.slot_of(fd) else {
                    return Err(identity.err().unwrap_or_else(not_found));
                };
                match identity {
                    Ok(now) if self.entries.at(slot).is_some_and(|entry| entry.identity == now) => Ok(slot),
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

    #[allow(dead_code)] // lists go by slots
    pub(super) fn slot_of_key(&self, key: WatchKey) -> Option<u32> {
        self.entries.slot_of(key)
    }

    fn slot_of(&self, fd: RawFd) -> Option<u32> {
        self.by_fd.get(fd)
    }

    fn vacate(&mut self, slot: u32) {
        let Some(key) = self.entries.key_at(slot) else {
            return;
        };
        if let Some(entry) = self.entries.remove(key) {
            self.by_fd.remove(entry.fd);
            if entry.is_suspect {
                self.suspects.retain(|&suspect| suspect != slot);
            }
            // To ask for nothing can't fail in a way that matters.
            let _ = self.kernel.ask(key, entry.fd, None);
        }
    }

    /// Asks the kernel for what a slot's watch wants.
    fn refresh(&mut self, slot: u32) -> io::Result<()> {
        let (Some(key), Some(entry)) = (self.entries.key_at(slot), self.entries.at_mut(slot)) else {
            return Ok(());
        };
        if entry.watch.suspect().is_some() && !mem::replace(&mut entry.is_suspect, true) {
            self.suspects.push(slot);
            self.is_newly_suspect = true;
        }
        self.kernel.ask(key, entry.fd, Wanted::of(&entry.watch))
    }
}

fn look_for<K: Asked>(fd: RawFd, suspect: Option<Interest>) -> K::Ask {
    match suspect {
        Some(_) => K::Ask::new(fd, Wanted { interest: suspect, read_hangup: false }),
        None => K::Ask::NOTHING,
    }
}

fn event<K: Asked>(token: Token, readiness: Readiness, raw: u32) -> Event {
    Event::new(token, readiness, K::BACKEND as u8, raw)
}
