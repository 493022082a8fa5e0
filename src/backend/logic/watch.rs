//! The one-shot state machine: an edge-triggered face on a kernel that must be asked again. Pure: no OS, no clock.
//!
//! A one-shot kernel answers what *is*, not what has changed. To report each change once, a direction that was
//! reported is left alone until there is a reason to believe that its readiness was used up:
//!
//! ```text
//!                    register, reregister, rearm(direction)
//!        +---------------------------------------------------------+
//!        v                                                         |
//!     ARMED  -- ready: reported ---+--> QUIET    (an IoSource: its WouldBlock will tell)
//!        ^                         |      |
//!        |                         |      | rearm with a doubt: unknown direction, nothing used up, an error
//!        |                         |      v
//!        +---- seen not ready -----+--> SUSPECT  (a raw descriptor: no operation is seen; a hang-up: see below)
//!                                         |
//!                                         +-- still ready after a pause: reported again, pause doubled
//! ```
//!
//! A suspect is looked at when the poller comes by. Not ready: it was used up, so it is armed, and the next change
//! is an event like any other. Ready: either it was not used up, or it was and more has come; a kernel that
//! answers levels can't tell which. To say nothing could lose an event, to report at once would make the poller spin
//! beside a source that is never read. So it is reported again after a pause, which doubles as long as nothing
//! changes. A suspect of an `IoSource` is reported once, and rests until the next operation says more.
//!
//! Errors and hang-ups are reported once even if no direction is armed, as an edge-triggered kernel does.
//!
//! # Flags that last
//!
//! Some flags are not used up by I/O: `POLLERR` lasts while an error queue holds an entry, `POLLHUP` after both halves
//! are closed, `POLLRDHUP` and the `POLLIN` beside it after `shutdown`, `POLLOUT` while another socket's queue is full.
//! Others of the same name come anew: one refused datagram after another. Two rules keep both right.
//!
//! 1. *A flag is news when it was seen absent, or when the source has done something since it was reported.* Something
//!    is an operation that has succeeded before one answered `WouldBlock`, an operation that has failed, or an error
//!    that was taken: each may have used the flag up, and each allows one more report. So errors that come one after
//!    another are all reported, and there are no more reports than things that the program has done.
//! 2. *What `WouldBlock` alone has answered was not used up.* The flag lasts. A direction without such a flag is armed
//!    once more (the event was spurious, or another thread was faster), then suspected. A direction with one is
//!    suspected in silence: the kernel can't sleep on the source, since it would answer at once, so the source is
//!    looked at after a pause; a *change* is reported, the flag is not.
//!
//! A hang-up need not be the end: a FIFO gets a new writer, a socket that was registered too early gets connected.
//! Operations on a source that has hung up don't answer `WouldBlock`, so it is suspected in silence from the start,
//! `IoSource` or not. If something is left to read beside the hang-up, it is repeated until the pause is longest.
//!
//! Nor is `WouldBlock` the answer to a receiver of priority data that isn't there (Linux says `EINVAL`), so priority
//! that was reported is a suspect likewise, and is repeated until the pause is longest.
//!
//! What a raw descriptor does is not seen, so rule 1 can't hold for it: it is repeated. But the readiness of an ended
//! process, or of a file, is not for use at all ([`FileKind::Steady`]), and changes of it alone are reported.

use std::time::Instant;

#[cfg(not(windows))]
pub(in crate::backend) use self::recheck::LONGEST_PAUSE;
use self::recheck::{Reason, RecheckTimer, SHORTEST_PAUSE};
use crate::os::FileKind;
use crate::readiness::{Interest, Readiness, Token};

mod recheck;

/// What a program asks for with one source: the same for every backend.
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

/// How a source's readiness becomes known to be used up.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tracking {
    /// Its operations go through `IoSource`, which reports each `WouldBlock`.
    Tracked,
    /// Its operations are not seen: a raw descriptor.
    Untracked,
}

/// What an operation says of the readiness that was reported.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// It has answered `WouldBlock`, and something else came before: the direction was used up.
    Direction(Interest),
    /// It has answered `WouldBlock`, and none has succeeded since the last that did: nothing was used up. `None` is an
    /// unknown direction.
    Idle(Option<Interest>),
    /// It has moved fewer bytes than it could have.
    #[cfg_attr(not(any(feature = "net", all(unix, feature = "os-ext"))), allow(dead_code))]
    // the sources of bytes
    Short(Interest),
    /// It has answered `WouldBlock`, in a direction that the caller did not name.
    Unknown,
    /// It has failed otherwise, or the source's error was taken: an error may be used up.
    Error,
}

