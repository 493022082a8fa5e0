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
//! A hang-up need not be the end: a FIFO gets a new writer, a socket that was registered too early gets connected.
//! Operations on a source that has hung up don't answer `WouldBlock`, so nobody will tell, though the source be an
//! `IoSource`. It becomes a suspect too, but is reported again only when what the kernel says has changed, or while a
//! FIFO holds something: that may be from a writer who came and went meanwhile.
//!
//! Nor does it answer `WouldBlock` to receive priority data that isn't there, so priority becomes a suspect likewise.

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

/// Which operation has answered `WouldBlock`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    Direction(Interest),
    /// The caller did not say.
    Unknown,
}

/// Names a registration within one selector; never names another one later.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct WatchKey {
    pub slot: u32,
    pub generation: u32,
}

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
#[derive(Debug)]
pub(crate) struct Watch {
    token: Token,
    interest: Interest,
    tracking: Tracking,
    armed: Option<Interest>,
    suspect: Option<Interest>,
    /// What was reported with a hang-up, if only a change of it is to be reported.
    hung_up: Option<Readiness>,
    pause: Duration,
    /// When a suspect that is still ready is reported again; `None` until the first look.
    due: Option<Instant>,
}

impl Watch {
    /// The first pause before a raw descriptor that is still ready is reported again.
    pub(crate) const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
    /// The longest: what an idle, ready, unread descriptor costs is one look in this time.
    pub(crate) const LONGEST_PAUSE: Duration = Duration::from_micros(12_800);
    /// The longest beside a source that has hung up: few of them come back.
    const LONGEST_PAUSE_HUNG_UP: Duration = Duration::from_micros(102_400);

    pub(crate) fn new(token: Token, interest: Interest, tracking: Tracking) -> Watch {
        Watch {
            token,
            interest,
            tracking,
            armed: Some(interest),
            suspect: None,
            hung_up: None,
            pause: Watch::SHORTEST_PAUSE,
            due: None,
        }
    }

    pub(crate) fn token(&self) -> Token {
        self.token
    }

    pub(crate) fn tracking(&self) -> Tracking {
        self.tracking
    }

    /// What the kernel is to be asked about; `None`: leave this source out, errors and hang-ups included.
    pub(crate) fn armed(&self) -> Option<Interest> {
        self.armed
    }

    /// What is to be looked at when the poller comes by.
    pub(crate) fn suspect(&self) -> Option<Interest> {
        self.suspect
    }

    /// `reregister`: all is asked anew.
    pub(crate) fn replace(&mut self, token: Token, interest: Interest) {
        *self = Watch::new(token, interest, self.tracking);
    }

    /// The kernel has answered to [`armed`](Watch::armed): what to report, if anything.
    pub(crate) fn ready(&mut self, found: Readiness) -> Option<Readiness> {
        let found = self.asked_of(found);
        let used = self.used(found)?;
        // Something else became ready than what was asked about now.
        self.armed?.intersection(used)?;
        self.armed = self.armed.and_then(|armed| armed.remove(used));
        let hung_up = is_hang_up(found);
        let unseen = match self.tracking {
            _ if hung_up => Some(used),
            Tracking::Levels => Some(used),
            // To receive priority data that isn't there is no `WouldBlock` but `EINVAL`: nobody will tell.
            Tracking::Operations => used.intersection(Interest::PRIORITY_DATA),
        };
        if unseen.is_some() {
            self.suspect = join(self.suspect, unseen);
            self.due = None;
        }
        if hung_up && self.tracking == Tracking::Operations {
            self.hung_up = Some(found);
        }
        Some(found)
    }

