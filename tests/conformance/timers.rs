//! Timers: never early, never lost, in turn with sources and wakers (promises 8, 9 and 12), in every mode.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use wakeful::{Backend, Interest, Timer, Token, Waker};

use crate::skips::makes_sockets;
use crate::support::*;

on_every_backend![
    a_deadline_is_an_event,
    a_deadline_that_has_passed,
    the_order_is_that_of_the_deadlines,
    a_timer_that_is_set_again,
    a_timer_that_is_cancelled,
    a_short_timeout_beside_a_long_timer,
    a_timer_of_another_thread_ends_a_sleep,
    a_timer_among_busy_sources_and_wakers,
    the_first_timer_of_a_busy_poll,
    the_first_timer_is_gone_again,
    a_timer_of_a_spinning_poll,
    a_periodic_timer,
    missed_periods_are_one_event,
    the_modes,
    a_registration_reports_what_is_due,
    a_timer_moves_to_another_poll,
    a_dropped_timer_is_silent,
    the_errors_of_the_contract,
];

const SOON: Duration = Duration::from_millis(3);
const LONG: Duration = Duration::from_secs(3600);

/// A timer that is registered as `token`.
fn timer(t: &Tester, token: Token) -> Timer {
    timer_with(t, token, READ)
}

fn timer_with(t: &Tester, token: Token, interest: Interest) -> Timer {
    let mut timer = Timer::new();
    t.register(&mut timer, token, interest);
    timer
}

fn a_deadline_is_an_event(backend: Backend) {
    let mut t = Tester::new(backend);
    let timer = timer(&t, A);
    t.quiet();
    for round in 0..20 {
        let deadline = Instant::now() + SOON * (round % 3);
        timer.set(Some(deadline)).unwrap();
        assert_eq!(timer.deadline(), Some(deadline));
        let events = t.expect(&[want(A, READ)]);
        assert!(Instant::now() >= deadline, "early");
        assert_eq!(events.len(), 1);
        assert_eq!(timer.deadline(), None);
        t.quiet();
    }
}

fn a_deadline_that_has_passed(backend: Backend) {
    let mut t = Tester::new(backend);
    let past = Instant::now();
    let timer = timer(&t, A);
    for _ in 0..3 {
        timer.set(Some(past)).unwrap();
        // Even the first `poll` that meets a timer, and one that doesn't sleep.
        let events = t.poll_now();
        assert_eq!(events.len(), 1, "{events:?}");
        let event = &events[0];
        assert!(event.token() == A && event.is_readable() && !event.is_writable() && !event.is_read_closed());
    }
    t.quiet();
}

fn the_order_is_that_of_the_deadlines(backend: Backend) {
    let mut t = Tester::with_capacity(backend, 1);
    let start = Instant::now();
    let timers: Vec<Timer> = (0..50).map(|n| timer(&t, Token(n))).collect();
    for (n, timer) in timers.iter().enumerate() {
        timer.set(Some(start + Duration::from_micros(((n * 31) % 50) as u64))).unwrap();
    }
    let seen: Vec<usize> = (0..50).map(|_| t.poll_for(PATIENCE)[0].token().0).collect();
    let mut sorted = seen.clone();
    sorted.sort_by_key(|n| (n * 31) % 50);
    assert_eq!(seen, sorted);
    t.quiet();
}

fn a_timer_that_is_set_again(backend: Backend) {
    let mut t = Tester::new(backend);
    let timer = timer(&t, A);
    let soon = Instant::now() + SOON;
    timer.set(Some(soon)).unwrap();
    timer.set(Some(soon + LONG)).unwrap();
    assert!(t.poll_for(SOON * 3).is_empty(), "the deadline before");
    // Earlier again.
    timer.set(Some(Instant::now() + SOON)).unwrap();
    t.expect(&[want(A, READ)]);
    t.quiet();
    // One that was due, and not yet reported.
    timer.set(Some(soon)).unwrap();
    timer.set(Some(soon + LONG)).unwrap();
    t.quiet();
}

