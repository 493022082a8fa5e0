//! The one-shot state machine: makes a kernel that must be re-armed look edge-triggered. Pure: no OS, no clock.
//!
//! A one-shot kernel reports what *is*, not what has changed. To report each change once, a direction that was reported
//! stays quiet until there is evidence that its readiness was used up:
//!
//! ```text
//!                    register, reregister, rearm(direction)
//!        +---------------------------------------------------------+
//!        v                                                         |
//!     ARMED  -- ready: reported ---+--> QUIET    (an IoSource: its WouldBlock re-arms)
//!        ^                         |      |
//!        |                         |      | rearm without evidence: unknown direction, nothing used up, an error
//!        |                         |      v
//!        +---- seen not ready -----+--> RECHECK  (a raw descriptor: no operation is seen; a hang-up: see below)
//!                                         |
//!                                         +-- still ready after a pause: reported again, pause doubled
//! ```
//!
//! The polling thread rechecks such a direction. If it isn't ready, it was used up: it is armed, and the next change is
//! an event like any other. If it is ready, either it was not used up, or it was and more has come; a level-triggered
//! kernel can't distinguish these. Silence could lose an event, and a report at once would make the thread spin beside
//! a source that is never read. So the direction is reported after a pause, which doubles as long as nothing changes.
//! For an `IoSource` it is reported once, and then rests until the next operation.
//!
//! Errors and hang-ups are reported once even if no direction is armed, as an edge-triggered kernel does.
//!
//! Invariant: a direction of interest is armed, or due for a recheck, or quiet with its readiness reported.
//!
//! # Flags that last
//!
//! I/O doesn't use up every flag: `POLLERR` lasts while an error queue holds an entry, `POLLHUP` after both halves are
//! closed, `POLLRDHUP` and the `POLLIN` beside it after `shutdown`, `POLLOUT` while another socket's queue is full.
//! Others of the same name are new each time: one refused datagram after another. Two rules handle both.
//!
//! 1. *A flag is news if it was seen absent, or if the source has acted since the flag was reported.* An act is an
//!    operation that has succeeded before one returned `WouldBlock`, an operation that has failed, or an error that was
//!    taken: each may have used up the flag, and each allows one more report. So successive errors are all reported,
//!    and there are no more reports than acts.
//! 2. *If every operation has returned `WouldBlock`, nothing was used up.* The flag lasts. A direction without such a
//!    flag is armed once more (the event was spurious, or another thread was faster), and rechecked the next time. A
//!    direction with one is rechecked in silence: the kernel can't block on the source, since it would report it at
//!    once, so the source is rechecked after a pause. A *change* is reported, the flag is not.
//!
//! A hang-up need not be the end: a FIFO gets a new writer, a socket that was registered too early gets connected.
//! Operations on a source that has hung up don't return `WouldBlock`, so it is rechecked in silence from the start,
//! `IoSource` or not. If data is left to read beside the hang-up, it is repeated until the pause is longest.
//!
//! Receiving priority data that isn't there doesn't return `WouldBlock` either (Linux: `EINVAL`), so priority data that
//! was reported is rechecked likewise, and repeated until the pause is longest.
//!
//! The operations on a raw descriptor are not seen, so rule 1 can't hold for it: it is repeated. But the readiness of a
//! process that has ended, or of a file, cannot be used up ([`FileKind::Steady`]), and only its changes are reported.
//!
//! # The other modes
//!
//! All of the above makes edges. A level-triggered registration stays armed, and a one-shot one is disarmed by its
//! event as a whole, so neither is ever rechecked, and no operation re-arms it.

use std::time::Instant;

use self::found::{
    directions, flags_of, has_changed, has_direction, is_hang_up, join, lasts, lost, only, readiness_of,
    without_derived,
};
use self::mode::Mode;
#[allow(unused_imports)] // Windows has no look that fails, and a single backend may need none
pub(in crate::backend) use self::recheck::LONGEST_PAUSE;
use self::recheck::{Reason, RecheckTimer, SHORTEST_PAUSE};
use crate::os::FileKind;
use crate::readiness::{Interest, Readiness, Token};

