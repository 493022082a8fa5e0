//! Models of kernels, written after their sources, for behaviour that Linux cannot show: one socket, its knotes, and
//! the rules by which each kernel reports them. Each rule names the file and function that it follows.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::*;

const FD: i32 = 3;
const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
const PRIORITY: Interest = Interest::PRIORITY_DATA;
const ECONNRESET: u32 = 54;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum System {
    /// xnu: bsd/kern/kern_event.c and uipc_socket.c.
    Apple,
    /// sys/kern/kern_event.c and uipc_socket.c of each.
    FreeBsd,
    DragonFly,
    NetBsd,
    OpenBsd,
}

use System::{Apple, DragonFly, FreeBsd, NetBsd, OpenBsd};

const SYSTEMS: [System; 5] = [Apple, FreeBsd, DragonFly, NetBsd, OpenBsd];

impl System {
    /// `NOTE_OOB`, where there is an `EVFILT_EXCEPT`.
    fn out_of_band(self) -> Option<u32> {
        match self {
            Apple | DragonFly => Some(2),
            OpenBsd => Some(4),
            FreeBsd | NetBsd => None,
        }
    }

    /// Returns whether a change of an existing knote evaluates its filter, and queues it if that fires.
    ///
    /// - xnu, `kevent_register` ("regular update of a knote"): calls `f_touch`, and `knote_apply_touch` activates.
    /// - FreeBSD, `kqueue_register` from `done_ev_add` on; DragonFly, `kqueue_register`: `filter_event`, then
    ///   `KNOTE_ACTIVATE`; OpenBSD, `kqueue_register`: `filter_modify`, then `knote_activate`.
    /// - NetBSD, `kqueue_register`: only an active knote is queued.
    fn a_change_is_an_event(self) -> bool {
        self != NetBsd
    }
}

/// The state that the filters evaluate.
#[derive(Copy, Clone, Debug)]
struct Socket {
    bytes: bool,
    out_of_band: bool,
    /// `SS_CANTRCVMORE`, `SS_CANTSENDMORE`.
    no_more_comes: bool,
    no_more_goes: bool,
    /// `so_error`.
    error: u32,
    /// Sending must wait until it is connected (`PR_CONNREQUIRED`), and it isn't.
    awaits_connection: bool,
}

/// A connected socket, with nothing to read.
const OPEN: Socket = Socket {
    bytes: false,
    out_of_band: false,
    no_more_comes: false,
    no_more_goes: false,
    error: 0,
    awaits_connection: false,
};

impl Socket {
    /// Returns flags and notes, if the filter fires.
    fn filter(&self, system: System, filter: Filter) -> Option<(u32, u32)> {
        match (filter, system.out_of_band()) {
            // `filt_soread`, on xnu `filt_soread_common`; `so_error` alone is called a temporary error of UDP's.
            (Filter::Read, _) => match self {
                Socket { no_more_comes: true, error, .. } => Some((EV_EOF, *error)),
                Socket { error: 0, bytes: false, .. } => None,
                _ => Some((0, 0)),
            },
            // `filt_sowrite`, on xnu `filt_sowrite_common`. The buffer for sending is never full here.
            (Filter::Write, _) => match self {
                Socket { no_more_goes: true, error, .. } => Some((EV_EOF, *error)),
                Socket { error: 0, awaits_connection: true, .. } => None,
                _ => Some((0, 0)),
            },
            (Filter::Except, Some(note)) if self.out_of_band => Some((0, note)),
            // xnu, `soexcept_filtops`: its `f_event` is the read filter's, which goes on where there is no mark.
            (Filter::Except, Some(_)) if system == Apple => self.filter(system, Filter::Read),
            // DragonFly, `filt_soread` with `NOTE_OOB`; OpenBSD, `filt_soexcept`: the mark, and nothing else.
            _ => None,
        }
    }
}

#[derive(Copy, Clone, Debug)]
struct Knote {
    token: Token,
    is_disabled: bool,
    is_queued: bool,
}

/// A process with one descriptor and two kqueues.
struct Machine {
    system: System,
    socket: Cell<Socket>,
    /// By kqueue and the filter's index in [`FILTERS`].
    knotes: RefCell<BTreeMap<(Queue, usize), Knote>>,
    /// How many of the next calls are interrupted after their changes are made, before their receipts are written.
    interruptions: Cell<usize>,
}

impl KqueueCalls for Machine {
    fn is_open(&self, _: i32) -> io::Result<()> {
        Ok(())
    }

