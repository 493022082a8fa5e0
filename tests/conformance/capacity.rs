//! Promise 8: at most `capacity` events a call, the others in later calls, and no source starves.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use wakeful::net::UdpSocket;
use wakeful::{Backend, Events, Token, Waker};

use crate::skips::makes_sockets;
use crate::support::*;

on_every_backend![
    no_room_is_invalid_input,
    never_more_than_the_capacity,
    a_thousand_through_one,
    busy_sources_are_served_in_turn,
    wakers_and_busy_sources_are_served_in_turn,
    a_large_batch,
];

fn no_room_is_invalid_input(backend: Backend) {
    let mut t = Tester::with_capacity(backend, 0);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    for timeout in [Some(Duration::ZERO), Some(Duration::from_secs(1)), None] {
        assert_kind(t.poll.poll(&mut t.events, timeout), ErrorKind::InvalidInput);
    }
    waker.wake().unwrap();
    assert_kind(t.poll.poll(&mut t.events, None), ErrorKind::InvalidInput);
    assert_kind(t.poll.poll_until(&mut t.events, Instant::now()), ErrorKind::InvalidInput);
    // The failed call has lost nothing.
    t.events = Events::with_capacity(1);
    t.expect(&[want(WAKE, READ)]);
}

fn ready_sources(t: &Tester, count: usize) -> Vec<UdpSocket> {
    let (sender, _) = udp();
    (0..count)
        .map(|index| {
            let (mut socket, addr) = udp();
            patiently(|| sender.send_to(b"x", addr)).unwrap();
            t.register(&mut socket, Token(index), READ);
            socket
        })
        .collect()
}

fn never_more_than_the_capacity(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    for capacity in [1, 2, 7, 10, 11] {
        let mut t = Tester::with_capacity(backend, capacity);
        let sources = ready_sources(&t, 10);
        let wakers: Vec<_> = (10..13).map(|index| Waker::new(t.registry(), Token(index)).unwrap()).collect();
        wakers.iter().for_each(|waker| waker.wake().unwrap());
        let wants: Vec<_> = (0..13).map(|index| want(Token(index), READ)).collect();
        let deadline = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        while all.len() < wants.len() {
            assert!(Instant::now() < deadline, "only {all:?}");
            let events = t.poll_now();
            assert!(events.len() <= capacity);
            all.extend(events);
        }
        assert!(count_tokens(&all).values().all(|&count| count == 1), "each once: {all:?}");
        t.quiet();
        drop(sources);
    }
}

fn a_thousand_through_one(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    let mut t = Tester::with_capacity(backend, 1);
    let sources = ready_sources(&t, 1000);
    let mut seen = vec![false; sources.len()];
    for _ in 0..sources.len() {
        let events = t.poll_for(PATIENCE);
        let [event] = &events[..] else { panic!("one of the others: {events:?}") };
        assert_sane(event, READ);
        assert!(!std::mem::replace(&mut seen[event.token().0], true), "{event:?} again, others wait");
    }
    t.quiet();
}

/// Each source is ready again as soon as it was served.
fn busy_sources_are_served_in_turn(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    const COUNT: usize = 30;
    for capacity in [1, 4, COUNT - 1] {
        let mut t = Tester::with_capacity(backend, capacity);
        let sources = ready_sources(&t, COUNT);
        let (sender, _) = udp();
        let mut served = [0; COUNT];
        let rounds = 20 * COUNT;
        let mut total = 0;
        while total < rounds {
            for event in t.poll_for(PATIENCE) {
                let index = event.token().0;
                while sources[index].recv_from(&mut [0; 8]).is_ok() {}
                patiently(|| sender.send_to(b"x", sources[index].local_addr().unwrap())).unwrap();
                served[index] += 1;
                total += 1;
            }
        }
        assert!(served.iter().all(|&count| count >= 10), "of {rounds}, capacity {capacity}: {served:?}");
    }
}

fn wakers_and_busy_sources_are_served_in_turn(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    for (wakers, sources, capacity) in [(1, 1, 1), (3, 1, 1), (1, 3, 1), (3, 3, 1), (5, 5, 2), (10, 2, 4)] {
        let mut t = Tester::with_capacity(backend, capacity);
        let sockets = ready_sources(&t, sources);
        let (sender, _) = udp();
        let wakers: Vec<_> =
            (0..wakers).map(|index| Waker::new(t.registry(), Token(sources + index)).unwrap()).collect();
        wakers.iter().for_each(|waker| waker.wake().unwrap());
        let mut served = vec![0; sources + wakers.len()];
        let rounds = 40 * served.len();
        for _ in 0..rounds {
            for event in t.poll_for(PATIENCE) {
                let index = event.token().0;
                served[index] += 1;
                match sockets.get(index) {
                    Some(socket) => {
                        while socket.recv_from(&mut [0; 8]).is_ok() {}
                        patiently(|| sender.send_to(b"x", socket.local_addr().unwrap())).unwrap();
                        settle();
                    }
                    None => wakers[index - sources].wake().unwrap(),
                }
            }
        }
        // Each kind may get half of the calls.
        assert!(
            served.iter().all(|&count| count >= 10),
            "{sources} sources, then {} wakers, capacity {capacity}, {rounds} polls: {served:?}",
            wakers.len()
        );
    }
}

/// More than any backend takes from its kernel in one call.
fn a_large_batch(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    let mut t = Tester::with_capacity(backend, 4096);
    let sources = ready_sources(&t, 1500);
    let wants: Vec<_> = (0..sources.len()).map(|index| want(Token(index), READ)).collect();
    let events = t.poll_for(PATIENCE);
    let mut all = events.clone();
    while all.len() < wants.len() {
        all.extend(t.poll_for(PATIENCE));
    }
    assert!(count_tokens(&all).values().all(|&count| count == 1));
    assert_eq!(all.len(), wants.len());
    t.quiet();
}
