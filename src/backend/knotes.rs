//! What a kqueue is asked, what its answers mean, and which registrations it has. Pure: no OS.
//!
//! A kqueue keeps a "knote" for each descriptor and filter. To add one that exists is to change it, so it can't tell a
//! second registration from a change: the list of registrations is here. What the kernel forgets by itself (a
//! descriptor that was closed without a word) this list doesn't know, so where it matters the kernel is asked.

use std::io::{self, ErrorKind};

use crate::readiness::{Interest, Readiness, Token};

/// What a knote watches.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    Read,
    Write,
    /// Out-of-band data.
    Except,
    /// POSIX AIO: such a knote is made by the operation, not here.
    Aio,
    Lio,
    /// The notifier's.
    User,
    /// None that anybody here asks for.
    Other,
}

/// The kernel's flags of an answer; the same numbers on every system that has kqueues.
pub(crate) const EV_ERROR: u32 = 0x4000;
pub(crate) const EV_EOF: u32 = 0x8000;

/// What an event of the kernel's tells.
///
/// - The filter says the direction, and the end of one half says nothing of the other: after a reset the write
///   filter's end may come before the data that can still be read.
/// - With an end, `fflags` is the socket's error, if it has one. A connection that ended so is closed in both halves.
pub(crate) fn readiness(filter: Filter, flags: u32, fflags: u32) -> Readiness {
    let ended = flags & EV_EOF != 0;
    let failed = flags & EV_ERROR != 0 || (ended && fflags != 0);
    let of_direction = match filter {
        Filter::Read => Readiness::READABLE.union(Readiness::READ_CLOSED.when(ended)),
        Filter::Write => Readiness::WRITABLE.union(Readiness::WRITE_CLOSED.when(ended)),
        Filter::Except => {
            Readiness::PRIORITY.union(Readiness::READABLE).union(Readiness::READ_CLOSED.when(ended))
        }
        // An operation's end is no end of its file.
        Filter::Aio => return Readiness::AIO,
        Filter::Lio => return Readiness::LIO,
        Filter::User | Filter::Other => return Readiness::NONE,
    };
    let broken = Readiness::READ_CLOSED.union(Readiness::WRITE_CLOSED).when(ended && failed);
    of_direction.union(Readiness::ERROR.when(failed)).union(broken)
}

/// What a writer gets to hear whose reader had gone before it was registered.
pub(crate) const BROKEN: Readiness =
    Readiness::WRITABLE.union(Readiness::WRITE_CLOSED).union(Readiness::ERROR);

/// What is done to a knote.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Makes one, or gives it a new token; reports readiness that exists.
    Add,
    Delete,
    /// Asks whether there is one, and changes nothing if it is given the token that it has.
    Probe,
}

