//! AFD polls on an I/O completion port: Windows.
//!
//! Each armed socket has one poll with the kernel, which reports once and then ends. A poll can't be changed: to ask
//! for more it is cancelled, and started again when its packet is back. A second poll beside it would take results from
//! the first (Windows 10, Server 2019).
//!
//! Changes that come while no thread waits are collected, so that a read and a write that both block cost one poll.
//!
//! Invariant: the lock on [`Sockets`] is not held during a probe or a wait, nor while a source's own code runs.

mod completions;
mod groups;
mod guard;
mod object_wait;
mod sockets;
mod sys;

use std::fmt;
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use self::completions::{Completions, UserEventKey};
pub(crate) use self::object_wait::ObjectWait;
use self::sockets::{Liveness, Lookup, Sockets};
use self::sys::{Afd, BaseSocket};
use super::poller::{check_mode, describe_bits, Absent, Poller};
use crate::backend::logic::afd_flags;
use crate::backend::logic::watch::{RearmCause, Registration, Tracking, Watch, WatchKey};
use crate::backend::name::Backend;
use crate::os::{Batch, Packet, RawIo, Returned};
use crate::readiness::Events;

pub(crate) struct Iocp {
    sockets: Mutex<Sockets>,
    /// Probes sockets without a packet. It is beside `sockets`, whose lock isn't held meanwhile.
    prober: Afd,
    /// Shared with sources whose operations may go on after the `Poll` was dropped.
    completions: Arc<Completions>,
}

/// How often a `wait` that must not block asks again for the results of polls that were restarted. The kernel cancels a
/// poll within the call; this is for a kernel that takes longer.
const ROUNDS: usize = 50;
const ROUND: Duration = Duration::from_millis(1);

impl Poller for Iocp {
    type OrElse<B: Poller> = Absent;

    fn new() -> io::Result<Iocp> {
        Ok(Iocp {
            sockets: Mutex::new(Sockets::new()),
            prober: Afd::synchronous()?,
            completions: Arc::new(Completions::new()?),
        })
    }

    fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let before = events.len();
        let mut batch = self.lock().lend_batch();
        let result = self.wait_with(&mut batch, events, timeout);
        self.lock().take_back(batch);
        match result {
            Err(_) if events.len() > before => Ok(()),
            result => result,
        }
    }

    fn prepare_notify(&self) -> io::Result<()> {
        Ok(())
    }

    fn notify(&self) -> io::Result<()> {
        self.completions.port().notify()
    }

    fn register(&self, io: RawIo, registration: Registration) -> io::Result<Option<WatchKey>> {
        check_mode(registration.interest)?;
        let base = BaseSocket::of(io)?;
        let insert = || self.lock().insert(self.completions.port(), (io, base), registration);
        let key = match insert() {
            Err(e) if e.raw_os_error() == Some(sys::ALREADY_EXISTS) && self.was_closed(io) => insert()?,
            result => result?,
        };
        Ok(match registration.tracking {
            Tracking::Tracked => Some(key),
            Tracking::Untracked => None,
        })
    }

    fn reregister(&self, io: RawIo, key: Option<WatchKey>, registration: Registration) -> io::Result<()> {
        check_mode(registration.interest)?;
        self.change(Lookup::of(io, key), |watch| watch.replace(registration))
    }

    fn deregister(&self, io: RawIo, key: Option<WatchKey>) -> io::Result<()> {
        self.lock().remove(Lookup::of(io, key))
    }

    fn rearm(&self, key: WatchKey, cause: RearmCause) -> io::Result<()> {
        // An error means that it was deregistered meanwhile, so there is nothing to arm.
        let _ = match cause.needs_recheck() {
            true => {
                let probe = self.lock().rearm_with_probe(key, cause);
                match probe {
                    // A probe shows at once what has blocked, without waiting for the polling thread.
                    Some(probe) => {
                        let flags = self.prober.probe(probe.base, afd_flags::flags(probe.directions)).ok();
                        self.then_update(|sockets| sockets.arm_used_up(&probe, flags))
                    }
                    None => self.change(Lookup::Key(key), |_| ()),
                }
            }
            false => self.change(Lookup::Key(key), |watch| watch.rearm(cause)),
        };
        Ok(())
    }

    fn abandon(&self, key: WatchKey) {
        let _ = self.lock().remove(Lookup::Key(key));
    }

    fn end(&self) {
        self.completions.close();
    }

    fn describe(raw: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe_bits(raw, &afd_flags::NAMES, f)
    }
}

