//! The registrations of sockets, and the AFD poll of each.
//!
//! Invariant: polls, which are quick, are started and cancelled with the lock held; probes, of which there may be
//! thousands, are made without it.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use super::groups::Groups;
use super::guard::Guard;
use super::sys::{self, Afd, BaseSocket, Outcome, PollBody, Purpose};
use crate::backend::logic::afd_flags;
use crate::backend::logic::recheck_queue::RecheckQueue;
use crate::backend::logic::slab::Slab;
use crate::backend::logic::watch::{RearmCause, Recheck, Registration, Tracking, Watch, WatchKey};
use crate::backend::name::Backend;
use crate::os::{Batch, Port, RawIo, Request, Ticket};
use crate::readiness::{Event, Events, Interest, Readiness, Token};

/// Every registration, and its poll.
pub(super) struct Sockets {
    records: Slab<SocketRecord>,
    by_socket: HashMap<RawIo, u32>,
    groups: Groups,
    /// The handles of the guards.
    guards: Groups,
    /// Slots whose watch wants other flags than their poll has.
    outdated: Vec<u32>,
    /// The registrations that the polling thread must recheck before it blocks.
    pub(super) rechecks: RecheckQueue,
    /// Whether the kernel's results left no space for user events.
    pub(super) user_events_left: bool,
    /// Results that came without an `Events` to report them to, such as a poll that the kernel refuses.
    deferred: Vec<PollResult>,
    /// How many polls are cancelled in order to be restarted.
    replacing: usize,
    is_waiting: bool,
    /// Whether the waiting thread must be notified of something that comes without a packet.
    must_notify: bool,
    /// Kept for its memory.
    batch: Batch,
}

struct SocketRecord {
    socket: RawIo,
    base: BaseSocket,
    watch: Watch,
    afd: Arc<Afd>,
    group: u32,
    poll: AfdPoll,
    /// `None` for sources that deregister before they close their socket.
    guard: Option<Guard>,
    is_outdated: bool,
    is_queued: bool,
}

/// The result of a poll.
pub(super) struct PollResult {
    slot: u32,
    found: Readiness,
    flags: u32,
}

/// A probe that is due.
pub(super) struct Probe {
    pub(super) key: WatchKey,
    pub(super) base: BaseSocket,
    pub(super) directions: Interest,
}

/// Whether a socket that is registered is still open.
pub(super) enum Liveness {
    /// It was closed, and its registration has ended.
    Closed,
    /// It is open, or nothing is known.
    Open,
    /// Its guard was cancelled, and how that ends will show it.
    Pending(WatchKey),
}

/// The poll of one socket.
enum AfdPoll {
    Idle(Request<PollBody>),
    InFlight {
        flags: u32,
        ticket: Ticket,
        /// To be restarted.
        is_cancelled: bool,
        /// An operation has blocked since it was started: its result may be used up.
        is_stale: bool,
    },
    /// For the moment of a change.
    Changing,
}

impl AfdPoll {
    fn mark_stale(&mut self) {
        if let AfdPoll::InFlight { is_stale, .. } = self {
            *is_stale = true;
        }
    }
}

/// How a registration is found.
#[derive(Copy, Clone)]
pub(super) enum Lookup {
    Key(WatchKey),
    Socket(RawIo),
}

impl Lookup {
    pub(super) fn of(socket: RawIo, key: Option<WatchKey>) -> Lookup {
        key.map_or(Lookup::Socket(socket), Lookup::Key)
    }
}

