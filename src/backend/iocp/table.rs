use std::collections::HashMap;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::slab::Slab;
use super::super::watch::{Look, Tracking, Watch, WatchKey};
use super::super::Backend;
use super::groups::Groups;
use super::sys::{self, Afd, Answer, BaseSocket, Poll};
use crate::os::{Batch, Port, RawIo, Request, Ticket};
use crate::readiness::{afd_words, Event, Events, Interest, Readiness, Token};

/// Every registration, and what the kernel is asked for it.
pub(super) struct Table {
    entries: Slab<Entry>,
    by_socket: HashMap<RawIo, u32>,
    groups: Groups,
    /// Looks at suspects, without a packet.
    looker: Afd,
    /// Slots whose watch wants something else of the kernel than it is asked.
    outdated: Vec<u32>,
    /// Slots whose watch has a suspect.
    suspects: Vec<u32>,
    /// Whether the last look at them left no room for others.
    pub(super) suspects_filled_room: bool,
    /// Whether the kernel's answers left no room for what the program has raised.
    pub(super) raised_had_no_room: bool,
    /// Slots whose poll was refused by the kernel, and which must be told so.
    failed: Vec<u32>,
    /// How many polls are cancelled because they are to be started anew.
    replacing: usize,
    is_waiting: bool,
    /// The sleeper must be notified: there is something for it that no packet brings.
    sleeper_is_behind: bool,
    /// Kept for its memory.
    batch: Batch,
}

struct Entry {
    socket: RawIo,
    base: BaseSocket,
    watch: Watch,
    afd: Arc<Afd>,
    group: u32,
    asked: Asked,
    is_outdated: bool,
    is_suspect: bool,
}

/// What the kernel is asked.
enum Asked {
    Nothing(Request<Poll>),
    Words {
        asked: u32,
        ticket: Ticket,
        /// To be started anew.
        is_cancelled: bool,
        /// An operation has blocked since: what the kernel has answered may be used up.
        is_doubtful: bool,
    },
    /// For the moment in which it changes.
    Changing,
}

/// By what a registration is found.
#[derive(Copy, Clone)]
pub(super) enum Place {
    Key(WatchKey),
    Socket(RawIo),
}

impl Place {
    pub(super) fn of(socket: RawIo, key: Option<WatchKey>) -> Place {
        key.map_or(Place::Socket(socket), Place::Key)
    }
}

impl Table {
    pub(super) fn new() -> io::Result<Table> {
        Ok(Table {
            entries: Slab::new(),
            by_socket: HashMap::new(),
            groups: Groups::default(),
            looker: Afd::synchronous()?,
            outdated: Vec::new(),
            suspects: Vec::new(),
            suspects_filled_room: false,
            raised_had_no_room: false,
            failed: Vec::new(),
            replacing: 0,
            is_waiting: false,
            sleeper_is_behind: false,
            batch: Batch::default(),
        })
    }

    pub(super) fn insert(
        &mut self,
        port: &Port,
        socket: RawIo,
        tracking: Tracking,
        token: Token,
        interest: Interest,
    ) -> io::Result<WatchKey> {
        let base = BaseSocket::of(socket)?;
        if self.by_socket.contains_key(&socket) {
            return Err(io::Error::from_raw_os_error(sys::ALREADY_EXISTS));
        }
        let (group, afd) = self.groups.join(port)?;
        let key = self.entries.insert_with(|key| Entry {
            socket,
            base,
            watch: Watch::new(token, interest, tracking),
            asked: Asked::Nothing(Poll::new(&afd, key)),
            afd,
            group,
            is_outdated: false,
            is_suspect: false,
        });
        self.by_socket.insert(socket, key.slot);
        // What can't be polled is refused now, to the caller.
        if let Err(e) = self.try_update(port, key.slot) {
            self.vacate(key.slot);
            return Err(e);
        }
        Ok(key)
    }

    /// Changes a watch by `change`, which may look at what is ready now; its slot.
    pub(super) fn change(
        &mut self,
        place: Place,
        change: impl FnOnce(&mut Watch, &dyn Fn(Interest) -> Option<Readiness>),
    ) -> io::Result<u32> {
        let slot = self.find(place)?;
        if let Some(entry) = self.entries.at_mut(slot) {
            let (looker, base) = (&self.looker, entry.base);
            change(&mut entry.watch, &|interest| {
                looker.look(base, afd_words::asked(interest)).ok().map(afd_words::readiness)
            });
            if let Asked::Words { is_doubtful, .. } = &mut entry.asked {
                *is_doubtful = true;
            }
        }
        self.outdate(slot);
        Ok(slot)
    }

