//! The list of filters on a kqueue that follows the rules of FreeBSD's.

use std::cell::{Cell, RefCell};

use super::*;

const READ: Interest = Interest::READABLE;
const ESRCH: i32 = 3;

/// A simulated kqueue: its knotes, with the number of events that none has fetched.
#[derive(Default)]
struct Fake {
    knotes: RefCell<BTreeMap<FilterId, (FilterRecord, usize)>>,
    /// The number of the next additions that fail.
    failures: Cell<usize>,
    /// Each call is interrupted once, after it has made its change.
    is_interrupted: Cell<bool>,
}

impl Fake {
    fn happen(&self, filter: KernelFilter) {
        self.knotes.borrow_mut().get_mut(&filter.id()).expect("a knote").1 += 1;
    }

    /// A process ends, and its event is fetched.
    fn end(&self, id: u32) {
        self.knotes.borrow_mut().remove(&FilterId::Process(id)).expect("a knote");
    }

    fn shown(&self) -> Vec<(FilterId, usize, usize)> {
        let knotes = self.knotes.borrow();
        knotes.iter().map(|(id, (record, events))| (*id, record.token.0, *events)).collect()
    }

    fn interrupted(&self) -> io::Result<()> {
        match self.is_interrupted.replace(!self.is_interrupted.get()) {
            true => Err(ErrorKind::Interrupted.into()),
            false => Ok(()),
        }
    }
}

impl FilterCalls for Fake {
    fn add(&self, record: &FilterRecord) -> io::Result<()> {
        if self.failures.get() > 0 {
            self.failures.set(self.failures.get() - 1);
            return Err(io::Error::from_raw_os_error(ESRCH));
        }
        let mut knotes = self.knotes.borrow_mut();
        let (knote, _) = knotes.entry(record.filter.id()).or_insert((*record, 0));
        // One that exists keeps its flags.
        *knote = FilterRecord { is_one_shot: knote.is_one_shot, ..*record };
        self.interrupted()
    }

