//! The registrations of a kqueue, the changes that they need, and the meaning of events. Pure: no OS.
//!
//! A kqueue keeps a "knote" for each descriptor and filter. To add one that exists is to change it, so a kqueue can't
//! distinguish a second registration from a change: the list of registrations is here. The list doesn't know what the
//! kernel drops by itself (a descriptor that was closed), so where it matters the kernel is queried.
//!
//! Most kernels take each change of a knote as a reason to report readiness again, so the knotes that events come from
//! are never queried. A raw descriptor has a disabled knote in a second kqueue, the witness: it reports nothing, is
//! dropped when the descriptor is closed, and is queried instead.
//!
//! A knote is level-triggered by itself, and one-shot with `EV_DISPATCH`. But a one-shot registration has one event for
//! both directions, so the first event of either knote spends it here, and an event of the other is dropped. A kqueue
//! has no knote for the end of a source alone: the read filter's events are dropped until they have the flag of an end.
//! That knote is edge-triggered, so that data doesn't keep the thread awake; level-triggered it becomes with the end.
//!
//! Invariant: a registration has a record here exactly while the program has registered it and not deregistered it; its
//! knotes may have been dropped with its descriptor.

use std::io::{self, ErrorKind};

use super::watch::{Registration, Tracking};
use crate::readiness::{Interest, Readiness, Token};

/// What a knote watches.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    Read,
    Write,
    /// Out-of-band data.
    Except,
    /// POSIX AIO. The operation makes such a knote itself.
    Aio,
    Lio,
    Signal,
    Process,
    Timer,
    /// The wakeup's.
    User,
    /// A filter that this library doesn't use.
    Other,
}

/// The kernel's flags of an event; the same numbers on every system that has kqueues.
pub(crate) const EV_ERROR: u32 = 0x4000;
pub(crate) const EV_EOF: u32 = 0x8000;

/// Returns the readiness that an event of the kernel's reports.
///
/// - The filter gives the direction, and the end of one half doesn't concern the other: after a reset the write
///   filter's end may come before the data that can still be read.
/// - With an end, `fflags` is the socket's error, if it has one. A connection that ended so is closed in both halves.
/// - The filter for out-of-band data sets `out_of_band`, its note, when there is some. Apple's fires whenever its read
///   filter fires. An end overwrites the notes with the error, whose number may look like one.
#[inline]
pub(crate) fn readiness(filter: Filter, flags: u32, fflags: u32, out_of_band: u32) -> Readiness {
    let ended = flags & EV_EOF != 0;
    let failed = flags & EV_ERROR != 0 || (ended && fflags != 0);
    let of_direction = match filter {
        Filter::Read => Readiness::READABLE.union(Readiness::READ_CLOSED.when(ended)),
        Filter::Write => Readiness::WRITABLE.union(Readiness::WRITE_CLOSED.when(ended)),
        Filter::Except => Readiness::READABLE
            .union(Readiness::READ_CLOSED.when(ended))
            .union(Readiness::PRIORITY.when(!ended && fflags & out_of_band != 0)),
        // The end of an operation is not the end of its file.
        Filter::Aio => return Readiness::AIO,
        Filter::Lio => return Readiness::LIO,
        // The end of a process isn't one of a stream.
        Filter::Signal | Filter::Process | Filter::Timer => return Readiness::READABLE,
        Filter::User | Filter::Other => return Readiness::NONE,
    };
    let broken = Readiness::READ_CLOSED.union(Readiness::WRITE_CLOSED).when(ended && failed);
    of_direction.union(Readiness::ERROR.when(failed)).union(broken)
}

/// The event of a writer whose reader had gone before it was registered.
pub(crate) const READER_GONE: Readiness =
    Readiness::WRITABLE.union(Readiness::WRITE_CLOSED).union(Readiness::ERROR);

/// How often a knote reports.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum KnoteMode {
    /// `EV_CLEAR`.
    Edge,
    Level,
    /// `EV_DISPATCH`.
    OneShot,
    /// Both.
    EdgeOneShot,
}