mod found;
mod mode;
mod recheck;

/// The parameters of one registration, the same for every backend.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registration {
    pub token: Token,
    pub interest: Interest,
    pub tracking: Tracking,
}

impl Registration {
    #[inline]
    pub(crate) const fn tracked(token: Token, interest: Interest) -> Registration {
        Registration { token, interest, tracking: Tracking::Tracked }
    }

    #[cfg_attr(not(feature = "os-ext"), allow(dead_code))] // raw descriptors
    #[inline]
    pub(crate) const fn untracked(token: Token, interest: Interest) -> Registration {
        Registration { token, interest, tracking: Tracking::Untracked }
    }
}

/// A change of the registration of a source that is no descriptor.
#[allow(dead_code)] // Unix has filters, with os-ext
#[derive(Copy, Clone, Debug)]
pub(crate) enum FilterChange {
    Register(Token, Interest),
    Reregister(Token, Interest),
    Deregister,
}

/// Names the source of such a registration, where it matters: each source of a child's end has a number of its own.
#[allow(dead_code)] // as above
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilterOwner(pub(crate) usize);

impl FilterOwner {
    /// The owner of what a `KernelFilter` registers, which stores nothing.
    #[allow(dead_code)] // as above
    pub(crate) const SHARED: FilterOwner = FilterOwner(0);
}

/// Whether the library sees the operations on a source.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tracking {
    /// Its operations go through `IoSource`, which reports each `WouldBlock`.
    Tracked,
    /// Its operations are not seen: a raw descriptor.
    Untracked,
}

/// Why a source is re-armed: the result of an operation, as far as it concerns the readiness that was reported.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum RearmCause {
    /// It has returned `WouldBlock` after an operation that moved data: the direction was used up.
    Direction(Interest),
    /// It has returned `WouldBlock`, and none has succeeded since the last that did: nothing was used up. `None` is an
    /// unknown direction.
    Idle(Option<Interest>),
    /// It has moved fewer bytes than it could have.
    #[cfg_attr(not(any(feature = "net", all(unix, feature = "os-ext"))), allow(dead_code))]
    // the sources of bytes
    Short(Interest),
    /// It has returned `WouldBlock`, in a direction that the caller has not named.
    Unknown,
    /// It has failed otherwise, or the source's error was taken: an error may be used up.
    Error,
}

impl RearmCause {
    /// Returns whether to recheck the source at once, since the operation alone is no evidence.
    pub(crate) fn needs_recheck(self) -> bool {
        !matches!(self, RearmCause::Direction(_) | RearmCause::Short(_))
    }
}

/// Names a registration within one selector, and never another one later.
pub(crate) type WatchKey = super::slab::SlabKey;

/// The result of a recheck.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Recheck {
    /// Every direction was used up, and is armed now.
    Done,
    /// To be reported.
    Report(Readiness),
    /// Some directions are still ready: the time of the next recheck.
    At(Instant),
}

/// The state of one registration on a one-shot kernel.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    /// Its interest has no mode.
    registration: Registration,
    mode: Mode,
    kind: FileKind,
    armed: Option<Interest>,
    /// By direction, in the order of [`DIRECTIONS`].
    rechecks: [Option<RecheckTimer>; 3],
    /// The flags of the last report, if one of them lasts: only a change of them may be reported.
    lasting: Option<Readiness>,
    /// Which of [`ENDINGS`] were reported, and not seen absent since.
    reported_ends: Readiness,
    /// The directions that are armed though nothing was used up: the next time they are rechecked.
    spurious: Option<Interest>,
}

/// What is reported once even if no direction is armed. A program may wait for the end alone (tokio's users do), and an
/// edge-triggered kernel reports it.
const ENDINGS: Readiness = Readiness::ERROR.union(Readiness::READ_CLOSED).union(Readiness::WRITE_CLOSED);

