//! The list of registrations against any sequence of calls, on a kernel that sometimes refuses. Bytes choose the
//! sequence; the fuzzer and an ordinary test supply them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::*;

const EBADF: i32 = 9;
const FDS: usize = 3;

/// A simulated kqueue.
#[derive(Default)]
struct Fake {
    /// By kqueue, descriptor and the filter's index in [`FILTERS`].
    knotes: RefCell<BTreeMap<(Queue, i32, usize), Knote>>,
    is_closed: Cell<[bool; FDS]>,
    /// The receipt of the next addition of a write filter.
    refusal: Cell<Option<Receipt>>,
    /// Whether a write filter was refused in this step, since the reader had gone: the witness is refused one too.
    has_no_reader: Cell<bool>,
}

#[derive(Copy, Clone)]
struct Knote {
    token: Token,
    mode: KnoteMode,
    /// `EV_DISPATCH` has disabled it.
    is_disabled: bool,
}

impl Fake {
    /// Returns whether the knote fires, now that its filter is ready, and disables it as its mode says.
    fn fires(&self, fd: i32, filter: usize) -> bool {
        match self.knotes.borrow_mut().get_mut(&(Queue::Events, fd, filter)) {
            Some(knote) if !knote.is_disabled => {
                knote.is_disabled = matches!(knote.mode, KnoteMode::OneShot | KnoteMode::EdgeOneShot);
                true
            }
            _ => false,
        }
    }

    fn of(&self, fd: i32) -> Vec<(usize, Token, KnoteMode)> {
        let knotes = self.knotes.borrow();
        let of_fd = knotes.range((Queue::Events, fd, 0)..(Queue::Events, fd + 1, 0));
        of_fd.map(|(&(_, _, filter), knote)| (filter, knote.token, knote.mode)).collect()
    }

    fn has_witness(&self, fd: i32) -> bool {
        self.knotes.borrow().keys().any(|&(queue, of, _)| queue == Queue::Witness && of == fd)
    }
}

impl KqueueCalls for Fake {
    fn is_open(&self, fd: i32) -> io::Result<()> {
        match self.is_closed.get()[fd as usize] {
            true => Err(io::Error::from_raw_os_error(EBADF)),
            false => Ok(()),
        }
    }

    fn apply(&self, queue: Queue, changes: &mut [Change]) -> io::Result<()> {
        for change in changes {
            let mut knotes = self.knotes.borrow_mut();
            let filter = FILTERS.iter().position(|(filter, _)| *filter == change.filter).expect("a filter");
            let key = (queue, change.fd, filter);
            let refusal = match (change.action == Action::Add && change.filter == Filter::Write, queue) {
                (true, Queue::Events) => self.refusal.take(),
                (true, Queue::Witness) => self.has_no_reader.get().then_some(Receipt::ReaderGone),
                (false, _) => None,
            };
            self.has_no_reader.set(self.has_no_reader.get() || refusal == Some(Receipt::ReaderGone));
            let knote = Knote { token: change.token, mode: change.mode, is_disabled: false };
            change.receipt = match change.action {
                _ if self.is_closed.get()[change.fd as usize] => Receipt::Failed(EBADF),
                Action::Add => refusal.unwrap_or_else(|| {
                    knotes.insert(key, knote);
                    Receipt::Done
                }),
                Action::Delete if knotes.remove(&key).is_some() => Receipt::Done,
                Action::Query if knotes.contains_key(&key) => {
                    knotes.insert(key, knote);
                    Receipt::Done
                }
                _ => Receipt::Missing,
            };
        }
        Ok(())
    }
}

/// The expected state of a registration.
#[derive(Copy, Clone)]
struct Known {
    token: Token,
    interest: Interest,
    reader_gone: bool,
    is_witnessed: bool,
    /// The one event of a one-shot registration has come.
    is_spent: bool,
    /// An end was reported that the kernel must repeat.
    has_ended: bool,
}