impl KnoteMode {
    fn of(interest: Interest) -> KnoteMode {
        if interest.is_end() {
            // Data must neither disarm the knote nor repeat its event.
            KnoteMode::Edge
        } else if interest.is_edge_one_shot() {
            KnoteMode::EdgeOneShot
        } else if interest.is_one_shot() {
            KnoteMode::OneShot
        } else if interest.is_level() {
            KnoteMode::Level
        } else {
            KnoteMode::Edge
        }
    }
}

/// Returns the interest whose filters a registration needs.
fn filters_of(interest: Interest) -> Interest {
    match interest.is_end() {
        true => Interest::READABLE,
        false => interest.kinds(),
    }
}

/// A change of a knote.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Makes one, or gives it a new token. Reports readiness that exists.
    Add,
    Delete,
    /// Checks whether it exists. Reports readiness that exists, on every kernel but NetBSD's.
    Query,
}

/// Which kqueue a knote belongs to.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Queue {
    /// The kqueue that events are fetched from.
    Events,
    /// The kqueue whose knotes are disabled, and from which nothing is fetched.
    Witness,
}

/// The kernel's result of one change.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Receipt {
    Done,
    /// `ENOENT`: the knote doesn't exist.
    Missing,
    /// `EPIPE`: some kernels refuse to watch a pipe whose reader has gone.
    ReaderGone,
    Failed(i32),
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub fd: i32,
    pub filter: Filter,
    pub action: Action,
    /// For an action other than `Delete`.
    pub mode: KnoteMode,
    pub token: Token,
    pub receipt: Receipt,
}

const FILTERS: [(Filter, Interest); 3] = [
    (Filter::Read, Interest::READABLE),
    (Filter::Write, Interest::WRITABLE),
    (Filter::Except, Interest::PRIORITY_DATA),
];

/// How many changes one call may need: each filter deleted and added.
pub(crate) const MOST_CHANGES: usize = 2 * FILTERS.len();

/// A few changes, in the order in which the kernel makes them.
#[derive(Debug)]
pub(crate) struct Changes {
    list: [Change; MOST_CHANGES],
    len: usize,
}

impl Changes {
    fn new() -> Changes {
        let none = Change {
            fd: -1,
            filter: Filter::Other,
            action: Action::Query,
            mode: KnoteMode::Edge,
            token: Token(0),
            receipt: Receipt::Missing,
        };
        Changes { list: [none; MOST_CHANGES], len: 0 }
    }

    /// Adds the same action for each filter of `filters`.
    fn each(mut self, action: Action, fd: i32, token: Token, filters: Option<Interest>) -> Changes {
        let mode = KnoteMode::Edge;
        for (filter, direction) in FILTERS {
            if filters.and_then(|filters| filters.intersection(direction)).is_some() {
                self.list[self.len] = Change { fd, filter, action, mode, token, receipt: Receipt::Done };
                self.len += 1;
            }
        }
        self
    }

    /// Sets the mode of each change.
    fn in_mode(mut self, mode: KnoteMode) -> Changes {
        self.as_mut_slice().iter_mut().for_each(|change| change.mode = mode);
        self
    }

    pub(crate) fn as_slice(&self) -> &[Change] {
        &self.list[..self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Change] {
        &mut self.list[..self.len]
    }

    fn receipts(&self, action: Action) -> impl Iterator<Item = Receipt> + '_ {
        self.as_slice().iter().filter(move |change| change.action == action).map(|change| change.receipt)
    }

    /// Returns the interest whose filters have undergone `action`.
    fn done(&self, action: Action) -> Option<Interest> {
        let mut done = None;
        for change in self.as_slice() {
            if change.action == action && change.receipt == Receipt::Done {
                let direction = FILTERS.iter().find(|(filter, _)| *filter == change.filter);
                if let Some(&(_, direction)) = direction {
                    done = Some(done.map_or(direction, |done: Interest| done | direction));
                }
            }
        }
        done
    }

    /// Returns whether the kernel should have had a knote of `old`, and had none.
    fn all_missing(&self, old: KnoteRecord) -> bool {
        let was_made = |change: &&Change| {
            change.action == Action::Delete && !(old.reader_gone && change.filter == Filter::Write)
        };
        let mut made = self.as_slice().iter().filter(was_made).map(|change| change.receipt);
        made.next() == Some(Receipt::Missing) && made.all(|receipt| receipt == Receipt::Missing)
    }

