//! The registrations of sockets, and what the kernel is asked for each.
//!
//! Invariant: polls, which take a moment, are started and cancelled with the lock on the table held; looks, of which
//! there may be thousands, are made without it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use super::groups::Groups;
use super::guard::Guard;
use super::sys::{self, Afd, Aim, Answer, BaseSocket, Poll};
use crate::backend::logic::afd_flags;
use crate::backend::logic::slab::Slab;
use crate::backend::logic::watch::{Blocked, Look, Registration, Tracking, Watch, WatchKey};
use crate::backend::name::Backend;
use crate::os::{Batch, Port, RawIo, Request, Ticket};
use crate::readiness::{Event, Events, Interest, Readiness, Token};

/// Every registration, and what the kernel is asked for it.
pub(super) struct Table {
    entries: Slab<Entry>,
    by_socket: HashMap<RawIo, u32>,
    groups: Groups,
    /// The handles of guards.
    guards: Groups,
    /// Slots whose watch wants something else of the kernel than it is asked.
    outdated: Vec<u32>,
    /// Those whose watch has a suspect that the poller must look at before it sleeps.
    suspects: VecDeque<WatchKey>,
    /// Those that it has looked at in this round, and that have one still.
    looked_at: VecDeque<WatchKey>,
    /// Whether the last look at them left no room for others.
    pub(super) suspects_filled_room: bool,
    /// Whether the kernel's answers left no room for what the program has raised.
    pub(super) raised_had_no_room: bool,
    /// What the kernel has said while there was no `Events` to report it to: that it refuses a poll, for example.
    owed: Vec<Said>,
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
    /// `None` for sources that end their registration before they close their socket.
    guard: Option<Guard>,
    is_outdated: bool,
    is_suspect: bool,
}

/// What the kernel has said of a slot's socket.
pub(super) struct Said {
    slot: u32,
    found: Readiness,
    flags: u32,
}

/// A suspect that is to be looked at.
pub(super) struct ToLookAt {
    pub(super) key: WatchKey,
    pub(super) base: BaseSocket,
    pub(super) suspect: Interest,
}

/// What is known of a number that is registered already.
pub(super) enum Holder {
    /// Its socket was closed, and has been forgotten.
    Gone,
    /// It is open, or nothing is known.
    Open,
    /// Its guard was cancelled, and how that ends will tell.
    Asked(WatchKey),
}