impl Blocked {
    /// Whether to look at once what the source is ready for, since an operation alone doesn't say.
    pub(crate) fn needs_recheck(self) -> bool {
        !matches!(self, Blocked::Direction(_) | Blocked::Short(_))
    }
}

/// Names a registration within one selector; never names another one later.
pub(crate) type WatchKey = super::slab::SlabKey;

/// What a look at the suspects has shown.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Recheck {
    /// None is left: all were used up, and are armed now.
    Done,
    /// Report these.
    Report(Readiness),
    /// Some are still ready: look again at this time.
    At(Instant),
}

/// One registration on a one-shot kernel.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    registration: Registration,
    kind: FileKind,
    armed: Option<Interest>,
    /// By direction, in the order of [`DIRECTIONS`].
    rechecks: [Option<RecheckTimer>; 3],
    /// What the kernel said last, if a flag of it lasts: only a change of it may be reported.
    lasting: Option<Readiness>,
    /// Which of [`ENDINGS`] were reported, and not seen absent since.
    reported_ends: Readiness,
    /// What is armed though nothing was used up: a second time it is suspected.
    spurious: Option<Interest>,
}

/// What is reported once even if no direction is armed: a program may wait for the end alone (tokio's users do), and
/// an edge-triggered kernel tells it.
const ENDINGS: Readiness = Readiness::ERROR.union(Readiness::READ_CLOSED).union(Readiness::WRITE_CLOSED);

const DIRECTIONS: [Interest; 3] = [Interest::READABLE, Interest::WRITABLE, Interest::PRIORITY_DATA];

impl Watch {
    #[inline]
    pub(crate) fn new(registration: Registration) -> Watch {
        Watch {
            registration,
            kind: FileKind::Other,
            armed: Some(registration.interest),
            rechecks: [None; 3],
            lasting: None,
            reported_ends: Readiness::NONE,
            spurious: None,
        }
    }

    /// The same of a descriptor of which more is known.
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

    /// The directions that the kernel is to be asked about.
    pub(crate) fn armed(&self) -> Option<Interest> {
        self.armed
    }

    /// Whether errors and hang-ups would be news, though no direction be armed. If not, and none is, leave the source
    /// out: a kernel tells of them unasked, for as long as they last.
    pub(crate) fn awaits_end(&self) -> bool {
        !self.reported_ends.intersects(Readiness::ERROR.union(Readiness::WRITE_CLOSED))
    }

    /// Whether it would be news that the peer sends no more.
    pub(crate) fn awaits_read_end(&self) -> bool {
        self.registration.interest.is_readable() && !self.reported_ends.intersects(Readiness::READ_CLOSED)
    }

    /// What is to be looked at when the poller comes by.
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

    /// `reregister`: all is asked anew.
    pub(crate) fn replace(&mut self, registration: Registration) {
        // The source's `SourceFd` may do it for an `IoSource`, whose operations are tracked still.
        let tracking = self.registration.tracking;
        *self = Watch::new(Registration { tracking, ..registration }).of_kind(self.kind);
    }

    /// The kernel has answered to [`armed`](Watch::armed): what to report, if anything.
    #[inline]
    pub(crate) fn ready(&mut self, found: Readiness) -> Option<Readiness> {
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
        self.armed = armed.remove(used);
        Some(only(self.registration.interest, found))
    }

    /// Nothing is suspected, and no error or hang-up was reported.
    #[inline]
    fn is_plain_state(&self) -> bool {
        let has_reported = !self.reported_ends.without(Readiness::READ_CLOSED).is_none();
        !has_reported && self.lasting.is_none() && self.has_no_recheck()
    }

    #[inline]
    fn has_no_recheck(&self) -> bool {
        self.rechecks.iter().all(Option::is_none)
    }

