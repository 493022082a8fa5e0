//! AFD polls on an I/O completion port: Windows.
//!
//! Each armed socket has one poll with the kernel, which is answered once and then forgotten. What a poll asks can't
//! be changed: to ask for more it is cancelled and started anew, once its packet is back; a second poll beside it
//! would take away answers from the first (Windows 10, Server 2019).
//!
//! Changes that come while nobody waits are collected, so that a read and a write that both block cost one poll.

mod completions;
mod groups;
mod guard;
mod sockets;
mod sys;

use std::fmt;
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use self::completions::{Completions, UserEventKey};
use self::sockets::{Liveness, Lookup, Sockets};
use self::sys::{Afd, BaseSocket};
use super::poller::{describe_bits, Poller};
use crate::backend::logic::afd_flags;
use crate::backend::logic::watch::{Blocked, Registration, Tracking, Watch, WatchKey};
use crate::backend::name::Backend;
use crate::os::{Batch, Packet, RawIo};
use crate::readiness::Events;

pub(crate) struct Iocp {
    sockets: Mutex<Sockets>,
    /// Looks at sockets, without a packet. Beside the table: its lock isn't held meanwhile.
    prober: Afd,
    /// Shared with sources whose operations may be under way after the `Poll` has gone.
    completions: Arc<Completions>,
}

/// How often a `wait` that must not sleep looks again for the answers to what was asked anew. The kernel cancels a
/// poll within the call; this is for one that takes its time.
const ROUNDS: usize = 50;
const ROUND: Duration = Duration::from_millis(1);

impl Poller for Iocp {
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
        self.change(Lookup::of(io, key), |watch| watch.replace(registration))
    }

    fn deregister(&self, io: RawIo, key: Option<WatchKey>) -> io::Result<()> {
        self.lock().remove(Lookup::of(io, key))
    }

    fn rearm(&self, key: WatchKey, blocked: Blocked) -> io::Result<()> {
        // An error: deregistered meanwhile, so there is nothing to arm.
        let _ = match blocked.needs_recheck() {
            true => {
                let probe = self.lock().rearm_with_probe(key, blocked);
                match probe {
                    // What blocked shows now, and needn't wait for the poller to look.
                    Some(probe) => {
                        let flags = self.prober.probe(probe.base, afd_flags::asked(probe.directions)).ok();
                        self.then_update(|sockets| sockets.arm_used_up(&probe, flags))
                    }
                    None => self.change(Lookup::Key(key), |_| ()),
                }
            }
            false => self.change(Lookup::Key(key), |watch| watch.rearm(blocked)),
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

/// What a round does beside asking the kernel, and when.
struct RoundPlan {
    /// How long the kernel may sleep.
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
            // Notifications, or answers that concern nobody any more, may have taken the room of events; suspects may
            // not have been looked at. And who asks without sleeping is to hear of what is ready now, though it was
            // asked anew a moment ago.
            let may_have_more =
                batch.is_full() || rechecks_come_last || (!is_settled && timeout == Some(Duration::ZERO));
            if !may_have_more {
                return Ok(());
            }
            timeout = Some(Duration::ZERO);
        }
        Ok(())
    }

    /// Before the kernel is called.
    fn begin(&self, events: &mut Events, before: usize, timeout: Option<Duration>) -> RoundPlan {
        let mut sockets = self.lock();
        // What had no room comes first, and what has filled it last. Who is late because of that comes with the next
        // call, which is made at once.
        if mem::take(&mut sockets.user_events_left) {
            self.completions.report(events, Backend::Iocp as u8);
        }
        let rechecks_come_last = mem::take(&mut sockets.rechecks_filled_events);
        let mut limit = Some(Duration::ZERO);
        if !rechecks_come_last && events.spare() > 0 {
            (sockets, limit) = self.probe_all(sockets, events);
            sockets.rechecks_filled_events = events.spare() == 0;
        }
        loop {
            // A report changes what is to be asked, and what is refused is to be reported.
            sockets.report_deferred(events);
            if !sockets.update_next(self.completions.port()) {
                break;
            }
            // Others may have the lock in between.
            drop(sockets);
            sockets = self.lock();
        }
        let sleeps = if events.len() > before || timeout == Some(Duration::ZERO) {
            Some(if sockets.is_replacing() && events.len() == before { ROUND } else { Duration::ZERO })
        } else if !self.completions.may_sleep() {
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

    /// After the kernel was called: reports what it has said. Whether nothing is being asked anew.
    fn end(&self, batch: &mut Batch, events: &mut Events) -> bool {
        let mut sockets = self.lock();
        sockets.set_waiting(false);
        while let Some(packet) = batch.next() {
            let Packet::Returned(returned) = packet else {
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
                    // Its owner may call us.
                    drop(sockets);
                    other.deliver();
                    sockets = self.lock();
                }
            }
        }
        sockets.user_events_left = !self.completions.report(events, Backend::Iocp as u8);
        sockets.is_settled()
    }

    /// Looks at the suspects, and reports those that are due; when to look again. The lock is free while the kernel is
    /// asked.
    fn probe_all<'a>(
        &'a self,
        mut sockets: MutexGuard<'a, Sockets>,
        events: &mut Events,
    ) -> (MutexGuard<'a, Sockets>, Option<Duration>) {
        if !sockets.has_rechecks() {
            return (sockets, None);
        }
        let now = Instant::now();
        let mut again: Option<Instant> = None;
        while let Some(probe) = sockets.next_probe() {
            drop(sockets);
            let flags = self.prober.probe(probe.base, afd_flags::asked(probe.directions));
            sockets = self.lock();
            if let Some(due) = sockets.apply_probe(&probe, flags, now, events) {
                again = Some(again.map_or(due, |again| again.min(due)));
            }
            if events.spare() == 0 {
                sockets.cut_round();
                return (sockets, Some(Duration::ZERO));
            }
        }
        (sockets, again.map(|again| again.saturating_duration_since(now)))
    }

    /// Whether the socket that is registered under this number was closed since, so that the number is another's now.
    /// Then its registration has ended when this returns.
    ///
    /// The old socket's guard tells. Its packet may be taken by another thread that polls; and this one may take
    /// packets of other sockets, which are kept for the poller.
    #[cold]
    fn was_closed(&self, io: RawIo) -> bool {
        /// The kernel cancels a poll within the call, more or less.
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
                let Packet::Returned(returned) = packet else {
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
                // That was the poller's. If it fails, the next `wait` finds what is owed.
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

    /// Changes the registration of a slot, and sees to it that a poller that sleeps takes notice.
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

    /// Takes back what has come in, without a report; whether there was anything.
    fn drain(&self, batch: &mut Batch) -> io::Result<bool> {
        self.completions.port().wait(batch, usize::MAX, Some(Duration::ZERO))?;
        let mut found = false;
        while let Some(packet) = batch.next() {
            found = true;
            if let Packet::Returned(returned) = packet {
                // A source that has outlived us must learn of its operation's end.
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
        // Whoever shares the port may keep it for long: what was cancelled is freed now. What the kernel takes its
        // time for is freed with the port.
        let mut batch = self.lock().lend_batch();
        while let Ok(true) = self.drain(&mut batch) {}
    }
}