    fn apply(&self, queue: Queue, changes: &mut [Change]) -> io::Result<()> {
        let mut knotes = self.knotes.borrow_mut();
        let interruptions = self.interruptions.get();
        for change in changes {
            let place = FILTERS.iter().position(|(filter, _)| *filter == change.filter).expect("a filter");
            let fires = self.socket.get().filter(self.system, change.filter).is_some();
            let is_disabled = queue == Queue::Witness;
            let receipt = match (change.action, knotes.get_mut(&(queue, place))) {
                (Action::Delete, Some(_)) => {
                    knotes.remove(&(queue, place));
                    Receipt::Done
                }
                (Action::Add | Action::Query, Some(knote)) => {
                    knote.token = change.token;
                    knote.is_queued |= self.system.a_change_is_an_event() && fires && !is_disabled;
                    Receipt::Done
                }
                (Action::Add, None) => {
                    let knote = Knote { token: change.token, is_disabled, is_queued: fires && !is_disabled };
                    knotes.insert((queue, place), knote);
                    Receipt::Done
                }
                (Action::Delete | Action::Query, None) => Receipt::Missing,
            };
            if interruptions == 0 {
                change.receipt = receipt;
            }
        }
        if interruptions > 0 {
            self.interruptions.set(interruptions - 1);
            return Err(ErrorKind::Interrupted.into());
        }
        Ok(())
    }
}

impl Machine {
    fn new(system: System, socket: Socket) -> Machine {
        let (socket, interruptions) = (Cell::new(socket), Cell::new(0));
        Machine { system, socket, knotes: RefCell::default(), interruptions }
    }

    /// Changes the socket: every kernel evaluates the filters then.
    fn happens(&self, socket: Socket) {
        self.socket.set(socket);
        for (&(_, place), knote) in self.knotes.borrow_mut().iter_mut() {
            let fires = socket.filter(self.system, FILTERS[place].0).is_some();
            knote.is_queued |= fires && !knote.is_disabled;
        }
    }

    /// Closes the descriptor, and gives its number to the next one.
    fn reopen(&self) {
        self.knotes.borrow_mut().clear();
    }

    /// Returns what a poll reports: a token, and the union of its events.
    fn fetch(&self) -> Vec<String> {
        let mut events: BTreeMap<usize, Readiness> = BTreeMap::new();
        for (&(queue, place), knote) in self.knotes.borrow_mut().iter_mut() {
            let (filter, _) = FILTERS[place];
            let found = self.socket.get().filter(self.system, filter);
            // With `EV_CLEAR` it leaves the queue; a filter that no longer fires is not reported.
            if let (Queue::Events, true, Some((flags, notes))) =
                (queue, std::mem::take(&mut knote.is_queued), found)
            {
                let note = self.system.out_of_band().unwrap_or(0);
                let event = events.entry(knote.token.0).or_insert(Readiness::NONE);
                *event = event.union(readiness(filter, flags, notes, note));
            }
        }
        events.into_iter().map(|(token, readiness)| format!("{token}: {readiness:?}")).collect()
    }

    fn knows(&self, queue: Queue) -> Vec<(Filter, usize)> {
        let knotes = self.knotes.borrow();
        let of_queue = knotes.iter().filter(|((of, _), _)| *of == queue);
        of_queue.map(|(&(_, place), knote)| (FILTERS[place].0, knote.token.0)).collect()
    }
}

fn register(
    knotes: &mut Knotes,
    machine: &Machine,
    token: usize,
    interest: Interest,
) -> Result<(), ErrorKind> {
    knotes.register(machine, FD, Registration::untracked(Token(token), interest)).map_err(|e| e.kind())
}

/// Returns what a poll reports of a socket that is registered in this state.
fn reported(system: System, socket: Socket, interest: Interest) -> Vec<String> {
    let (mut knotes, machine) = (Knotes::default(), Machine::new(system, socket));
    register(&mut knotes, &machine, 1, interest).unwrap();
    machine.fetch()
}

#[test]
fn only_out_of_band_data_is_priority() {
    for system in SYSTEMS.into_iter().filter(|system| system.out_of_band().is_some()) {
        let (mut knotes, machine) = (Knotes::default(), Machine::new(system, OPEN));
        register(&mut knotes, &machine, 1, READ | PRIORITY).unwrap();
        machine.happens(Socket { bytes: true, ..OPEN });
        assert_eq!(machine.fetch(), ["1: READABLE"], "{system:?}");
        machine.happens(Socket { bytes: true, out_of_band: true, ..OPEN });
        assert_eq!(machine.fetch(), ["1: READABLE | PRIORITY"], "{system:?}");

        // On xnu the numbers of errors are in the field of the note.
        let end = Socket { no_more_comes: true, no_more_goes: true, error: ECONNRESET, ..OPEN };
        let events = reported(system, end, READ | PRIORITY);
        assert_eq!(events, ["1: READABLE | ERROR | READ_CLOSED | WRITE_CLOSED"], "{system:?}");
    }
}

#[test]
fn a_second_registration_repeats_no_event() {
    for system in SYSTEMS {
        for interest in [READ, WRITE, BOTH] {
            let (mut knotes, machine) = (Knotes::default(), Machine::new(system, OPEN));
            machine.happens(Socket { bytes: true, ..OPEN });
            register(&mut knotes, &machine, 1, interest).unwrap();
            assert_eq!(machine.fetch().len(), 1, "{system:?}");
            for second in [READ, WRITE, BOTH] {
                assert_eq!(register(&mut knotes, &machine, 2, second), Err(ErrorKind::AlreadyExists));
                assert_eq!(machine.fetch(), [""; 0], "{system:?}: what was reported is reported again");
            }
            machine.happens(Socket { bytes: true, ..OPEN });
            assert_eq!(machine.fetch().len(), 1, "{system:?}: it is watched as before");
        }
    }
}

