//! WASI alone: a sleep that nothing could end, a source whose failure fails the whole call, and runtimes that don't
//! check the whole list.

use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use wakeful::wasi::SourceFd;
use wakeful::{Backend, Token, Waker};

use crate::support::*;

on_every_backend![
    a_sleep_that_nothing_could_end,
    a_sleep_without_sources,
    a_raw_descriptor,
    a_closed_descriptor_spoils_no_other,
    a_source_without_its_descriptor_has_an_error,
    a_hang_up_is_the_end_of_reading,
    one_poll_reports_every_one_of_many,
    one_that_is_always_ready_hides_no_other,
    a_number_that_is_not_open,
    what_is_not_there_says_so,
];

/// A sleep that would hang for ever is an error.
fn a_sleep_that_nothing_could_end(backend: Backend) {
    let mut t = Tester::new(backend);
    assert_kind(t.poll.poll(&mut t.events, None), ErrorKind::InvalidInput);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    assert_kind(t.poll.poll(&mut t.events, None), ErrorKind::InvalidInput);
    waker.wake().unwrap();
    t.poll.poll(&mut t.events, None).unwrap();
    assert_eq!(t.events.len(), 1);

    // A source that was reported and not drained is not waited for.
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    send(&b, b"x");
    t.expect(&[want(A, READ)]);
    assert_kind(t.poll.poll(&mut t.events, None), ErrorKind::InvalidInput);
    assert_eq!(drain(&a), b"x");
    send(&b, b"y");
    t.poll.poll(&mut t.events, None).unwrap();
    assert_eq!(t.events.len(), 1);
}

fn a_sleep_without_sources(backend: Backend) {
    let mut t = Tester::new(backend);
    let start = Instant::now();
    assert!(t.poll_for(Duration::from_millis(30)).is_empty());
    assert!(start.elapsed() >= Duration::from_millis(30));
}

/// The library doesn't see its operations.
fn a_raw_descriptor(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = std_tcp_pair();
    a.set_nonblocking(true).unwrap();
    let fd = a.as_raw_fd();
    t.register(&mut SourceFd(&fd), A, READ);
    t.quiet();
    for round in 0..20u8 {
        send(&b, &[round]);
        t.expect(&[want(A, READ)]);
        let mut buf = [0; 4];
        assert_eq!(a.read(&mut buf).unwrap(), 1);
        assert_eq!(buf[0], round);
    }
    t.deregister(&mut SourceFd(&fd));
    assert_kind(t.registry().deregister(&mut SourceFd(&fd)), ErrorKind::NotFound);
}

/// A runtime fails the whole call for it.
fn a_closed_descriptor_spoils_no_other(backend: Backend) {
    let mut t = Tester::new(backend);
    let (a, _b) = std_tcp_pair();
    let (mut c, d) = tcp_pair();
    t.register(&mut SourceFd(&a.as_raw_fd()), A, READ);
    t.register(&mut c, C, READ);
    t.quiet();
    drop(a);
    t.quiet();
    send(&d, b"x");
    t.expect(&[want(C, READ)]);
}

/// A failed subscription is an error of its source, not of the poll.
fn a_source_without_its_descriptor_has_an_error(backend: Backend) {
    for interest in [READ, BOTH] {
        let mut t = Tester::new(backend);
        let (mut a, _b) = tcp_pair();
        let (mut c, d) = tcp_pair();
        t.register(&mut a, A, interest);
        t.register(&mut c, C, READ);
        if interest.is_writable() {
            t.expect(&[want(A, WRITE)]);
        }
        t.quiet();
        // SAFETY: `a` is forgotten below, so this is the last owner.
        drop(unsafe { OwnedFd::from_raw_fd(a.as_raw_fd()) });
        send(&d, b"x");
        let events = t.expect(&[want(A, READ).or(interest), want(C, READ)]);
        assert!(events.iter().any(|event| event.token() == A && event.is_error()), "{events:?}");
        assert!(events.iter().all(|event| event.token() == A || !event.is_error()), "{events:?}");
        t.quiet();
        assert_eq!(drain(&c), b"x");
        send(&d, b"y");
        t.expect(&[want(C, READ)]);
        t.deregister(&mut a);
        std::mem::forget(a);
        t.quiet();
    }
}

/// The second preview reports the end as readable alone, and so do runtimes of the first until both halves are
/// closed.
fn a_hang_up_is_the_end_of_reading(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    t.quiet();
    a.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&b), b"");
    b.shutdown(Shutdown::Both).unwrap();
    let events = t.expect(&[want(A, READ)]);
    assert!(events.iter().all(|event| event.is_read_closed() || backend != Backend::Wasi), "{events:?}");
    assert_eq!(read_to_end(&a), b"");
}

fn read_to_end(mut from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    patiently(|| from.read_to_end(&mut bytes)).unwrap();
    bytes
}

/// More sources than a runtime checks before it reports the end of the timeout.
const MANY: usize = 260;

type Ends = Vec<wakeful::net::TcpStream>;

/// Many ends of connections, registered for readable, each with its index as token; peers are neighbours.
fn many(t: &Tester) -> Ends {
    let mut ends: Ends = (0..MANY / 2).map(|_| tcp_pair()).flat_map(|(one, other)| [one, other]).collect();
    for (index, end) in ends.iter_mut().enumerate() {
        t.register(end, Token(index), READ);
    }
    ends
}

fn one_poll_reports_every_one_of_many(backend: Backend) {
    let mut t = Tester::new(backend);
    let ends = many(&t);
    t.quiet();
    for place in [0, 1, MANY / 2, MANY - 1] {
        send(&ends[place ^ 1], b"x");
        let deadline = Instant::now() + PATIENCE;
        let event = loop {
            match &t.poll_now()[..] {
                [] => assert!(Instant::now() < deadline, "{place} of {MANY} isn't seen"),
                [event] => break event.clone(),
                events => panic!("only {place} is ready, but: {events:?}"),
            }
        };
        assert_eq!(event.token(), Token(place));
        assert_eq!(drain(&ends[place]), b"x");
    }
}

fn one_that_is_always_ready_hides_no_other(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut ends = many(&t);
    send(&ends[1], b"never read");
    send(&ends[MANY - 2], b"x");
    await_bytes(&ends[MANY - 1]);
    for timeout in [None, Some(PATIENCE), Some(Duration::ZERO)] {
        let mut is_seen = false;
        for _ in 0..4 {
            // This time the poll finds it first.
            t.reregister(&mut ends[0], Token(0), READ);
            t.poll.poll(&mut t.events, timeout).unwrap();
            is_seen |= t.events.iter().any(|event| event.token() == Token(MANY - 1));
        }
        assert!(is_seen, "with {timeout:?}");
        t.reregister(&mut ends[MANY - 1], Token(MANY - 1), READ);
    }
}

fn a_number_that_is_not_open(backend: Backend) {
    let t = Tester::new(backend);
    assert!(t.registry().register(&mut SourceFd(&-1), A, READ).is_err());
    assert!(t.registry().register(&mut SourceFd(&12_345), A, READ).is_err());
}

fn what_is_not_there_says_so(backend: Backend) {
    use wakeful::net::{TcpListener, TcpStream, UdpSocket};
    if backend == Backend::Wasi {
        assert_kind(TcpListener::bind(any_port()), ErrorKind::Unsupported);
        assert_kind(TcpStream::connect(any_port()), ErrorKind::Unsupported);
        assert_kind(UdpSocket::bind(any_port()), ErrorKind::Unsupported);
    } else {
        let (a, _b) = tcp_pair();
        assert_kind(a.peek(&mut [0]), ErrorKind::Unsupported);
    }
}
