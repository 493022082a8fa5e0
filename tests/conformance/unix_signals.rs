//! Unix, promise 10: a signal ends `poll` with `Interrupted`, and loses nothing.

use std::io::{self, ErrorKind};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use wakeful::net::TcpStream;
use wakeful::{Backend, Token, Waker};

use crate::support::*;

on_every_backend![
    a_signal_interrupts_a_sleep,
    a_signal_loses_no_event,
    a_loop_with_a_deadline,
    a_signal_before_a_ready_source,
    signals_without_end,
    registrations_under_signals_without_end,
    others_work_under_signals_without_end,
];

static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handler(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: all zeros is a legal sigaction; the handler does nothing but an atomic addition.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as extern "C" fn(libc::c_int) as usize;
            // Without SA_RESTART, so that system calls are interrupted.
            assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
        }
    });
}

/// A thread that can be sent the signal while it is alive.
#[derive(Copy, Clone)]
struct Target(libc::pthread_t);

// SAFETY: a pthread_t names a thread for every thread; some systems' is a pointer.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Target {
    fn this() -> Target {
        install();
        // SAFETY: always succeeds.
        Target(unsafe { libc::pthread_self() })
    }

    fn interrupt(&self) {
        // SAFETY: the thread waits for the one that calls this, so it is alive.
        assert_eq!(unsafe { libc::pthread_kill(self.0, libc::SIGUSR1) }, 0);
    }
}

fn a_signal_interrupts_a_sleep(backend: Backend) {
    let mut t = Tester::new(backend);
    let _waker = Waker::new(t.registry(), WAKE).unwrap();
    let target = Target::this();
    for timeout in [None, Some(PATIENCE)] {
        for _ in 0..20 {
            let end = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    // Repeats until the signal arrived while the poller slept.
                    while !end.load(Ordering::Acquire) {
                        target.interrupt();
                        thread::sleep(Duration::from_micros(200));
                    }
                });
                let result = t.poll.poll(&mut t.events, timeout);
                end.store(true, Ordering::Release);
                assert_kind(result, ErrorKind::Interrupted);
                assert!(t.events.is_empty());
            });
        }
    }
    t.quiet_after_signals();
}

impl Tester {
    /// A last signal may come late, even into a poll that doesn't sleep.
    fn quiet_after_signals(&mut self) {
        while let Err(e) = self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            assert_eq!(e.kind(), ErrorKind::Interrupted);
        }
        assert!(self.events.is_empty(), "{:?}", self.events);
    }
}

/// Nor is a wake lost: it stays pending if a signal interrupts the sleep.
fn a_signal_loses_no_event(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    let target = Target::this();
    for round in 0..300 {
        let wants = if round % 2 == 0 { WAKE } else { A };
        thread::scope(|scope| {
            scope.spawn(|| {
                if round % 5 == 0 {
                    thread::sleep(Duration::from_micros(100));
                }
                match round % 4 {
                    0 => {
                        waker.wake().unwrap();
                        target.interrupt();
                    }
                    1 => {
                        target.interrupt();
                        send(&b, b"x");
                    }
                    2 => {
                        target.interrupt();
                        waker.wake().unwrap();
                    }
                    _ => {
                        send(&b, b"x");
                        target.interrupt();
                    }
                }
            });
            let deadline = Instant::now() + PATIENCE;
            loop {
                assert!(Instant::now() < deadline, "round {round}: lost by a signal");
                match t.poll.poll_until(&mut t.events, deadline) {
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::Interrupted);
                        assert!(t.events.is_empty());
                    }
                    Ok(()) => {
                        let events: Vec<_> = t.events.iter().collect();
                        assert!(events.len() == 1 && events[0].token() == wants, "{events:?}");
                        break;
                    }
                }
            }
        });
        if wants == A {
            assert_eq!(drain(&a), b"x");
        }
        t.quiet_after_signals();
    }
}

fn a_loop_with_a_deadline(backend: Backend) {
    let mut t = Tester::new(backend);
    let target = Target::this();
    let (has_begun, end) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !end.load(Ordering::Acquire) {
                target.interrupt();
                has_begun.store(true, Ordering::Release);
                thread::sleep(Duration::from_micros(300));
            }
        });
        // On a busy machine that thread may start late.
        wait_until("the first signal", || has_begun.load(Ordering::Acquire));
        let result = catch_unwind(AssertUnwindSafe(|| {
            let limit = Instant::now() + PATIENCE;
            // Repeats until a signal has arrived in between.
            while t.sleep_in_a_loop(Duration::from_millis(50)) == 0 {
                assert!(Instant::now() < limit, "the test did nothing");
            }
        }));
        end.store(true, Ordering::Release);
        if let Err(panic) = result {
            resume_unwind(panic);
        }
    });
}