impl Sockets {
    pub(super) fn new() -> Sockets {
        Sockets {
            records: Slab::new(),
            by_socket: HashMap::new(),
            groups: Groups::default(),
            guards: Groups::default(),
            outdated: Vec::new(),
            rechecks: RecheckQueue::default(),
            user_events_left: false,
            deferred: Vec::new(),
            replacing: 0,
            is_waiting: false,
            must_notify: false,
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
        let key = self.records.insert_with(|key| SocketRecord {
            socket,
            base,
            watch: Watch::new(registration),
            poll: AfdPoll::Idle(PollBody::new(&afd, key, Purpose::Readiness)),
            afd,
            group,
            guard: None,
            is_outdated: false,
            is_queued: false,
        });
        self.by_socket.insert(socket, key.slot);
        // A socket that can't be polled is refused now.
        if let Err(e) = self.try_update(port, key.slot) {
            self.vacate(key.slot);
            return Err(e);
        }
        if registration.tracking == Tracking::Untracked {
            self.set_guard(port, key);
        }
        Ok(key)
    }

    /// Starts the guard of a raw socket. If that fails, only a later socket with the same number may be refused.
    fn set_guard(&mut self, port: &Port, key: WatchKey) {
        let Some(record) = self.records.get_mut(key) else {
            return;
        };
        if let Ok((group, afd)) = self.guards.join(port) {
            record.guard = Some(Guard::new(port, key, record.base, group, afd));
        }
    }

    /// Changes a watch, and returns its slot.
    pub(super) fn change(&mut self, lookup: Lookup, change: impl FnOnce(&mut Watch)) -> io::Result<u32> {
        let slot = self.find(lookup)?;
        if let Some(record) = self.records.at_mut(slot) {
            change(&mut record.watch);
            record.poll.mark_stale();
        }
        self.outdate(slot);
        Ok(slot)
    }

    /// Applies an operation that [needs a recheck](RearmCause::needs_recheck). Returns the probe to make for
    /// [`arm_used_up`](Sockets::arm_used_up), which must follow; or `None`, and [`change`](Sockets::change) must
    /// follow.
    pub(super) fn rearm_with_probe(&mut self, key: WatchKey, cause: RearmCause) -> Option<Probe> {
        let record = self.records.get_mut(key)?;
        record.watch.rearm(cause);
        record.poll.mark_stale();
        Some(Probe { key, base: record.base, directions: record.watch.to_recheck()? })
    }

    /// Applies the result of the probe of [`rearm_with_probe`](Sockets::rearm_with_probe); `None` if the probe has
    /// failed. Returns the slot.
    pub(super) fn arm_used_up(&mut self, probe: &Probe, flags: Option<u32>) -> io::Result<u32> {
        let slot = self.change(Lookup::Key(probe.key), |watch| {
            if let (Some(flags), true) = (flags, watch.to_recheck() == Some(probe.directions)) {
                watch.arm_used_up(afd_flags::readiness(flags));
            }
        })?;
        if let Some(flags) = flags.filter(|flags| flags & afd_flags::ERRORS != 0) {
            self.defer(PollResult { slot, found: afd_flags::readiness(flags), flags });
        }
        Ok(slot)
    }

    pub(super) fn remove(&mut self, lookup: Lookup) -> io::Result<()> {
        let slot = self.find(lookup)?;
        self.vacate(slot);
        Ok(())
    }

    /// Returns whether a change must be submitted at once, because the polling thread is blocked.
    pub(super) fn must_update_at_once(&self, slot: u32) -> bool {
        let is_outdated = self.records.at(slot).is_some_and(|record| record.is_outdated);
        self.is_waiting && is_outdated
    }

    pub(super) fn set_waiting(&mut self, is_waiting: bool) {
        self.is_waiting = is_waiting;
        self.must_notify = false;
    }

    pub(super) fn is_replacing(&self) -> bool {
        self.replacing > 0
    }

    pub(super) fn is_settled(&self) -> bool {
        self.replacing == 0 && self.outdated.is_empty()
    }

    pub(super) fn take_must_notify(&mut self) -> bool {
        mem::take(&mut self.must_notify)
    }

    pub(super) fn lend_batch(&mut self) -> Batch {
        mem::take(&mut self.batch)
    }

    pub(super) fn take_back(&mut self, batch: Batch) {
        self.batch = batch;
    }

    /// Submits the next slot that is outdated. Returns whether there was one.
    pub(super) fn update_next(&mut self, port: &Port) -> bool {
        let Some(slot) = self.outdated.pop() else {
            return false;
        };
        self.update(port, slot);
        true
    }

    /// Submits the flags of one slot. If the kernel refuses, only that source has an error.
    pub(super) fn update(&mut self, port: &Port, slot: u32) {
        if self.outdated.last() == Some(&slot) {
            self.outdated.pop();
        }
        if let Err(_refused) = self.try_update(port, slot) {
            self.defer(PollResult { slot, found: Readiness::ERROR, flags: 0 });
        }
    }

    fn try_update(&mut self, port: &Port, slot: u32) -> io::Result<()> {
        let Some(record) = self.records.at_mut(slot) else {
            return Ok(());
        };
        record.is_outdated = false;
        let wanted = wanted_flags(&record.watch);
        if wanted == 0 {
            return Ok(());
        }
        if let AfdPoll::InFlight { flags, ticket, is_cancelled, .. } = &mut record.poll {
            if wanted & !*flags != 0 && !mem::replace(is_cancelled, true) {
                sys::cancel(ticket, &record.afd);
                self.replacing += 1;
            }
            return Ok(());
        }
        if let AfdPoll::Idle(poll) = mem::replace(&mut record.poll, AfdPoll::Changing) {
            match sys::start(poll, port, record.base, wanted) {
                Ok(ticket) => {
                    record.poll =
                        AfdPoll::InFlight { flags: wanted, ticket, is_cancelled: false, is_stale: false };
                }
                Err((poll, e)) => {
                    record.poll = AfdPoll::Idle(poll);
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    /// Keeps a result that there is no `Events` for.
    pub(super) fn defer(&mut self, result: PollResult) {
        self.deferred.push(result);
        self.must_notify |= self.is_waiting;
    }

    pub(super) fn report_deferred(&mut self, events: &mut Events) {
        while events.spare() > 0 {
            let Some(result) = self.deferred.pop() else {
                return;
            };
            self.report(&result, events);
        }
    }

    /// Returns the flags of a finished poll that an operation may have used up since: they are to be probed. An end or
    /// an error is not among them, since the kernel may report it once.
    pub(super) fn stale_flags(&self, poll: &Request<PollBody>) -> Option<(BaseSocket, u32)> {
        let record = self.records.get(poll.body().key())?;
        let (AfdPoll::InFlight { is_stale: true, .. }, Outcome::Flags(flags)) =
            (&record.poll, sys::outcome(poll))
        else {
            return None;
        };
        let stale = flags & !afd_flags::LASTING;
        (stale != 0 && poll.body().purpose() == Purpose::Readiness).then_some((record.base, stale))
    }

    /// Applies a finished poll. `now` has those of the [stale](Sockets::stale_flags) flags that still hold.
    pub(super) fn apply(&mut self, poll: Request<PollBody>, now: Option<u32>, events: &mut Events) {
        let Some(mut result) = self.settle(poll) else {
            return;
        };
        if let Some(now) = now {
            result.flags = result.flags & afd_flags::LASTING | now;
            result.found = afd_flags::readiness(result.flags);
        }
        self.report(&result, events);
    }

    /// Takes back a finished poll. Returns its result, if that is to be reported.
    pub(super) fn settle(&mut self, poll: Request<PollBody>) -> Option<PollResult> {
        let key = poll.body().key();
        let slot = key.slot;
        let record = self.records.get_mut(key)?; // else deregistered meanwhile
        let outcome = sys::outcome(&poll);
        if poll.body().purpose() == Purpose::Close {
            match outcome {
                Outcome::Flags(flags) if flags & afd_flags::LOCAL_CLOSE != 0 => self.vacate(slot),
                outcome => {
                    if let Some(guard) = &mut record.guard {
                        guard.take_back(poll, outcome);
                    }
                }
            }
            return None;
        }
        let poll = mem::replace(&mut record.poll, AfdPoll::Idle(poll));
        let AfdPoll::InFlight { is_cancelled, .. } = poll else {
            return None;
        };
        if is_cancelled {
            self.replacing -= 1;
        }
        match outcome {
            Outcome::Flags(flags) if flags & afd_flags::LOCAL_CLOSE != 0 => self.vacate(slot),
            Outcome::Flags(flags) => {
                return Some(PollResult { slot, found: afd_flags::readiness(flags), flags })
            }
            Outcome::Cancelled => self.outdate(slot),
            Outcome::Failed => return Some(PollResult { slot, found: Readiness::ERROR, flags: 0 }),
        }
        None
    }

    /// Starts to find out whether the socket that is registered under this number is still open. Only its guard, which
    /// ends with the socket, can show that, so it is cancelled.
    pub(super) fn check_liveness(&mut self, socket: RawIo) -> Liveness {
        let Some(&slot) = self.by_socket.get(&socket) else {
            return Liveness::Closed;
        };
        let (Some(key), Some(record)) = (self.records.key_at(slot), self.records.at_mut(slot)) else {
            return Liveness::Closed;
        };
        let Some(guard) = &mut record.guard else {
            return Liveness::Open;
        };
        guard.start_check();
        Liveness::Pending(key)
    }

    /// Returns what has become of [`Liveness::Pending`].
    pub(super) fn liveness_of(&mut self, key: WatchKey, port: &Port) -> Liveness {
        let Some(record) = self.records.get_mut(key) else {
            return Liveness::Closed;
        };
        match &mut record.guard {
            Some(guard) if guard.is_checking() => Liveness::Pending(key),
            Some(guard) => {
                guard.start(port, record.base);
                Liveness::Open
            }
            None => Liveness::Open,
        }
    }

    /// Reports a result, as far as its watch is interested.
    fn report(&mut self, result: &PollResult, events: &mut Events) {
        if let Some(record) = self.records.at_mut(result.slot) {
            if let Some(reported) = record.watch.ready(result.found) {
                events.push(event(record.watch.token(), reported, result.flags));
            }
        }
        self.outdate(result.slot);
    }

    /// Returns the next probe of this round; `None` ends the round.
    pub(super) fn next_probe(&mut self) -> Option<Probe> {
        while let Some(key) = self.rechecks.pop() {
            let Some(record) = self.records.get_mut(key) else {
                continue;
            };
            match record.watch.to_recheck() {
                Some(directions) => return Some(Probe { key, base: record.base, directions }),
                None => record.is_queued = false,
            }
        }
        self.rechecks.end_round();
        None
    }

    /// Applies the result of a probe. Returns when the next one is due, if there is one.
    pub(super) fn apply_probe(
        &mut self,
        probe: &Probe,
        flags: io::Result<u32>,
        now: Instant,
        events: &mut Events,
    ) -> Option<Instant> {
        let slot = probe.key.slot;
        let record = self.records.get_mut(probe.key)?;
        if record.watch.to_recheck() != Some(probe.directions) {
            // It was changed during the probe: it is probed again for its current directions.
            self.rechecks.push(probe.key);
            return None;
        }
        // The error of a socket that was closed without deregistration.
        let flags = flags.unwrap_or(afd_flags::LOCAL_CLOSE);
        if flags & afd_flags::LOCAL_CLOSE != 0 {
            self.vacate(slot);
            return None;
        }
        let found = afd_flags::readiness(flags);
        if flags & afd_flags::ERRORS != 0 {
            // The kernel may report it to this probe alone.
            if let Some(reported) = record.watch.ready(found) {
                events.push(event(record.watch.token(), reported, flags));
            }
        }
        let mut recheck =
            if events.spare() > 0 { record.watch.recheck(found, now) } else { Recheck::At(now) };
        if let Recheck::Report(reported) = recheck {
            events.push(event(record.watch.token(), reported, flags));
            recheck = record.watch.recheck(found, now);
        }
        let again = match recheck {
            Recheck::At(due) => Some(due),
            Recheck::Done => None,
            Recheck::Report(_) => Some(now),
        };
        match again {
            Some(_) => self.rechecks.keep(probe.key),
            None => record.is_queued = false,
        }
        self.outdate(slot);
        again
    }

    /// Ends every poll; its packet comes all the same.
    pub(super) fn cancel_all(&mut self) {
        for slot in self.records.slots() {
            self.vacate(slot);
        }
    }

    fn find(&self, lookup: Lookup) -> io::Result<u32> {
        let slot = match lookup {
            Lookup::Key(key) => self.records.slot_of(key),
            Lookup::Socket(socket) => self.by_socket.get(&socket).copied(),
        };
        slot.ok_or_else(|| io::Error::from_raw_os_error(sys::NOT_FOUND))
    }

    /// Notes that a watch has changed: its flags must be submitted, and a new recheck made, before the polling thread
    /// blocks.
    fn outdate(&mut self, slot: u32) {
        if let Some(record) = self.records.at_mut(slot) {
            if !mem::replace(&mut record.is_outdated, true) {
                self.outdated.push(slot);
            }
            if record.watch.to_recheck().is_some() && !mem::replace(&mut record.is_queued, true) {
                if let Some(key) = self.records.key_at(slot) {
                    self.rechecks.push(key);
                }
                self.must_notify |= self.is_waiting;
            }
        }
    }

    fn vacate(&mut self, slot: u32) {
        let Some(record) = self.records.remove_at(slot) else {
            return;
        };
        if let AfdPoll::InFlight { ticket, is_cancelled, .. } = &record.poll {
            // Until the poll ends, the kernel holds the socket, and the connection would stay open for the peer.
            if *is_cancelled {
                self.replacing -= 1;
            } else {
                sys::cancel(ticket, &record.afd);
            }
        }
        if let Some(guard) = &record.guard {
            guard.cancel();
            self.guards.leave(guard.group);
        }
        self.by_socket.remove(&record.socket);
        self.groups.leave(record.group);
        if record.is_queued {
            let records = &self.records;
            self.rechecks.note_ended(|key| records.get(key).is_some());
        }
        if record.is_outdated {
            self.outdated.retain(|&outdated| outdated != slot);
        }
        self.deferred.retain(|result| result.slot != slot);
    }
}

/// Returns the flags that would be news to a watch.
fn wanted_flags(watch: &Watch) -> u32 {
    let mut flags = watch.armed().map_or(0, afd_flags::flags);
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
