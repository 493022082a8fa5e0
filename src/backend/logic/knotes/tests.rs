//! The list of registrations on a kqueue with scripted receipts.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::*;

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
const EBADF: i32 = 9;
/// `NOTE_OOB` of xnu and DragonFly.
const OUT_OF_BAND: u32 = 2;

/// A simulated kqueue.
#[derive(Default)]
struct Fake {
    knotes: RefCell<BTreeMap<(i32, String), Token>>,
    witness: RefCell<BTreeMap<(i32, String), Token>>,
    /// The receipt of the next addition of a write filter.
    refusal: Cell<Option<Receipt>>,
    closed: Cell<bool>,
    calls: Cell<usize>,
}

impl Fake {
    /// Closes the descriptor: its knotes are dropped.
    fn close(&self, fd: i32) {
        self.knotes.borrow_mut().retain(|(of, _), _| *of != fd);
        self.witness.borrow_mut().retain(|(of, _), _| *of != fd);
    }

    fn shown(&self) -> String {
        let knotes = self.knotes.borrow();
        let shown: Vec<_> =
            knotes.iter().map(|((fd, filter), token)| format!("{fd} {filter} {}", token.0)).collect();
        shown.join(", ")
    }
}

impl KqueueCalls for Fake {
    fn is_open(&self, _: i32) -> io::Result<()> {
        if self.closed.get() {
            Err(io::Error::from_raw_os_error(EBADF))
        } else {
            Ok(())
        }
    }

    fn apply(&self, queue: Queue, changes: &mut [Change]) -> io::Result<()> {
        self.calls.set(self.calls.get() + 1);
        for change in changes {
            let mut knotes = match queue {
                Queue::Events => self.knotes.borrow_mut(),
                Queue::Witness => self.witness.borrow_mut(),
            };
            let key = (change.fd, format!("{:?}", change.filter));
            change.receipt = match change.action {
                _ if self.closed.get() => Receipt::Failed(EBADF),
                Action::Add => match self.refusal.get() {
                    Some(refusal) if change.filter == Filter::Write => refusal,
                    _ => {
                        knotes.insert(key, change.token);
                        Receipt::Done
                    }
                },
                Action::Delete if knotes.remove(&key).is_some() => Receipt::Done,
                Action::Query if knotes.contains_key(&key) => {
                    knotes.insert(key, change.token);
                    Receipt::Done
                }
                _ => Receipt::Missing,
            };
        }
        Ok(())
    }
}

fn owned(knotes: &mut Knotes, kernel: &Fake, token: usize, interest: Interest) -> Result<(), ErrorKind> {
    knotes.register(kernel, 3, Registration::tracked(Token(token), interest)).map_err(|e| e.kind())
}

#[test]
fn each_filter_has_its_meaning() {
    let shown = |filter, flags, fflags| format!("{:?}", readiness(filter, flags, fflags, OUT_OF_BAND));
    assert_eq!(shown(Filter::Read, 0, 0), "READABLE");
    assert_eq!(shown(Filter::Write, 0, 0), "WRITABLE");
    assert_eq!(shown(Filter::Except, 0, OUT_OF_BAND), "READABLE | PRIORITY");
    assert_eq!(shown(Filter::Except, 0, 0), "READABLE", "ordinary data, which Apple's filter fires for");
    assert_eq!(shown(Filter::Except, EV_EOF, 0), "READABLE | READ_CLOSED");
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
    assert!(!readiness(Filter::Except, 0, 2, 2).intersects(Readiness::ERROR));
}

/// `ECONNRESET` is 54 on these systems: it has the bits of Apple's and DragonFly's note and of OpenBSD's.
#[test]
fn with_an_end_the_error_is_no_note() {
    for note in [2, 4] {
        let found = readiness(Filter::Except, EV_EOF, 54, note);
        assert_eq!(format!("{found:?}"), "READABLE | ERROR | READ_CLOSED | WRITE_CLOSED");
    }
}

#[test]
fn an_interest_becomes_its_filters() {
    let (mut knotes, kernel) = (Knotes::default(), Fake::default());
    owned(&mut knotes, &kernel, 7, BOTH | Interest::PRIORITY_DATA).unwrap();
    assert_eq!(kernel.shown(), "3 Except 7, 3 Read 7, 3 Write 7");
    assert_eq!(kernel.calls.get(), 1);
}

