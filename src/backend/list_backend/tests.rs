//! The list, and the changes that may come while a call is in progress, on a simulated kernel whose calls can be
//! stepped into.
//!
//! Invariant: each of its calls finds the lock free, or the test fails.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::os::unix::net::UnixDatagram;
use std::rc::{Rc, Weak};
use std::sync::OnceLock;
use std::time::Instant;

use super::*;
use crate::backend::logic::watch::WatchKey;
use crate::os::{FileIdentity, FileKind};
use crate::readiness::{PollFlags, Token};

const READ: Interest = Interest::READABLE;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
const IN: u32 = 1;
const OUT: u32 = 4;
const HANGUP: u32 = 16;
const INVALID: u32 = 128;
const NOW: Option<Duration> = Some(Duration::ZERO);

#[derive(Clone, Debug, PartialEq)]
struct Fake {
    fd: RawFd,
    asked: u32,
    found: u32,
}

type Step = Box<dyn FnOnce()>;

#[derive(Default)]
struct FakeKernel {
    /// The flags of each descriptor.
    flags: HashMap<RawFd, u32>,
    /// The file that a number refers to, if not the one that is open.
    files: HashMap<RawFd, RawFd>,
    backend: Weak<ListBackend<Fake>>,
    /// The length of the list in each call of `poll`.
    lengths: Vec<usize>,
    /// How often the file of a number was looked up.
    identities: usize,
    /// What another thread does during the next call of `poll`, after its result; or of `identity`.
    during_poll: Option<Step>,
    during_identity: Option<Step>,
    fails: Option<io::ErrorKind>,
    /// The time that has passed.
    elapsed: Duration,
}

thread_local! {
    static KERNEL: RefCell<FakeKernel> = RefCell::default();
}

fn kernel<T>(f: impl FnOnce(&mut FakeKernel) -> T) -> T {
    KERNEL.with(|kernel| f(&mut kernel.borrow_mut()))
}

fn assert_unlocked() {
    if let Some(backend) = kernel(|kernel| kernel.backend.upgrade()) {
        assert!(backend.registrations.is_unlocked(), "a call with the lock held");
    }
}

impl PollEntry for Fake {
    const BACKEND: Backend = Backend::PosixPoll;
    const FLAGS: PollFlags = PollFlags {
        input: IN,
        priority: 2,
        output: OUT,
        error: 8 | INVALID,
        hangup: HANGUP,
        read_hangup: 32,
        socket_output: 64,
    };
    const NAMES: &'static [(u32, &'static str)] = &[];
    const INVALID: u32 = INVALID;
    const NOTHING: Fake = Fake { fd: -1, asked: 0, found: 0 };

    type Scratch = ();

    fn new(fd: RawFd, mask: PollMask) -> Fake {
        let bits = |interest: Interest| {
            let output = if interest.is_writable() { OUT } else { 0 };
            output | if interest.is_readable() { IN } else { 0 }
        };
        Fake { fd, asked: mask.interest.map_or(0, bits) | 8 | HANGUP | INVALID, found: 0 }
    }

    fn found(&self) -> u32 {
        self.found
    }

    fn poll(entries: &mut [Fake], (): &mut (), timeout: Option<Duration>) -> io::Result<usize> {
        assert_unlocked();
        let (step, found) = kernel(|kernel| {
            kernel.lengths.push(entries.len());
            for entry in entries.iter_mut() {
                entry.found = entry.asked & kernel.flags.get(&entry.fd).copied().unwrap_or(0);
            }
            let found = entries.iter().filter(|entry| entry.found != 0).count();
            (kernel.during_poll.take(), kernel.fails.map_or(Ok(found), |kind| Err(kind.into())))
        });
        if let Some(step) = step {
            step();
        }
        assert!(found.is_err() || timeout.is_some() || found.as_ref().is_ok_and(|&found| found > 0));
        found
    }

    fn now() -> Instant {
        static START: OnceLock<Instant> = OnceLock::new();
        *START.get_or_init(Instant::now) + kernel(|kernel| kernel.elapsed)
    }

    fn identity(fd: RawFd) -> io::Result<FileIdentity> {
        assert_unlocked();
        let (step, file) = kernel(|kernel| {
            kernel.identities += 1;
            (kernel.during_identity.take(), kernel.files.get(&fd).copied().unwrap_or(fd))
        });
        let identity = FileIdentity::of(file);
        if let Some(step) = step {
            step();
        }
        identity
    }

    fn watchable(fd: RawFd, _: bool) -> io::Result<(FileIdentity, FileKind)> {
        Ok((Fake::identity(fd)?, FileKind::Socket))
    }
}

