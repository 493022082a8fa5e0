//! Every interleaving of a thread that waits on the list and threads that change it: `cargo xtask loom`.
//!
//! The list, the table and the state machine are the real ones, on a kernel of a few bits. After a lost event the
//! polling thread waits for ever, which loom reports as a deadlock.

use super::*;
use crate::os;
use crate::readiness::{PollFlags, Token};
use loom::sync::{Condvar, Mutex};
use std::sync::OnceLock;
use std::time::Instant;

loom::lazy_static! {
    static ref KERNEL: FakeKernel = FakeKernel::default();
}

/// The data to read at each descriptor, and the waiting thread.
#[derive(Default)]
struct FakeKernel {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: [(RawFd, usize); 2],
    taken: usize,
    notifier: RawFd,
    is_notified: bool,
    /// The files to which a call holds a reference.
    held: Vec<RawFd>,
    /// Each reading of the clock is a second later: a pause that has begun is over.
    seconds: u64,
}

impl FakeKernel {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }
}

/// Its descriptor is a real one, so that no other file has the number.
pub(super) struct Notifier(os::Notifier);

impl Notifier {
    pub(super) fn new() -> io::Result<Notifier> {
        let notifier = Notifier(os::Notifier::new()?);
        KERNEL.change(|state| state.notifier = notifier.as_raw_fd());
        Ok(notifier)
    }

    pub(super) fn notify(&self) -> io::Result<()> {
        KERNEL.change(|state| state.is_notified = true);
        Ok(())
    }

    pub(super) fn drain(&self) {
        KERNEL.change(|state| state.is_notified = false);
    }
}

impl AsRawFd for Notifier {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl std::os::fd::AsFd for Notifier {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.0)
    }
}

#[derive(Clone)]
struct Fake {
    fd: RawFd,
    found: u32,
}

impl PollEntry for Fake {
    const BACKEND: Backend = Backend::PosixPoll;
    const FLAGS: PollFlags = PollFlags {
        input: 1,
        priority: 2,
        output: 4,
        error: 8,
        hangup: 16,
        read_hangup: 32,
        socket_output: 64,
    };
    const NAMES: &'static [(u32, &'static str)] = &[];
    const INVALID: u32 = 128;
    const NOTHING: Fake = Fake { fd: -1, found: 0 };

    type Scratch = ();

    /// Only reading is modelled: a registration that doesn't ask about it is left out.
    fn new(fd: RawFd, mask: PollMask) -> Fake {
        match mask.interest {
            Some(_) => Fake { fd, found: 0 },
            None => Fake::NOTHING,
        }
    }

    fn found(&self) -> u32 {
        self.found
    }

    fn poll(entries: &mut [Fake], _: &mut (), timeout: Option<Duration>) -> io::Result<usize> {
        let mut state = KERNEL.state.lock().unwrap();
        loop {
            for entry in &mut *entries {
                let is_notified = entry.fd == state.notifier && state.is_notified;
                let is_readable = state.waiting.iter().any(|&(fd, count)| fd == entry.fd && count > 0);
                entry.found = u32::from(is_notified || is_readable);
            }
            let found = entries.iter().filter(|entry| entry.found != 0).count();
            // A pause is over at once, or there would be as many continuations as there are moments.
            if timeout.is_some() || found > 0 {
                state.held.clear();
                return Ok(found);
            }
            state.held = entries.iter().map(|entry| entry.fd).collect();
            state = KERNEL.changed.wait(state).unwrap();
        }
    }

    fn now() -> Instant {
        static START: OnceLock<Instant> = OnceLock::new();
        let mut state = KERNEL.state.lock().unwrap();
        state.seconds += 1;
        *START.get_or_init(Instant::now) + Duration::from_secs(state.seconds)
    }
}

mod tests {
    use super::*;
    use loom::sync::atomic::{AtomicBool, Ordering};
    use loom::thread;
    use std::os::unix::net::UnixDatagram;
    use std::sync::Arc;

    const READ: Interest = Interest::READABLE;

    /// Returns two descriptors that a registration takes for sockets, as they are.
    fn sources() -> [RawFd; 2] {
        static SOURCES: OnceLock<(UnixDatagram, UnixDatagram)> = OnceLock::new();
        let (one, other) = SOURCES.get_or_init(|| UnixDatagram::pair().unwrap());
        let fds = [one.as_raw_fd(), other.as_raw_fd()];
        KERNEL.change(|state| state.waiting = fds.map(|fd| (fd, 0)));
        fds
    }

    fn put(fd: RawFd) {
        KERNEL.change(|state| {
            let found = state.waiting.iter_mut().find(|(other, _)| *other == fd).unwrap();
            found.1 += 1;
        });
    }

    /// Reads one; false for `WouldBlock`.
    fn take(fd: RawFd) -> bool {
        let mut state = KERNEL.state.lock().unwrap();
        let found = state.waiting.iter_mut().find(|(other, _)| *other == fd).unwrap();
        if found.1 == 0 {
            return false;
        }
        found.1 -= 1;
        state.taken += 1;
        true
    }