    fn failure(&self, action: Action) -> Option<io::Error> {
        self.receipts(action).find_map(|receipt| match receipt {
            Receipt::Failed(errno) => Some(io::Error::from_raw_os_error(errno)),
            Receipt::Missing if action == Action::Add => Some(ErrorKind::NotFound.into()),
            _ => None,
        })
    }
}

/// The system calls of a kqueue.
pub(crate) trait KqueueCalls {
    /// Fails if the descriptor isn't open.
    fn is_open(&self, fd: i32) -> io::Result<()>;

    /// Makes the changes, and stores their receipts. If it fails it has made none; but with `Interrupted` it has made
    /// all, and the receipts are lost.
    fn apply(&self, queue: Queue, changes: &mut [Change]) -> io::Result<()>;
}

/// What becomes of an event.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sifted {
    Report,
    /// With the token that the registration has now.
    ReportAs(Token),
    /// It is a part of the event with this index.
    Merge(usize),
    Drop,
}

const ENDINGS: Readiness = Readiness::ERROR.union(Readiness::READ_CLOSED).union(Readiness::WRITE_CLOSED);

/// Makes the changes, also if a signal interrupts the call.
fn make(calls: &impl KqueueCalls, queue: Queue, changes: &mut Changes) -> io::Result<()> {
    let mut was_interrupted = false;
    while let Err(e) = calls.apply(queue, changes.as_mut_slice()) {
        if e.kind() != ErrorKind::Interrupted {
            return Err(e);
        }
        was_interrupted = true;
    }
    if was_interrupted {
        for change in changes.as_mut_slice() {
            // The interrupted call may have deleted it.
            if change.action == Action::Delete && change.receipt == Receipt::Missing {
                change.receipt = Receipt::Done;
            }
        }
    }
    Ok(())
}

/// The registrations of one kqueue.
#[derive(Debug, Default)]
pub(crate) struct Knotes {
    /// By descriptor; descriptors are small.
    by_fd: Vec<Option<KnoteRecord>>,
    /// Descriptors with an event that the kernel doesn't report.
    pending: Vec<i32>,
    /// Counts the waits that have called [`begin_wait`](Knotes::begin_wait).
    waits: u64,
}

#[derive(Copy, Clone, Debug)]
struct KnoteRecord {
    token: Token,
    /// As it was registered.
    interest: Interest,
    /// The interest of the knotes.
    filters: Interest,
    /// The wait that has reported the one event of a one-shot registration, and the event's index there.
    spent: Option<(u64, usize)>,
    /// An interest in the end alone has had its event, and is level-triggered: only then the knote is.
    has_ended: bool,
    /// The kernel refused the write filter: the reader had gone.
    reader_gone: bool,
    /// What the witness watches: nothing for an [`IoSource`](crate::IoSource), whose own knotes are queried when it is
    /// registered again.
    witnessed: Option<Interest>,
}

impl KnoteRecord {
    /// Returns the mode of its knotes.
    fn mode(&self) -> KnoteMode {
        match self.has_ended {
            true => KnoteMode::Level,
            false => KnoteMode::of(self.interest),
        }
    }
}

impl Knotes {
    pub(crate) fn register(
        &mut self,
        calls: &impl KqueueCalls,
        fd: i32,
        registration: Registration,
    ) -> io::Result<()> {
        let Registration { token, interest, tracking } = registration;
        if let Some(record) = self.record(fd) {
            if knows(calls, fd, record)? {
                return Err(ErrorKind::AlreadyExists.into());
            }
            // Its descriptor was closed, and this is the next one with that number.
            self.forget(fd);
        }
        let filters = filters_of(interest);
        let changes = Changes::new().each(Action::Add, fd, token, Some(filters));
        let mut changes = changes.in_mode(KnoteMode::of(interest));
        make(calls, Queue::Events, &mut changes)?;
        if let Some(e) = changes.failure(Action::Add) {
            take_away(calls, Queue::Events, fd, changes.done(Action::Add));
            return Err(e);
        }
        let witnessed = match tracking {
            Tracking::Tracked => None,
            Tracking::Untracked => witness(calls, fd, filters),
        };
        let record = KnoteRecord {
            token,
            interest,
            filters,
            spent: None,
            has_ended: false,
            reader_gone: false,
            witnessed,
        };
        self.keep(fd, record, &changes);
        Ok(())
    }