    pub(super) fn remove(&mut self, place: Place) -> io::Result<()> {
        let slot = self.find(place)?;
        self.vacate(slot);
        Ok(())
    }

    /// Whether a change can't wait until the poller comes by, because it sleeps.
    pub(super) fn must_update_at_once(&self, slot: u32) -> bool {
        let is_outdated = self.entries.at(slot).is_some_and(|entry| entry.is_outdated);
        self.is_waiting && is_outdated
    }

    pub(super) fn poller_sleeps(&mut self, is_waiting: bool) {
        self.is_waiting = is_waiting;
        self.sleeper_is_behind = false;
    }

    pub(super) fn is_replacing(&self) -> bool {
        self.replacing > 0
    }

    pub(super) fn is_settled(&self) -> bool {
        self.replacing == 0 && self.outdated.is_empty()
    }

    pub(super) fn take_sleeper_is_behind(&mut self) -> bool {
        mem::take(&mut self.sleeper_is_behind)
    }

    pub(super) fn lend_batch(&mut self) -> Batch {
        mem::take(&mut self.batch)
    }

    pub(super) fn take_back(&mut self, batch: Batch) {
        self.batch = batch;
    }

    /// Asks the kernel what is to be asked.
    pub(super) fn update_all(&mut self, port: &Port) {
        let mut outdated = mem::take(&mut self.outdated);
        for slot in outdated.drain(..) {
            self.update(port, slot);
        }
        // Its memory, and what couldn't be asked yet.
        outdated.append(&mut self.outdated);
        self.outdated = outdated;
    }

    /// Asks the kernel what is to be asked for one source. If it refuses, that is the source's own affair.
    pub(super) fn update(&mut self, port: &Port, slot: u32) {
        if let Err(_refused) = self.try_update(port, slot) {
            self.failed.push(slot);
            self.sleeper_is_behind = self.is_waiting;
        }
    }

