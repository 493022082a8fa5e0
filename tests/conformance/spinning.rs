//! `Poll::set_spin`: the contract holds with it as without it.

use std::time::{Duration, Instant};

use wakeful::{Backend, Waker};

use crate::support::*;

on_every_backend![timeouts_are_kept, events_come, wakes_come, it_can_be_turned_off];
#[cfg(not(target_family = "wasm"))]
on_every_backend![events_come_meanwhile, wakes_come_meanwhile];

const SPIN: Duration = Duration::from_micros(200);

fn spinner(backend: Backend) -> Tester {
    let mut t = Tester::new(backend);
    t.poll.set_spin(Some(SPIN));
    t
}

/// Shorter and longer than it spins.
fn timeouts_are_kept(backend: Backend) {
    let mut t = spinner(backend);
    let _waker = Waker::new(t.registry(), WAKE).unwrap();
    let (mut a, _b) = tcp_pair();
    t.register(&mut a, A, READ);
    for timeout in [0, 50, 199, 200, 201, 3_000].map(Duration::from_micros) {
        let start = Instant::now();
        assert!(t.poll_for(timeout).is_empty());
        assert!(start.elapsed() >= timeout, "{:?} of {timeout:?}", start.elapsed());
    }
}

fn events_come(backend: Backend) {
    let mut t = spinner(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    for _ in 0..5 {
        send(&b, b"before");
        t.expect(&[want(A, READ)]);
        drain(&a);
        t.quiet();
    }
}

/// Some come while it spins and some while it sleeps.
#[cfg(not(target_family = "wasm"))]
fn events_come_meanwhile(backend: Backend) {
    let mut t = spinner(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for pause in [20, 500, 100, 2_000, 150, 0].map(Duration::from_micros) {
                std::thread::sleep(pause);
                send(&b, b"x");
            }
        });
        let mut left = 6;
        while left > 0 {
            t.poll.poll(&mut t.events, None).unwrap();
            left -= drain(&a).len();
        }
    });
}

fn wakes_come(backend: Backend) {
    let mut t = spinner(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    for _ in 0..5 {
        waker.wake().unwrap();
        t.expect(&[want(WAKE, READ)]);
        t.quiet();
    }
}

#[cfg(not(target_family = "wasm"))]
fn wakes_come_meanwhile(backend: Backend) {
    let mut t = spinner(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    for pause in [0, 50, 150, 200, 1_000].map(Duration::from_micros) {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(pause);
                waker.wake().unwrap();
            });
            t.poll.poll(&mut t.events, None).unwrap();
        });
        let tokens: Vec<_> = t.events.iter().map(|event| event.token()).collect();
        assert_eq!(tokens, [WAKE]);
    }
}

fn it_can_be_turned_off(backend: Backend) {
    let mut t = Tester::new(backend);
    for off in [None, Some(Duration::ZERO)] {
        t.poll.set_spin(Some(Duration::MAX));
        t.poll.set_spin(off);
        assert!(t.poll_for(Duration::from_millis(2)).is_empty());
    }
}