/// What the kernel has answered.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    /// `ENOENT`: there is no such knote.
    Missing,
    /// `EPIPE`: some kernels refuse to watch a pipe whose reader has gone.
    Broken,
    Failed(i32),
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub fd: i32,
    pub filter: Filter,
    pub action: Action,
    pub token: Token,
    pub answer: Answer,
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
            action: Action::Probe,
            token: Token(0),
            answer: Answer::Missing,
        };
        Changes { list: [none; MOST_CHANGES], len: 0 }
    }

    /// The same action for each filter that `interest` needs.
    fn each(mut self, action: Action, fd: i32, token: Token, interest: Option<Interest>) -> Changes {
        for (filter, direction) in FILTERS {
            if interest.and_then(|interest| interest.intersection(direction)).is_some() {
                self.list[self.len] = Change { fd, filter, action, token, answer: Answer::Done };
                self.len += 1;
            }
        }
        self
    }

    pub(crate) fn as_slice(&self) -> &[Change] {
        &self.list[..self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Change] {
        &mut self.list[..self.len]
    }

    fn answers(&self, action: Action) -> impl Iterator<Item = Answer> + '_ {
        self.as_slice().iter().filter(move |change| change.action == action).map(|change| change.answer)
    }

    /// The interest in whose filters `action` was done.
    fn done(&self, action: Action) -> Option<Interest> {
        let mut done = None;
        for change in self.as_slice() {
            if change.action == action && change.answer == Answer::Done {
                let direction = FILTERS.iter().find(|(filter, _)| *filter == change.filter);
                if let Some(&(_, direction)) = direction {
                    done = Some(done.map_or(direction, |done: Interest| done | direction));
                }
            }
        }
        done
    }

    /// Whether the kernel should have known something of `old`, and knew none of it.
    fn all_missing(&self, old: Entry) -> bool {
        let was_made = |change: &&Change| {
            change.action == Action::Delete && !(old.is_broken && change.filter == Filter::Write)
        };
        let mut made = self.as_slice().iter().filter(was_made).map(|change| change.answer);
        made.next() == Some(Answer::Missing) && made.all(|answer| answer == Answer::Missing)
    }

    fn failure(&self, action: Action) -> Option<io::Error> {
        self.answers(action).find_map(|answer| match answer {
            Answer::Failed(errno) => Some(io::Error::from_raw_os_error(errno)),
            Answer::Missing if action == Action::Add => Some(ErrorKind::NotFound.into()),
            _ => None,
        })
    }
}

/// Who makes the changes and answers each; fails as a whole if it can't even be asked.
pub(crate) trait Kernel {
    /// Fails if the descriptor isn't open.
    fn is_open(&self, fd: i32) -> io::Result<()>;

    fn apply(&self, changes: &mut [Change]) -> io::Result<()>;
}

/// The registrations of one kqueue.
#[derive(Debug, Default)]
pub(crate) struct Knotes {
    /// By descriptor; descriptors are small.
    by_fd: Vec<Option<Entry>>,
    /// Descriptors whose owners are to be told of something that the kernel doesn't keep.
    owed: Vec<i32>,
}

#[derive(Copy, Clone, Debug)]
struct Entry {
    token: Token,
    interest: Interest,
    /// The kernel refused the write filter: the reader had gone.
    is_broken: bool,
}

impl Knotes {
    pub(crate) fn register(
        &mut self,
        kernel: &impl Kernel,
        fd: i32,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        if let Some(entry) = self.entry(fd) {
            if knows(kernel, fd, entry)? {
                return Err(ErrorKind::AlreadyExists.into());
            }
            // Its descriptor was closed without a word, and this is the next one with that number.
            self.forget(fd);
        }
        let mut changes = Changes::new().each(Action::Add, fd, token, Some(interest));
        kernel.apply(changes.as_mut_slice())?;
        if let Some(e) = changes.failure(Action::Add) {
            take_away(kernel, fd, changes.done(Action::Add));
            return Err(e);
        }
        self.keep(fd, Entry { token, interest, is_broken: false }, &changes);
        Ok(())
    }

    pub(crate) fn reregister(
        &mut self,
        kernel: &impl Kernel,
        fd: i32,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let old = self.entry(fd).ok_or_else(|| not_registered(kernel, fd))?;
        // What was there is taken away and made anew, in one call: so every kernel looks again whether it is ready, and
        // tells whether the knotes were there still. A change between the two is part of what is found.
        let mut changes = Changes::new().each(Action::Delete, fd, old.token, Some(old.interest)).each(
            Action::Add,
            fd,
            token,
            Some(interest),
        );
        kernel.apply(changes.as_mut_slice())?;

        if changes.all_missing(old) {
            // Closed without a word: who has the number now has not asked for this.
            take_away(kernel, fd, changes.done(Action::Add));
            self.forget(fd);
            return Err(ErrorKind::NotFound.into());
        }
        if let Some(e) = changes.failure(Action::Add) {
            take_away(kernel, fd, changes.done(Action::Add));
            // What was not there is not made: it may be somebody else's descriptor by now.
            let mut back = Changes::new().each(Action::Add, fd, old.token, changes.done(Action::Delete));
            kernel.apply(back.as_mut_slice())?;
            return Err(e);
        }
        self.keep(fd, Entry { token, interest, is_broken: false }, &changes);
        Ok(())
    }