fn a_timer_that_is_cancelled(backend: Backend) {
    let mut t = Tester::new(backend);
    let (one, other) = (timer(&t, A), timer(&t, B));
    one.set(Some(Instant::now() + SOON)).unwrap();
    other.set(Some(Instant::now() + SOON * 2)).unwrap();
    one.set(None).unwrap();
    assert_eq!(one.deadline(), None);
    assert_eq!(t.expect(&[want(B, READ)]).len(), 1);
    t.quiet();
    other.set(Some(Instant::now())).unwrap();
    other.set(None).unwrap();
    t.quiet();
}

fn a_short_timeout_beside_a_long_timer(backend: Backend) {
    let mut t = Tester::new(backend);
    let timer = timer(&t, A);
    timer.set(Some(Instant::now() + LONG)).unwrap();
    for _ in 0..3 {
        let start = Instant::now();
        assert!(t.poll_for(SOON).is_empty());
        assert!(start.elapsed() >= SOON, "the timeout was cut short");
    }
}

#[cfg(not(target_family = "wasm"))]
fn a_timer_of_another_thread_ends_a_sleep(backend: Backend) {
    let mut t = Tester::new(backend);
    // The first timer meets a `Poll` that knows of none, and later ones end a longer sleep.
    for round in 0..rounds(30) {
        let timer = timer(&t, A);
        if round % 2 == 0 {
            timer.set(Some(Instant::now() + LONG)).unwrap();
        }
        let (registry, timer) = (t.registry().try_clone().unwrap(), &timer);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(SOON);
                let mut late = Timer::new();
                registry.register(&mut late, B, READ).unwrap();
                late.set(Some(Instant::now() + LONG)).unwrap();
                timer.set(Some(Instant::now() + SOON)).unwrap();
            });
            t.expect(&[want(A, READ)]);
        });
        t.quiet();
    }
}

#[cfg(target_family = "wasm")]
fn a_timer_of_another_thread_ends_a_sleep(_: Backend) {
    // No threads.
}

fn a_timer_among_busy_sources_and_wakers(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    let mut t = Tester::with_capacity(backend, 1);
    let timers: Vec<Timer> = (0..100).map(|n| timer(&t, Token(n))).collect();
    let past = Instant::now();
    timers.iter().for_each(|timer| timer.set(Some(past)).unwrap());
    let (sender, _) = udp();
    let (mut socket, addr) = udp();
    t.register(&mut socket, A_SOCKET, READ.level());
    patiently(|| sender.send_to(b"x", addr)).unwrap();
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let (mut due, mut sockets, mut wakes) = (0, 0, 0);
    let deadline = Instant::now() + PATIENCE;
    while due < 100 || sockets < 100 || wakes < 100 {
        assert!(Instant::now() < deadline, "{due} timers, {sockets} of a socket, {wakes} wakes");
        waker.wake().unwrap();
        for event in t.poll_now() {
            match event.token() {
                A_SOCKET => sockets += 1,
                WAKE => wakes += 1,
                Token(n) => {
                    due += 1;
                    // As busy as the others.
                    timers[n].set(Some(past)).unwrap();
                }
            }
        }
        let (least, most) = (due.min(sockets).min(wakes), due.max(sockets).max(wakes));
        assert!(is_shaken() || most <= 3 * least + 10, "{due} timers, {sockets} of a socket, {wakes} wakes");
    }
}

/// A busy poll looks for events before it sleeps, and meets the timer then.
fn the_first_timer_of_a_busy_poll(backend: Backend) {
    for _ in 0..3 {
        let mut t = Tester::new(backend);
        let waker = Waker::new(t.registry(), WAKE).unwrap();
        waker.wake().unwrap();
        t.expect(&[want(WAKE, READ)]);
        let timer = timer(&t, A);
        let deadline = Instant::now() + SOON;
        timer.set(Some(deadline)).unwrap();
        t.expect(&[want(A, READ)]);
        assert!(Instant::now() >= deadline, "early");
    }
}

