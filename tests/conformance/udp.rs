//! Datagrams: readiness, batches, and errors that the network returns.

use std::io::ErrorKind;
use std::net::SocketAddr;

use wakeful::event::Event;
use wakeful::net::UdpSocket;
use wakeful::Backend;

use crate::skips::{makes_sockets, skip};
use crate::support::*;

on_every_backend![
    datagrams_come_as_they_are_read,
    a_connected_pair,
    an_empty_datagram_is_an_event,
    a_refused_datagram_is_an_error,
    an_error_in_the_asked_direction,
    after_an_error_the_next_arrival_is_an_event,
    an_error_does_not_silence_the_reader,
    errors_one_after_another,
];

fn datagrams_come_as_they_are_read(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    let mut t = Tester::new(backend);
    let (mut a, to_a) = udp();
    let (mut b, to_b) = udp();
    t.register(&mut a, A, READ);
    t.register(&mut b, B, READ);
    for count in [1, 3, 20] {
        for round in 0..count {
            patiently(|| a.send_to(&[round; 10], to_b)).unwrap();
        }
        let mut received = 0;
        while received < count {
            t.expect(&[want(B, READ)]);
            let mut buf = [0; 20];
            loop {
                match b.recv_from(&mut buf) {
                    Ok((n, from)) => {
                        assert_eq!((n, from, buf[0]), (10, to_a, received));
                        received += 1;
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => panic!("{e}"),
                }
            }
        }
        t.quiet();
    }
}

pub fn a_connected_pair(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    let mut t = Tester::new(backend);
    let (mut a, to_a) = udp();
    let (b, to_b) = udp();
    a.connect(to_b).unwrap();
    b.connect(to_a).unwrap();
    t.register(&mut a, A, READ);
    let mut buf = [0; 8];
    for _ in 0..10 {
        patiently(|| b.send(b"ping")).unwrap();
        t.expect(&[want(A, READ)]);
        if !IS_LIBC_OF_WASI {
            assert_eq!(a.peek(&mut buf).unwrap(), 4);
        }
        assert_eq!(a.recv(&mut buf).unwrap(), 4);
        if !IS_LIBC_OF_WASI {
            assert_kind(a.peek_from(&mut buf), ErrorKind::WouldBlock);
        }
        assert_kind(a.recv_from(&mut buf), ErrorKind::WouldBlock);
        t.quiet();
    }
}

fn an_empty_datagram_is_an_event(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    let mut t = Tester::new(backend);
    let (mut a, to_a) = udp();
    let (b, _) = udp();
    t.register(&mut a, A, READ);
    patiently(|| b.send_to(b"", to_a)).unwrap();
    t.expect(&[want(A, READ)]);
    assert_eq!(patiently(|| a.recv_from(&mut [0; 4])).unwrap().0, 0);
}

/// Polls until an error of A is reported; the kernel may report writable before.
fn expect_error(t: &mut Tester, needs: wakeful::Interest) -> Vec<Event> {
    let mut events = t.expect(&[want(A, needs).or(BOTH)]);
    while !events.iter().any(Event::is_error) {
        events = t.expect(&[want(A, needs).or(BOTH)]);
    }
    events
}

pub fn a_refused_datagram_is_an_error(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    if IS_LIBC_OF_WASI {
        return skip(backend, "error_of_a_datagram");
    }
    if backend == Backend::Iocp {
        return skip(backend, "refused_datagram");
    }
    for interest in [READ, BOTH] {
        let mut t = Tester::new(backend);
        let (mut a, _) = udp();
        let (_keep, unused) = refusing_udp();
        a.connect(unused).unwrap();
        t.register(&mut a, A, interest);
        if interest.is_writable() {
            t.expect(&[want(A, WRITE)]);
        }
        patiently(|| a.send(b"question")).unwrap();
        let needs = if interest == READ { READ } else { WRITE };
        expect_error(&mut t, needs);
        let error = a.take_error().unwrap().expect("an error");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        t.quiet();
    }
}

/// With an interest in readable alone, an error doesn't set writable.
pub fn an_error_in_the_asked_direction(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    if backend == Backend::Epoll {
        return skip(backend, "direction_of_a_lone_error");
    }
    let mut t = Tester::new(backend);
    let (mut a, _) = udp();
    let (_keep, unused) = refusing_udp();
    a.connect(unused).unwrap();
    t.register(&mut a, A, READ);
    patiently(|| a.send(b"question")).unwrap();
    t.expect(&[want(A, READ)]);
}

/// The peer that has refused datagrams so far sends one.
fn send_after_all(peer: Option<UdpSocket>, to: SocketAddr) {
    let peer = peer.expect("the refusing socket keeps the port");
    peer.connect(to).unwrap();
    patiently(|| peer.send(b"here")).unwrap();
}

/// After an error was reported and taken, the reader still gets events for datagrams.
pub fn after_an_error_the_next_arrival_is_an_event(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    if IS_LIBC_OF_WASI {
        return skip(backend, "error_of_a_datagram");
    }
    if backend == Backend::Iocp {
        return skip(backend, "refused_datagram");
    }
    for interest in [READ, BOTH] {
        for takes_error in [false, true] {
            let mut t = Tester::new(backend);
            let (mut a, to_a) = udp();
            let (peer, to_peer) = refusing_udp();
            a.connect(to_peer).unwrap();
            t.register(&mut a, A, interest);
            if interest.is_writable() {
                t.expect(&[want(A, WRITE)]);
            }
            assert_kind(a.recv(&mut [0; 4]), ErrorKind::WouldBlock);
            patiently(|| a.send(b"question")).unwrap();
            expect_error(&mut t, if interest == READ { READ } else { WRITE });
            if takes_error {
                assert!(a.take_error().unwrap().is_some());
            } else {
                assert_kind(a.recv(&mut [0; 4]), ErrorKind::ConnectionRefused);
            }
            assert_kind(a.recv(&mut [0; 4]), ErrorKind::WouldBlock);
            send_after_all(peer, to_a);
            t.expect(&[want(A, READ).or(interest)]);
            assert_eq!(a.recv(&mut [0; 4]).unwrap(), 4);
        }
    }
}

/// The error precedes the registration. It is reported as writable alone, or as both; the reader still gets events
/// for datagrams, although no read has blocked.
pub fn an_error_does_not_silence_the_reader(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    if IS_LIBC_OF_WASI {
        return skip(backend, "error_of_a_datagram");
    }
    if backend == Backend::Iocp {
        return skip(backend, "refused_datagram");
    }
    let mut t = Tester::new(backend);
    let (mut a, to_a) = udp();
    let (peer, to_peer) = refusing_udp();
    a.connect(to_peer).unwrap();
    patiently(|| a.send(b"question")).unwrap();
    t.register(&mut a, A, BOTH);
    let events = expect_error(&mut t, WRITE);
    let was_reported = events.iter().any(Event::is_readable);
    assert!(a.take_error().unwrap().is_some());
    if was_reported {
        assert_kind(a.recv(&mut [0; 4]), ErrorKind::WouldBlock);
    }
    send_after_all(peer, to_a);
    t.expect(&[want(A, READ).or(WRITE)]);
}

/// A sender never blocks. Taking an error makes the next one a change, and no error of a datagram closes anything.
pub fn errors_one_after_another(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    if IS_LIBC_OF_WASI {
        return skip(backend, "error_of_a_datagram");
    }
    if backend == Backend::Iocp {
        return skip(backend, "refused_datagram");
    }
    let takes: [fn(&UdpSocket) -> Option<ErrorKind>; 3] = [
        |socket| socket.take_error().unwrap().map(|e| e.kind()),
        |socket| socket.send(b"again?").err().map(|e| e.kind()),
        |socket| socket.recv(&mut [0; 4]).err().map(|e| e.kind()),
    ];
    for interest in [READ, WRITE, BOTH] {
        for take in takes {
            let mut t = Tester::new(backend);
            let (mut a, _) = udp();
            let (_keep, unused) = refusing_udp();
            a.connect(unused).unwrap();
            t.register(&mut a, A, interest);
            if interest.is_writable() {
                t.expect(&[want(A, WRITE)]);
            }
            for round in 0..5 {
                patiently(|| a.send(b"question")).unwrap();
                // epoll reports an error without a direction as both, and takes it for the end of a pipe with an
                // interest in readable alone.
                let events = expect_error(&mut t, if interest == READ { READ } else { WRITE });
                let is_writer = interest.is_writable();
                let is_closed = events.iter().any(Event::is_write_closed);
                assert!(!is_closed || !is_writer, "{interest:?}, round {round}: {events:?}");
                let error = patiently(|| match take(&a) {
                    Some(ErrorKind::WouldBlock) => Err(ErrorKind::WouldBlock.into()),
                    error => Ok(error),
                });
                assert_eq!(error.unwrap(), Some(ErrorKind::ConnectionRefused), "{interest:?}, round {round}");
            }
            t.quiet();
        }
    }
}