    fn backend() -> Arc<ListBackend<Fake>> {
        Arc::new(ListBackend::new().unwrap())
    }

    fn register(backend: &ListBackend<Fake>, fd: RawFd, token: usize) -> WatchKey {
        backend.register(fd, Registration::tracked(Token(token), READ)).unwrap().unwrap()
    }

    fn drain(backend: &ListBackend<Fake>, fd: RawFd, key: WatchKey) {
        while take(fd) {}
        backend.rearm(key, RearmCause::Direction(READ)).unwrap();
    }

    fn wait(backend: &ListBackend<Fake>, timeout: Option<Duration>) -> Vec<usize> {
        let mut events = Events::with_capacity(4);
        backend.wait(&mut events, timeout).unwrap();
        events.iter().map(|event| event.token().0).collect()
    }

    /// Waits until there is an event.
    fn poll(backend: &ListBackend<Fake>) -> Vec<usize> {
        loop {
            let tokens = wait(backend, None);
            if !tokens.is_empty() {
                return tokens;
            }
        }
    }

    #[test]
    fn a_rearm_during_a_report_is_not_lost() {
        loom::model(|| {
            let (backend, [fd, _]) = (backend(), sources());
            put(fd);
            let key = register(&backend, fd, 1);
            // From here on it is quiet: only the reader arms it.
            assert_eq!(poll(&backend), [1]);
            let reader = {
                let backend = backend.clone();
                thread::spawn(move || {
                    drain(&backend, fd, key);
                    // Perhaps nothing is left for the polling thread.
                    backend.notify().unwrap();
                })
            };
            let writer = thread::spawn(move || put(fd));
            while KERNEL.state.lock().unwrap().taken < 2 {
                if !wait(&backend, None).is_empty() {
                    drain(&backend, fd, key);
                }
            }
            reader.join().unwrap();
            writer.join().unwrap();
        });
    }

