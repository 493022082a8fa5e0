//! Promise 9: a `poll` never returns empty early, to the nanosecond; any `Duration` is legal.

use std::time::{Duration, Instant};

use wakeful::{Backend, Waker};

use crate::support::*;

on_every_backend![
    never_early,
    never_early_after_events,
    never_early_without_a_source,
    zero_does_not_sleep,
    a_deadline_that_is_past_does_not_sleep,
    a_wake_of_a_dropped_waker_does_not_end_it,
    any_duration_is_legal,
    fifty_microseconds,
];

const SOME: [Duration; 10] = [
    Duration::from_nanos(1),
    Duration::from_nanos(999),
    Duration::from_micros(1),
    Duration::from_micros(50),
    Duration::from_micros(999),
    Duration::from_millis(1),
    Duration::from_nanos(1_000_001),
    Duration::from_micros(1_500),
    Duration::from_nanos(7_999_999),
    Duration::from_millis(20),
];

#[track_caller]
fn assert_not_early(t: &mut Tester, timeout: Duration) {
    let start = Instant::now();
    let events = t.poll_for(timeout);
    let elapsed = start.elapsed();
    assert!(events.is_empty(), "{events:?}");
    assert!(elapsed >= timeout, "{elapsed:?} of {timeout:?}");

    let deadline = Instant::now() + timeout;
    t.poll.poll_until(&mut t.events, deadline).unwrap();
    assert!(t.events.is_empty());
    assert!(Instant::now() >= deadline);
}

fn never_early_without_a_source(backend: Backend) {
    let mut t = Tester::new(backend);
    for timeout in SOME {
        assert_not_early(&mut t, timeout);
    }
}

fn never_early(backend: Backend) {
    let mut t = Tester::new(backend);
    let _waker = Waker::new(t.registry(), WAKE).unwrap();
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    for _ in 0..5 {
        for timeout in SOME {
            assert_not_early(&mut t, timeout);
        }
    }
    drop(b);
}

fn never_early_after_events(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    for timeout in SOME {
        send(&b, b"x");
        t.expect(&[want(A, READ)]);
        drain(&a);
        assert_not_early(&mut t, timeout);
        waker.wake().unwrap();
        t.expect(&[want(WAKE, READ)]);
        assert_not_early(&mut t, timeout);
        // A source that was reported and not read.
        send(&b, b"x");
        t.expect(&[want(A, READ)]);
        assert_not_early(&mut t, timeout);
        drain(&a);
    }
}

fn zero_does_not_sleep(backend: Backend) {
    let mut t = Tester::new(backend);
    // A hundred calls without a sleep take less than the shortest sleep that would show.
    for _ in 0..100 {
        t.quiet();
    }
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    send(&b, b"x");
    await_bytes(&a);
    assert_eq!(t.poll_now().len(), 1);
}

fn a_deadline_that_is_past_does_not_sleep(backend: Backend) {
    let mut t = Tester::new(backend);
    let Some(past) = Instant::now().checked_sub(Duration::from_millis(1)) else { return };
    for _ in 0..100 {
        t.poll.poll_until(&mut t.events, past).unwrap();
        assert!(t.events.is_empty());
    }
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    waker.wake().unwrap();
    t.poll.poll_until(&mut t.events, past).unwrap();
    assert_eq!(t.events.len(), 1);
}

fn a_wake_of_a_dropped_waker_does_not_end_it(backend: Backend) {
    let mut t = Tester::new(backend);
    for timeout in SOME {
        let waker = Waker::new(t.registry(), WAKE).unwrap();
        waker.wake().unwrap();
        drop(waker);
        assert_not_early(&mut t, timeout);
    }
}

/// mio#1614, #1657, #1948: no timeout overflows, or is clamped to a sleep that ends early and empty.
fn any_duration_is_legal(backend: Backend) {
    let long = [
        Duration::MAX,
        Duration::new(u64::MAX, 0),
        Duration::from_secs(i64::MAX as u64),
        Duration::from_secs(i64::MAX as u64 + 1),
        Duration::from_secs(u64::from(u32::MAX) + 1),
        Duration::from_secs(i32::MAX as u64 + 1),
        Duration::from_millis(i32::MAX as u64),
        Duration::from_millis(i32::MAX as u64 + 1),
        Duration::from_nanos(u64::MAX),
        Duration::new(i32::MAX as u64 / 1000, 1),
    ];
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    for timeout in long {
        waker.wake().unwrap();
        assert_eq!(t.poll_for(timeout).len(), 1);
    }
    #[cfg(not(target_family = "wasm"))]
    for timeout in long {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Time to fall asleep; if it isn't enough, this repeats the test above.
                std::thread::sleep(Duration::from_millis(2));
                waker.wake().unwrap();
            });
            assert_eq!(t.poll_for(timeout).len(), 1, "{timeout:?}");
        });
    }
}

/// The lateness is measured and printed, not asserted: a machine under load is late.
fn fifty_microseconds(backend: Backend) {
    let timeout = Duration::from_micros(50);
    let mut t = Tester::new(backend);
    let mut late: Vec<Duration> = (0..200)
        .map(|_| {
            let start = Instant::now();
            assert!(t.poll_for(timeout).is_empty());
            let elapsed = start.elapsed();
            assert!(elapsed >= timeout);
            elapsed - timeout
        })
        .collect();
    late.sort();
    println!("{backend}: a timeout of {timeout:?} is late by {:?} (median)", late[late.len() / 2]);
}