#[test]
fn a_closed_descriptor_and_a_registered_one_differ() {
    for system in SYSTEMS {
        let (mut knotes, machine) = (Knotes::default(), Machine::new(system, OPEN));
        for (token, interest) in [READ, BOTH, WRITE].into_iter().enumerate() {
            register(&mut knotes, &machine, token, interest).unwrap();
            knotes.reregister(&machine, FD, Registration::untracked(Token(token), WRITE)).unwrap();
            assert_eq!(register(&mut knotes, &machine, 7, READ), Err(ErrorKind::AlreadyExists));
            machine.reopen();
        }
        register(&mut knotes, &machine, 5, READ).unwrap();
        assert_eq!(machine.knows(Queue::Events), [(Filter::Read, 5)]);
        knotes.deregister(&machine, FD).unwrap();
        assert_eq!((machine.knows(Queue::Events), machine.knows(Queue::Witness)), (vec![], vec![]));
    }
}

/// `kevent(2)` of each system: with `EINTR` every change has been made. None of these kernels returns it today from a
/// call with as many receipts as changes, since no scan follows those (`kern_kevent_fp` on FreeBSD, and its relatives).
#[test]
fn an_interrupted_change_was_made() {
    for interruptions in 1..3 {
        let (mut knotes, machine) = (Knotes::default(), Machine::new(FreeBsd, OPEN));
        machine.interruptions.set(interruptions);
        register(&mut knotes, &machine, 1, READ).unwrap();
        assert_eq!(machine.knows(Queue::Events), [(Filter::Read, 1)]);
        assert_eq!(register(&mut knotes, &machine, 2, READ), Err(ErrorKind::AlreadyExists));

        machine.interruptions.set(interruptions);
        knotes.reregister(&machine, FD, Registration::untracked(Token(3), BOTH)).unwrap();
        assert_eq!(machine.knows(Queue::Events), [(Filter::Read, 3), (Filter::Write, 3)]);

        machine.interruptions.set(interruptions);
        knotes.deregister(&machine, FD).unwrap();
        assert_eq!(machine.knows(Queue::Events), []);
        assert_eq!(knotes.deregister(&machine, FD).unwrap_err().kind(), ErrorKind::NotFound);
    }
}

/// The cells of the conformance suite's `close_states` that differ from epoll's come from here.
#[test]
fn the_states_of_a_socket() {
    const ENDED: Socket = Socket { no_more_comes: true, no_more_goes: true, ..OPEN };
    let rows = [
        ("TCP, open", OPEN, ["", "W", "W"]),
        ("TCP, peer shut down writing", Socket { no_more_comes: true, ..OPEN }, ["Rr", "W", "RWr"]),
        ("TCP, shut down writing here", Socket { no_more_goes: true, ..OPEN }, ["", "Ww", "Ww"]),
        ("TCP, both shut down writing", ENDED, ["Rr", "Ww", "RWrw"]),
        ("TCP, reset by the peer", Socket { error: ECONNRESET, ..ENDED }, ["RErw", "WErw", "RWErw"]),
        ("TCP, never connected", Socket { awaits_connection: true, ..OPEN }, ["", "", ""]),
        ("UDP, datagram refused", Socket { error: 61, ..OPEN }, ["R", "W", "RW"]),
    ];
    let letter = |word: &str| match word {
        "READABLE" => "R",
        "WRITABLE" => "W",
        "ERROR" => "E",
        "READ_CLOSED" => "r",
        "WRITE_CLOSED" => "w",
        other => panic!("{other}"),
    };
    for system in SYSTEMS {
        for (name, socket, expected) in rows {
            for (interest, expected) in [READ, WRITE, BOTH].into_iter().zip(expected) {
                let events = reported(system, socket, interest);
                let words = events.iter().flat_map(|event| event.trim_start_matches("1: ").split(" | "));
                assert_eq!(
                    words.map(letter).collect::<String>(),
                    expected,
                    "{system:?}: {name}, {interest:?}"
                );
            }
        }
    }
}

/// The events that one filter can report, which the suite's `close_states` may expect: each list is there too.
#[test]
fn the_events_of_each_filter() {
    let said = |filter| -> Vec<String> {
        let ends = [(0, 0), (EV_EOF, 0), (EV_EOF, ECONNRESET)];
        ends.map(|(flags, notes)| format!("{:?}", readiness(filter, flags, notes, 0))).into()
    };
    let read = ["READABLE", "READABLE | READ_CLOSED", "READABLE | ERROR | READ_CLOSED | WRITE_CLOSED"];
    assert_eq!(said(Filter::Read), read);
    let write = ["WRITABLE", "WRITABLE | WRITE_CLOSED", "WRITABLE | ERROR | READ_CLOSED | WRITE_CLOSED"];
    assert_eq!(said(Filter::Write), write);
    assert_eq!(format!("{READER_GONE:?}"), "WRITABLE | ERROR | WRITE_CLOSED");
}