    #[test]
    fn a_registration_during_a_poll_is_reported() {
        loom::model(|| {
            let (backend, fds) = (backend(), sources());
            let threads = [0, 1].map(|n| {
                let (backend, fd) = (backend.clone(), fds[n]);
                thread::spawn(move || {
                    register(&backend, fd, n);
                    put(fd);
                })
            });
            let mut seen = [false; 2];
            while seen != [true; 2] {
                for n in poll(&backend) {
                    assert!(!std::mem::replace(&mut seen[n], true), "reported twice");
                }
            }
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }

    #[test]
    fn after_a_reregistration_there_is_the_new_token_only() {
        loom::model(|| {
            let (backend, [fd, _]) = (backend(), sources());
            let key = register(&backend, fd, 1);
            let thread = {
                let backend = backend.clone();
                thread::spawn(move || {
                    backend.reregister(fd, Some(key), Registration::untracked(Token(2), READ)).unwrap();
                    put(fd);
                })
            };
            assert_eq!(poll(&backend), [2]);
            thread.join().unwrap();
        });
    }

    #[test]
    fn no_later_poll_reports_a_deregistered_source() {
        loom::model(|| {
            let (backend, [fd, _]) = (backend(), sources());
            let key = register(&backend, fd, 1);
            put(fd);
            let is_over = Arc::new(AtomicBool::new(false));
            let thread = {
                let (backend, is_over) = (backend.clone(), is_over.clone());
                thread::spawn(move || {
                    backend.deregister(fd, Some(key)).unwrap();
                    is_over.store(true, Ordering::Release);
                })
            };
            let was_over = is_over.load(Ordering::Acquire);
            let tokens = wait(&backend, Some(Duration::ZERO));
            assert!(!was_over || tokens.is_empty());
            thread.join().unwrap();
            assert!(wait(&backend, Some(Duration::ZERO)).is_empty());
        });
    }

    #[test]
    fn a_drop_while_polling_lets_go_of_the_number() {
        loom::model(|| {
            let (backend, [fd, _]) = (backend(), sources());
            let key = register(&backend, fd, 1);
            let thread = {
                let backend = backend.clone();
                thread::spawn(move || {
                    backend.abandon(key);
                    // The next owner of the number.
                    put(fd);
                    register(&backend, fd, 2);
                })
            };
            assert_eq!(poll(&backend), [2]);
            thread.join().unwrap();
        });
    }

    #[test]
    fn the_kernel_holds_no_deregistered_source() {
        loom::model(|| {
            let (backend, [fd, _]) = (backend(), sources());
            let key = register(&backend, fd, 1);
            let thread = {
                let backend = backend.clone();
                thread::spawn(move || {
                    backend.deregister(fd, Some(key)).unwrap();
                    assert!(!KERNEL.state.lock().unwrap().held.contains(&fd));
                    backend.notify().unwrap();
                })
            };
            wait(&backend, None);
            thread.join().unwrap();
        });
    }

    #[test]
    fn a_notification_ends_a_sleep() {
        loom::model(|| {
            let (backend, fds) = (backend(), sources());
            let key = register(&backend, fds[0], 1);
            let threads = {
                let (notifier, changer) = (backend.clone(), backend.clone());
                [
                    thread::spawn(move || notifier.notify().unwrap()),
                    thread::spawn(move || changer.rearm(key, RearmCause::Direction(READ)).unwrap()),
                ]
            };
            assert_eq!(wait(&backend, None), []);
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }

    /// As [`drain`], by an operation whose direction isn't known.
    fn drain_unknown(backend: &ListBackend<Fake>, fd: RawFd, key: WatchKey) {
        while take(fd) {}
        backend.rearm(key, RearmCause::Unknown).unwrap();
    }

    #[test]
    fn a_rearm_of_an_unknown_direction_during_a_poll_is_not_lost() {
        loom::model(|| {
            let (backend, [fd, _]) = (backend(), sources());
            put(fd);
            let key = register(&backend, fd, 1);
            assert_eq!(poll(&backend), [1]);
            let reader = {
                let backend = backend.clone();
                thread::spawn(move || {
                    drain_unknown(&backend, fd, key);
                    // Perhaps nothing is left for the polling thread.
                    backend.notify().unwrap();
                })
            };
            let writer = thread::spawn(move || put(fd));
            while KERNEL.state.lock().unwrap().taken < 2 {
                if !wait(&backend, None).is_empty() {
                    drain_unknown(&backend, fd, key);
                }
            }
            reader.join().unwrap();
            writer.join().unwrap();
        });
    }

    #[test]
    fn two_that_block_during_a_recheck_leave_it_armed() {
        loom::model(|| {
            let (backend, [fd, _]) = (backend(), sources());
            put(fd);
            let key = register(&backend, fd, 1);
            assert_eq!(poll(&backend), [1]);
            // So there is a direction to recheck.
            backend.rearm(key, RearmCause::Unknown).unwrap();
            let readers = [0, 1].map(|_| {
                let backend = backend.clone();
                thread::spawn(move || drain_unknown(&backend, fd, key))
            });
            // It may be reported again: it isn't known that nothing was left.
            wait(&backend, Some(Duration::ZERO));
            for reader in readers {
                reader.join().unwrap();
            }
            drain_unknown(&backend, fd, key);
            assert_eq!(wait(&backend, Some(Duration::ZERO)), []);
            put(fd);
            assert_eq!(wait(&backend, Some(Duration::ZERO)), [1]);
        });
    }

    /// Another thread changes a raw descriptor that is ready while its result is on the way: its first one, or that of
    /// a recheck. Its token may be reported until the change is over. Then comes the next one's, if there is one.
    fn during_the_recheck_of_a_raw_descriptor(
        is_recheck: bool,
        next: &'static [usize],
        change: fn(&ListBackend<Fake>, RawFd),
    ) {
        loom::model(move || {
            let (backend, [fd, _]) = (backend(), sources());
            put(fd);
            backend.register(fd, Registration::untracked(Token(1), READ)).unwrap();
            if is_recheck {
                assert_eq!(wait(&backend, Some(Duration::ZERO)), [1]);
                // Its pause begins.
                assert_eq!(wait(&backend, Some(Duration::ZERO)), []);
            }
            let is_over = Arc::new(AtomicBool::new(false));
            let changer = {
                let (backend, is_over) = (backend.clone(), is_over.clone());
                thread::spawn(move || {
                    change(&backend, fd);
                    is_over.store(true, Ordering::Release);
                })
            };
            let was_over = is_over.load(Ordering::Acquire);
            let first = wait(&backend, Some(Duration::ZERO));
            assert!(!was_over || !first.contains(&1));
            changer.join().unwrap();
            let second = wait(&backend, Some(Duration::ZERO));
            assert!(!second.contains(&1));
            let reported: Vec<usize> = first.into_iter().chain(second).filter(|&token| token != 1).collect();
            assert_eq!(reported, next);

            // The state before the change doesn't affect the state after it.
            while take(fd) {}
            assert_eq!(wait(&backend, Some(Duration::ZERO)), []);
            put(fd);
            assert_eq!(wait(&backend, Some(Duration::ZERO)), next);
        });
    }

    #[test]
    fn a_raw_descriptor_is_deregistered_during_its_recheck() {
        for is_recheck in [false, true] {
            during_the_recheck_of_a_raw_descriptor(is_recheck, &[], |backend, fd| {
                backend.deregister(fd, None).unwrap();
            });
        }
    }

    #[test]
    fn a_raw_descriptor_is_replaced_during_its_recheck() {
        for is_recheck in [false, true] {
            during_the_recheck_of_a_raw_descriptor(is_recheck, &[2], |backend, fd| {
                backend.reregister(fd, None, Registration::untracked(Token(2), READ)).unwrap();
            });
            during_the_recheck_of_a_raw_descriptor(is_recheck, &[2], |backend, fd| {
                backend.deregister(fd, None).unwrap();
                backend.register(fd, Registration::untracked(Token(2), READ)).unwrap();
            });
        }
    }
}
