//! Promise 12: a wake is never lost, from any thread, at any time, with any number of wakers.

use std::time::Duration;

use wakeful::{Backend, Token, Waker};

use crate::support::*;

on_every_backend![
    a_wake_before_the_poll,
    a_wake_wakes_each_time,
    many_wakes_merge,
    each_waker_has_its_token,
    wakers_through_every_handle,
    two_wakers_with_one_token,
    a_dropped_waker_is_silent,
    a_wake_then_a_registration,
    a_wake_beside_ready_sources,
    wakes_need_no_room_at_once,
    a_wake_is_readable_and_nothing_else,
    a_second_waker_before_the_first_wakes,
];

fn a_wake_before_the_poll(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    t.quiet();
    waker.wake().unwrap();
    t.poll.poll(&mut t.events, None).unwrap();
    assert_eq!(t.events.iter().map(|event| event.token()).collect::<Vec<_>>(), [WAKE]);
    t.quiet();
}

/// Also where the kernel reports only a change from 0 to 1 (illumos 13436): the wakes are not read in between.
fn a_wake_wakes_each_time(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    for round in 0..rounds(1000) {
        waker.wake().unwrap();
        let events = match round % 3 {
            0 => t.poll_now(),
            1 => t.poll_for(PATIENCE),
            _ => t.expect(&[want(WAKE, READ)]),
        };
        assert_eq!(events.len(), 1, "{events:?}");
        t.quiet();
    }
}

fn many_wakes_merge(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    for _ in 0..rounds(100_000) {
        waker.wake().unwrap();
    }
    assert_eq!(t.poll_now().len(), 1);
    t.quiet();
}

fn each_waker_has_its_token(backend: Backend) {
    let mut t = Tester::new(backend);
    let wakers: Vec<_> = (0..20).map(|index| Waker::new(t.registry(), Token(index)).unwrap()).collect();
    for (index, waker) in wakers.iter().enumerate() {
        waker.wake().unwrap();
        t.expect(&[want(Token(index), READ)]);
        t.quiet();
    }
    for waker in &wakers {
        waker.wake().unwrap();
    }
    let all: Vec<_> = (0..20).map(|index| want(Token(index), READ)).collect();
    assert_eq!(t.expect(&all).len(), 20, "each once");
    t.quiet();
}

/// mio#1698: a clone of the registry is the same registry.
fn wakers_through_every_handle(backend: Backend) {
    let mut t = Tester::new(backend);
    let clone = t.registry().try_clone().unwrap();
    let one = Waker::new(t.registry(), A).unwrap();
    let two = Waker::new(&clone, B).unwrap();
    drop(clone);
    one.wake().unwrap();
    two.wake().unwrap();
    t.expect(&[want(A, READ), want(B, READ)]);
    t.quiet();
}

fn two_wakers_with_one_token(backend: Backend) {
    let mut t = Tester::new(backend);
    let one = Waker::new(t.registry(), WAKE).unwrap();
    let two = Waker::new(t.registry(), WAKE).unwrap();
    one.wake().unwrap();
    t.expect(&[want(WAKE, READ)]);
    drop(one);
    two.wake().unwrap();
    t.expect(&[want(WAKE, READ)]);
    t.quiet();
}

fn a_dropped_waker_is_silent(backend: Backend) {
    let mut t = Tester::new(backend);
    let other = Waker::new(t.registry(), B).unwrap();
    for _ in 0..10 {
        let waker = Waker::new(t.registry(), A).unwrap();
        waker.wake().unwrap();
        drop(waker);
        t.quiet();
        let waker = Waker::new(t.registry(), A).unwrap();
        other.wake().unwrap();
        waker.wake().unwrap();
        drop(waker);
        t.expect(&[want(B, READ)]);
        t.quiet();
    }
    // The last of all: a new one works.
    drop(other);
    let waker = Waker::new(t.registry(), C).unwrap();
    waker.wake().unwrap();
    t.expect(&[want(C, READ)]);
}

/// mio#1874: the wake-up of a sleeper by a registration must not consume the wake.
fn a_wake_then_a_registration(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    for _ in 0..rounds(20) {
        let (mut a, b) = tcp_pair();
        waker.wake().unwrap();
        t.register(&mut a, A, READ);
        t.expect(&[want(WAKE, READ)]);
        waker.wake().unwrap();
        t.reregister(&mut a, A, READ);
        t.expect(&[want(WAKE, READ)]);
        waker.wake().unwrap();
        drain(&a);
        t.deregister(&mut a);
        t.expect(&[want(WAKE, READ)]);
        waker.wake().unwrap();
        t.register(&mut a, A, READ);
        drop(a);
        t.expect(&[want(WAKE, READ)]);
        t.quiet();
        drop(b);
    }
}

fn a_wake_beside_ready_sources(backend: Backend) {
    for capacity in [1, 2, 64] {
        let mut t = Tester::with_capacity(backend, capacity);
        let waker = Waker::new(t.registry(), WAKE).unwrap();
        let (mut a, b) = tcp_pair();
        t.register(&mut a, A, READ);
        for _ in 0..rounds(50) {
            send(&b, b"x");
            waker.wake().unwrap();
            t.expect(&[want(A, READ), want(WAKE, READ)]);
            drain(&a);
            t.quiet();
        }
    }
}

fn wakes_need_no_room_at_once(backend: Backend) {
    let mut t = Tester::with_capacity(backend, 1);
    let wakers: Vec<_> = (0..10).map(|index| Waker::new(t.registry(), Token(index)).unwrap()).collect();
    for _ in 0..rounds(20) {
        for waker in &wakers {
            waker.wake().unwrap();
        }
        let mut seen = [false; 10];
        for _ in 0..10 {
            let events = t.poll_for(PATIENCE);
            assert_eq!(events.len(), 1);
            assert!(!std::mem::replace(&mut seen[events[0].token().0], true), "{events:?} again");
        }
        t.quiet();
        assert!(t.poll_for(Duration::from_micros(10)).is_empty());
    }
}

fn a_wake_is_readable_and_nothing_else(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    waker.wake().unwrap();
    for event in t.expect(&[want(WAKE, READ)]) {
        assert!(!event.is_error() && !event.is_read_closed() && !event.is_write_closed(), "{event:?}");
        assert!(!event.is_priority() && !event.is_aio() && !event.is_lio(), "{event:?}");
    }
}

fn a_second_waker_before_the_first_wakes(backend: Backend) {
    let mut t = Tester::new(backend);
    let one = Waker::new(t.registry(), A).unwrap();
    one.wake().unwrap();
    let two = Waker::new(t.registry(), B).unwrap();
    t.expect(&[want(A, READ)]);
    two.wake().unwrap();
    one.wake().unwrap();
    drop(one);
    t.expect(&[want(B, READ)]);
    t.quiet();
}
