//! Unix-domain streams: the kernel does everything at once and in order, so no event may be spurious.

use std::io::ErrorKind;

use wakeful::net::{UnixDatagram, UnixListener, UnixStream};
use wakeful::Backend;

use crate::support::*;

on_every_backend![
    a_full_stream_is_quiet_until_there_is_room,
    room_after_a_hang_up_is_reported,
    blocked_writes_bring_no_readable_events,
    one_event_for_one_change,
    a_listener_of_the_file_system,
    an_unnamed_peer,
    datagrams,
    datagrams_of_the_file_system,
];

fn a_full_stream_is_quiet_until_there_is_room(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = UnixStream::pair().unwrap();
    t.register(&mut a, A, WRITE);
    t.expect(&[want(A, WRITE)]);
    t.quiet();
    for _ in 0..10 {
        let count = fill(&a);
        t.quiet();
        read_exactly(&b, count);
        t.expect(&[want(A, WRITE)]);
        t.quiet();
    }
}

/// The change comes right after the hang-up was reported, before it is checked again.
fn room_after_a_hang_up_is_reported(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = UnixStream::pair().unwrap();
    t.register(&mut a, A, BOTH);
    fill(&a);
    b.shutdown(std::net::Shutdown::Both).unwrap();
    let also = if backend == Backend::Kqueue { WRITE } else { READ };
    let events = t.expect(&[want(A, READ).or(also)]);
    if events.iter().any(|event| event.is_writable()) {
        // A kqueue reports the end of the writing half although its buffer is full: a write fails at once.
        return;
    }
    read_on(&b);
    t.expect(&[want(A, WRITE).or(READ)]);
}

fn blocked_writes_bring_no_readable_events(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = UnixStream::pair().unwrap();
    t.register(&mut a, A, BOTH);
    t.expect(&[want(A, WRITE)]);
    send(&b, b"unread");
    t.expect(&[want(A, READ).or(WRITE)]);
    for _ in 0..10 {
        fill(&a);
        t.quiet();
    }
}

fn one_event_for_one_change(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, mut b) = UnixStream::pair().unwrap();
    t.register(&mut a, A, READ);
    t.register(&mut b, B, READ);
    for _ in 0..rounds(500) {
        send(&a, b"x");
        let events = t.poll_now();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0].token(), B);
        assert_sane(&events[0], READ);
        assert_eq!(drain(&b), b"x");
        send(&b, b"y");
        let events = t.poll_now();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0].token(), A);
        assert_eq!(drain(&a), b"y");
        t.quiet();
    }
}

fn a_listener_of_the_file_system(backend: Backend) {
    let mut t = Tester::new(backend);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let mut listener = UnixListener::bind(&path).unwrap();
    t.register(&mut listener, A, READ);
    t.quiet();
    for count in [1, 5, 2] {
        let clients: Vec<_> = (0..count).map(|_| UnixStream::connect(&path).unwrap()).collect();
        t.expect(&[want(A, READ)]);
        for _ in &clients {
            listener.accept().unwrap();
        }
        assert_kind(listener.accept(), ErrorKind::WouldBlock);
        t.quiet();
    }
}

/// mio#1817: a peer without a name.
fn an_unnamed_peer(backend: Backend) {
    let mut t = Tester::new(backend);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let mut listener = UnixListener::bind(&path).unwrap();
    t.register(&mut listener, A, READ);
    let client = UnixStream::connect(&path).unwrap();
    t.expect(&[want(A, READ)]);
    let (server, peer) = listener.accept().unwrap();
    assert!(peer.is_unnamed(), "{peer:?}");
    assert!(server.peer_addr().unwrap().is_unnamed());
    assert_eq!(server.local_addr().unwrap().as_pathname(), Some(&*path));
    assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*path));
}

fn datagrams(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, mut b) = UnixDatagram::pair().unwrap();
    t.register(&mut a, A, WRITE);
    t.register(&mut b, B, READ);
    t.expect(&[want(A, WRITE)]);
    for _ in 0..10 {
        let mut sent = 0;
        while a.send(b"datagram").is_ok() {
            sent += 1;
        }
        t.expect(&[want(B, READ)]);
        t.quiet();
        let mut buf = [0; 20];
        let mut received = 0;
        while b.recv(&mut buf).is_ok() {
            received += 1;
        }
        assert_eq!(received, sent);
        t.expect(&[want(A, WRITE)]);
        t.quiet();
    }
}

fn datagrams_of_the_file_system(backend: Backend) {
    let mut t = Tester::new(backend);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let mut a = UnixDatagram::bind(&path).unwrap();
    let b = UnixDatagram::unbound().unwrap();
    t.register(&mut a, A, READ);
    for _ in 0..3 {
        b.send_to(b"x", &path).unwrap();
        t.expect(&[want(A, READ)]);
        let (n, from) = a.recv_from(&mut [0; 4]).unwrap();
        assert!(n == 1 && from.is_unnamed());
        assert_kind(a.recv_from(&mut [0; 4]), ErrorKind::WouldBlock);
        t.quiet();
    }
}
