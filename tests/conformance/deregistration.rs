//! Promise 3: after `deregister` no later `poll` reports the token, even if the kernel had queued it.

use wakeful::{Backend, Token, Waker};

use crate::support::*;

on_every_backend![
    a_queued_event_is_forgotten,
    the_rest_of_a_batch_is_forgotten,
    a_silenced_source_works_on,
    deregistered_while_its_event_is_handled,
    a_reregistered_token_is_forgotten,
];

fn a_queued_event_is_forgotten(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let (mut a, b) = tcp_pair();
    for _ in 0..100 {
        t.register(&mut a, A, BOTH);
        send(&b, b"queued");
        await_bytes(&a);
        t.deregister(&mut a);
        waker.wake().unwrap();
        t.expect(&[want(WAKE, READ)]);
        t.quiet();
    }
}

fn the_rest_of_a_batch_is_forgotten(backend: Backend) {
    let mut t = Tester::with_capacity(backend, 3);
    let mut pairs: Vec<_> = (0..20).map(|_| tcp_pair()).collect();
    for (index, (a, b)) in pairs.iter_mut().enumerate() {
        send(&*b, b"x");
        t.register(a, Token(index), BOTH);
    }
    let first = t.poll_for(PATIENCE);
    assert_eq!(first.len(), 3);
    for (a, _) in &mut pairs {
        t.deregister(a);
    }
    for _ in 0..20 {
        t.quiet();
    }
}

fn a_silenced_source_works_on(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    t.deregister(&mut a);
    send(&b, b"x");
    assert_eq!(read_exactly(&a, 1), b"x");
    assert_eq!(drain(&a), b"");
    send(&b, b"y");
    assert_eq!(read_exactly(&a, 1), b"y");
    t.quiet();
}

fn deregistered_while_its_event_is_handled(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    let (mut c, d) = tcp_pair();
    t.register(&mut a, A, READ);
    t.register(&mut c, C, READ);
    for _ in 0..50 {
        send(&b, b"x");
        t.expect(&[want(A, READ)]);
        t.deregister(&mut a);
        // A change of a source that isn't watched.
        send(&b, b"y");
        send(&d, b"z");
        t.expect(&[want(C, READ)]);
        drain(&c);
        t.register(&mut a, A, READ);
        t.expect(&[want(A, READ)]);
        read_exactly(&a, 2);
        drain(&a);
    }
}

fn a_reregistered_token_is_forgotten(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, Token(0), READ);
    for round in 1..100 {
        send(&b, b"x");
        await_bytes(&a);
        t.reregister(&mut a, Token(round), READ);
        t.expect(&[want(Token(round), READ)]);
        t.quiet();
        drain(&a);
    }
}