/// A backend, and two sockets whose numbers are used.
struct Test {
    backend: Rc<ListBackend<Fake>>,
    sockets: [UnixDatagram; 2],
}

impl Test {
    fn new() -> Test {
        let backend = Rc::new(ListBackend::new().unwrap());
        KERNEL.with(|kernel| {
            *kernel.borrow_mut() = FakeKernel { backend: Rc::downgrade(&backend), ..FakeKernel::default() };
        });
        let (one, other) = UnixDatagram::pair().unwrap();
        Test { backend, sockets: [one, other] }
    }

    fn fd(&self, index: usize) -> RawFd {
        self.sockets[index].as_raw_fd()
    }

    fn is(&self, index: usize, flags: u32) {
        kernel(|kernel| kernel.flags.insert(self.fd(index), flags));
    }

    /// Registers a socket by its number.
    fn raw(&self, index: usize, token: usize) {
        self.backend.register(self.fd(index), Registration::untracked(Token(token), READ)).unwrap();
    }

    fn owned(&self, index: usize, token: usize) -> WatchKey {
        self.backend.register(self.fd(index), Registration::tracked(Token(token), BOTH)).unwrap().unwrap()
    }

    fn during_poll(&self, step: impl FnOnce(&ListBackend<Fake>) + 'static) {
        let backend = Rc::clone(&self.backend);
        kernel(|kernel| kernel.during_poll = Some(Box::new(move || step(&backend))));
    }

    fn during_identity(&self, step: impl FnOnce(&ListBackend<Fake>) + 'static) {
        let backend = Rc::clone(&self.backend);
        kernel(|kernel| kernel.during_identity = Some(Box::new(move || step(&backend))));
    }

    fn try_wait(&self) -> io::Result<Vec<usize>> {
        let mut events = Events::with_capacity(8);
        self.backend.wait(&mut events, NOW)?;
        Ok(events.iter().map(|event| event.token().0).collect())
    }

    fn wait(&self) -> Vec<usize> {
        self.try_wait().unwrap()
    }

    fn pass(&self) {
        kernel(|kernel| kernel.elapsed += Duration::from_secs(1));
    }

    /// Waits a second time after a pause, when rechecked sources are reported again.
    fn wait_long(&self) -> Vec<usize> {
        assert_eq!(self.wait(), [0; 0], "the pause begins");
        self.pass();
        self.wait()
    }
}

#[test]
fn each_answer_is_found_wherever_it_stands() {
    for count in 0..3 * CHUNK {
        let mut entries = vec![libc::pollfd::NOTHING; count];
        assert_eq!(first_found(&entries), None);
        for place in (0..count).rev() {
            // The entries behind it are skipped.
            entries[place].revents = libc::POLLHUP;
            assert_eq!(first_found(&entries), Some((place, libc::POLLHUP as u32)));
        }
    }
}