const DIRECTIONS: [Interest; 3] = [Interest::READABLE, Interest::WRITABLE, Interest::PRIORITY_DATA];

impl Watch {
    #[inline]
    pub(crate) fn new(registration: Registration) -> Watch {
        let (interest, mode) = match registration.interest.is_usual() {
            true => (registration.interest, Mode::Edge),
            false => (registration.interest.kinds(), Mode::of(registration.interest)),
        };
        let registration = Registration { interest, ..registration };
        Watch {
            registration,
            mode,
            kind: FileKind::Other,
            armed: Some(registration.interest),
            rechecks: [None; 3],
            lasting: None,
            reported_ends: Readiness::NONE,
            spurious: None,
        }
    }

    /// Sets the kind of the file, where it is known.
    #[inline]
    pub(crate) fn of_kind(self, kind: FileKind) -> Watch {
        Watch { kind, ..self }
    }

    pub(crate) fn token(&self) -> Token {
        self.registration.token
    }

    #[cfg_attr(not(unix), allow(dead_code))]
    pub(crate) fn tracking(&self) -> Tracking {
        self.registration.tracking
    }

    /// Returns the directions that the kernel is to report.
    pub(crate) fn armed(&self) -> Option<Interest> {
        self.armed
    }

    /// Returns whether errors and hang-ups would be news. If not, and no direction is armed, the source is left out: a
    /// kernel reports them unasked, for as long as they last.
    pub(crate) fn awaits_end(&self) -> bool {
        !self.reported_ends.intersects(Readiness::ERROR.union(Readiness::WRITE_CLOSED))
    }

    /// Returns whether a half-close by the peer would be news.
    pub(crate) fn awaits_read_end(&self) -> bool {
        self.registration.interest.needs_read_end() && !self.reported_ends.intersects(Readiness::READ_CLOSED)
    }

    /// Returns the directions to recheck.
    #[inline]
    pub(crate) fn to_recheck(&self) -> Option<Interest> {
        if self.has_no_recheck() {
            return None;
        }
        let mut pending = None;
        for (index, direction) in DIRECTIONS.into_iter().enumerate() {
            if self.rechecks[index].is_some_and(|timer| timer.reason != Reason::Resting) {
                pending = join(pending, Some(direction));
            }
        }
        pending
    }

    /// Arms every direction of the new interest, as `reregister` does.
    pub(crate) fn replace(&mut self, registration: Registration) {
        let tracking = match registration.tracking {
            Tracking::Tracked => Tracking::Tracked,
            Tracking::Untracked => self.mode.tracking_by_descriptor(self.registration.tracking),
        };
        *self = Watch::new(Registration { tracking, ..registration }).of_kind(self.kind);
    }

    /// Applies what the kernel has `found` for the [`armed`](Watch::armed) directions. Returns what to report, if
    /// anything.
    #[inline]
    pub(crate) fn ready(&mut self, found: Readiness) -> Option<Readiness> {
        if self.mode != Mode::Edge {
            return self.ready_by_level(found);
        }
        let is_plain = found.without(Readiness::READABLE.union(Readiness::WRITABLE)).is_none();
        if !is_plain
            || self.registration.tracking == Tracking::Untracked
            || self.kind == FileKind::Steady
            || !self.is_plain_state()
        {
            return self.ready_for_more(found);
        }
        let armed = self.armed?;
        let used = directions(found)?.intersection(self.registration.interest)?;
        armed.intersection(used)?;
        self.armed = armed.difference(used);
        Some(readiness_of(used))
    }

    /// Returns whether no recheck is due, and no error or hang-up was reported.
    #[inline]
    fn is_plain_state(&self) -> bool {
        let has_reported = !self.reported_ends.without(Readiness::READ_CLOSED).is_none();
        !has_reported && self.lasting.is_none() && self.has_no_recheck()
    }

    #[inline]
    fn has_no_recheck(&self) -> bool {
        self.rechecks.iter().all(Option::is_none)
    }