    /// As [`ready`](Watch::ready), of what is more than readable and writable, or of more than an operation's
    /// direction.
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
        // At the end of a source nothing blocks, but a kernel that is asked about no direction says none. Nor does it
        // say those that are suspected, and may have been used up.
        let unreported = match self.armed.is_none() || !has_direction(reported) {
            true => Some(used),
            false => self.to_recheck().and_then(|pending| pending.intersection(used)),
        };
        if let Some(unreported) = unreported {
            reported = reported.union(only(self.registration.interest, readiness_of(unreported)));
        }
        self.reported_ends = self.reported_ends.union(found.and(ENDINGS));
        // What wasn't asked for was ready when it was last reported, so that it is now is no change.
        let unasked = self.disarmed_of(self.registration.interest).map_or(Readiness::NONE, flags_of);
        let unasked = unasked.without(Readiness::READ_CLOSED.union(Readiness::LEFTOVER));
        self.armed = self.armed.and_then(|armed| armed.remove(used));
        let has_error = found.intersects(Readiness::ERROR);
        let hung_up = is_hang_up(found);
        self.lasting = lasts(found).then_some(without_derived(found).union(unasked));
        self.rest(used);
        if self.kind == FileKind::Steady && !has_error {
            // Nothing uses it up, and what comes is asked for all the same.
        } else if hung_up || self.registration.tracking == Tracking::Untracked {
            self.schedule_recheck(used, Reason::Unseen);
        } else if let Some(priority) = used.intersection(Interest::PRIORITY_DATA) {
            self.schedule_recheck(priority, Reason::Priority);
        }
        Some(reported)
    }

    /// An operation says that readiness was used up, or may have been.
    pub(crate) fn rearm(&mut self, blocked: Blocked) {
        match blocked {
            Blocked::Direction(direction) => {
                if let Some(direction) = direction.intersection(self.registration.interest) {
                    self.arm(direction);
                }
            }
            Blocked::Idle(Some(direction)) => {
                let direction = direction.intersection(self.registration.interest);
                if let Some(direction) = direction.and_then(|direction| self.disarmed_of(direction)) {
                    self.rearm_idle(direction);
                }
            }
            // Behind what was moved there is nothing, or the end, which was told or will be.
            Blocked::Short(direction) => {
                let ended =
                    Readiness::WRITE_CLOSED.union(Readiness::READ_CLOSED.when(direction.is_readable()));
                if !self.reported_ends.intersects(ended) {
                    self.rearm(Blocked::Direction(direction));
                }
            }
            // Arming all would report the direction that did not block at once, and again after each blocked
            // operation (mio#1963): an unknown direction is suspected instead.
            Blocked::Idle(None) => {
                if let Some(disarmed) = self.disarmed_of(self.registration.interest) {
                    self.schedule_recheck(disarmed, Reason::Either);
                }
            }
            Blocked::Unknown => {
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
            Blocked::Error => {
                if self.has_reported_error() {
                    match self.disarmed_of(self.registration.interest) {
                        Some(disarmed) => self.schedule_recheck(disarmed, Reason::Error),
                        None => self.reported_ends = self.reported_ends.without(Readiness::ERROR),
                    }
                }
            }
        }
    }

    /// `WouldBlock` is all that `direction` has answered since it was reported.
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

    /// The kernel has just answered to [`to_recheck`](Watch::to_recheck): what isn't ready is what was used up.
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

    /// Whether the suspicion of a direction has ended.
    fn end_recheck(&mut self, index: usize, direction: Interest, is_ready: bool, found: Readiness) -> bool {
        let Some(RecheckTimer { reason, .. }) = self.rechecks[index] else {
            return true;
        };
        if reason == Reason::Resting {
            return true;
        }
        // What the kernel answers at once can't be slept on.
        let lasts = found.intersects(Readiness::ERROR.union(Readiness::WRITE_CLOSED));
        if !is_ready && !lasts {
            self.arm(direction);
            self.spurious = self.spurious.and_then(|spurious| spurious.remove(direction));
            return true;
        }
        // What was in doubt is an error, not the direction; nor does what is steady block.
        let is_over = match reason {
            Reason::Error => !found.intersects(Readiness::ERROR),
            _ => self.kind == FileKind::Steady && !lasts,
        };
        if is_over {
            self.rechecks[index] = None;
        }
        is_over
    }

    /// The kernel has answered to [`to_recheck`](Watch::to_recheck) without sleeping; `found` may be nothing.
    pub(crate) fn recheck(&mut self, found: Readiness, now: Instant) -> Recheck {
        let found = self.of_interest(found);
        self.forget_absent(found);
        if self.awaits_end() && found.intersects(Readiness::ERROR.union(Readiness::WRITE_CLOSED)) {
            // It concerns every direction, suspect or not. The kernel is asked for it all the same, and answers at
            // once.
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
            // A change is due at once, at the first look too.
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
                // A bare hang-up counts as readable, which may not be what was looked at.
                let unreported = readiness_of(report).when(!has_direction(reported));
                Recheck::Report(reported.union(unreported))
            }
            (None, Some(next)) => Recheck::At(next),
            (None, None) => Recheck::Done,
        }
    }

    /// Whether to repeat what lasts would say nothing new.
    fn is_silent(&self) -> bool {
        let has_ended = |last: Readiness| is_hang_up(last) && !last.intersects(Readiness::LEFTOVER);
        self.kind == FileKind::Steady || self.lasting.is_some_and(has_ended)
    }

    /// Whether a direction that stays ready for long is ready for ever: of those at their end few come back.
    fn may_give_up(&self, direction: Interest, reason: Reason) -> bool {
        reason == Reason::Priority
            || self.lasting.is_some_and(is_hang_up)
            || direction.is_readable() && self.reported_ends.intersects(Readiness::READ_CLOSED)
    }

    fn has_reported_error(&self) -> bool {
        self.reported_ends.intersects(Readiness::ERROR)
            && !self.reported_ends.intersects(Readiness::WRITE_CLOSED)
    }

    /// Those of `directions` that aren't armed.
    fn disarmed_of(&self, directions: Interest) -> Option<Interest> {
        match self.armed {
            Some(armed) => directions.remove(armed),
            None => Some(directions),
        }
    }

    /// What isn't said any more is news when it comes again. A kernel says it unasked, but for the end of reading.
    fn forget_absent(&mut self, found: Readiness) {
        let unasked = Readiness::ERROR.union(Readiness::WRITE_CLOSED);
        self.reported_ends = self.reported_ends.without(unasked.without(found));
    }

    /// The readiness of `directions` is used up: the next change counts.
    fn arm(&mut self, directions: Interest) {
        self.armed = join(self.armed, Some(directions));
        self.spurious = self.spurious.and_then(|spurious| spurious.remove(directions));
        // What doesn't go on is no end: the next is news. But a peer may send no more and still receive.
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

    /// Suspects `directions`; what is suspected already keeps its pause and its timer: to restart it each time would
    /// postpone the report for ever.
    fn schedule_recheck(&mut self, directions: Interest, reason: Reason) {
        for (index, direction) in DIRECTIONS.into_iter().enumerate() {
            if directions.intersection(direction).is_none() {
                continue;
            }
            match &mut self.rechecks[index] {
                Some(timer) if timer.reason == Reason::Resting => {
                    timer.renew(reason);
                }
                // An error that may be another by now is to be reported whatever else is in doubt.
                Some(timer) if matches!(timer.reason, Reason::Operation | Reason::Either) => {
                    timer.reason = reason;
                }
                Some(_) => {}
                none => *none = Some(RecheckTimer::new(reason)),
            }
        }
    }

    /// `directions` are reported: what operations had left open is answered.
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

    /// The directions that `found` makes progress in, of those that are of interest.
    fn used(&self, found: Readiness) -> Option<Interest> {
        // Errors and hang-ups are reported unasked. They concern whatever is of interest, or a kernel that goes on
        // answering would keep the poller awake.
        if found.intersects(Readiness::ERROR.union(Readiness::WRITE_CLOSED)) {
            return Some(self.registration.interest);
        }
        directions(without_derived(found))?.intersection(self.registration.interest)
    }

    /// Of the suspects, those that `found` makes progress in. An error that was reported and lasts is none.
    fn still_ready(&self, found: Readiness) -> Option<Interest> {
        let is_old = self.reported_ends.intersects(Readiness::ERROR) && found.intersects(Readiness::ERROR);
        if is_old && self.registration.tracking == Tracking::Tracked && !is_hang_up(found) {
            return directions(without_derived(found))?.intersection(self.registration.interest);
        }
        self.used(found)
    }

    /// `found`, and of what was found `last` the flags that weren't asked for now.
    fn with_unasked(&self, last: Readiness, found: Readiness) -> Readiness {
        let unasked = match self.to_recheck() {
            Some(asked) => self.registration.interest.remove(asked),
            None => Some(self.registration.interest),
        };
        without_derived(found).union(without_derived(last).and(unasked.map_or(Readiness::NONE, flags_of)))
    }

    /// `found`, less the directions that aren't of interest, and less an end that is none.
    fn of_interest(&self, found: Readiness) -> Readiness {
        // A reader has no pipe to write to, and of a socket the kernel says apart that both halves are closed: there
        // an error closes nothing.
        let has_no_reader_to_lose = self.registration.interest.is_readable() || self.kind == FileKind::Socket;
        let closes_nothing =
            found.intersects(Readiness::ERROR) && has_no_reader_to_lose && !is_hang_up(found);
        only(self.registration.interest, found.without(Readiness::WRITE_CLOSED.when(closes_nothing)))
    }

    /// `found` as it is reported. An error is found by reading and by writing, so it is reported in each direction of
    /// interest: [`ready`](Watch::ready) silences each.
    fn in_each_direction(&self, found: Readiness) -> Readiness {
        let both = Readiness::READABLE.union(Readiness::WRITABLE).when(found.intersects(Readiness::ERROR));
        only(self.registration.interest, found.union(both))
    }
}