/// 10,000 changes of 50 registrations, some of them while the list is lent: it has what is registered, and no more.
#[test]
fn the_list_has_one_entry_for_each_registration() {
    let mask = |interest| Some(PollMask { interest: Some(interest), read_hangup: false });
    let mut list = PollList::<Fake>::new(1000);
    let mut model: BTreeMap<u32, Fake> = BTreeMap::new();
    let mut lent = None;
    let mut random: u32 = 1;
    let mut longest = 0;
    for _ in 0..10_000 {
        random = random.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let slot = (random >> 20) % 50;
        let key = WatchKey { slot, generation: NonZeroU32::MIN };
        match (random >> 8) % 5 {
            0 | 1 => {
                let interest = if random >> 31 == 0 { READ } else { BOTH };
                list.submit(key, slot as RawFd, mask(interest)).unwrap();
                model.insert(slot, Fake::new(slot as RawFd, mask(interest).unwrap()));
            }
            2 => {
                list.forget(key, slot as RawFd);
                model.remove(&slot);
            }
            // Nothing would be news, but it is still registered.
            3 if model.contains_key(&slot) => {
                list.submit(key, slot as RawFd, None).unwrap();
                model.insert(slot, Fake::NOTHING);
            }
            _ => match lent.take() {
                Some(set) => list.take_back(set),
                None => lent = Some(list.lend()),
            },
        }
        if lent.is_some() {
            continue;
        }
        assert_eq!(list.set.entries.len(), 1 + model.len());
        longest = longest.max(model.len());
        let entries = list.set.entries.iter().zip(&list.slots).skip(1);
        let found: BTreeMap<u32, Fake> = entries.map(|(entry, &slot)| (slot, entry.clone())).collect();
        assert_eq!(found, model);
    }
    assert!(longest > 20);
}

#[test]
fn no_call_is_made_with_the_lock_held() {
    let test = Test::new();
    test.is(0, IN | OUT);
    test.is(1, IN | OUT);
    test.raw(0, 1);
    let key = test.owned(1, 2);
    // From the list, and then by a recheck.
    let mut tokens = test.wait();
    tokens.sort();
    assert_eq!(tokens, [1, 2]);
    assert_eq!(test.wait_long(), [1]);
    test.backend.rearm(key, RearmCause::Unknown).unwrap();
    test.backend.rearm(key, RearmCause::Direction(READ)).unwrap();
    test.backend.reregister(test.fd(0), None, Registration::untracked(Token(3), READ)).unwrap();
    test.backend.reregister(test.fd(1), Some(key), Registration::untracked(Token(4), READ)).unwrap();
    assert!(test.backend.register(test.fd(0), Registration::untracked(Token(5), READ)).is_err());
    test.backend.notify().unwrap();
    assert_eq!(test.wait().len(), 2);
    test.backend.deregister(test.fd(0), None).unwrap();
    test.backend.abandon(key);
    test.wait();
    let (polls, identities) = kernel(|kernel| (kernel.lengths.len(), kernel.identities));
    assert!(polls >= 6 && identities >= 8, "the calls are to have been made: {polls}, {identities}");
}

#[test]
fn ended_registrations_are_not_rechecked() {
    let test = Test::new();
    test.is(0, IN);
    for token in 0..100 {
        test.raw(0, token);
        // The first one schedules a recheck, and the second one makes it.
        assert_eq!(test.wait(), [token]);
        if token % 2 == 0 {
            test.wait();
        }
        test.backend.deregister(test.fd(0), None).unwrap();
    }
    let longest = kernel(|kernel| kernel.lengths.iter().copied().max());
    assert_eq!(longest, Some(2), "the notifier and one more");

    test.raw(0, 1);
    test.is(1, IN);
    test.raw(1, 2);
    assert_eq!(test.wait().len(), 2);
    test.backend.deregister(test.fd(1), None).unwrap();
    kernel(|kernel| kernel.lengths.clear());
    test.wait();
    assert_eq!(kernel(|kernel| kernel.lengths.clone()), [1, 2], "one to recheck; the notifier and one more");
}