    /// An operation has answered `WouldBlock`.
    pub(crate) fn rearm(&mut self, blocked: Blocked) {
        match blocked {
            Blocked::Direction(direction) => {
                let Some(direction) = direction.intersection(self.interest) else {
                    return;
                };
                self.armed = join(self.armed, Some(direction));
                self.suspect = self.suspect.and_then(|suspect| suspect.remove(direction));
            }
            // Arming all would report the direction that did not block at once, and again after each blocked
            // operation (mio#1963): an unknown direction is suspected instead.
            Blocked::Unknown => {
                let quiet = match self.armed {
                    Some(armed) => self.interest.remove(armed),
                    None => Some(self.interest),
                };
                if quiet != self.suspect {
                    self.suspect = quiet;
                    self.hung_up = None;
                    self.due = None;
                }
            }
        }
    }

    /// The kernel has answered to [`suspect`](Watch::suspect) without sleeping; `found` may be nothing. `is_unread`: it
    /// has hung up, and there is something to read.
    pub(crate) fn look(&mut self, found: Readiness, is_unread: bool, now: Instant) -> Look {
        let Some(suspect) = self.suspect else {
            return Look::Clear;
        };
        let found = self.asked_of(found);
        let ready = self.used(found).and_then(|ready| ready.intersection(suspect));
        let used_up = match ready {
            Some(ready) => suspect.remove(ready),
            None => Some(suspect),
        };
        if used_up.is_some() {
            self.armed = join(self.armed, used_up);
            self.pause = Watch::SHORTEST_PAUSE;
        }
        self.suspect = ready;
        if ready.is_none() {
            self.hung_up = None;
            self.due = None;
            return Look::Clear;
        }
        if let Some(reported) = self.hung_up {
            // An error that was taken is no news.
            if found != reported && found != reported.without(Readiness::ERROR) {
                self.hung_up = is_hang_up(found).then_some(found);
                self.pause = Watch::SHORTEST_PAUSE;
                self.due = Some(now + self.pause);
                return Look::Report(found);
            }
        }
        match self.due {
            Some(due) if now >= due => {
                let longest = match self.hung_up {
                    Some(_) => Watch::LONGEST_PAUSE_HUNG_UP,
                    None => Watch::LONGEST_PAUSE,
                };
                self.pause = (self.pause * 2).min(longest);
                let due = now + self.pause;
                self.due = Some(due);
                match self.hung_up {
                    Some(_) if !is_unread => Look::Later(due),
                    _ => Look::Report(found),
                }
            }
            Some(due) => Look::Later(due),
            None => {
                let due = now + self.pause;
                self.due = Some(due);
                Look::Later(due)
            }
        }
    }

    /// The directions that `found` makes progress in, of those that are of interest.
    fn used(&self, found: Readiness) -> Option<Interest> {
        // Nobody need ask for errors and hang-ups to be told. They concern whatever is of interest, or a kernel that
        // goes on telling would keep the poller awake.
        if found.contains(Readiness::ERROR.union(Readiness::WRITE_CLOSED)) {
            return Some(self.interest);
        }
        directions(found)?.intersection(self.interest)
    }

    /// `found`, less the directions that nobody asked for. An error is found by reading and by writing, so it is told
    /// in each direction that was asked for: [`ready`](Watch::ready) silences each.
    fn asked_of(&self, found: Readiness) -> Readiness {
        let found = found
            .union(Readiness::READABLE.union(Readiness::WRITABLE).when(found.contains(Readiness::ERROR)));
        let unasked = Readiness::READABLE
            .when(!self.interest.is_readable() && !self.interest.is_priority())
            .union(Readiness::WRITABLE.when(!self.interest.is_writable()))
            .union(Readiness::PRIORITY.when(!self.interest.is_priority()));
        found.without(unasked)
    }
}