impl Known {
    fn knotes(&self) -> Vec<(usize, Token, KnoteMode)> {
        let mode = if self.has_ended { KnoteMode::Level } else { KnoteMode::of(self.interest) };
        let has = |&(_, (filter, direction)): &(usize, (Filter, Interest))| {
            filters_of(self.interest).intersection(direction).is_some()
                && !(self.reader_gone && filter == Filter::Write)
        };
        FILTERS.into_iter().enumerate().filter(has).map(|(place, _)| (place, self.token, mode)).collect()
    }
}

/// A wait in which every filter of every descriptor is ready, with an end or without: whose events are reported?
fn wait(knotes: &mut Knotes, kernel: &Fake, known: &mut [Option<Known>; FDS], choice: u8) {
    let is_end = choice & 1 != 0;
    // The number of events of the wait, and the tokens of one-shot events with their numbers.
    let mut next = 0;
    let mut spent_now = BTreeMap::new();
    knotes.begin_wait();
    for (place, known) in known.iter_mut().enumerate() {
        for (index, (filter, _)) in FILTERS.into_iter().enumerate() {
            if choice & 2 << index == 0 || !kernel.fires(place as i32, index) {
                continue;
            }
            let flags = if is_end { EV_EOF } else { 0 };
            let sifted = knotes.sift(kernel, place as i32, filter, readiness(filter, flags, 0, 0), next);
            let known = known.as_mut().expect("a knote of a registration");
            let repeats_end = known.interest.is_end() && known.interest.is_level();
            let expected = match known.interest {
                interest if interest.is_end() && !is_end => Sifted::Drop,
                interest if interest.is_one_shot() => match (known.is_spent, spent_now.get(&place)) {
                    (false, _) => Sifted::ReportAs(known.token),
                    (true, Some(&number)) => Sifted::Merge(number),
                    (true, None) => Sifted::Drop,
                },
                _ => Sifted::Report,
            };
            assert_eq!(sifted, expected, "{filter:?} of {place}, {:?}", known.interest);
            if matches!(sifted, Sifted::ReportAs(_)) {
                known.is_spent = true;
                spent_now.insert(place, next);
            }
            known.has_ended |= repeats_end && is_end;
            next += usize::from(matches!(sifted, Sifted::Report | Sifted::ReportAs(_)));
        }
    }
}