/// A poll that has heard of a timer finds none, and sleeps.
fn the_first_timer_is_gone_again(backend: Backend) {
    let mut t = Tester::new(backend);
    for _ in 0..3 {
        timer(&t, A).set(Some(Instant::now())).unwrap();
        let (start, used) = (Instant::now(), processor_time());
        assert!(t.poll_for(SOON * 30).is_empty());
        assert!(start.elapsed() >= SOON * 30);
        if let (Some(before), Some(after)) = (used, processor_time()) {
            assert!(is_shaken() || after - before < SOON * 2, "it doesn't sleep: {:?}", after - before);
        }
    }
}

/// The time that this thread has run.
#[cfg(target_os = "linux")]
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}

#[cfg(not(target_os = "linux"))]
fn processor_time() -> Option<Duration> {
    None
}

/// Due while it spins, and while it sleeps afterwards.
fn a_timer_of_a_spinning_poll(backend: Backend) {
    let mut t = Tester::new(backend);
    t.poll.set_spin(Some(SOON));
    for wait in [Duration::ZERO, SOON / 3, SOON * 3] {
        // The first one, and one more.
        let timers = [timer(&t, A), timer(&t, B)];
        for (n, timer) in timers.iter().enumerate() {
            let deadline = Instant::now() + wait;
            timer.set(Some(deadline)).unwrap();
            t.expect(&[want([A, B][n], READ)]);
            assert!(Instant::now() >= deadline, "early");
        }
        drop(timers);
        t.quiet();
    }
    let start = Instant::now();
    let later = timer(&t, C);
    later.set(Some(start + LONG)).unwrap();
    assert!(t.poll_for(SOON * 2).is_empty());
    assert!(start.elapsed() >= SOON * 2, "the timeout was cut short");
}

#[cfg(not(target_family = "wasm"))]
on_every_backend![the_first_timer_meets_a_spinning_poll];

/// Another thread's.
#[cfg(not(target_family = "wasm"))]
fn the_first_timer_meets_a_spinning_poll(backend: Backend) {
    for spin in [SOON * 2, LONG] {
        let mut t = Tester::new(backend);
        t.poll.set_spin(Some(spin));
        let registry = t.registry().try_clone().unwrap();
        std::thread::scope(|scope| {
            let setter = scope.spawn(move || {
                std::thread::sleep(SOON);
                let mut timer = Timer::new();
                timer.set(Some(Instant::now() + SOON * 2)).unwrap();
                registry.register(&mut timer, A, READ).unwrap();
                timer
            });
            t.expect(&[want(A, READ)]);
            drop(setter.join());
        });
    }
}

const A_SOCKET: Token = Token(1000);

fn a_periodic_timer(backend: Backend) {
    let mut t = Tester::new(backend);
    let timer = timer(&t, A);
    let (start, period) = (Instant::now(), Duration::from_millis(2));
    timer.set_every(start + period, period).unwrap();
    for _ in 0..10 {
        t.expect(&[want(A, READ)]);
        let next = timer.deadline().expect("the next");
        let phase = (next - start).as_nanos() % period.as_nanos();
        assert_eq!(phase, 0, "the phase is kept");
    }
    assert!(start.elapsed() >= period * 10, "early");
    timer.set(None).unwrap();
    t.quiet();
}

fn missed_periods_are_one_event(backend: Backend) {
    let mut t = Tester::new(backend);
    let timer = timer(&t, A);
    let period = Duration::from_secs(1000);
    let first = Instant::now();
    timer.set_every(first, Duration::from_micros(1)).unwrap();
    while first.elapsed() < SOON {}
    assert_eq!(t.poll_now().len(), 1);
    timer.set_every(first, period).unwrap();
    assert_eq!(t.poll_now().len(), 1);
    assert_eq!(timer.deadline(), Some(first + period));
    t.quiet();
}