/// Both halves are closed.
fn is_hang_up(found: Readiness) -> bool {
    found.contains(Readiness::READ_CLOSED) && found.contains(Readiness::WRITE_CLOSED)
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
        if found.contains(flag) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Interest = Interest::READABLE;
    const WRITE: Interest = Interest::WRITABLE;
    const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
    const HANG_UP: Readiness =
        Readiness::READABLE.union(Readiness::READ_CLOSED).union(Readiness::WRITE_CLOSED);

    fn source(interest: Interest) -> Watch {
        Watch::new(Token(1), interest, Tracking::Operations)
    }

    fn raw(interest: Interest) -> Watch {
        Watch::new(Token(1), interest, Tracking::Levels)
    }

    #[test]
    fn a_reported_direction_is_quiet_until_its_operation_blocks() {
        let mut watch = source(BOTH);
        assert_eq!(watch.ready(Readiness::READABLE), Some(Readiness::READABLE));
        assert_eq!(watch.armed(), Some(WRITE));
        assert_eq!(watch.suspect(), None);
        assert_eq!(watch.ready(Readiness::READABLE), None);

        watch.rearm(Blocked::Direction(READ));
        assert_eq!(watch.armed(), Some(BOTH));
    }

    #[test]
    fn a_blocked_read_does_not_arm_writing() {
        let mut watch = source(BOTH);
        watch.ready(Readiness::READABLE.union(Readiness::WRITABLE));
        assert_eq!(watch.armed(), None);
        watch.rearm(Blocked::Direction(READ));
        assert_eq!(watch.armed(), Some(READ));
    }

    #[test]
    fn a_direction_that_nobody_asked_for_is_neither_armed_nor_reported() {
        let mut watch = source(READ);
        watch.rearm(Blocked::Direction(WRITE));
        assert_eq!(watch.armed(), Some(READ));
        assert_eq!(watch.ready(Readiness::WRITABLE), None);
        assert_eq!(watch.ready(Readiness::WRITABLE.union(Readiness::READABLE)), Some(Readiness::READABLE));
    }

    #[test]
    fn replacing_asks_for_everything_anew() {
        let mut watch = source(READ);
        watch.ready(Readiness::READABLE);
        watch.replace(Token(2), BOTH);
        assert_eq!(watch.token(), Token(2));
        assert_eq!(watch.armed(), Some(BOTH));
    }

    #[test]
    fn an_error_silences_every_direction() {
        let mut watch = source(BOTH);
        assert!(watch.ready(Readiness::ERROR.union(Readiness::WRITABLE)).is_some());
        assert_eq!(watch.armed(), None, "the kernel would go on telling");
    }

    #[test]
    fn no_direction_is_silenced_untold() {
        let both = Readiness::READABLE.union(Readiness::WRITABLE).union(Readiness::ERROR);
        let mut watch = source(BOTH);
        assert_eq!(watch.ready(Readiness::ERROR.union(Readiness::WRITABLE)), Some(both));
        let mut watch = source(READ);
        assert_eq!(watch.ready(both), Some(Readiness::READABLE.union(Readiness::ERROR)));
    }

    #[test]
    fn priority_alone_is_silenced_by_a_hang_up() {
        let mut watch = source(Interest::PRIORITY_DATA);
        assert!(watch.ready(HANG_UP).is_some());
        assert_eq!(watch.armed(), None);
    }

    #[test]
    fn priority_data_that_was_used_up_is_armed_again() {
        let priority = Readiness::READABLE.union(Readiness::PRIORITY);
        let mut watch = source(READ | Interest::PRIORITY_DATA);
        assert_eq!(watch.ready(priority), Some(priority));
        assert_eq!(watch.armed(), None);
        assert_eq!(watch.look(Readiness::NONE, false, Instant::now()), Look::Clear);
        assert_eq!(watch.armed(), Some(Interest::PRIORITY_DATA));
    }

    #[test]
    fn a_raw_descriptor_that_was_used_up_is_armed_again() {
        let now = Instant::now();
        let mut watch = raw(READ);
        watch.ready(Readiness::READABLE);
        assert_eq!(watch.armed(), None);
        assert_eq!(watch.suspect(), Some(READ));
        assert_eq!(watch.look(Readiness::NONE, false, now), Look::Clear);
        assert_eq!(watch.armed(), Some(READ));
        assert_eq!(watch.suspect(), None);
    }

    #[test]
    fn a_raw_descriptor_that_stays_ready_is_reported_at_growing_pauses() {
        let mut now = Instant::now();
        let mut watch = raw(READ);
        watch.ready(Readiness::READABLE);
        let mut pause = Watch::SHORTEST_PAUSE;
        let Look::Later(mut due) = watch.look(Readiness::READABLE, false, now) else {
            panic!("reported at once");
        };
        for _ in 0..20 {
            assert_eq!(due, now + pause);
            let early = due - Duration::from_nanos(1);
            assert_eq!(watch.look(Readiness::READABLE, false, early), Look::Later(due));
            now = due;
            assert_eq!(watch.look(Readiness::READABLE, false, now), Look::Report(Readiness::READABLE));
            pause = (pause * 2).min(Watch::LONGEST_PAUSE);
            let Look::Later(next) = watch.look(Readiness::READABLE, false, now) else {
                panic!("reported twice");
            };
            due = next;
        }
        assert_eq!(pause, Watch::LONGEST_PAUSE);
        watch.look(Readiness::NONE, false, now);
        watch.ready(Readiness::READABLE);
        assert_eq!(
            watch.look(Readiness::READABLE, false, now),
            Look::Later(now + Watch::SHORTEST_PAUSE),
            "a change ends the back-off"
        );
    }

    #[test]
    fn of_two_suspects_the_one_that_was_used_up_is_armed() {
        let now = Instant::now();
        let mut watch = source(BOTH);
        watch.ready(Readiness::READABLE.union(Readiness::WRITABLE));
        watch.rearm(Blocked::Unknown);
        assert_eq!(watch.suspect(), Some(BOTH));
        assert!(matches!(watch.look(Readiness::WRITABLE, false, now), Look::Later(_)));
        assert_eq!(watch.armed(), Some(READ), "the read was what blocked");
        assert_eq!(watch.suspect(), Some(WRITE));
    }

    #[test]
    fn a_hang_up_is_reported_once_and_its_end_is_noticed() {
        let mut now = Instant::now();
        let mut watch = source(READ);
        assert!(watch.ready(HANG_UP).is_some());
        for _ in 0..50 {
            match watch.look(HANG_UP, false, now) {
                Look::Later(due) => now = due,
                look => panic!("{look:?}"),
            }
        }
        assert_eq!(watch.look(Readiness::NONE, false, now), Look::Clear);
        assert_eq!(watch.armed(), Some(READ));
    }

    #[test]
    fn an_error_that_was_taken_is_no_news() {
        let now = Instant::now();
        let mut watch = source(READ);
        watch.ready(HANG_UP.union(Readiness::ERROR));
        assert!(matches!(watch.look(HANG_UP, false, now), Look::Later(_)));
        assert!(matches!(watch.look(HANG_UP, false, now), Look::Later(_)));
    }

    #[test]
    fn what_a_hasty_writer_left_is_reported_at_pauses() {
        let now = Instant::now();
        let mut watch = source(READ);
        watch.ready(HANG_UP);
        let Look::Later(due) = watch.look(HANG_UP, true, now) else {
            panic!("reported at once");
        };
        assert_eq!(watch.look(HANG_UP, true, due), Look::Report(HANG_UP));
        let Look::Later(due) = watch.look(HANG_UP, true, due) else {
            panic!("reported twice");
        };
        assert!(matches!(watch.look(HANG_UP, false, due), Look::Later(_)), "read meanwhile");
    }

    #[test]
    fn data_after_a_hang_up_is_reported() {
        let now = Instant::now();
        let mut watch = source(READ);
        watch.ready(HANG_UP);
        watch.look(HANG_UP, false, now);
        assert_eq!(watch.look(Readiness::READABLE, false, now), Look::Report(Readiness::READABLE));
    }
}