/// How one round of a wait proceeds.
struct RoundPlan {
    /// How long the kernel may block.
    sleeps: Option<Duration>,
    rechecks_come_last: bool,
}

impl Iocp {
    #[cfg_attr(not(feature = "os-ext"), allow(dead_code))] // only such sources use it
    pub(super) fn completions(&self) -> &Arc<Completions> {
        &self.completions
    }

    fn wait_with(&self, batch: &mut Batch, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let before = events.len();
        let mut timeout = timeout;
        for _ in 0..ROUNDS {
            let RoundPlan { sleeps, rechecks_come_last } = self.begin(events, before, timeout);
            if events.spare() == 0 {
                return Ok(());
            }
            let result = self.completions.port().wait(batch, events.spare(), sleeps);
            let is_settled = self.end(batch, events);
            result?;
            if events.len() > before {
                return Ok(());
            }
            // Notifications, or results that no longer concern a registration, may have taken the space of events; some
            // rechecks may be outstanding. And a `wait` that doesn't block must report what is ready now, though its
            // poll was restarted a moment ago.
            let may_have_more =
                batch.is_full() || rechecks_come_last || (!is_settled && timeout == Some(Duration::ZERO));
            if !may_have_more {
                return Ok(());
            }
            timeout = Some(Duration::ZERO);
        }
        Ok(())
    }

    /// Reports what needs no kernel, submits what has changed, and plans the round.
    fn begin(&self, events: &mut Events, before: usize, timeout: Option<Duration>) -> RoundPlan {
        self.completions.ask_again();
        let mut sockets = self.lock();
        // Events that found no space come first, and those that filled it come last. An event that is late for that
        // reason comes with the next call, which is made at once.
        if mem::take(&mut sockets.user_events_left) {
            self.completions.report(events, Backend::Iocp as u8);
        }
        let rechecks_come_last = mem::take(&mut sockets.rechecks.filled_events);
        let mut limit = Some(Duration::ZERO);
        if !rechecks_come_last && events.spare() > 0 {
            (sockets, limit) = self.probe_all(sockets, events);
            sockets.rechecks.filled_events = events.spare() == 0;
        }
        loop {
            // A report changes the flags to poll for, and a poll that is refused is reported.
            sockets.report_deferred(events);
            if !sockets.update_next(self.completions.port()) {
                break;
            }
            // Other threads may take the lock in between.
            drop(sockets);
            sockets = self.lock();
        }
        let sleeps = if events.len() > before || timeout == Some(Duration::ZERO) {
            Some(if sockets.is_replacing() && events.len() == before { ROUND } else { Duration::ZERO })
        } else if !self.completions.may_sleep() || sockets.rechecks.take_new() {
            // Another thread may have queued a recheck since the round, when no thread was waiting yet.
            Some(Duration::ZERO)
        } else {
            sockets.set_waiting(true);
            match (timeout, limit) {
                (Some(timeout), Some(limit)) => Some(timeout.min(limit)),
                (timeout, limit) => timeout.or(limit),
            }
        };
        RoundPlan { sleeps, rechecks_come_last }
    }

    /// Returns the operation whose packet it is. Any other packet is dealt with.
    fn returned(&self, packet: Packet) -> Option<Returned> {
        match packet {
            Packet::Returned(returned) => Some(returned),
            Packet::Signalled(mark) => {
                self.completions.receive_signal(mark);
                None
            }
            Packet::Notice => None,
        }
    }

    /// Reports what the kernel has returned. Returns whether no poll is being restarted.
    fn end(&self, batch: &mut Batch, events: &mut Events) -> bool {
        let mut sockets = self.lock();
        sockets.set_waiting(false);
        while let Some(packet) = batch.next() {
            let Some(returned) = self.returned(packet) else {
                continue;
            };
            match returned.downcast() {
                Ok(poll) => {
                    let mut now = None;
                    if let Some((base, flags)) = sockets.stale_flags(&poll) {
                        drop(sockets);
                        now = Some(self.prober.probe(base, flags).unwrap_or(flags));
                        sockets = self.lock();
                    }
                    sockets.apply(poll, now, events);
                }
                Err(other) => {
                    // Its owner may call this selector.
                    drop(sockets);
                    other.deliver();
                    sockets = self.lock();
                }
            }
        }
        sockets.user_events_left = !self.completions.report(events, Backend::Iocp as u8);
        sockets.is_settled()
    }