    pub(crate) fn deregister(&mut self, kernel: &impl Kernel, fd: i32) -> io::Result<()> {
        let old = self.entry(fd).ok_or_else(|| not_registered(kernel, fd))?;
        let mut changes = Changes::new().each(Action::Delete, fd, old.token, Some(old.interest));
        kernel.apply(changes.as_mut_slice())?;
        self.forget(fd);
        if let Some(e) = changes.failure(Action::Delete) {
            return Err(e);
        }
        if changes.all_missing(old) {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(())
    }

    /// Whether [`pay`](Knotes::pay) has something to tell.
    pub(crate) fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Tells what the kernel doesn't, at most `room` times.
    pub(crate) fn pay(&mut self, room: usize, mut tell: impl FnMut(Token, Readiness)) {
        for _ in 0..room {
            let Some(fd) = self.owed.pop() else {
                return;
            };
            if let Some(entry) = self.entry(fd) {
                tell(entry.token, BROKEN);
            }
        }
    }

    fn keep(&mut self, fd: i32, entry: Entry, changes: &Changes) {
        let is_broken = changes.answers(Action::Add).any(|answer| answer == Answer::Broken);
        self.owed.retain(|&owed| owed != fd);
        if is_broken {
            self.owed.push(fd);
        }
        let index = fd as usize;
        if self.by_fd.len() <= index {
            self.by_fd.resize(index + 1, None);
        }
        self.by_fd[index] = Some(Entry { is_broken, ..entry });
    }

    fn forget(&mut self, fd: i32) {
        self.owed.retain(|&owed| owed != fd);
        if let Some(entry) = self.by_fd.get_mut(fd as usize) {
            *entry = None;
        }
    }

    fn entry(&self, fd: i32) -> Option<Entry> {
        self.by_fd.get(usize::try_from(fd).ok()?).copied().flatten()
    }
}

/// Whether the kernel still has any knote of a registration.
fn knows(kernel: &impl Kernel, fd: i32, entry: Entry) -> io::Result<bool> {
    let mut probes = Changes::new().each(Action::Probe, fd, entry.token, Some(entry.interest));
    kernel.apply(probes.as_mut_slice())?;
    Ok(probes.done(Action::Probe).is_some())
}

/// The error for a descriptor without a registration: the kernel's, if it isn't even open.
fn not_registered(kernel: &impl Kernel, fd: i32) -> io::Error {
    kernel.is_open(fd).err().unwrap_or_else(|| ErrorKind::NotFound.into())
}

fn take_away(kernel: &impl Kernel, fd: i32, interest: Option<Interest>) {
    let mut changes = Changes::new().each(Action::Delete, fd, Token(0), interest);
    // There is nothing better to tell than what has led here.
    let _ = kernel.apply(changes.as_mut_slice());
}

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    use super::*;

    const READ: Interest = Interest::READABLE;
    const WRITE: Interest = Interest::WRITABLE;
    const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
    const EBADF: i32 = 9;

    /// A kqueue of the mind.
    #[derive(Default)]
    struct Fake {
        knotes: RefCell<BTreeMap<(i32, String), Token>>,
        /// What the next addition of a write filter answers.
        refusal: Cell<Option<Answer>>,
        closed: Cell<bool>,
        calls: Cell<usize>,
    }

    impl Fake {
        /// The descriptor is closed: its knotes go.
        fn close(&self, fd: i32) {
            self.knotes.borrow_mut().retain(|(of, _), _| *of != fd);
        }

