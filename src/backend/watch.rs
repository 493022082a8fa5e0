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
//!        |                         |      | rearm(unknown direction)
//!        |                         |      v
//!        +---- seen not ready -----+--> SUSPECT  (a raw descriptor: nobody will tell; a hang-up: see below)
//!                                         |
//!                                         +-- still ready after a pause: reported again, pause doubled
//! ```
//!
//! A suspect is looked at when the poller comes by. Not ready: it was used up, so it is armed, and the next change
//! is an event like any other. Ready: either nobody has used it up, or somebody has and more has come; a kernel that
//! answers levels can't tell which. To say nothing could lose an event, to report at once would make the poller spin
//! beside a source that nobody reads. So it is reported again after a pause, which doubles as long as nothing
//! changes.
//!
//! Errors and hang-ups are reported once even if no direction is armed, as an edge-triggered kernel does.
//!
//! A hang-up need not be the end: a FIFO gets a new writer, a socket that was registered too early gets connected.
//! Operations on a source that has hung up don't answer `WouldBlock`, so nobody will tell, though the source be an
//! `IoSource`. It becomes a suspect too, but whoever has hung up is reported again only when what the kernel says has
//! changed.
//!
//! Nor is `WouldBlock` the answer to who would receive priority data that isn't there (Linux says `EINVAL`), so
//! priority that was reported is a suspect likewise.

use std::time::{Duration, Instant};

use crate::readiness::{Interest, Readiness, Token};

/// How a source's readiness becomes known to be used up.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tracking {
    /// Its operations go through `IoSource`, which tells of each `WouldBlock`.
    Operations,
    /// Its operations are invisible: a raw descriptor.
    Levels,
}

/// Which operation has used up its direction.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// It has answered `WouldBlock`.
    Direction(Interest),
    /// It has moved fewer bytes than it could have.
    #[cfg_attr(not(any(feature = "net", all(unix, feature = "os-ext"))), allow(dead_code))]
    // the sources of bytes
    Short(Interest),
    /// The caller did not say.
    Unknown,
}

/// Names a registration within one selector; never names another one later.
pub(crate) type WatchKey = super::slab::Key;

/// What a look at the suspects has shown.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// None is left: all were used up, and are armed now.
    Clear,
    /// Report these.
    Report(Readiness),
    /// Some are still ready: look again at this time.
    Later(Instant),
}

/// One registration on a one-shot kernel.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    token: Token,
    interest: Interest,
    tracking: Tracking,
    armed: Option<Interest>,
    /// By direction, in the order of [`DIRECTIONS`].
    suspects: [Option<Suspicion>; 3],
    /// What was reported with a hang-up, if only a change of it is to be reported.
    hung_up: Option<Readiness>,
    /// Which of [`ENDINGS`] were reported.
    told: Readiness,
}

/// What is reported once even if no direction is armed: a program may wait for the end alone (tokio's users do), and
/// an edge-triggered kernel tells it.
const ENDINGS: Readiness = Readiness::ERROR.union(Readiness::READ_CLOSED).union(Readiness::WRITE_CLOSED);

const DIRECTIONS: [Interest; 3] = [Interest::READABLE, Interest::WRITABLE, Interest::PRIORITY_DATA];

/// A direction that was reported, and of which nobody will tell that it was used up.
#[derive(Copy, Clone, Debug)]
struct Suspicion {
    pause: Duration,
    /// When it is reported again if it is still ready; `None` until the first look.
    due: Option<Instant>,
}

impl Watch {
    /// The first pause before a direction that is still ready is reported again.
    pub(crate) const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
    /// The longest: what an idle, ready, unread descriptor costs is one look in this time.
    pub(crate) const LONGEST_PAUSE: Duration = Duration::from_micros(12_800);
    /// The longest beside a source that has hung up: few of them come back.
    const LONGEST_PAUSE_AT_END: Duration = Duration::from_micros(102_400);

    pub(crate) fn new(token: Token, interest: Interest, tracking: Tracking) -> Watch {
        Watch {
            token,
            interest,
            tracking,
            armed: Some(interest),
            suspects: [None; 3],
            hung_up: None,
            told: Readiness::NONE,
        }
    }

    pub(crate) fn token(&self) -> Token {
        self.token
    }

    #[cfg_attr(not(unix), allow(dead_code))]
    pub(crate) fn tracking(&self) -> Tracking {
        self.tracking
    }

    /// The directions that the kernel is to be asked about.
    pub(crate) fn armed(&self) -> Option<Interest> {
        self.armed
    }