#[test]
fn a_recheck_that_fails_fails_no_poll() {
    let test = Test::new();
    test.is(0, IN);
    test.raw(0, 1);
    assert_eq!(test.wait(), [1]);
    kernel(|kernel| kernel.fails = Some(io::ErrorKind::InvalidInput));
    test.during_poll(|_| kernel(|kernel| kernel.fails = None));
    assert_eq!(test.wait(), [0; 0], "the recheck has failed, but not the poll after it");
    assert_eq!(kernel(|kernel| kernel.fails), None);
    assert_eq!(test.wait_long(), [1], "its recheck is still due");

    kernel(|kernel| kernel.fails = Some(io::ErrorKind::Interrupted));
    test.during_poll(|_| kernel(|kernel| kernel.fails = None));
    assert_eq!(
        test.try_wait().unwrap_err().kind(),
        io::ErrorKind::Interrupted,
        "a signal is for the program"
    );
    assert_eq!(test.wait_long(), [1]);
}

#[test]
fn a_closed_source_takes_no_space_from_others() {
    let test = Test::new();
    test.is(0, IN);
    test.is(1, IN);
    test.raw(0, 1);
    test.raw(1, 2);
    // The first number belongs to another file by now.
    kernel(|kernel| kernel.files.insert(test.fd(0), test.fd(1)));
    let mut events = Events::with_capacity(1);
    test.backend.wait(&mut events, NOW).unwrap();
    assert!(events.iter().map(|event| event.token()).eq([Token(2)]));
}

/// The search goes around the list, and a closed source gives its position to the last entry, which had its turn.
#[test]
fn a_closed_source_hides_no_other() {
    let test = Test::new();
    let more = UnixDatagram::pair().unwrap();
    let fds = [test.fd(0), test.fd(1), more.0.as_raw_fd()];
    for (token, fd) in fds.into_iter().enumerate() {
        test.backend.register(fd, Registration::untracked(Token(token), READ.level())).unwrap();
    }
    let is = |fd: RawFd, flags| kernel(|kernel| kernel.flags.insert(fd, flags));
    is(fds[1], IN);
    is(fds[2], IN);
    let mut one = Events::with_capacity(1);
    test.backend.wait(&mut one, NOW).unwrap();
    assert_eq!(one.iter().map(|event| event.token()).collect::<Vec<_>>(), [Token(1)]);
    // The next search begins with the last entry.
    is(fds[0], INVALID);
    assert_eq!(test.wait(), [2, 1]);
    assert_eq!(test.wait(), [2, 1], "each once");
}

#[test]
fn a_registration_that_ends_during_its_recheck_is_not_reported() {
    let test = Test::new();
    test.is(0, IN);
    test.raw(0, 1);
    let fd = test.fd(0);
    // From the list; then by a recheck that is due.
    test.during_poll(move |backend| backend.deregister(fd, None).unwrap());
    assert_eq!(test.wait(), [0; 0]);
    test.raw(0, 2);
    assert_eq!(test.wait(), [2]);
    test.wait();
    test.pass();
    test.during_poll(move |backend| backend.deregister(fd, None).unwrap());
    assert_eq!(test.wait(), [0; 0]);
    // While the file of the number is verified.
    test.raw(0, 3);
    test.during_identity(move |backend| backend.deregister(fd, None).unwrap());
    assert_eq!(test.wait(), [0; 0]);
}

#[test]
fn a_registration_replaced_during_its_recheck_has_its_new_token() {
    let test = Test::new();
    test.is(0, IN);
    test.raw(0, 1);
    let fd = test.fd(0);
    for token in 2..20 {
        let replace = move |backend: &ListBackend<Fake>| match token % 2 {
            0 => backend.reregister(fd, None, Registration::untracked(Token(token), READ)).unwrap(),
            _ => {
                backend.deregister(fd, None).unwrap();
                backend.register(fd, Registration::untracked(Token(token), READ)).unwrap();
            }
        };
        match token % 3 {
            0 => test.during_poll(replace),
            1 => test.during_identity(replace),
            _ => {
                // A recheck that is due.
                test.wait();
                test.wait();
                test.pass();
                test.during_poll(replace);
            }
        }
        let first = test.wait();
        assert!(first.is_empty() || first == [token], "{first:?} instead of {token}");
        if first.is_empty() {
            assert_eq!(test.wait_long(), [token]);
        }
    }
}