    fn try_update(&mut self, port: &Port, slot: u32) -> io::Result<()> {
        let Some(entry) = self.entries.at_mut(slot) else {
            return Ok(());
        };
        entry.is_outdated = false;
        let wanted = wanted(&entry.watch);
        if wanted == 0 {
            return Ok(());
        }
        if let Asked::Words { asked, ticket, is_cancelled, .. } = &mut entry.asked {
            if wanted & !*asked != 0 && !mem::replace(is_cancelled, true) {
                sys::cancel(ticket, &entry.afd);
                self.replacing += 1;
            }
            return Ok(());
        }
        if let Asked::Nothing(poll) = mem::replace(&mut entry.asked, Asked::Changing) {
            match sys::start(poll, port, entry.base, wanted) {
                Ok(ticket) => {
                    entry.asked =
                        Asked::Words { asked: wanted, ticket, is_cancelled: false, is_doubtful: false };
                }
                Err((poll, e)) => {
                    entry.asked = Asked::Nothing(poll);
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    /// Tells those whose poll was refused.
    pub(super) fn report_failed(&mut self, events: &mut Events) {
        while events.spare() > 0 {
            let Some(slot) = self.failed.pop() else {
                return;
            };
            self.report(slot, Readiness::ERROR, 0, events);
        }
    }

    /// A poll has come back.
    pub(super) fn answer(&mut self, poll: Request<Poll>, events: &mut Events) {
        let key = poll.body().key();
        let slot = key.slot;
        let Some(entry) = self.entries.get_mut(key) else {
            return; // deregistered meanwhile
        };
        let answer = sys::answer(&poll);
        let asked = mem::replace(&mut entry.asked, Asked::Nothing(poll));
        let Asked::Words { is_cancelled, is_doubtful, .. } = asked else {
            return;
        };
        if is_cancelled {
            self.replacing -= 1;
        }
        match answer {
            Answer::Words(words) if words & afd_words::LOCAL_CLOSE != 0 => self.vacate(slot),
            Answer::Words(words) => {
                let words = if is_doubtful { self.now(slot, words) } else { words };
                self.report(slot, afd_words::readiness(words), words, events);
            }
            Answer::Cancelled => self.outdate(slot),
            Answer::Failed => {
                self.report(slot, Readiness::ERROR, 0, events);
            }
        }
    }

    /// Of what the kernel has answered some time ago, what still holds.
    fn now(&self, slot: u32, words: u32) -> u32 {
        match self.entries.at(slot) {
            Some(entry) => self.looker.look(entry.base, words).unwrap_or(words),
            None => words,
        }
    }

    /// A source is ready, as far as its watch wants to know.
    fn report(&mut self, slot: u32, found: Readiness, raw: u32, events: &mut Events) {
        if let Some(entry) = self.entries.at_mut(slot) {
            if let Some(reported) = entry.watch.ready(found) {
                events.push(event(entry.watch.token(), reported, raw));
            }
        }
        self.outdate(slot);
    }

    /// Looks at the suspects, reports those that are due, and answers when to look again.
    pub(super) fn look_at_suspects(&mut self, events: &mut Events) -> Option<Duration> {
        if self.suspects.is_empty() {
            return None;
        }
        let now = Instant::now();
        let mut again: Option<Instant> = None;
        let mut index = 0;
        while index < self.suspects.len() {
            if events.spare() == 0 {
                // It is the first next time, so that none starves.
                self.suspects.rotate_left(index);
                return Some(Duration::ZERO);
            }
            let slot = self.suspects[index];
            match self.look(slot, now, events) {
                Some(due) => {
                    again = Some(again.map_or(due, |again| again.min(due)));
                    index += 1;
                }
                None => {
                    self.suspects.swap_remove(index);
                    if let Some(entry) = self.entries.at_mut(slot) {
                        entry.is_suspect = false;
                    }
                }
            }
        }
        again.map(|again| again.saturating_duration_since(now))
    }

    /// Looks at one suspect; the time of the next look, if there is to be one.
    fn look(&mut self, slot: u32, now: Instant, events: &mut Events) -> Option<Instant> {
        let entry = self.entries.at_mut(slot)?;
        let suspect = entry.watch.suspect()?;
        let words = match self.looker.look(entry.base, afd_words::asked(suspect)) {
            Ok(words) => words,
            // Closed without a word.
            Err(_) => afd_words::LOCAL_CLOSE,
        };
        if words & afd_words::LOCAL_CLOSE != 0 {
            entry.is_suspect = false;
            self.vacate(slot);
            return None;
        }
        let found = afd_words::readiness(words);
        let mut look = entry.watch.look(found, now);
        if let Look::Report(reported) = look {
            events.push(event(entry.watch.token(), reported, words));
            look = entry.watch.look(found, now);
        }
        self.outdate(slot);
        match look {
            Look::Later(due) => Some(due),
            Look::Clear => None,
            Look::Report(_) => Some(now),
        }
    }

    /// Ends every poll; its packet comes all the same.
    pub(super) fn cancel_all(&mut self) {
        for slot in self.entries.slots() {
            self.vacate(slot);
        }
    }

    fn find(&self, place: Place) -> io::Result<u32> {
        let slot = match place {
            Place::Key(key) => self.entries.slot_of(key),
            Place::Socket(socket) => self.by_socket.get(&socket).copied(),
        };
        slot.ok_or_else(|| io::Error::from_raw_os_error(sys::NOT_FOUND))
    }

    /// A watch has changed: the kernel must be asked for this slot when the poller comes by, and a new suspect be
    /// looked at before it sleeps.
    fn outdate(&mut self, slot: u32) {
        if let Some(entry) = self.entries.at_mut(slot) {
            if !mem::replace(&mut entry.is_outdated, true) {
                self.outdated.push(slot);
            }
            if entry.watch.suspect().is_some() && !mem::replace(&mut entry.is_suspect, true) {
                self.suspects.push(slot);
                self.sleeper_is_behind |= self.is_waiting;
            }
        }
    }

    fn vacate(&mut self, slot: u32) {
        let Some(entry) = self.entries.remove_at(slot) else {
            return;
        };
        if let Asked::Words { ticket, is_cancelled, .. } = &entry.asked {
            // Until it ends, the kernel holds on to the socket, and the connection would stay open for the peer.
            if *is_cancelled {
                self.replacing -= 1;
            } else {
                sys::cancel(ticket, &entry.afd);
            }
        }
        self.by_socket.remove(&entry.socket);
        self.groups.leave(entry.group);
        if entry.is_suspect {
            self.suspects.retain(|&suspect| suspect != slot);
        }
        if entry.is_outdated {
            self.outdated.retain(|&outdated| outdated != slot);
        }
        self.failed.retain(|&failed| failed != slot);
    }
}

/// The words that would be news to a watch.
fn wanted(watch: &Watch) -> u32 {
    let mut words = watch.armed().map_or(0, afd_words::asked);
    if words != 0 || watch.awaits_end() {
        words |= afd_words::END;
        if watch.awaits_read_end() {
            words |= afd_words::DISCONNECT;
        }
    }
    words
}

fn event(token: Token, readiness: Readiness, raw: u32) -> Event {
    Event::new(token, readiness, Backend::Iocp as u8, raw)
}