    /// Whether errors and hang-ups would be news, though no direction be armed. If not, and none is, leave the source
    /// out: a kernel tells of them unasked, for as long as they last.
    pub(crate) fn awaits_end(&self) -> bool {
        !self.told.intersects(Readiness::ERROR.union(Readiness::WRITE_CLOSED))
    }

    /// Whether it would be news that the peer sends no more.
    pub(crate) fn awaits_read_end(&self) -> bool {
        self.interest.is_readable() && !self.told.intersects(Readiness::READ_CLOSED)
    }

    /// What is to be looked at when the poller comes by.
    pub(crate) fn suspect(&self) -> Option<Interest> {
        let mut suspect = None;
        for (index, direction) in DIRECTIONS.into_iter().enumerate() {
            if self.suspects[index].is_some() {
                suspect = join(suspect, Some(direction));
            }
        }
        suspect
    }

    /// `reregister`: all is asked anew.
    pub(crate) fn replace(&mut self, token: Token, interest: Interest) {
        *self = Watch::new(token, interest, self.tracking);
    }

    /// The kernel has answered to [`armed`](Watch::armed): what to report, if anything.
    pub(crate) fn ready(&mut self, found: Readiness) -> Option<Readiness> {
        let mut found = self.asked_of(found);
        let used = self.used(found)?;
        let is_armed = self.armed.and_then(|armed| armed.intersection(used)).is_some();
        let is_news = !found.and(ENDINGS).without(self.told).is_none();
        if !is_armed && !is_news {
            return None;
        }
        if self.armed.is_none() || !tells_direction(found) {
            // At the end of a source nothing blocks, but a kernel that is asked about no direction tells of none.
            found = found.union(self.asked_of(readiness_of(used)));
        }
        self.told = self.told.union(found.and(ENDINGS));
        self.armed = self.armed.and_then(|armed| armed.remove(used));
        let hung_up = is_hang_up(found);
        if hung_up || self.tracking == Tracking::Levels {
            self.suspect_also(used);
        } else if let Some(priority) = used.intersection(Interest::PRIORITY_DATA) {
            self.suspect_also(priority);
        }
        self.hung_up = hung_up.then_some(found);
        Some(found)
    }

    /// An operation has answered `WouldBlock`.
    pub(crate) fn rearm(&mut self, blocked: Blocked) {
        match blocked {
            Blocked::Direction(direction) => {
                if let Some(direction) = direction.intersection(self.interest) {
                    self.arm(direction);
                }
            }
            // Behind what was moved there is nothing, or the end, which was told or will be.
            Blocked::Short(direction) => {
                let ended = Readiness::ERROR
                    .union(Readiness::WRITE_CLOSED)
                    .union(Readiness::READ_CLOSED.when(direction.is_readable()));
                if !self.told.intersects(ended) {
                    self.rearm(Blocked::Direction(direction));
                }
            }
            // Arming all would report the direction that did not block at once, and again after each blocked
            // operation (mio#1963): an unknown direction is suspected instead.
            Blocked::Unknown => {
                let quiet = match self.armed {
                    Some(armed) => self.interest.remove(armed),
                    None => Some(self.interest),
                };
                if let Some(quiet) = quiet {
                    self.suspect_also(quiet);
                    self.hung_up = None;
                }
            }
        }
    }

    /// The kernel has just answered to [`suspect`](Watch::suspect): what isn't ready is what was used up.
    pub(crate) fn acquit(&mut self, found: Readiness) {
        let ready = self.used(self.asked_of(found));
        for (index, direction) in DIRECTIONS.into_iter().enumerate() {
            let is_ready = ready.and_then(|ready| ready.intersection(direction)).is_some();
            if self.suspects[index].is_some() && !is_ready {
                self.arm(direction);
            }
        }
    }