    /// Rechecks sockets, and reports those that are due. Returns when the next recheck is due. The lock is released
    /// during each probe.
    fn probe_all<'a>(
        &'a self,
        mut sockets: MutexGuard<'a, Sockets>,
        events: &mut Events,
    ) -> (MutexGuard<'a, Sockets>, Option<Duration>) {
        sockets.rechecks.take_new();
        if sockets.rechecks.is_empty() {
            return (sockets, None);
        }
        let now = Instant::now();
        let mut again: Option<Instant> = None;
        while let Some(probe) = sockets.next_probe() {
            drop(sockets);
            let flags = self.prober.probe(probe.base, afd_flags::flags(probe.directions));
            sockets = self.lock();
            if let Some(due) = sockets.apply_probe(&probe, flags, now, events) {
                again = Some(again.map_or(due, |again| again.min(due)));
            }
            if events.spare() == 0 {
                sockets.rechecks.end_round();
                return (sockets, Some(Duration::ZERO));
            }
        }
        (sockets, again.map(|again| again.saturating_duration_since(now)))
    }

    /// Returns whether the socket that is registered under this number was closed since, so that the number belongs to
    /// another one now. Then its registration has ended.
    ///
    /// The guard of the old socket shows that. Another polling thread may take its packet; and this thread may take
    /// packets of other sockets, which it keeps for the polling thread.
    #[cold]
    fn was_closed(&self, io: RawIo) -> bool {
        /// A kernel cancels a poll within the call, or soon after.
        const LONGEST: Duration = Duration::from_secs(1);
        let port = self.completions.port();
        let mut batch = Batch::default();
        let start = Instant::now();
        let mut liveness = self.lock().check_liveness(io);
        let was_closed = loop {
            let key = match liveness {
                Liveness::Closed => break true,
                Liveness::Open => break false,
                Liveness::Pending(_) if start.elapsed() > LONGEST => break false,
                Liveness::Pending(key) => key,
            };
            if port.wait(&mut batch, 64, Some(Duration::ZERO)).is_err() {
                break false;
            }
            let mut found = false;
            while let Some(packet) = batch.next() {
                found = true;
                let Some(returned) = self.returned(packet) else {
                    continue;
                };
                match returned.downcast() {
                    Ok(poll) => {
                        let mut sockets = self.lock();
                        if let Some(result) = sockets.settle(poll) {
                            sockets.defer(result);
                        }
                    }
                    Err(other) => other.deliver(),
                }
            }
            if found {
                // These belong to the polling thread. If the notification fails, the next `wait` finds the deferred
                // results.
                let _ = self.notify();
            } else {
                thread::yield_now();
            }
            liveness = self.lock().liveness_of(key, port);
        };
        if self.lock().take_must_notify() {
            let _ = self.notify();
        }
        was_closed
    }

    fn change(&self, lookup: Lookup, change: impl FnOnce(&mut Watch)) -> io::Result<()> {
        self.then_update(|sockets| sockets.change(lookup, change))
    }

    /// Changes the registration of a slot, and ensures that a waiting thread takes the change into account.
    fn then_update(&self, change: impl FnOnce(&mut Sockets) -> io::Result<u32>) -> io::Result<()> {
        let mut sockets = self.lock();
        let slot = change(&mut sockets)?;
        if sockets.must_update_at_once(slot) {
            sockets.update(self.completions.port(), slot);
        }
        if sockets.take_must_notify() {
            drop(sockets);
            return self.notify();
        }
        Ok(())
    }

    /// Takes back the packets that have arrived, without a report. Returns whether there were any.
    fn drain(&self, batch: &mut Batch) -> io::Result<bool> {
        self.completions.port().wait(batch, usize::MAX, Some(Duration::ZERO))?;
        let mut found = false;
        while let Some(packet) = batch.next() {
            found = true;
            if let Packet::Returned(returned) = packet {
                // A source that outlives the selector must learn that its operation has ended.
                returned.deliver();
            }
        }
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Iocp {
    fn drop(&mut self) {
        self.lock().cancel_all();
        self.completions.close();
        // A source may keep the port for long, so what was cancelled is freed now. What the kernel hasn't returned yet
        // is freed with the port.
        let mut batch = self.lock().lend_batch();
        while let Ok(true) = self.drain(&mut batch) {}
    }
}