/// `found` without what follows from other flags.
fn without_derived(found: Readiness) -> Readiness {
    found
        .without(Readiness::READABLE.when(found.intersects(Readiness::DERIVED_READ)))
        .without(Readiness::WRITABLE.when(found.intersects(Readiness::DERIVED_WRITE)))
        .without(Readiness::DERIVED_READ.union(Readiness::DERIVED_WRITE))
}

/// Whether a flag of `found` lasts.
fn lasts(found: Readiness) -> bool {
    is_hang_up(found) || found.intersects(Readiness::ERROR)
}

/// What of `last` isn't there `now`, and need not be reported: it was used up.
fn lost(last: Readiness, now: Readiness) -> Readiness {
    last.without(now).without(Readiness::READ_CLOSED.union(Readiness::WRITE_CLOSED))
}

/// Whether `now` says something that `last` didn't: that a half is open again, too, but not what was used up.
fn has_changed(last: Readiness, now: Readiness) -> bool {
    let last = without_derived(last);
    last.without(lost(last, now)) != now
}

fn readiness_of(directions: Interest) -> Readiness {
    Readiness::READABLE
        .when(directions.is_readable() || directions.is_priority())
        .union(Readiness::WRITABLE.when(directions.is_writable()))
}

/// The flags that a kernel says only if it is asked about `directions`.
fn flags_of(directions: Interest) -> Readiness {
    let reading = Readiness::READABLE.union(Readiness::READ_CLOSED).union(Readiness::LEFTOVER);
    reading
        .when(directions.is_readable())
        .union(Readiness::WRITABLE.when(directions.is_writable()))
        .union(Readiness::PRIORITY.when(directions.is_priority()))
}

