//! Promise 13: a source that is dropped while registered leaks nothing, closes its connection at once, and causes no
//! event for the next source with its number.

use std::io::{ErrorKind, Read};
use std::time::Instant;

use wakeful::{Backend, IoSource, Token, Waker};

use crate::support::*;

on_every_backend![
    the_peer_sees_the_end_at_once,
    a_queued_event_of_a_dropped_source_is_forgotten,
    the_next_one_with_its_number,
    a_dropped_poll_leaves_its_sources_alive,
    a_source_of_a_dropped_poll_is_free,
    a_registry_or_a_waker_after_its_poll,
    taken_out_of_its_source,
    another_value_in_a_registered_source,
    registered_sources_that_swap_their_values,
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

fn a_source_of_a_dropped_poll_is_free(backend: Backend) {
    let (mut a, b) = tcp_pair();
    for &other in crate::backends() {
        for round in 0..3 {
            let mut t = Tester::new(backend);
            t.register(&mut a, A, BOTH);
            // In each state that the dropped poll can leave: never polled, reported, or drained.
            if round > 0 {
                t.expect(&[want(A, WRITE)]);
            }
            if round > 1 {
                assert_eq!(drain(&a), b"");
            }
            drop(t);

            let mut t = Tester::new(other);
            assert_kind(t.registry().reregister(&mut a, B, READ), ErrorKind::NotFound);
            assert_kind(t.registry().deregister(&mut a), ErrorKind::NotFound);
            t.register(&mut a, B, READ);
            for _ in 0..3 {
                send(&b, b"x");
                t.expect(&[want(B, READ)]);
                assert_eq!(drain(&a), b"x");
            }
            assert_kind(t.registry().register(&mut a, C, READ), ErrorKind::AlreadyExists);
            t.reregister(&mut a, C, BOTH);
            t.expect(&[want(C, WRITE)]);
            t.deregister(&mut a);
        }
    }
}

/// A registry keeps the poll alive, so sources can still be deregistered; a waker keeps no source.
fn a_registry_or_a_waker_after_its_poll(backend: Backend) {
    let (mut a, b) = tcp_pair();
    let (mut c, _d) = tcp_pair();
    let mut t = Tester::new(backend);

    let gone = Tester::new(backend);
    let registry = gone.registry().try_clone().unwrap();
    let waker = Waker::new(&registry, WAKE).unwrap();
    gone.register(&mut a, A, BOTH);
    gone.register(&mut c, C, BOTH);
    drop(gone);
    assert_kind(t.registry().register(&mut a, B, READ), ErrorKind::AlreadyExists);
    assert_kind(registry.register(&mut a, B, READ), ErrorKind::AlreadyExists);
    registry.deregister(&mut a).unwrap();
    t.register(&mut a, B, READ);
    t.deregister(&mut a);
    registry.register(&mut a, A, BOTH).unwrap();

    drop(registry);
    for _ in 0..3 {
        waker.wake().unwrap();
    }
    t.register(&mut a, B, READ);
    send(&b, b"x");
    t.expect(&[want(B, READ)]);
    assert_eq!(drain(&a), b"x");
    drop(c);
    drop(waker);
    send(&b, b"y");
    t.expect(&[want(B, READ)]);
}

/// A value that is taken out must be deregistered first; then it is free.
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

/// The registration was of the old value. Whether that is closed or not, the source can be used again.
fn another_value_in_a_registered_source(backend: Backend) {
    for closed_first in [false, true] {
        let mut t = Tester::new(backend);
        let waker = Waker::new(t.registry(), WAKE).unwrap();
        let (mut a, b) = source_pair();
        let (c, d) = std_tcp_pair();
        c.set_nonblocking(true).unwrap();
        t.register(&mut a, A, READ);
        let old = std::mem::replace(&mut *a, c);
        // The old value isn't read, and no operation on the new one re-arms it.
        send_std(&b, b"old");
        send_std(&d, b"new");
        assert_eq!(read_exactly(&*a, 3), b"new");
        assert_kind(a.try_io_with(READ, |mut c| c.read(&mut [0])), ErrorKind::WouldBlock);
        let mut old = Some(old);
        // Most likely with the number of `old`.
        let mut next = None;
        if closed_first {
            drop(old.take());
            next = Some(std_tcp_pair());
            send_std(&next.as_ref().unwrap().1, b"next");
            waker.wake().unwrap();
            if cfg!(windows) {
                // The kernel may still complete an operation of the closed socket, and a poll by its number fails or
                // finds another socket (`PLATFORMS.md`): events of the old registration, at any time.
                let deadline = Instant::now() + PATIENCE;
                let mut has_woken = false;
                while !has_woken {
                    assert!(Instant::now() < deadline, "the wake is missing");
                    for event in t.poll_now() {
                        has_woken |= event.token() == WAKE;
                        assert!(matches!(event.token(), WAKE | A), "{event:?}");
                    }
                }
            } else {
                t.expect(&[want(WAKE, READ)]);
                t.quiet();
            }
        }
        assert_kind(t.registry().register(&mut a, B, READ), ErrorKind::AlreadyExists);
        assert_kind(t.registry().reregister(&mut a, B, READ), ErrorKind::NotFound);
        assert_kind(t.registry().deregister(&mut a), ErrorKind::NotFound);
        drop(old);

        t.register(&mut a, B, READ);
        send_std(&d, b"more");
        t.expect(&[want(B, READ)]);
        assert_eq!(read_exactly(&*a, 4), b"more");
        t.deregister(&mut a);
        t.quiet();
        drop(next);
    }
}

/// After deregistering both, whatever the results, they are as new.
fn registered_sources_that_swap_their_values(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let (mut a, b) = source_pair();
    let (mut c, d) = source_pair();
    for _ in 0..3 {
        t.register(&mut a, A, READ);
        t.register(&mut c, C, READ);
        std::mem::swap(&mut *a, &mut *c);
        for source in [&mut a, &mut c] {
            if let Err(e) = t.registry().deregister(source) {
                assert_eq!(e.kind(), ErrorKind::NotFound);
            }
            assert_kind(t.registry().deregister(source), ErrorKind::NotFound);
        }
        send_std(&b, b"x");
        send_std(&d, b"x");
        waker.wake().unwrap();
        t.expect(&[want(WAKE, READ)]);
        t.quiet();
        // Each with the value that it has now.
        std::mem::swap(&mut *a, &mut *c);
        t.register(&mut a, A, READ);
        t.register(&mut c, C, READ);
        t.expect(&[want(A, READ), want(C, READ)]);
        for source in [&mut a, &mut c] {
            assert_eq!(read_exactly(&**source, 1), b"x");
            t.deregister(source);
        }
    }
    // Dropped with each other's value, they leave nothing behind.
    t.register(&mut a, A, READ);
    t.register(&mut c, C, READ);
    std::mem::swap(&mut *a, &mut *c);
    send_std(&b, b"x");
    send_std(&d, b"x");
    drop((a, c));
    waker.wake().unwrap();
    t.expect(&[want(WAKE, READ)]);
    t.quiet();
}

fn source_pair() -> (IoSource<std::net::TcpStream>, std::net::TcpStream) {
    let (one, other) = std_tcp_pair();
    one.set_nonblocking(true).unwrap();
    (IoSource::new(one), other)
}

fn send_std(mut to: &std::net::TcpStream, bytes: &[u8]) {
    use std::io::Write;
    to.write_all(bytes).unwrap();
}