impl Tester {
    /// Sleeps for that long through any number of signals, and returns their number.
    fn sleep_in_a_loop(&mut self, time: Duration) -> usize {
        let start = Instant::now();
        let deadline = start + time;
        let mut interrupted = 0;
        while let Err(e) = self.poll.poll_until(&mut self.events, deadline) {
            assert_eq!(e.kind(), ErrorKind::Interrupted);
            interrupted += 1;
        }
        assert!(Instant::now() >= deadline, "early");
        assert!(start.elapsed() < PATIENCE / 2, "restarted");
        interrupted
    }
}

/// A signal doesn't discard events that were found.
fn a_signal_before_a_ready_source(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    let target = Target::this();
    for _ in 0..100 {
        send(&b, b"x");
        await_bytes(&a);
        // The signal is handled when `pthread_kill` returns; later calls aren't interrupted.
        target.interrupt();
        t.expect(&[want(A, READ)]);
        drain(&a);
    }
}

/// Sends signals to this thread while it works, as fast as another one can.
fn under_signals_without_end(work: impl FnOnce()) {
    let target = Target::this();
    let end = AtomicBool::new(false);
    let before = HANDLED.load(Ordering::SeqCst);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !end.load(Ordering::Acquire) {
                let handled = HANDLED.load(Ordering::SeqCst);
                target.interrupt();
                // Signals merge until they are handled, so a higher rate is of no use.
                while HANDLED.load(Ordering::SeqCst) == handled && !end.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
            }
        });
        // On a busy machine that thread may start late.
        wait_until("the first signal", || HANDLED.load(Ordering::SeqCst) > before);
        let result = catch_unwind(AssertUnwindSafe(work));
        end.store(true, Ordering::Release);
        if let Err(panic) = result {
            resume_unwind(panic);
        }
    });
}

/// Emulated kernels interrupt even calls that don't sleep. Such a call has done nothing, and can be repeated.
fn uninterrupted(mut operation: impl FnMut() -> io::Result<()>) {
    while let Err(e) = operation() {
        assert_eq!(e.kind(), ErrorKind::Interrupted);
    }
}

/// Nothing is lost, no time is cut short, and the work is done.
fn signals_without_end(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    let mut interrupted = 0;
    under_signals_without_end(|| {
        for round in 0..1000 {
            let deadline = Instant::now() + PATIENCE;
            let wants = match round % 3 {
                0 => {
                    uninterrupted(|| waker.wake());
                    Some(WAKE)
                }
                1 => {
                    send(&b, b"x");
                    Some(A)
                }
                _ => None,
            };
            let deadline = match wants {
                Some(_) => deadline,
                None => Instant::now() + Duration::from_micros(50 + round % 7 * 100),
            };
            loop {
                match t.poll.poll_until(&mut t.events, deadline) {
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::Interrupted);
                        assert!(t.events.is_empty());
                        interrupted += 1;
                    }
                    Ok(()) if t.events.is_empty() => {
                        assert!(Instant::now() >= deadline, "early and empty");
                        assert_eq!(wants, None, "round {round}: lost");
                        break;
                    }
                    Ok(()) => {
                        let came: Vec<_> = t.events.iter().map(|event| event.token()).collect();
                        assert_eq!(came, [wants.expect("nothing was to come")]);
                        break;
                    }
                }
            }
            if wants == Some(A) {
                assert_eq!(drain(&a), b"x");
            }
        }
    });
    assert!(interrupted > 0, "the test did nothing");
    t.quiet_after_signals();
}