        fn shown(&self) -> String {
            let knotes = self.knotes.borrow();
            let shown: Vec<_> =
                knotes.iter().map(|((fd, filter), token)| format!("{fd} {filter} {}", token.0)).collect();
            shown.join(", ")
        }
    }

    impl Kernel for Fake {
        fn is_open(&self, _: i32) -> io::Result<()> {
            if self.closed.get() {
                Err(io::Error::from_raw_os_error(EBADF))
            } else {
                Ok(())
            }
        }

        fn apply(&self, changes: &mut [Change]) -> io::Result<()> {
            self.calls.set(self.calls.get() + 1);
            for change in changes {
                let mut knotes = self.knotes.borrow_mut();
                let key = (change.fd, format!("{:?}", change.filter));
                change.answer = match change.action {
                    _ if self.closed.get() => Answer::Failed(EBADF),
                    Action::Add => match self.refusal.get() {
                        Some(refusal) if change.filter == Filter::Write => refusal,
                        _ => {
                            knotes.insert(key, change.token);
                            Answer::Done
                        }
                    },
                    Action::Delete if knotes.remove(&key).is_some() => Answer::Done,
                    Action::Probe if knotes.contains_key(&key) => {
                        knotes.insert(key, change.token);
                        Answer::Done
                    }
                    _ => Answer::Missing,
                };
            }
            Ok(())
        }
    }

    fn raw(knotes: &mut Knotes, kernel: &Fake, token: usize, interest: Interest) -> Result<(), ErrorKind> {
        knotes.register(kernel, 3, Token(token), interest).map_err(|e| e.kind())
    }

    #[test]
    fn each_filter_has_its_meaning() {
        let shown = |filter, flags, fflags| format!("{:?}", readiness(filter, flags, fflags));
        assert_eq!(shown(Filter::Read, 0, 0), "READABLE");
        assert_eq!(shown(Filter::Write, 0, 0), "WRITABLE");
        assert_eq!(shown(Filter::Except, 0, 0), "READABLE | PRIORITY");
        assert_eq!(shown(Filter::Read, EV_EOF, 0), "READABLE | READ_CLOSED");
        assert_eq!(shown(Filter::Write, EV_EOF, 0), "WRITABLE | WRITE_CLOSED");
        assert_eq!(shown(Filter::Read, EV_EOF, 54), "READABLE | ERROR | READ_CLOSED | WRITE_CLOSED");
        assert_eq!(shown(Filter::Write, EV_EOF, 61), "WRITABLE | ERROR | READ_CLOSED | WRITE_CLOSED");
        assert_eq!(shown(Filter::Read, EV_ERROR, 0), "READABLE | ERROR");
        assert_eq!(shown(Filter::Aio, EV_EOF | EV_ERROR, 1), "AIO");
        assert_eq!(shown(Filter::Lio, 0, 0), "LIO");
        assert_eq!(shown(Filter::User, 0, 0), "");
        assert_eq!(shown(Filter::Other, EV_EOF, 0), "");
    }

    #[test]
    fn without_an_end_the_notes_are_no_error() {
        // For `EVFILT_EXCEPT` they are what was asked for.
        assert!(!readiness(Filter::Except, 0, 2).intersects(Readiness::ERROR));
    }

    #[test]
    fn an_interest_becomes_its_filters() {
        let (mut knotes, kernel) = (Knotes::default(), Fake::default());
        raw(&mut knotes, &kernel, 7, BOTH | Interest::PRIORITY_DATA).unwrap();
        assert_eq!(kernel.shown(), "3 Except 7, 3 Read 7, 3 Write 7");
        assert_eq!(kernel.calls.get(), 1);
    }