    /// [`ready`](Watch::ready) in a mode that isn't the edge-triggered one.
    fn ready_by_level(&mut self, found: Readiness) -> Option<Readiness> {
        if self.mode == Mode::Spent {
            return None;
        }
        let found = self.of_interest(found);
        let used = self.used(found)?;
        if self.mode == Mode::OneShot {
            // Nothing is news any more, so the kernel isn't asked.
            self.mode = Mode::Spent;
            self.armed = None;
            self.reported_ends = ENDINGS;
        }
        Some(self.reported(found, used))
    }

    /// Returns what is reported if `found` makes progress in the directions `used`.
    fn reported(&self, found: Readiness, used: Interest) -> Readiness {
        let reported = self.in_each_direction(found);
        match has_direction(reported) {
            true => reported,
            false => reported.union(readiness_of(used)),
        }
    }

    /// The general case of [`ready`](Watch::ready): more than readable and writable, or a source that is not plain.
    fn ready_for_more(&mut self, found: Readiness) -> Option<Readiness> {
        let found = self.of_interest(found);
        self.forget_absent(found);
        let used = self.used(found)?;
        let is_armed = self.armed.and_then(|armed| armed.intersection(used)).is_some();
        let is_news = !found.and(ENDINGS).without(self.reported_ends).is_none();
        if !is_armed && !is_news {
            return None;
        }
        let mut reported = self.in_each_direction(found);
        // Nothing blocks at the end of a source, but a kernel that is asked about no direction names none. Nor does it
        // name the directions to recheck, which may have been used up.
        let unreported = match self.armed.is_none() || !has_direction(reported) {
            true => Some(used),
            false => self.to_recheck().and_then(|pending| pending.intersection(used)),
        };
        if let Some(unreported) = unreported {
            reported = reported.union(only(self.registration.interest, readiness_of(unreported)));
        }
        self.reported_ends = self.reported_ends.union(found.and(ENDINGS));
        // A direction that wasn't asked about was ready when it was last reported, so that it is ready now is no
        // change.
        let unasked = self.disarmed_of(self.registration.interest).map_or(Readiness::NONE, flags_of);
        let unasked = unasked.without(Readiness::READ_CLOSED.union(Readiness::LEFTOVER));
        self.armed = self.armed.and_then(|armed| armed.difference(used));
        let has_error = found.intersects(Readiness::ERROR);
        let hung_up = is_hang_up(found);
        self.lasting = lasts(found).then_some(without_derived(found).union(unasked));
        self.rest(used);
        if self.kind == FileKind::Steady && !has_error {
            // Nothing uses it up, and what comes is asked about all the same.
        } else if hung_up || self.registration.tracking == Tracking::Untracked {
            self.schedule_recheck(used, Reason::Unseen);
        } else if let Some(priority) = used.intersection(Interest::PRIORITY_DATA) {
            self.schedule_recheck(priority, Reason::Priority);
        }
        Some(reported)
    }

    /// Applies the result of an operation, which has used up readiness, or may have.
    pub(crate) fn rearm(&mut self, cause: RearmCause) {
        if self.mode != Mode::Edge {
            return;
        }
        match cause {
            RearmCause::Direction(direction) => {
                if let Some(direction) = direction.intersection(self.registration.interest) {
                    self.arm(direction);
                }
            }
            RearmCause::Idle(Some(direction)) => {
                let direction = direction.intersection(self.registration.interest);
                if let Some(direction) = direction.and_then(|direction| self.disarmed_of(direction)) {
                    self.rearm_idle(direction);
                }
            }
            // Nothing is behind the bytes that were moved, or the end, which was reported or will be.
            RearmCause::Short(direction) => {
                let ended =
                    Readiness::WRITE_CLOSED.union(Readiness::READ_CLOSED.when(direction.is_readable()));
                if !self.reported_ends.intersects(ended) {
                    self.rearm(RearmCause::Direction(direction));
                }
            }
            // To arm all would report the direction that did not block at once, and again after each blocked operation
            // (mio#1963): an unknown direction is rechecked instead.
            RearmCause::Idle(None) => {
                if let Some(disarmed) = self.disarmed_of(self.registration.interest) {
                    self.schedule_recheck(disarmed, Reason::Either);
                }
            }
            RearmCause::Unknown => {
                if let Some(disarmed) = self.disarmed_of(self.registration.interest) {
                    for timer in self.rechecks.iter_mut().flatten() {
                        if timer.reason == Reason::Unseen {
                            timer.reason = Reason::Operation;
                        }
                    }
                    self.schedule_recheck(disarmed, Reason::Operation);
                    self.lasting = None;
                    if self.has_reported_error() {
                        self.reported_ends = self.reported_ends.without(Readiness::ERROR);
                    }
                }
            }
            RearmCause::Error => {
                if self.has_reported_error() {
                    match self.disarmed_of(self.registration.interest) {
                        Some(disarmed) if !disarmed.is_end() => {
                            self.schedule_recheck(disarmed, Reason::Error);
                        }
                        _ => self.reported_ends = self.reported_ends.without(Readiness::ERROR),
                    }
                }
            }
        }
    }