/// The whole life of a source, on the thread that gets the signals, with a sleep to interrupt before each step.
fn registrations_under_signals_without_end(backend: Backend) {
    let mut t = Tester::new(backend);
    let registry = t.registry().try_clone().unwrap();
    let (mut a, b) = tcp_pair();
    let mut interrupted = 0;
    under_signals_without_end(|| {
        for _ in 0..300 {
            interrupted += t.sleep_under_signals();
            uninterrupted(|| registry.register(&mut a, A, READ));
            interrupted += t.sleep_under_signals();
            send(&b, b"x");
            assert_eq!(t.receive_under_signals(A, &a), b"x");
            interrupted += t.sleep_under_signals();
            uninterrupted(|| registry.reregister(&mut a, B, READ));
            interrupted += t.sleep_under_signals();
            send(&b, b"y");
            assert_eq!(t.receive_under_signals(B, &a), b"y");
            uninterrupted(|| registry.deregister(&mut a));
        }
    });
    assert!(interrupted > 0, "the test did nothing");
    t.quiet_after_signals();
}

impl Tester {
    /// Sleeps for a moment without events, or until a signal, and returns the number of signals.
    fn sleep_under_signals(&mut self) -> usize {
        match self.poll.poll(&mut self.events, Some(Duration::from_micros(100))) {
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Interrupted);
                1
            }
            Ok(()) => 0,
        }
    }

    /// Returns the data of the events of `token`, which no signal may lose.
    #[track_caller]
    fn receive_under_signals(&mut self, token: Token, from: &TcpStream) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "lost: {token:?}");
            match self.poll.poll_until(&mut self.events, deadline) {
                Err(e) => assert_eq!(e.kind(), ErrorKind::Interrupted),
                Ok(()) => {
                    let is_reported = self.events.iter().any(|event| event.token() == token);
                    let bytes = if is_reported { drain(from) } else { Vec::new() };
                    if !bytes.is_empty() {
                        return bytes;
                    }
                }
            }
        }
    }
}

/// Registrations and wakes of another thread, which also sends the signals: so the poller is often about to return
/// from the kernel without events.
fn others_work_under_signals_without_end(backend: Backend) {
    const ROUNDS: usize = 2000;
    let mut t = Tester::new(backend);
    let registry = t.registry().try_clone().unwrap();
    let (mut a, b) = tcp_pair();
    // By token. Each token is used in one round only, so a late last event doesn't matter.
    let reports: Vec<AtomicUsize> = (0..=2 * ROUNDS).map(|_| AtomicUsize::new(0)).collect();
    let wakes = Token(2 * ROUNDS);
    let waker = Waker::new(t.registry(), wakes).unwrap();
    let target = Target::this();
    let mut random = Rng::with_seed(1);
    let mut signal = move || {
        target.interrupt();
        // Time to get into the handler, out of the call, or into the next one.
        for _ in 0..random.usize(..3000) {
            std::hint::spin_loop();
        }
    };
    let reports_of = |token: Token| reports[token.0].load(Ordering::Acquire);
    let work = || {
        let mut until_told = |token, seen| {
            let deadline = Instant::now() + PATIENCE;
            while reports_of(token) == seen {
                assert!(Instant::now() < deadline, "lost: {token:?}");
                signal();
            }
            signal();
        };
        for round in 0..ROUNDS {
            let (first, second) = (Token(2 * round), Token(2 * round + 1));
            registry.register(&mut a, first, READ).unwrap();
            send(&b, b"x");
            until_told(first, 0);
            registry.reregister(&mut a, second, READ).unwrap();
            until_told(second, 0);
            assert_eq!(drain(&a), b"x");
            registry.deregister(&mut a).unwrap();
            let seen = reports_of(wakes);
            waker.wake().unwrap();
            until_told(wakes, seen);
        }
    };
    let is_done = AtomicBool::new(false);
    let mut interrupted = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            let result = catch_unwind(AssertUnwindSafe(work));
            is_done.store(true, Ordering::Release);
            // The poller may have fallen asleep since the last signal.
            waker.wake().unwrap();
            if let Err(panic) = result {
                resume_unwind(panic);
            }
        });
        while !is_done.load(Ordering::Acquire) {
            match t.poll.poll(&mut t.events, None) {
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::Interrupted);
                    interrupted += 1;
                }
                Ok(()) => assert!(!t.events.is_empty(), "early and empty"),
            }
            for event in &t.events {
                reports[event.token().0].fetch_add(1, Ordering::Release);
            }
        }
    });
    assert!(interrupted > 0, "the test did nothing");
    while let Err(e) = t.poll.poll(&mut t.events, Some(Duration::ZERO)) {
        assert_eq!(e.kind(), ErrorKind::Interrupted);
    }
}