    #[test]
    fn reregistering_replaces_interest_and_token() {
        let (mut knotes, kernel) = (Knotes::default(), Fake::default());
        raw(&mut knotes, &kernel, 1, BOTH).unwrap();
        knotes.reregister(&kernel, 3, Token(2), READ).unwrap();
        assert_eq!(kernel.shown(), "3 Read 2");
        knotes.reregister(&kernel, 3, Token(3), WRITE).unwrap();
        assert_eq!(kernel.shown(), "3 Write 3");
        assert_eq!(kernel.calls.get(), 3, "one call each");
        knotes.deregister(&kernel, 3).unwrap();
        assert_eq!(kernel.shown(), "");
    }

    #[test]
    fn what_the_kernel_would_accept_is_an_error() {
        let (mut knotes, kernel) = (Knotes::default(), Fake::default());
        assert_eq!(knotes.deregister(&kernel, 3).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(knotes.reregister(&kernel, 3, Token(1), READ).unwrap_err().kind(), ErrorKind::NotFound);
        raw(&mut knotes, &kernel, 1, READ).unwrap();
        assert_eq!(raw(&mut knotes, &kernel, 2, BOTH), Err(ErrorKind::AlreadyExists));
        assert_eq!(kernel.shown(), "3 Read 1", "the first registration is as it was");
        knotes.deregister(&kernel, 3).unwrap();
        assert_eq!(knotes.deregister(&kernel, 3).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_descriptor_that_was_closed_without_a_word_is_not_registered() {
        let (mut knotes, kernel) = (Knotes::default(), Fake::default());
        raw(&mut knotes, &kernel, 1, BOTH).unwrap();
        kernel.close(3);
        raw(&mut knotes, &kernel, 2, READ).unwrap();
        assert_eq!(kernel.shown(), "3 Read 2");
        kernel.close(3);
        assert_eq!(knotes.reregister(&kernel, 3, Token(3), BOTH).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(kernel.shown(), "", "the number's next owner is not registered by it");
        raw(&mut knotes, &kernel, 4, READ).unwrap();
        kernel.close(3);
        assert_eq!(knotes.deregister(&kernel, 3).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_bad_descriptor_is_told_apart_from_an_unregistered_one() {
        let (mut knotes, kernel) = (Knotes::default(), Fake::default());
        kernel.closed.set(true);
        for error in [
            knotes.register(&kernel, 3, Token(1), BOTH).unwrap_err(),
            knotes.reregister(&kernel, 3, Token(1), BOTH).unwrap_err(),
            knotes.deregister(&kernel, 3).unwrap_err(),
        ] {
            assert_eq!(error.raw_os_error(), Some(EBADF));
        }
    }

    #[test]
    fn half_a_registration_is_taken_back() {
        let (mut knotes, kernel) = (Knotes::default(), Fake::default());
        kernel.refusal.set(Some(Answer::Failed(22)));
        assert!(raw(&mut knotes, &kernel, 1, BOTH).is_err());
        assert_eq!(kernel.shown(), "");
        raw(&mut knotes, &kernel, 1, READ).unwrap();
        assert!(knotes.reregister(&kernel, 3, Token(2), BOTH).is_err());
        assert_eq!(kernel.shown(), "3 Read 1");
    }

    #[test]
    fn a_pipe_without_a_reader_is_registered_and_told() {
        let (mut knotes, kernel) = (Knotes::default(), Fake::default());
        kernel.refusal.set(Some(Answer::Broken));
        raw(&mut knotes, &kernel, 1, WRITE).unwrap();
        let mut told = Vec::new();
        assert!(knotes.owes());
        knotes.pay(0, |_, _| panic!("no room"));
        knotes.pay(8, |token, readiness| told.push((token.0, readiness)));
        knotes.pay(8, |_, _| panic!("told twice"));
        assert_eq!(told, [(1, BROKEN)]);

        knotes.reregister(&kernel, 3, Token(2), WRITE).unwrap();
        assert!(knotes.owes(), "what exists is reported again");
        knotes.deregister(&kernel, 3).unwrap();
        assert!(!knotes.owes());
        knotes.pay(8, |_, _| panic!("a stale token"));
    }
}