/// `found`, less the directions that are not in `wanted`.
fn only(wanted: Interest, found: Readiness) -> Readiness {
    let reads = wanted.is_readable() || wanted.is_priority();
    found
        .without(Readiness::READABLE.when(!reads))
        .without(Readiness::WRITABLE.when(!wanted.is_writable()))
        .without(Readiness::PRIORITY.when(!wanted.is_priority()))
}

fn has_direction(found: Readiness) -> bool {
    found.intersects(Readiness::READABLE.union(Readiness::WRITABLE).union(Readiness::PRIORITY))
}

/// Both halves are closed.
fn is_hang_up(found: Readiness) -> bool {
    found.intersects(Readiness::READ_CLOSED) && found.intersects(Readiness::WRITE_CLOSED)
}

/// The directions in which an operation would make progress.
fn directions(found: Readiness) -> Option<Interest> {
    let mut directions = None;
    for (flag, direction) in [
        (Readiness::READABLE, Interest::READABLE),
        (Readiness::READ_CLOSED, Interest::READABLE),
        (Readiness::WRITABLE, Interest::WRITABLE),
        (Readiness::PRIORITY, Interest::PRIORITY_DATA),
    ] {
        if found.intersects(flag) {
            directions = join(directions, Some(direction));
        }
    }
    directions
}

fn join(a: Option<Interest>, b: Option<Interest>) -> Option<Interest> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a | b),
        (a, b) => a.or(b),
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod tests;