    /// Handles a `direction` whose operations have all returned `WouldBlock` since it was reported.
    fn rearm_idle(&mut self, direction: Interest) {
        let lasting = Readiness::ERROR
            .union(Readiness::WRITE_CLOSED)
            .union(Readiness::READ_CLOSED.when(direction.is_readable()));
        let is_again = self.spurious.and_then(|spurious| spurious.intersection(direction)).is_some();
        if is_again || self.reported_ends.intersects(lasting) {
            self.schedule_recheck(direction, Reason::Operation);
        } else {
            self.arm(direction);
            self.spurious = join(self.spurious, Some(direction));
        }
    }

    /// Applies the result of an immediate recheck of [`to_recheck`](Watch::to_recheck): arms the directions that are
    /// not ready.
    pub(crate) fn arm_used_up(&mut self, found: Readiness) {
        let found = self.of_interest(found);
        self.forget_absent(found);
        let ready = self.still_ready(found);
        self.lasting = self.lasting.map(|last| last.without(lost(last, self.with_unasked(last, found))));
        for (index, direction) in DIRECTIONS.into_iter().enumerate() {
            let is_ready = ready.and_then(|ready| ready.intersection(direction)).is_some();
            self.end_recheck(index, direction, is_ready, found);
        }
    }

    /// Ends the recheck of a direction, if it is over. Returns whether it is.
    fn end_recheck(&mut self, index: usize, direction: Interest, is_ready: bool, found: Readiness) -> bool {
        let Some(RecheckTimer { reason, .. }) = self.rechecks[index] else {
            return true;
        };
        if reason == Reason::Resting {
            return true;
        }
        // The kernel can't block on a flag that it reports at once.
        let lasts = found.intersects(Readiness::ERROR.union(Readiness::WRITE_CLOSED));
        if !is_ready && !lasts {
            self.arm(direction);
            self.spurious = self.spurious.and_then(|spurious| spurious.difference(direction));
            return true;
        }
        // The reason was an error, not the direction; nor does a steady source block.
        let is_over = match reason {
            Reason::Error => !found.intersects(Readiness::ERROR),
            _ => self.kind == FileKind::Steady && !lasts,
        };
        if is_over {
            self.rechecks[index] = None;
        }
        is_over
    }