/// A recheck of writing alone is no evidence about reading. To arm that would report it again, at once.
#[test]
fn a_direction_that_blocks_during_the_recheck_of_another_is_rechecked() {
    let test = Test::new();
    test.is(0, OUT);
    let key = test.owned(0, 1);
    assert_eq!(test.wait(), [1]);
    test.backend.rearm(key, RearmCause::Unknown).unwrap();
    test.is(0, IN | OUT);
    assert_eq!(test.wait(), [1], "readable; whether it is writable is rechecked");
    test.during_poll(move |backend| backend.rearm(key, RearmCause::Unknown).unwrap());
    assert_eq!(test.wait(), [0; 0], "both are ready still, and nothing has blocked");
    assert_eq!(test.wait_long(), [1], "after a pause they may be ready again");

    // Both are used up, and the thread that has blocked rechecks them.
    test.during_poll(move |backend| {
        kernel(|kernel| kernel.flags.clear());
        backend.rearm(key, RearmCause::Unknown).unwrap();
    });
    assert_eq!(test.wait(), [0; 0]);
    test.is(0, OUT);
    assert_eq!(test.wait(), [1], "neither is due any more: the next change counts");
}

#[test]
fn a_recheck_scheduled_during_another_comes_before_a_sleep() {
    let test = Test::new();
    test.is(0, IN);
    test.raw(0, 1);
    test.is(1, IN | OUT);
    let key = test.owned(1, 2);
    let mut tokens = test.wait();
    tokens.sort();
    assert_eq!(tokens, [1, 2]);
    test.during_poll(move |backend| {
        kernel(|kernel| kernel.fails = Some(io::ErrorKind::Other));
        // Its own recheck fails, so it stays due.
        backend.rearm(key, RearmCause::Unknown).unwrap();
        kernel(|kernel| kernel.fails = None);
    });
    let mut events = Events::with_capacity(8);
    let (_table, plan) = test.backend.registrations.begin(&mut events, None).unwrap();
    assert_eq!(plan.timeout, NOW);
}

/// A thread uses a number that it has closed. Another one opens and registers that meanwhile.
#[test]
fn the_next_owner_of_a_number_is_not_taken_for_the_last() {
    for (is_open, registers) in [(false, false), (true, false), (false, true), (true, true)] {
        let test = Test::new();
        let (fd, other) = (test.fd(0), test.fd(1));
        test.raw(0, 1);
        test.is(0, IN);
        // What the number refers to during the lookup: nothing, or another file.
        kernel(|kernel| kernel.files.insert(fd, if is_open { other } else { -1 }));
        test.during_identity(move |backend| {
            kernel(|kernel| kernel.files.clear());
            backend.deregister(fd, None).unwrap();
            backend.register(fd, Registration::untracked(Token(2), READ)).unwrap();
        });
        let result = match registers {
            true => test.backend.register(fd, Registration::untracked(Token(3), READ)).map(|_| ()),
            false => test.backend.reregister(fd, None, Registration::untracked(Token(3), READ)),
        };
        let token = if result.is_ok() { 3 } else { 2 };
        assert_eq!((result.is_ok(), test.wait()), (!registers, vec![token]));
    }
}

#[test]
fn a_closed_notifier_is_an_error() {
    for flags in [INVALID, HANGUP] {
        let test = Test::new();
        let notifier = test.backend.notifier.as_raw_fd();
        kernel(|kernel| kernel.flags.insert(notifier, flags));
        for timeout in [None, NOW, Some(Duration::from_millis(1))] {
            let e = test.backend.wait(&mut Events::with_capacity(8), timeout).unwrap_err();
            assert_eq!(e.raw_os_error(), Some(libc::EBADF));
        }
    }
}