fn the_modes(backend: Backend) {
    let mut t = Tester::new(backend);
    let past = Instant::now();

    let level = timer_with(&t, A, READ.level());
    level.set(Some(past)).unwrap();
    for _ in 0..3 {
        assert_eq!(t.poll_now().len(), 1, "level-triggered");
    }
    level.set(Some(past + LONG)).unwrap();
    t.quiet();

    for mode in [READ.one_shot(), READ.edge_one_shot()] {
        let mut one_shot = timer_with(&t, B, mode);
        one_shot.set(Some(past)).unwrap();
        assert_eq!(t.poll_now().len(), 1);
        one_shot.set(Some(past)).unwrap();
        t.quiet();
        t.reregister(&mut one_shot, B, mode);
        assert_eq!(t.poll_now().len(), 1, "what is due is reported");
        t.quiet();
    }

    let unasked = timer_with(&t, C, WRITE);
    unasked.set(Some(past)).unwrap();
    t.quiet();
}

fn a_registration_reports_what_is_due(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut timer = Timer::new();
    timer.set(Some(Instant::now())).unwrap();
    t.register(&mut timer, A, READ);
    t.expect(&[want(A, READ)]);
    t.quiet();
    t.reregister(&mut timer, B, READ);
    t.expect(&[want(B, READ)]);
    t.quiet();
    t.deregister(&mut timer);
    t.quiet();
    // It is still due.
    t.register(&mut timer, C, READ);
    t.expect(&[want(C, READ)]);
    timer.set(None).unwrap();
    t.deregister(&mut timer);
    t.register(&mut timer, C, READ);
    t.quiet();
}

fn a_timer_moves_to_another_poll(backend: Backend) {
    let mut one = Tester::new(backend);
    let mut timer = timer(&one, A);
    timer.set(Some(Instant::now() + SOON)).unwrap();
    let mut other = Tester::new(backend);
    assert_kind(other.registry().register(&mut timer, B, READ), ErrorKind::AlreadyExists);
    one.deregister(&mut timer);
    other.register(&mut timer, B, READ);
    other.expect(&[want(B, READ)]);
    one.quiet();
    // After its `Poll` it is free.
    timer.set(Some(Instant::now() + SOON)).unwrap();
    drop(other);
    timer.set(Some(Instant::now() + SOON)).unwrap();
    one.register(&mut timer, C, READ);
    one.expect(&[want(C, READ)]);
}

fn a_dropped_timer_is_silent(backend: Backend) {
    let mut t = Tester::new(backend);
    let one = timer(&t, A);
    one.set(Some(Instant::now())).unwrap();
    drop(one);
    t.quiet();
    // Its place is another's.
    let other = timer(&t, B);
    assert_eq!(other.deadline(), None);
    other.set(Some(Instant::now() + SOON)).unwrap();
    assert_eq!(t.expect(&[want(B, READ)]).len(), 1);
}

fn the_errors_of_the_contract(backend: Backend) {
    let t = Tester::new(backend);
    let mut timer = Timer::new();
    assert_kind(t.registry().reregister(&mut timer, A, READ), ErrorKind::NotFound);
    assert_kind(t.registry().deregister(&mut timer), ErrorKind::NotFound);
    let refused = READ.exclusive().one_shot();
    assert_kind(t.registry().register(&mut timer, A, refused), ErrorKind::Unsupported);
    t.register(&mut timer, A, READ);
    assert_kind(t.registry().reregister(&mut timer, A, refused), ErrorKind::Unsupported);
    assert_kind(t.registry().register(&mut timer, A, READ), ErrorKind::AlreadyExists);
    let other = Tester::new(backend);
    assert_kind(other.registry().register(&mut timer, A, READ), ErrorKind::AlreadyExists);
    assert_kind(other.registry().reregister(&mut timer, A, READ), ErrorKind::NotFound);
    assert_kind(other.registry().deregister(&mut timer), ErrorKind::NotFound);
    let deadline = Instant::now() + LONG;
    timer.set(Some(deadline)).unwrap();
    assert_kind(timer.set_every(deadline, Duration::ZERO), ErrorKind::InvalidInput);
    assert_eq!(timer.deadline(), Some(deadline), "as before");
    t.deregister(&mut timer);
    assert_eq!(timer.deadline(), Some(deadline));
}