    /// Applies the result of a recheck of [`to_recheck`](Watch::to_recheck); `found` may be empty.
    pub(crate) fn recheck(&mut self, found: Readiness, now: Instant) -> Recheck {
        let found = self.of_interest(found);
        self.forget_absent(found);
        if self.awaits_end() && found.intersects(Readiness::ERROR.union(Readiness::WRITE_CLOSED)) {
            // It concerns every direction, rechecked or not. The kernel is asked about it all the same, and reports it
            // at once.
            return Recheck::At(now + SHORTEST_PAUSE);
        }
        let ready = self.still_ready(found);
        let has_changed = match self.lasting {
            Some(last) => {
                let now_found = self.with_unasked(last, found);
                let has_changed = has_changed(last, now_found);
                self.lasting = (!has_changed || lasts(now_found)).then_some(now_found);
                has_changed
            }
            None => false,
        };
        let mut report: Option<Interest> = None;
        let mut next: Option<Instant> = None;
        for (index, direction) in DIRECTIONS.into_iter().enumerate() {
            let is_ready = ready.and_then(|ready| ready.intersection(direction)).is_some();
            if self.end_recheck(index, direction, is_ready, found) {
                continue;
            }
            let Some(mut timer) = self.rechecks[index] else {
                continue;
            };
            let due = timer.due(now);
            // A change is due at once, also at the first recheck.
            if has_changed || now >= due {
                let may_give_up = self.may_give_up(direction, timer.reason);
                let is_longest = timer.postpone(now, has_changed, may_give_up);
                let is_news = match timer.reason {
                    Reason::Error => true,
                    _ if !is_ready => false,
                    _ if has_changed => true,
                    _ => !(self.is_silent() || may_give_up && is_longest),
                };
                if is_news {
                    report = join(report, Some(direction));
                    if timer.reason.is_of_operation() {
                        timer.reason = if is_hang_up(found) { Reason::Unseen } else { Reason::Resting };
                    }
                }
            }
            self.rechecks[index] = Some(timer);
            if timer.reason != Reason::Resting {
                let due = timer.due(now);
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        match (report, next) {
            (Some(report), _) => {
                if lasts(found) {
                    self.lasting.get_or_insert(found);
                }
                let unreported = Readiness::READ_CLOSED.when(!report.is_readable());
                self.reported_ends = self.reported_ends.union(found.and(ENDINGS).without(unreported));
                let reported = only(report, self.in_each_direction(found));
                // A bare hang-up counts as readable, which may not be the direction that was rechecked.
                let unreported = readiness_of(report).when(!has_direction(reported));
                Recheck::Report(reported.union(unreported))
            }
            (None, Some(next)) => Recheck::At(next),
            (None, None) => Recheck::Done,
        }
    }

    /// Returns whether a report of lasting flags would repeat the last one.
    fn is_silent(&self) -> bool {
        let has_ended = |last: Readiness| is_hang_up(last) && !last.intersects(Readiness::LEFTOVER);
        self.kind == FileKind::Steady || self.lasting.is_some_and(has_ended)
    }

    /// Returns whether a direction that has long been ready may be given up: few sources come back from their end.
    fn may_give_up(&self, direction: Interest, reason: Reason) -> bool {
        reason == Reason::Priority
            || self.lasting.is_some_and(is_hang_up)
            || direction.is_readable() && self.reported_ends.intersects(Readiness::READ_CLOSED)
    }

    fn has_reported_error(&self) -> bool {
        self.reported_ends.intersects(Readiness::ERROR)
            && !self.reported_ends.intersects(Readiness::WRITE_CLOSED)
    }

    /// Returns those of `directions` that aren't armed.
    fn disarmed_of(&self, directions: Interest) -> Option<Interest> {
        match self.armed {
            Some(armed) => directions.difference(armed),
            None => Some(directions),
        }
    }

    /// Forgets reported endings that are absent now: they are news when they come again. A kernel reports them unasked,
    /// except a half-close.
    fn forget_absent(&mut self, found: Readiness) {
        let unasked = Readiness::ERROR.union(Readiness::WRITE_CLOSED);
        self.reported_ends = self.reported_ends.without(unasked.without(found));
    }

    /// Arms `directions`, whose readiness was used up: the next change counts.
    fn arm(&mut self, directions: Interest) {
        self.armed = join(self.armed, Some(directions));
        self.spurious = self.spurious.and_then(|spurious| spurious.difference(directions));
        // A flag that doesn't last is no end: the next is news. But a peer may send no more and still receive.
        let lasting = Readiness::READ_CLOSED.when(!directions.is_readable());
        let was_plain_state = self.is_plain_state();
        self.reported_ends = self.reported_ends.and(lasting);
        if was_plain_state {
            return;
        }
        for (index, direction) in DIRECTIONS.into_iter().enumerate() {
            if directions.intersection(direction).is_some() {
                self.rechecks[index] = None;
            }
        }
        if self.to_recheck().is_none() {
            self.lasting = None;
        }
    }

    /// Schedules a recheck of `directions`. A direction that has one already keeps its timer; restarting it each time
    /// would postpone the report for ever.
    fn schedule_recheck(&mut self, directions: Interest, reason: Reason) {
        for (index, direction) in DIRECTIONS.into_iter().enumerate() {
            if directions.intersection(direction).is_none() {
                continue;
            }
            match &mut self.rechecks[index] {
                Some(timer) if timer.reason == Reason::Resting => {
                    timer.renew(reason);
                }
                // An error that may be another by now is reported, whatever the other reason was.
                Some(timer) if matches!(timer.reason, Reason::Operation | Reason::Either) => {
                    timer.reason = reason;
                }
                Some(_) => {}
                none => *none = Some(RecheckTimer::new(reason)),
            }
        }
    }

    /// Lets the rechecks of `directions`, which are reported, rest until the next operation.
    fn rest(&mut self, directions: Interest) {
        for (index, direction) in DIRECTIONS.into_iter().enumerate() {
            if directions.intersection(direction).is_none() {
                continue;
            }
            match &mut self.rechecks[index] {
                Some(timer) if timer.reason.is_of_operation() => {
                    timer.reason = Reason::Resting;
                }
                _ => {}
            }
        }
    }

    /// Returns the directions of interest in which `found` makes progress.
    fn used(&self, found: Readiness) -> Option<Interest> {
        // Errors and hang-ups are reported unasked. They concern every direction of interest, or a kernel that repeats
        // them would keep the polling thread awake.
        let ends = Readiness::ERROR.union(Readiness::WRITE_CLOSED);
        if found.intersects(ends) || self.registration.interest.is_end() {
            return found.intersects(ENDINGS).then_some(self.registration.interest);
        }
        directions(without_derived(found))?.intersection(self.registration.interest)
    }

    /// Returns the directions in which `found` makes progress. An error that was reported and lasts makes none.
    fn still_ready(&self, found: Readiness) -> Option<Interest> {
        let is_old = self.reported_ends.intersects(Readiness::ERROR) && found.intersects(Readiness::ERROR);
        if is_old && self.registration.tracking == Tracking::Tracked && !is_hang_up(found) {
            return directions(without_derived(found))?.intersection(self.registration.interest);
        }
        self.used(found)
    }

    /// Returns `found`, and those flags of `last` that the kernel was not asked about.
    fn with_unasked(&self, last: Readiness, found: Readiness) -> Readiness {
        let unasked = match self.to_recheck() {
            Some(asked) => self.registration.interest.difference(asked),
            None => Some(self.registration.interest),
        };
        without_derived(found).union(without_derived(last).and(unasked.map_or(Readiness::NONE, flags_of)))
    }

    /// Returns `found` without the directions that aren't of interest, and without an end that is none.
    fn of_interest(&self, found: Readiness) -> Readiness {
        // A reader has no pipe to write to, and for a socket the kernel reports separately that both halves are closed:
        // there an error closes nothing.
        let has_no_reader_to_lose = self.registration.interest.is_readable() || self.kind == FileKind::Socket;
        let closes_nothing =
            found.intersects(Readiness::ERROR) && has_no_reader_to_lose && !is_hang_up(found);
        only(self.registration.interest, found.without(Readiness::WRITE_CLOSED.when(closes_nothing)))
    }

    /// Returns `found` as it is reported. Reading and writing both return an error, so it is reported in each direction
    /// of interest: [`ready`](Watch::ready) silences each.
    fn in_each_direction(&self, found: Readiness) -> Readiness {
        let both = Readiness::READABLE.union(Readiness::WRITABLE).when(found.intersects(Readiness::ERROR));
        only(self.registration.interest, found.union(both))
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod tests;