    /// The kernel has answered to [`suspect`](Watch::suspect) without sleeping; `found` may be nothing.
    pub(crate) fn look(&mut self, found: Readiness, now: Instant) -> Look {
        let mut found = self.asked_of(found);
        let ready = self.used(found);
        if let Some(ready) = ready.filter(|_| !tells_direction(found)) {
            // As in `ready`, or it would look like a change.
            found = found.union(self.asked_of(readiness_of(ready)));
        }
        // That an error or what was left has been taken is no news.
        let taken = Readiness::ERROR.union(Readiness::LEFTOVER);
        let has_changed = self.hung_up.is_some_and(|reported| {
            found.without(taken) != reported.without(taken) || !found.and(taken).without(reported).is_none()
        });
        if !has_changed && self.hung_up.is_some() {
            self.hung_up = Some(found);
        }
        let is_at_end = self.is_at_end();
        let mut report: Option<Interest> = None;
        let mut next: Option<Instant> = None;
        for (index, direction) in DIRECTIONS.into_iter().enumerate() {
            let Some(suspicion) = &mut self.suspects[index] else {
                continue;
            };
            if ready.and_then(|ready| ready.intersection(direction)).is_none() {
                self.arm(direction);
                continue;
            }
            match suspicion.due {
                // A change is due at once, at the first look too.
                due if has_changed || due.is_some_and(|due| now >= due) => {
                    if has_changed {
                        suspicion.pause = Watch::SHORTEST_PAUSE;
                    } else {
                        let longest =
                            if is_at_end { Watch::LONGEST_PAUSE_AT_END } else { Watch::LONGEST_PAUSE };
                        suspicion.pause = (suspicion.pause * 2).min(longest);
                    }
                    suspicion.due = Some(now + suspicion.pause);
                    if has_changed || !is_at_end {
                        report = join(report, Some(direction));
                    }
                }
                Some(_) => {}
                None => suspicion.due = Some(now + suspicion.pause),
            }
            if let Some(due) = suspicion.due {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        if has_changed {
            self.hung_up = is_hang_up(found).then_some(found);
        }
        match (report, next) {
            (Some(report), _) => {
                let told = only(report, found);
                // A bare hang-up counts as readable, which may not be what was looked at.
                let unsaid = readiness_of(report).when(!tells_direction(told));
                Look::Report(told.union(unsaid))
            }
            (None, Some(next)) => Look::Later(next),
            (None, None) => Look::Clear,
        }
    }

    /// Whether it has hung up and there is nothing left, so that to repeat it would tell nobody anything.
    fn is_at_end(&self) -> bool {
        self.hung_up.is_some_and(|reported| !reported.intersects(Readiness::LEFTOVER))
    }

    /// The readiness of `directions` is used up: the next change counts.
    fn arm(&mut self, directions: Interest) {
        self.armed = join(self.armed, Some(directions));
        // What doesn't go on is no end: the next is news. But a peer may send no more and still receive.
        let lasting = Readiness::READ_CLOSED.when(!directions.is_readable());
        self.told = self.told.and(lasting);
        for (index, direction) in DIRECTIONS.into_iter().enumerate() {
            if directions.intersection(direction).is_some() {
                self.suspects[index] = None;
            }
        }
        if self.suspect().is_none() {
            self.hung_up = None;
        }
    }

    /// Suspects `directions`; what is suspected already keeps its pause, or who is always suspected anew would never
    /// be due.
    fn suspect_also(&mut self, directions: Interest) {
        for (index, direction) in DIRECTIONS.into_iter().enumerate() {
            if directions.intersection(direction).is_some() {
                self.suspects[index].get_or_insert(Suspicion { pause: Watch::SHORTEST_PAUSE, due: None });
            }
        }
    }

    /// The directions that `found` makes progress in, of those that are of interest.
    fn used(&self, found: Readiness) -> Option<Interest> {
        // Nobody need ask for errors and hang-ups to be told. They concern whatever is of interest, or a kernel that
        // goes on telling would keep the poller awake.
        if found.intersects(Readiness::ERROR.union(Readiness::WRITE_CLOSED)) {
            return Some(self.interest);
        }
        directions(found)?.intersection(self.interest)
    }

    /// `found`, less the directions that nobody asked for. An error is found by reading and by writing, so it is told
    /// in each direction that was asked for: [`ready`](Watch::ready) silences each.
    fn asked_of(&self, found: Readiness) -> Readiness {
        let found = found
            .union(Readiness::READABLE.union(Readiness::WRITABLE).when(found.intersects(Readiness::ERROR)));
        // Who asks for reading has no pipe to write to: an error closes nothing, unless both halves are closed.
        let closes_nothing =
            found.intersects(Readiness::ERROR) && self.interest.is_readable() && !is_hang_up(found);
        only(self.interest, found.without(Readiness::WRITE_CLOSED.when(closes_nothing)))
    }
}

fn readiness_of(directions: Interest) -> Readiness {
    Readiness::READABLE
        .when(directions.is_readable() || directions.is_priority())
        .union(Readiness::WRITABLE.when(directions.is_writable()))
}

/// `found`, less the directions that are not in `wanted`.
fn only(wanted: Interest, found: Readiness) -> Readiness {
    let reads = wanted.is_readable() || wanted.is_priority();
    found
        .without(Readiness::READABLE.when(!reads))
        .without(Readiness::WRITABLE.when(!wanted.is_writable()))
        .without(Readiness::PRIORITY.when(!wanted.is_priority()))
}

fn tells_direction(found: Readiness) -> bool {
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