/// Panics if a rule is broken.
pub(crate) fn any_sequence(bytes: &[u8]) {
    let (mut knotes, kernel) = (Knotes::default(), Fake::default());
    let mut known: [Option<Known>; FDS] = [None; FDS];
    // Sources that were closed without deregistration and had no knote at all: nothing shows that they were closed.
    let mut reader_was_gone = [false; FDS];
    // Tokens with an event that the list has to report.
    let mut pending: Vec<Token> = Vec::new();
    for (number, step) in bytes.chunks_exact(2).enumerate() {
        let (place, token) = (step[1] as usize % FDS, Token(number));
        let fd = place as i32;
        let interest = FILTERS
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| step[1] & 4 << bit != 0)
            .fold(None, |all: Option<Interest>, (_, (_, one))| Some(all.map_or(one, |all| all | one)))
            .unwrap_or(if step[0] & 0x40 == 0 { Interest::READABLE } else { Interest::END });
        let interest = match step[0] >> 4 & 3 {
            1 => interest.level(),
            2 => interest.one_shot(),
            3 => interest.edge_one_shot(),
            _ => interest,
        };
        let refusal = match step[1] >> 5 {
            0 => Some(Receipt::ReaderGone),
            1 => Some(Receipt::Failed(12)),
            _ => None,
        };
        kernel.refusal.set(refusal.filter(|_| interest.is_writable()));
        let is_open = kernel.is_open(fd).is_ok();
        let was = known[place];
        let reader_gone = kernel.refusal.get() == Some(Receipt::ReaderGone);
        let mut now =
            Known { token, interest, reader_gone, is_witnessed: false, is_spent: false, has_ended: false };
        let tracking = if step[0] & 0x80 == 0 { Tracking::Tracked } else { Tracking::Untracked };
        let fails = kernel.refusal.get() == Some(Receipt::Failed(12));
        let kind = |result: io::Result<()>| result.map_err(|e| e.kind());
        match step[0] & 0xf {
            0 => match (knotes.register(&kernel, fd, Registration { token, interest, tracking }), was) {
                // A registration without a knote can't be distinguished from one that was closed.
                (result, Some(was)) if was.is_witnessed || !was.knotes().is_empty() => {
                    assert_eq!(kind(result), Err(ErrorKind::AlreadyExists));
                }
                (Ok(()), _) => {
                    assert!(is_open && !fails);
                    now.is_witnessed = tracking == Tracking::Untracked && !now.knotes().is_empty();
                    known[place] = Some(now);
                }
                (Err(_), _) => {
                    assert!(!is_open || fails);
                    known[place] = None;
                }
            },
            1 => match (knotes.reregister(&kernel, fd, Registration { token, interest, tracking }), was) {
                (Ok(()), Some(was)) => {
                    assert!(!fails);
                    known[place] = Some(Known { is_witnessed: was.is_witnessed, ..now });
                }
                (Err(e), Some(was)) => {
                    assert!(fails, "{e}");
                    // Restored, and this time the kernel may have watched it.
                    let is_watched = kernel.of(fd) == Known { reader_gone: false, ..was }.knotes();
                    known[place] = Some(Known { reader_gone: was.reader_gone && !is_watched, ..was });
                }
                (Ok(()), None) => {
                    assert!(is_open && !fails && reader_was_gone[place]);
                    known[place] = Some(now);
                }
                (Err(_), None) => {}
            },
            2 => match (knotes.deregister(&kernel, fd), was) {
                (Ok(()), _) => {
                    pending.retain(|pending| was.map_or(true, |was| was.token != *pending));
                    known[place] = None;
                }
                (Err(e), Some(_)) => panic!("{e}"),
                (Err(_), None) => {}
            },
            3 | 4 => {
                // Closed without deregistration. Unless the number stays closed, a new descriptor has it at once.
                kernel.knotes.borrow_mut().retain(|(_, of, _), _| *of != fd);
                reader_was_gone[place] |=
                    known[place].take().is_some_and(|known| known.reader_gone && !known.is_witnessed);
                let mut is_closed = kernel.is_closed.get();
                is_closed[place] = step[0] & 0xf == 4;
                kernel.is_closed.set(is_closed);
            }
            5 => {
                let mut is_closed = kernel.is_closed.get();
                is_closed[place] = false;
                kernel.is_closed.set(is_closed);
            }
            6 => {
                let room = step[1] as usize % 4;
                let mut reported = 0;
                knotes.take_pending(room, |token, readiness| {
                    reported += 1;
                    assert_eq!(readiness, READER_GONE);
                    assert!(pending.contains(&token), "{token:?} has nothing pending");
                    pending.retain(|pending| *pending != token);
                });
                assert!(reported <= room);
            }
            _ => wait(&mut knotes, &kernel, &mut known, step[1]),
        }
        kernel.refusal.set(None);
        kernel.has_no_reader.set(false);
        if let Some(Known { token, reader_gone: true, .. }) = known[place] {
            if was.map_or(true, |was| was.token != token) {
                pending.push(token);
            }
        }
        for (place, known) in known.iter().enumerate() {
            let expected = known.map_or(Vec::new(), |known| known.knotes());
            assert_eq!(kernel.of(place as i32), expected, "knotes of {place} after step {number}: {step:?}");
            let is_witnessed = known.is_some_and(|known| known.is_witnessed);
            assert_eq!(kernel.has_witness(place as i32), is_witnessed, "witness of {place} after {number}");
        }
    }
}

#[cfg(test)]
#[test]
fn no_sequence_breaks_a_rule() {
    crate::backend::logic::fuzzing::try_random(60, any_sequence);
}