    pub(crate) fn reregister(
        &mut self,
        calls: &impl KqueueCalls,
        fd: i32,
        registration: Registration,
    ) -> io::Result<()> {
        let Registration { token, interest, .. } = registration;
        let old = self.record(fd).ok_or_else(|| not_registered(calls, fd))?;
        // The knotes are deleted and added in one call: so every kernel evaluates their readiness again, and shows
        // whether they still existed. A change between the two is part of the result.
        let filters = filters_of(interest);
        let changes = Changes::new().each(Action::Delete, fd, old.token, Some(old.filters));
        let changes = changes.each(Action::Add, fd, token, Some(filters));
        let mut changes = changes.in_mode(KnoteMode::of(interest));
        make(calls, Queue::Events, &mut changes)?;

        if is_gone(calls, fd, old, &changes) {
            // Closed: the next owner of the number has not asked for this registration.
            take_away(calls, Queue::Events, fd, changes.done(Action::Add));
            self.forget(fd);
            return Err(ErrorKind::NotFound.into());
        }
        if let Some(e) = changes.failure(Action::Add) {
            take_away(calls, Queue::Events, fd, changes.done(Action::Add));
            // A knote that did not exist is not made: the descriptor may belong to another file by now.
            let back = Changes::new().each(Action::Add, fd, old.token, changes.done(Action::Delete));
            let mut back = back.in_mode(old.mode());
            make(calls, Queue::Events, &mut back)?;
            return Err(e);
        }
        let new = KnoteRecord {
            token,
            interest,
            filters,
            spent: None,
            has_ended: false,
            reader_gone: false,
            ..old
        };
        self.keep(fd, new, &changes);
        Ok(())
    }