/// What the kernel is asked.
enum Asked {
    Nothing(Request<Poll>),
    Flags {
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

impl Asked {
    fn doubt(&mut self) {
        if let Asked::Flags { is_doubtful, .. } = self {
            *is_doubtful = true;
        }
    }
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
    pub(super) fn new() -> Table {
        Table {
            entries: Slab::new(),
            by_socket: HashMap::new(),
            groups: Groups::default(),
            guards: Groups::default(),
            outdated: Vec::new(),
            suspects: VecDeque::new(),
            looked_at: VecDeque::new(),
            suspects_filled_room: false,
            raised_had_no_room: false,
            owed: Vec::new(),
            replacing: 0,
            is_waiting: false,
            sleeper_is_behind: false,
            batch: Batch::default(),
        }
    }

    pub(super) fn insert(
        &mut self,
        port: &Port,
        (socket, base): (RawIo, BaseSocket),
        registration: Registration,
    ) -> io::Result<WatchKey> {
        if self.by_socket.contains_key(&socket) {
            return Err(io::Error::from_raw_os_error(sys::ALREADY_EXISTS));
        }
        let (group, afd) = self.groups.join(port)?;
        let key = self.entries.insert_with(|key| Entry {
            socket,
            base,
            watch: Watch::new(registration),
            asked: Asked::Nothing(Poll::new(&afd, key, Aim::Readiness)),
            afd,
            group,
            guard: None,
            is_outdated: false,
            is_suspect: false,
        });
        self.by_socket.insert(socket, key.slot);
        // What can't be polled is refused now, to the caller.
        if let Err(e) = self.try_update(port, key.slot) {
            self.vacate(key.slot);
            return Err(e);
        }
        if registration.tracking == Tracking::Untracked {
            self.set_guard(port, key);
        }
        Ok(key)
    }

    /// Without a guard all is as with it, but that a socket that has the number later may be refused.
    fn set_guard(&mut self, port: &Port, key: WatchKey) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if let Ok((group, afd)) = self.guards.join(port) {
            entry.guard = Some(Guard::new(port, key, entry.base, group, afd));
        }
    }

    /// Changes a watch; its slot.
    pub(super) fn change(&mut self, place: Place, change: impl FnOnce(&mut Watch)) -> io::Result<u32> {
        let slot = self.find(place)?;
        if let Some(entry) = self.entries.at_mut(slot) {
            change(&mut entry.watch);
            entry.asked.doubt();
        }
        self.outdate(slot);
        Ok(slot)
    }

    /// An operation [leaves a doubt](Blocked::leaves_doubt). Returns what is to be looked at for
    /// [`acquit`](Table::acquit), which must follow; [`change`](Table::change), if there is nothing.
    pub(super) fn rearm_doubtful(&mut self, key: WatchKey, blocked: Blocked) -> Option<ToLookAt> {
        let entry = self.entries.get_mut(key)?;
        entry.watch.rearm(blocked);
        entry.asked.doubt();
        Some(ToLookAt { key, base: entry.base, suspect: entry.watch.suspect()? })
    }

    /// What a look has shown for [`rearm_doubtful`](Table::rearm_doubtful); nothing if it has failed. The slot.
    pub(super) fn acquit(&mut self, looked: &ToLookAt, flags: Option<u32>) -> io::Result<u32> {
        let slot = self.change(Place::Key(looked.key), |watch| {
            if let (Some(flags), true) = (flags, watch.suspect() == Some(looked.suspect)) {
                watch.acquit(afd_flags::readiness(flags));
            }
        })?;
        if let Some(flags) = flags.filter(|flags| flags & afd_flags::ERRORS != 0) {
            self.owe(Said { slot, found: afd_flags::readiness(flags), flags });
        }
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

    /// Asks the kernel what is to be asked for one source; whether there was one.
    pub(super) fn update_next(&mut self, port: &Port) -> bool {
        let Some(slot) = self.outdated.pop() else {
            return false;
        };
        self.update(port, slot);
        true
    }

    /// Asks the kernel what is to be asked for one source. If it refuses, that is the source's own affair.
    pub(super) fn update(&mut self, port: &Port, slot: u32) {
        if self.outdated.last() == Some(&slot) {
            self.outdated.pop();
        }
        if let Err(_refused) = self.try_update(port, slot) {
            self.owe(Said { slot, found: Readiness::ERROR, flags: 0 });
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
        if let Asked::Flags { asked, ticket, is_cancelled, .. } = &mut entry.asked {
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
                        Asked::Flags { asked: wanted, ticket, is_cancelled: false, is_doubtful: false };
                }
                Err((poll, e)) => {
                    entry.asked = Asked::Nothing(poll);
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    /// Keeps what there was no `Events` for.
    pub(super) fn owe(&mut self, said: Said) {
        self.owed.push(said);
        self.sleeper_is_behind |= self.is_waiting;
    }

    pub(super) fn report_owed(&mut self, events: &mut Events) {
        while events.spare() > 0 {
            let Some(said) = self.owed.pop() else {
                return;
            };
            self.report(&said, events);
        }
    }

    /// What of a poll that has come back an operation may have used up since: to be looked at again. An end or an
    /// error isn't: the kernel may say it once.
    pub(super) fn doubts(&self, poll: &Request<Poll>) -> Option<(BaseSocket, u32)> {
        let entry = self.entries.get(poll.body().key())?;
        let (Asked::Flags { is_doubtful: true, .. }, Answer::Flags(flags)) =
            (&entry.asked, sys::answer(poll))
        else {
            return None;
        };
        let doubtful = flags & !afd_flags::LASTING;
        (doubtful != 0 && poll.body().aim() == Aim::Readiness).then_some((entry.base, doubtful))
    }

    /// A poll has come back. `now` is what still holds of what [`doubts`](Table::doubts) has answered.
    pub(super) fn answer(&mut self, poll: Request<Poll>, now: Option<u32>, events: &mut Events) {
        let Some(mut said) = self.settle(poll) else {
            return;
        };
        if let Some(now) = now {
            said.flags = said.flags & afd_flags::LASTING | now;
            said.found = afd_flags::readiness(said.flags);
        }
        self.report(&said, events);
    }

    /// A poll has come back: what is to be reported of it.
    pub(super) fn settle(&mut self, poll: Request<Poll>) -> Option<Said> {
        let key = poll.body().key();
        let slot = key.slot;
        let entry = self.entries.get_mut(key)?; // else deregistered meanwhile
        let answer = sys::answer(&poll);
        if poll.body().aim() == Aim::Close {
            match answer {
                Answer::Flags(flags) if flags & afd_flags::LOCAL_CLOSE != 0 => self.vacate(slot),
                answer => {
                    if let Some(guard) = &mut entry.guard {
                        guard.is_back(poll, answer);
                    }
                }
            }
            return None;
        }
        let asked = mem::replace(&mut entry.asked, Asked::Nothing(poll));
        let Asked::Flags { is_cancelled, .. } = asked else {
            return None;
        };
        if is_cancelled {
            self.replacing -= 1;
        }
        match answer {
            Answer::Flags(flags) if flags & afd_flags::LOCAL_CLOSE != 0 => self.vacate(slot),
            Answer::Flags(flags) => return Some(Said { slot, found: afd_flags::readiness(flags), flags }),
            Answer::Cancelled => self.outdate(slot),
            Answer::Failed => return Some(Said { slot, found: Readiness::ERROR, flags: 0 }),
        }
        None
    }

    /// Begins to find out whether the socket that is registered under this number is still open. Only its guard knows,
    /// which ends with it; so that is cancelled, to see how it ends.
    pub(super) fn challenge(&mut self, socket: RawIo) -> Holder {
        let Some(&slot) = self.by_socket.get(&socket) else {
            return Holder::Gone;
        };
        let (Some(key), Some(entry)) = (self.entries.key_at(slot), self.entries.at_mut(slot)) else {
            return Holder::Gone;
        };
        let Some(guard) = &mut entry.guard else {
            return Holder::Open;
        };
        guard.challenge();
        Holder::Asked(key)
    }

    /// What has come of [`Holder::Asked`].
    pub(super) fn has_met(&mut self, key: WatchKey, port: &Port) -> Holder {
        let Some(entry) = self.entries.get_mut(key) else {
            return Holder::Gone;
        };
        match &mut entry.guard {
            Some(guard) if guard.is_challenged() => Holder::Asked(key),
            Some(guard) => {
                guard.start(port, entry.base);
                Holder::Open
            }
            None => Holder::Open,
        }
    }

    /// A source is ready, as far as its watch wants to know.
    fn report(&mut self, said: &Said, events: &mut Events) {
        if let Some(entry) = self.entries.at_mut(said.slot) {
            if let Some(reported) = entry.watch.ready(said.found) {
                events.push(event(entry.watch.token(), reported, said.flags));
            }
        }
        self.outdate(said.slot);
    }

    pub(super) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// The next suspect that wasn't looked at in this round. `None` ends the round.
    pub(super) fn next_suspect(&mut self) -> Option<ToLookAt> {
        while let Some(key) = self.suspects.pop_front() {
            let Some(entry) = self.entries.get_mut(key) else {
                continue;
            };
            match entry.watch.suspect() {
                Some(suspect) => return Some(ToLookAt { key, base: entry.base, suspect }),
                None => entry.is_suspect = false,
            }
        }
        mem::swap(&mut self.suspects, &mut self.looked_at);
        None
    }

    /// There is no room for more events: those that weren't looked at are the first in the next round, so that none
    /// starves.
    pub(super) fn cut_round(&mut self) {
        self.suspects.append(&mut self.looked_at);
    }

    /// What a look at a suspect has shown; the time of the next one, if there is to be one.
    pub(super) fn looked(
        &mut self,
        looked: &ToLookAt,
        flags: io::Result<u32>,
        now: Instant,
        events: &mut Events,
    ) -> Option<Instant> {
        let slot = looked.key.slot;
        let entry = self.entries.get_mut(looked.key)?;
        if entry.watch.suspect() != Some(looked.suspect) {
            // It was changed while the kernel was asked: look again, at what it suspects now.
            self.suspects.push_back(looked.key);
            return None;
        }
        // An error: it was closed without deregistration.
        let flags = flags.unwrap_or(afd_flags::LOCAL_CLOSE);
        if flags & afd_flags::LOCAL_CLOSE != 0 {
            self.vacate(slot);
            return None;
        }
        let found = afd_flags::readiness(flags);
        if flags & afd_flags::ERRORS != 0 {
            // The kernel may say it to this look alone.
            if let Some(reported) = entry.watch.ready(found) {
                events.push(event(entry.watch.token(), reported, flags));
            }
        }
        let mut look = if events.spare() > 0 { entry.watch.look(found, now) } else { Look::Later(now) };
        if let Look::Report(reported) = look {
            events.push(event(entry.watch.token(), reported, flags));
            look = entry.watch.look(found, now);
        }
        let again = match look {
            Look::Later(due) => Some(due),
            Look::Clear => None,
            Look::Report(_) => Some(now),
        };
        match again {
            Some(_) => self.looked_at.push_back(looked.key),
            None => entry.is_suspect = false,
        }
        self.outdate(slot);
        again
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
                if let Some(key) = self.entries.key_at(slot) {
                    self.suspects.push_back(key);
                }
                self.sleeper_is_behind |= self.is_waiting;
            }
        }
    }

    fn vacate(&mut self, slot: u32) {
        let Some(entry) = self.entries.remove_at(slot) else {
            return;
        };
        if let Asked::Flags { ticket, is_cancelled, .. } = &entry.asked {
            // Until it ends, the kernel holds on to the socket, and the connection would stay open for the peer.
            if *is_cancelled {
                self.replacing -= 1;
            } else {
                sys::cancel(ticket, &entry.afd);
            }
        }
        if let Some(guard) = &entry.guard {
            guard.cancel();
            self.guards.leave(guard.group);
        }
        self.by_socket.remove(&entry.socket);
        self.groups.leave(entry.group);
        if entry.is_suspect {
            self.suspects.retain(|suspect| suspect.slot != slot);
            self.looked_at.retain(|suspect| suspect.slot != slot);
        }
        if entry.is_outdated {
            self.outdated.retain(|&outdated| outdated != slot);
        }
        self.owed.retain(|said| said.slot != slot);
    }
}

/// The flags that would be news to a watch.
fn wanted(watch: &Watch) -> u32 {
    let mut flags = watch.armed().map_or(0, afd_flags::asked);
    if flags != 0 || watch.awaits_end() {
        flags |= afd_flags::END;
        if watch.awaits_read_end() {
            flags |= afd_flags::DISCONNECT;
        }
    }
    flags
}

fn event(token: Token, readiness: Readiness, raw: u32) -> Event {
    Event::new(token, readiness, Backend::Iocp as u8, raw)
}
