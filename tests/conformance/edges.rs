//! Promise 1: after operating until `WouldBlock` the next change causes a new event, and none is lost.

use std::io::{ErrorKind, Read, Write};

use wakeful::{Backend, IoSource};

use crate::skips::{makes_sockets, skip};
use crate::support::*;

on_every_backend![
    an_event_comes_once,
    what_was_read_unseen_gives_no_event,
    a_full_source_becomes_writable,
    blocked_reads_bring_no_writable_events,
    a_half_read_source_is_quiet_or_tells_of_news,
    an_echo_loses_nothing,
    an_unknown_direction_loses_nothing,
    a_listener_with_many_pending,
    a_peek_that_blocks_arms,
    vectored_operations_arm,
];

fn an_event_comes_once(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    t.quiet();

    for round in 0..10u8 {
        send(&b, &[round; 3]);
        t.expect(&[want(A, READ)]);
        t.quiet();
        assert_eq!(drain(&a), [round; 3]);
        t.quiet();
    }
}

fn what_was_read_unseen_gives_no_event(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    for _ in 0..10 {
        send(&b, b"unseen");
        assert_eq!(read_exactly(&a, 6), b"unseen");
        assert_eq!(drain(&a), b"");
        t.quiet();
    }
    send(&b, b"seen");
    t.expect(&[want(A, READ)]);
}

fn a_full_source_becomes_writable(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, WRITE);
    t.expect(&[want(A, WRITE)]);
    for _ in 0..5 {
        let count = fill(&a);
        read_exactly(&b, count);
        t.expect(&[want(A, WRITE)]);
    }
}

/// mio#1963: re-arming both directions would make a reader spin beside a writable socket.
fn blocked_reads_bring_no_writable_events(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, BOTH);
    t.expect(&[want(A, WRITE)]);
    for _ in 0..10 {
        assert_eq!(drain(&a), b"");
        t.quiet();
    }
    // The kernel may repeat writable with another change.
    send(&b, b"now");
    t.expect(&[want(A, READ).or(WRITE)]);
    drain(&a);
    t.quiet();
}

fn a_half_read_source_is_quiet_or_tells_of_news(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    send(&b, b"four");
    t.expect(&[want(A, READ)]);
    assert_eq!(read_exactly(&a, 2), b"fo");
    t.quiet();
    // Read until `WouldBlock`: from there the promise holds again.
    assert_eq!(drain(&a), b"ur");
    t.quiet();
    send(&b, b"more");
    t.expect(&[want(A, READ)]);
}

fn an_echo_loses_nothing(backend: Backend) {
    let mut random = seeded();
    let mut t = Tester::new(backend);
    let (mut a, mut b) = tcp_pair();
    t.register(&mut a, A, BOTH);
    t.register(&mut b, B, READ);
    t.expect(&[want(A, WRITE)]);
    for _ in 0..rounds(1500) {
        let bytes: Vec<u8> = (0..1 + random.usize(..300)).map(|_| random.u8(..)).collect();
        send(&a, &bytes);
        let mut arrived = Vec::new();
        while arrived.len() < bytes.len() {
            t.expect(&[want(B, READ)]);
            arrived.extend(drain(&b));
        }
        assert_eq!(arrived, bytes);
        send(&b, &arrived);
        let mut back = 0;
        while back < bytes.len() {
            t.expect(&[want(A, READ).or(WRITE)]);
            back += drain(&a).len();
        }
        if random.usize(..10) == 0 {
            t.quiet();
        }
    }
}

fn an_unknown_direction_loses_nothing(backend: Backend) {
    let mut t = Tester::new(backend);
    let (one, mut b) = std_tcp_pair();
    one.set_nonblocking(true).unwrap();
    let mut a = IoSource::new(one);
    t.register(&mut a, A, BOTH);
    t.expect(&[want(A, WRITE)]);
    let mut buf = [0; 16];
    for _ in 0..rounds(100) {
        b.write_all(b"news").unwrap();
        let mut got = 0;
        // A read may move a part, and pretend to block: an event for the rest follows.
        while got < 4 {
            // A kernel that needs re-arming doesn't know that it was the read that blocked, so it may report writable.
            t.expect(&[want(A, READ).or(WRITE)]);
            loop {
                match a.try_io(|mut io| io.read(&mut buf)) {
                    Ok(n) => got += n,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => panic!("{e}"),
                }
            }
        }
        assert_eq!(got, 4);
    }
}

fn a_listener_with_many_pending(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    let mut t = Tester::new(backend);
    let (mut listener, addr) = listener();
    t.register(&mut listener, A, READ);
    t.quiet();
    for count in [1, 7, 2] {
        let clients: Vec<_> = (0..count).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect();
        let mut accepted = Vec::new();
        while accepted.len() < count {
            t.expect(&[want(A, READ)]);
            loop {
                match listener.accept() {
                    Ok((stream, peer)) => accepted.push((stream, peer)),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => panic!("{e}"),
                }
            }
        }
        assert_eq!(accepted.len(), count);
        for (stream, peer) in &mut accepted {
            assert!(clients.iter().any(|client| client.local_addr().unwrap() == *peer));
            assert_kind(stream.read(&mut [0]), ErrorKind::WouldBlock);
        }
        t.quiet();
    }
}

/// mio#1895: each operation that can block re-arms, not reading alone.
pub fn a_peek_that_blocks_arms(backend: Backend) {
    if IS_LIBC_OF_WASI {
        return skip(backend, "peek");
    }
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    for _ in 0..3 {
        send(&b, b"x");
        t.expect(&[want(A, READ)]);
        assert_eq!(a.peek(&mut [0; 4]).unwrap(), 1);
        assert_eq!(read_exactly(&a, 1), b"x");
        assert_kind(a.peek(&mut [0; 4]), ErrorKind::WouldBlock);
    }
}

fn vectored_operations_arm(backend: Backend) {
    use std::io::{IoSlice, IoSliceMut};
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, BOTH);
    t.expect(&[want(A, WRITE)]);
    for _ in 0..3 {
        send(&b, b"abcd");
        t.expect(&[want(A, READ).or(WRITE)]);
        let (mut one, mut two) = ([0; 2], [0; 8]);
        let read = (&a).read_vectored(&mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)]).unwrap();
        assert_eq!((read, &one, &two[..2]), (4, b"ab", &b"cd"[..]));
        assert_kind((&a).read_vectored(&mut [IoSliceMut::new(&mut one)]), ErrorKind::WouldBlock);
    }
    let mut sum = 0;
    let chunk = [1; 5000];
    loop {
        match (&a).write_vectored(&[IoSlice::new(&chunk), IoSlice::new(&chunk)]) {
            Ok(n) => sum += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) => panic!("{e}"),
        }
    }
    read_exactly(&b, sum);
    t.expect(&[want(A, WRITE)]);
}