#[test]
fn reregistering_replaces_interest_and_token() {
    let (mut knotes, kernel) = (Knotes::default(), Fake::default());
    owned(&mut knotes, &kernel, 1, BOTH).unwrap();
    knotes.reregister(&kernel, 3, Registration::tracked(Token(2), READ)).unwrap();
    assert_eq!(kernel.shown(), "3 Read 2");
    knotes.reregister(&kernel, 3, Registration::tracked(Token(3), WRITE)).unwrap();
    assert_eq!(kernel.shown(), "3 Write 3");
    assert_eq!(kernel.calls.get(), 3, "one call each");
    knotes.deregister(&kernel, 3).unwrap();
    assert_eq!(kernel.shown(), "");
}

#[test]
fn calls_that_the_kernel_would_accept_fail() {
    let (mut knotes, kernel) = (Knotes::default(), Fake::default());
    assert_eq!(knotes.deregister(&kernel, 3).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(
        knotes.reregister(&kernel, 3, Registration::tracked(Token(1), READ)).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    owned(&mut knotes, &kernel, 1, READ).unwrap();
    assert_eq!(owned(&mut knotes, &kernel, 2, BOTH), Err(ErrorKind::AlreadyExists));
    assert_eq!(kernel.shown(), "3 Read 1", "the first registration is as it was");
    knotes.deregister(&kernel, 3).unwrap();
    assert_eq!(knotes.deregister(&kernel, 3).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_closed_descriptor_is_not_registered() {
    let (mut knotes, kernel) = (Knotes::default(), Fake::default());
    owned(&mut knotes, &kernel, 1, BOTH).unwrap();
    kernel.close(3);
    owned(&mut knotes, &kernel, 2, READ).unwrap();
    assert_eq!(kernel.shown(), "3 Read 2");
    kernel.close(3);
    assert_eq!(
        knotes.reregister(&kernel, 3, Registration::tracked(Token(3), BOTH)).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(kernel.shown(), "", "the number's next owner is not registered by it");
    owned(&mut knotes, &kernel, 4, READ).unwrap();
    kernel.close(3);
    assert_eq!(knotes.deregister(&kernel, 3).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_bad_descriptor_and_an_unregistered_one_differ() {
    let (mut knotes, kernel) = (Knotes::default(), Fake::default());
    kernel.closed.set(true);
    for error in [
        knotes.register(&kernel, 3, Registration::untracked(Token(1), BOTH)).unwrap_err(),
        knotes.reregister(&kernel, 3, Registration::tracked(Token(1), BOTH)).unwrap_err(),
        knotes.deregister(&kernel, 3).unwrap_err(),
    ] {
        assert_eq!(error.raw_os_error(), Some(EBADF));
    }
}

#[test]
fn half_a_registration_is_taken_back() {
    let (mut knotes, kernel) = (Knotes::default(), Fake::default());
    kernel.refusal.set(Some(Receipt::Failed(22)));
    assert!(owned(&mut knotes, &kernel, 1, BOTH).is_err());
    assert_eq!(kernel.shown(), "");
    owned(&mut knotes, &kernel, 1, READ).unwrap();
    assert!(knotes.reregister(&kernel, 3, Registration::tracked(Token(2), BOTH)).is_err());
    assert_eq!(kernel.shown(), "3 Read 1");
}

#[test]
fn a_pipe_without_a_reader_is_registered_and_reported() {
    let (mut knotes, kernel) = (Knotes::default(), Fake::default());
    kernel.refusal.set(Some(Receipt::ReaderGone));
    owned(&mut knotes, &kernel, 1, WRITE).unwrap();
    let mut reported = Vec::new();
    assert!(knotes.has_pending());
    knotes.take_pending(0, |_, _| panic!("no room"));
    knotes.take_pending(8, |token, readiness| reported.push((token.0, readiness)));
    knotes.take_pending(8, |_, _| panic!("reported twice"));
    assert_eq!(reported, [(1, READER_GONE)]);

    knotes.reregister(&kernel, 3, Registration::tracked(Token(2), WRITE)).unwrap();
    assert!(knotes.has_pending(), "what exists is reported again");
    knotes.deregister(&kernel, 3).unwrap();
    assert!(!knotes.has_pending());
    knotes.take_pending(8, |_, _| panic!("a stale token"));
}

const END: Readiness = Readiness::READABLE.union(Readiness::READ_CLOSED);

#[test]
fn the_event_of_one_filter_spends_a_one_shot_registration() {
    let (mut knotes, kernel) = (Knotes::default(), Fake::default());
    owned(&mut knotes, &kernel, 1, BOTH.one_shot()).unwrap();
    knotes.begin_wait();
    assert_eq!(knotes.sift(&kernel, 3, Filter::Read, Readiness::READABLE, 5), Sifted::ReportAs(Token(1)));
    assert_eq!(knotes.sift(&kernel, 3, Filter::Write, Readiness::WRITABLE, 6), Sifted::Merge(5));
    knotes.begin_wait();
    assert_eq!(knotes.sift(&kernel, 3, Filter::Write, Readiness::WRITABLE, 0), Sifted::Drop);

    knotes.reregister(&kernel, 3, Registration::tracked(Token(2), WRITE.edge_one_shot())).unwrap();
    // Of the registration before.
    assert_eq!(knotes.sift(&kernel, 3, Filter::Read, Readiness::READABLE, 0), Sifted::Drop);
    assert_eq!(knotes.sift(&kernel, 3, Filter::Write, Readiness::WRITABLE, 0), Sifted::ReportAs(Token(2)));
    knotes.deregister(&kernel, 3).unwrap();
    assert_eq!(knotes.sift(&kernel, 3, Filter::Write, Readiness::WRITABLE, 0), Sifted::Drop);
}

#[test]
fn an_interest_in_the_end_drops_data() {
    let (mut knotes, kernel) = (Knotes::default(), Fake::default());
    owned(&mut knotes, &kernel, 1, Interest::END).unwrap();
    assert_eq!(kernel.shown(), "3 Read 1");
    assert_eq!(knotes.sift(&kernel, 3, Filter::Read, Readiness::READABLE, 0), Sifted::Drop);
    assert_eq!(knotes.sift(&kernel, 3, Filter::Read, END, 0), Sifted::Report);
    assert!(!knotes.has_pending());
}

/// By the kernel, whose knote becomes level-triggered with the end: so it is dropped with its descriptor.
#[test]
fn a_level_triggered_end_is_repeated_by_the_kernel() {
    let (mut knotes, kernel) = (Knotes::default(), Fake::default());
    owned(&mut knotes, &kernel, 1, Interest::END.level()).unwrap();
    let calls = kernel.calls.get();
    assert_eq!(knotes.sift(&kernel, 3, Filter::Read, Readiness::READABLE, 0), Sifted::Drop);
    assert_eq!((kernel.calls.get(), knotes.record(3).unwrap().mode()), (calls, KnoteMode::Edge));
    for _ in 0..3 {
        assert_eq!(knotes.sift(&kernel, 3, Filter::Read, END, 0), Sifted::Report);
        assert_eq!((kernel.calls.get(), knotes.record(3).unwrap().mode()), (calls + 1, KnoteMode::Level));
    }
    knotes.reregister(&kernel, 3, Registration::tracked(Token(2), Interest::END.level())).unwrap();
    assert_eq!(knotes.record(3).unwrap().mode(), KnoteMode::Edge);

    kernel.close(3);
    assert_eq!(knotes.sift(&kernel, 3, Filter::Read, END, 0), Sifted::Drop);
    assert_eq!(kernel.shown(), "", "the number's next owner is not registered by it");
    assert!(knotes.record(3).is_none());
}

#[test]
fn each_interest_has_its_mode() {
    for (interest, mode) in [
        (READ, KnoteMode::Edge),
        (READ.level(), KnoteMode::Level),
        (READ.one_shot(), KnoteMode::OneShot),
        (READ.edge_one_shot(), KnoteMode::EdgeOneShot),
        (READ.level().exclusive(), KnoteMode::Level),
        (Interest::END.level(), KnoteMode::Edge),
        (Interest::END.one_shot(), KnoteMode::Edge),
    ] {
        assert_eq!(KnoteMode::of(interest), mode, "{interest:?}");
    }
}
