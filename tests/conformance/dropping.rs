//! Promise 13: a source that is dropped while registered leaks nothing, closes its connection at once, and gives no
//! event to whoever gets its number next.

use std::io::Read;

use wakeful::{Backend, IoSource, Token, Waker};

use crate::support::*;

on_every_backend![
    the_peer_sees_the_end_at_once,
    a_queued_event_of_a_dropped_source_is_forgotten,
    the_next_one_with_its_number,
    a_dropped_poll_leaves_its_sources_alive,
    taken_out_of_its_source,
];

fn the_peer_sees_the_end_at_once(backend: Backend) {
    let mut t = Tester::new(backend);
    for _ in 0..20 {
        let (mut a, mut b) = tcp_pair_with_std();
        t.register(&mut a, A, BOTH);
        t.expect(&[want(A, WRITE)]);
        drop(a);
        assert_eq!(b.read(&mut [0]).unwrap(), 0);
        t.quiet();
    }
}

fn a_queued_event_of_a_dropped_source_is_forgotten(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    for _ in 0..100 {
        let (mut a, b) = tcp_pair();
        t.register(&mut a, A, BOTH);
        send(&b, b"queued");
        await_bytes(&a);
        drop(a);
        waker.wake().unwrap();
        t.expect(&[want(WAKE, READ)]);
        t.quiet();
    }
}

fn the_next_one_with_its_number(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut kept = Vec::new();
    for round in 0..200 {
        let (mut a, b) = tcp_pair();
        t.register(&mut a, Token(2 * round), READ);
        send(&b, b"old");
        await_bytes(&a);
        drop(a);
        // Most likely with the number of `a`.
        let (mut c, d) = tcp_pair();
        t.register(&mut c, Token(2 * round + 1), READ);
        t.quiet();
        send(&d, b"new");
        t.expect(&[want(Token(2 * round + 1), READ)]);
        assert_eq!(drain(&c), b"new");
        kept.push((b, d));
    }
}

fn a_dropped_poll_leaves_its_sources_alive(backend: Backend) {
    let (mut a, b) = tcp_pair();
    let t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    t.register(&mut a, A, BOTH);
    drop(t);
    waker.wake().unwrap();
    send(&b, b"x");
    assert_eq!(read_exactly(&a, 1), b"x");
    assert_eq!(drain(&a), b"");
    fill(&a);
    drop(waker);
    drop(a);
}

/// What is taken out must be deregistered first; then it is free.
fn taken_out_of_its_source(backend: Backend) {
    let mut t = Tester::new(backend);
    let (one, b) = std_tcp_pair();
    one.set_nonblocking(true).unwrap();
    let mut a = IoSource::new(one);
    t.register(&mut a, A, READ);
    t.deregister(&mut a);
    let mut again = IoSource::new(a.into_inner());
    t.register(&mut again, B, READ);
    send(&b, b"x");
    t.expect(&[want(B, READ)]);
}