    pub(crate) fn deregister(&mut self, calls: &impl KqueueCalls, fd: i32) -> io::Result<()> {
        let old = self.record(fd).ok_or_else(|| not_registered(calls, fd))?;
        let mut changes = Changes::new().each(Action::Delete, fd, old.token, Some(old.filters));
        make(calls, Queue::Events, &mut changes)?;
        let is_gone = is_gone(calls, fd, old, &changes);
        take_away(calls, Queue::Witness, fd, old.witnessed);
        self.forget(fd);
        if let Some(e) = changes.failure(Action::Delete) {
            return Err(e);
        }
        if is_gone {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(())
    }

    /// Returns whether [`take_pending`](Knotes::take_pending) has an event.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Begins a wait, whose events are numbered from 0.
    pub(crate) fn begin_wait(&mut self) {
        self.waits += 1;
    }

    /// Decides about an event of the knote of `fd` and `filter` that would be the event number `next` of this wait.
    pub(crate) fn sift(
        &mut self,
        calls: &impl KqueueCalls,
        fd: i32,
        filter: Filter,
        found: Readiness,
        next: usize,
    ) -> Sifted {
        let direction = FILTERS.iter().find(|(other, _)| *other == filter);
        let (waits, Some(&(_, direction))) = (self.waits, direction) else {
            return Sifted::Report;
        };
        let Some(record) = self.by_fd.get_mut(fd as usize).and_then(Option::as_mut) else {
            // Deregistered since.
            return Sifted::Drop;
        };
        if record.interest.is_usual() {
            return Sifted::Report;
        }
        // It may belong to the registration before this one.
        if record.filters.intersection(direction).is_none() {
            return Sifted::Drop;
        }
        if record.interest.is_end() && !found.intersects(ENDINGS) {
            return Sifted::Drop;
        }
        if record.interest.is_one_shot() {
            return match record.spent {
                None => {
                    record.spent = Some((waits, next));
                    Sifted::ReportAs(record.token)
                }
                Some((wait, index)) if wait == waits => Sifted::Merge(index),
                Some(_) => Sifted::Drop,
            };
        }
        if record.interest.is_end() && record.interest.is_level() && !record.has_ended {
            record.has_ended = true;
            let record = *record;
            if !self.repeat_end(calls, fd, record) {
                return Sifted::Drop;
            }
        }
        Sifted::Report
    }

    /// Reports events that the kernel doesn't, at most `room` of them.
    pub(crate) fn take_pending(&mut self, room: usize, mut report: impl FnMut(Token, Readiness)) {
        let mut room = room;
        while room > 0 {
            let Some(fd) = self.pending.pop() else {
                return;
            };
            if let Some(record) = self.record(fd) {
                report(record.token, READER_GONE);
                room -= 1;
            }
        }
    }

    /// Makes the knote of a source that has ended level-triggered, so that each wait reports the end. Returns whether
    /// the source is still registered. Without memory for the change, the end isn't repeated.
    fn repeat_end(&mut self, calls: &impl KqueueCalls, fd: i32, record: KnoteRecord) -> bool {
        // Some kernels change no mode of a knote that exists.
        let changes = Changes::new().each(Action::Delete, fd, record.token, Some(record.filters));
        let changes = changes.each(Action::Add, fd, record.token, Some(record.filters));
        let mut changes = changes.in_mode(record.mode());
        if make(calls, Queue::Events, &mut changes).is_ok() && is_gone(calls, fd, record, &changes) {
            take_away(calls, Queue::Events, fd, changes.done(Action::Add));
            self.forget(fd);
            return false;
        }
        true
    }

    fn keep(&mut self, fd: i32, record: KnoteRecord, changes: &Changes) {
        let reader_gone = changes.receipts(Action::Add).any(|receipt| receipt == Receipt::ReaderGone);
        self.pending.retain(|&pending| pending != fd);
        if reader_gone {
            self.pending.push(fd);
        }
        let index = fd as usize;
        if self.by_fd.len() <= index {
            self.by_fd.resize(index + 1, None);
        }
        self.by_fd[index] = Some(KnoteRecord { reader_gone, ..record });
    }

    fn forget(&mut self, fd: i32) {
        self.pending.retain(|&pending| pending != fd);
        if let Some(record) = self.by_fd.get_mut(fd as usize) {
            *record = None;
        }
    }

    fn record(&self, fd: i32) -> Option<KnoteRecord> {
        self.by_fd.get(usize::try_from(fd).ok()?).copied().flatten()
    }
}

/// Returns whether the kernel still has a knote of a registration.
fn knows(calls: &impl KqueueCalls, fd: i32, record: KnoteRecord) -> io::Result<bool> {
    let (queue, interest) = match record.witnessed {
        Some(witnessed) => (Queue::Witness, witnessed),
        None => (Queue::Events, record.filters),
    };
    let queries = Changes::new().each(Action::Query, fd, record.token, Some(interest));
    let mut queries = queries.in_mode(record.mode());
    make(calls, queue, &mut queries)?;
    Ok(queries.done(Action::Query).is_some())
}

/// Returns whether the descriptor that `changes` delete from was closed. Where the kernel refused its only knote, the
/// witness shows that, if there is one.
fn is_gone(calls: &impl KqueueCalls, fd: i32, old: KnoteRecord, changes: &Changes) -> bool {
    let may_ask = old.reader_gone && old.witnessed.is_some();
    changes.all_missing(old) || may_ask && matches!(knows(calls, fd, old), Ok(false))
}

/// Makes the witness watch a descriptor, and returns for what. A failure doesn't prevent the registration.
fn witness(calls: &impl KqueueCalls, fd: i32, interest: Interest) -> Option<Interest> {
    let mut changes = Changes::new().each(Action::Add, fd, Token(0), Some(interest));
    make(calls, Queue::Witness, &mut changes).ok()?;
    changes.done(Action::Add)
}

/// Returns the error for a descriptor without a registration: the kernel's, if it isn't open.
fn not_registered(calls: &impl KqueueCalls, fd: i32) -> io::Error {
    calls.is_open(fd).err().unwrap_or_else(|| ErrorKind::NotFound.into())
}

fn take_away(calls: &impl KqueueCalls, queue: Queue, fd: i32, interest: Option<Interest>) {
    if interest.is_some() {
        let mut changes = Changes::new().each(Action::Delete, fd, Token(0), interest);
        // The error that has led here is more important.
        let _ = make(calls, queue, &mut changes);
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod kernels;
#[cfg(test)]
mod tests;