    fn delete(&self, filter: &KernelFilter) -> io::Result<()> {
        let removed = self.knotes.borrow_mut().remove(&filter.id());
        self.interrupted()?;
        removed.map(|_| ()).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

const SIGNAL: KernelFilter = KernelFilter::Signal(5);
const EXIT: KernelFilter = KernelFilter::ProcessExit(5);
const FORK: KernelFilter = KernelFilter::ProcessFork(5);
const TIMER: KernelFilter = KernelFilter::Timer { id: 5, interval: Duration::from_millis(5) };

/// A kqueue and its list.
#[derive(Default)]
struct Pair(Fake, KernelFilters);

impl Pair {
    fn change_of(&mut self, owner: usize, change: FilterChange) -> io::Result<()> {
        self.1.change(&self.0, &EXIT, FilterOwner(owner), change)
    }

    fn change(&mut self, filter: KernelFilter, change: FilterChange) -> Result<(), ErrorKind> {
        self.1.change(&self.0, &filter, FilterOwner::SHARED, change).map_err(|e| e.kind())
    }

    fn register(&mut self, filter: KernelFilter, token: usize, interest: Interest) -> Result<(), ErrorKind> {
        self.change(filter, FilterChange::Register(Token(token), interest))
    }

    fn reregister(
        &mut self,
        filter: KernelFilter,
        token: usize,
        interest: Interest,
    ) -> Result<(), ErrorKind> {
        self.change(filter, FilterChange::Reregister(Token(token), interest))
    }

    fn deregister(&mut self, filter: KernelFilter) -> Result<(), ErrorKind> {
        self.change(filter, FilterChange::Deregister)
    }
}

#[test]
fn a_number_names_one_source_of_each_kind() {
    let mut pair = Pair::default();
    for (token, filter) in [SIGNAL, EXIT, TIMER].into_iter().enumerate() {
        assert_eq!(pair.deregister(filter), Err(ErrorKind::NotFound));
        assert_eq!(pair.reregister(filter, token, READ), Err(ErrorKind::NotFound));
        assert_eq!(pair.register(filter, token, READ), Ok(()));
        assert_eq!(pair.register(filter, 9, READ), Err(ErrorKind::AlreadyExists));
    }
    assert_eq!(pair.register(FORK, 9, READ), Err(ErrorKind::AlreadyExists));
    let all = [(FilterId::Signal(5), 0, 0), (FilterId::Process(5), 1, 0), (FilterId::Timer(5), 2, 0)];
    assert_eq!(pair.0.shown(), all);
    assert_eq!(pair.deregister(EXIT), Ok(()));
    assert_eq!(pair.0.shown(), [all[0], all[2]]);
}

#[test]
fn what_has_happened_outlives_a_reregistration() {
    let mut pair = Pair::default();
    for filter in [SIGNAL, EXIT] {
        pair.register(filter, 1, READ.one_shot()).unwrap();
        pair.0.happen(filter);
        pair.reregister(filter, 2, READ.one_shot()).unwrap();
        assert_eq!(pair.0.shown(), [(filter.id(), 2, 1)]);
        pair.deregister(filter).unwrap();
    }
}

#[test]
fn a_timer_and_a_changed_mode_begin_anew() {
    let mut pair = Pair::default();
    for (filter, interest) in [(TIMER, READ.one_shot()), (SIGNAL, READ)] {
        pair.register(filter, 1, READ.one_shot()).unwrap();
        pair.0.happen(filter);
        pair.reregister(filter, 2, interest).unwrap();
        assert_eq!(pair.0.shown(), [(filter.id(), 2, 0)]);
        assert_eq!(pair.0.knotes.borrow()[&filter.id()].0.is_one_shot, interest.is_one_shot());
        pair.deregister(filter).unwrap();
    }
}

#[test]
fn a_process_that_has_ended() {
    let mut pair = Pair::default();
    pair.register(EXIT, 1, READ).unwrap();
    pair.0.end(5);
    pair.1.process_ended(5);
    pair.1.process_ended(6);
    // The next one with its number.
    pair.register(EXIT, 2, READ).unwrap();
    assert_eq!(pair.register(EXIT, 3, READ), Err(ErrorKind::AlreadyExists));
    pair.0.end(5);
    assert_eq!(pair.deregister(EXIT), Ok(()));
    assert_eq!(pair.deregister(EXIT), Err(ErrorKind::NotFound));
}

#[test]
fn a_failure_changes_nothing() {
    let mut pair = Pair::default();
    pair.0.failures.set(1);
    pair.register(EXIT, 1, READ).unwrap_err();
    assert_eq!(pair.deregister(EXIT), Err(ErrorKind::NotFound));
    pair.register(EXIT, 1, READ).unwrap();
    pair.0.failures.set(1);
    pair.reregister(FORK, 2, READ).unwrap_err();
    assert_eq!(pair.0.knotes.borrow()[&EXIT.id()].0.filter, EXIT);
    assert_eq!(pair.0.shown(), [(EXIT.id(), 1, 0)]);
}

#[test]
fn an_interrupted_call_is_made_again() {
    let mut pair = Pair::default();
    pair.0.is_interrupted.set(true);
    pair.register(TIMER, 1, READ).unwrap();
    pair.reregister(TIMER, 2, READ).unwrap();
    assert_eq!(pair.0.shown(), [(TIMER.id(), 2, 0)]);
    pair.deregister(TIMER).unwrap();
    assert!(pair.0.shown().is_empty());
}

#[test]
fn other_interests_are_refused() {
    let mut pair = Pair::default();
    let others = [READ.level(), Interest::WRITABLE, READ | Interest::WRITABLE, Interest::END];
    for interest in others {
        assert_eq!(pair.register(SIGNAL, 1, interest), Err(ErrorKind::Unsupported), "{interest:?}");
    }
    pair.register(SIGNAL, 1, READ.edge_one_shot()).unwrap();
    assert_eq!(pair.reregister(SIGNAL, 2, READ.level()), Err(ErrorKind::Unsupported));
    assert_eq!(pair.0.shown(), [(FilterId::Signal(5), 1, 0)]);
}

#[test]
fn an_interval_is_rounded_up() {
    const NOTE: u32 = 8;
    let nanos = Duration::from_nanos;
    assert_eq!(timer_value(nanos(0), Some(NOTE)), (NOTE, 1));
    assert_eq!(timer_value(nanos(1_500_000), Some(NOTE)), (NOTE, 1_500_000));
    assert_eq!(timer_value(nanos(0), None), (0, 1));
    assert_eq!(timer_value(nanos(1), None), (0, 1));
    assert_eq!(timer_value(nanos(1_000_000), None), (0, 1));
    assert_eq!(timer_value(nanos(1_000_001), None), (0, 2));
    // Too long for a number of nanoseconds.
    assert_eq!(timer_value(Duration::MAX, Some(NOTE)), (0, isize::MAX));
}

/// A number that a later process has got.
#[test]
fn an_owner_changes_no_registration_of_another() {
    let mut pair = Pair::default();
    let register = |token| FilterChange::Register(Token(token), READ);
    let reregister = |token| FilterChange::Reregister(Token(token), READ);
    pair.change_of(1, register(1)).unwrap();
    for owner in [0, 2] {
        assert_eq!(pair.change_of(owner, register(2)).unwrap_err().kind(), ErrorKind::AlreadyExists);
        for change in [reregister(2), FilterChange::Deregister] {
            assert_eq!(pair.change_of(owner, change).unwrap_err().kind(), ErrorKind::NotFound);
        }
    }
    // It ends, and the kernel isn't asked for the process that may have the number now.
    pair.0.end(5);
    pair.1.process_ended(5);
    assert_eq!(pair.change_of(1, reregister(3)).unwrap_err().raw_os_error(), Some(ESRCH));
    assert_eq!(pair.0.shown(), []);
    pair.change_of(2, register(4)).unwrap();
    for change in [reregister(5), FilterChange::Deregister] {
        assert_eq!(pair.change_of(1, change).unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(pair.0.shown(), [(EXIT.id(), 4, 0)]);
    pair.change_of(2, FilterChange::Deregister).unwrap();
    // What has no owner asks the kernel each time.
    pair.register(EXIT, 6, READ).unwrap();
    pair.0.end(5);
    pair.1.process_ended(5);
    pair.reregister(EXIT, 7, READ).unwrap();
    assert_eq!(pair.0.shown(), [(EXIT.id(), 7, 0)]);
}
