//! Unix, promise 16: the poll's own descriptor is readable while an event or a wake is pending.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use wakeful::net::UnixStream;
use wakeful::unix::SourceFd;
use wakeful::{Backend, Waker};

use crate::skips::skip;
use crate::support::unix::is_readable;
use crate::support::*;

on_every_backend![
    it_is_readable_when_a_wake_is_pending,
    it_is_readable_when_a_source_is_ready,
    a_wake_before_its_descriptor_is_used,
    the_registrys_is_the_same,
    a_wake_within_a_poll_within_a_poll,
    a_sleeper_outside_is_woken,
    what_found_no_room_keeps_it_readable,
    a_zero_timeout_finds_what_is_ready,
    a_poll_cannot_watch_itself,
    level_triggered_within_a_poll,
    level_triggered_sources_within_a_poll,
    a_refused_exclusive_changes_nothing,
];

/// The descriptor, taken once: each call of `as_raw_fd` makes a pending wake show again.
fn descriptor(of: impl AsFd) -> OwnedFd {
    of.as_fd().try_clone_to_owned().unwrap()
}

fn it_is_readable_when_a_wake_is_pending(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let fd = descriptor(&t.poll);
    assert!(!is_readable(fd.as_fd()));
    for _ in 0..10 {
        waker.wake().unwrap();
        assert!(is_readable(fd.as_fd()));
        waker.wake().unwrap();
        assert!(is_readable(fd.as_fd()));
        t.expect(&[want(WAKE, READ)]);
        assert!(!is_readable(fd.as_fd()));
        t.quiet();
    }
}

pub fn it_is_readable_when_a_source_is_ready(backend: Backend) {
    if backend == Backend::PosixPoll {
        return skip(backend, "nested_poll_io");
    }
    let mut t = Tester::new(backend);
    let (mut a, b) = UnixStream::pair().unwrap();
    t.register(&mut a, A, READ);
    assert!(!is_readable(t.poll.as_fd()));
    for _ in 0..10 {
        send(&b, b"x");
        assert!(is_readable(t.poll.as_fd()));
        t.expect(&[want(A, READ)]);
        assert!(!is_readable(t.poll.as_fd()));
        drain(&a);
    }
    // And for another poll, of any backend.
    for &outside in crate::backends() {
        let mut outer = Tester::new(outside);
        let fd = t.poll.as_raw_fd();
        outer.register(&mut SourceFd(&fd), B, READ);
        outer.quiet();
        send(&b, b"x");
        outer.expect(&[want(B, READ)]);
        t.expect(&[want(A, READ)]);
        drain(&a);
        outer.deregister(&mut SourceFd(&fd));
    }
}

fn a_wake_before_its_descriptor_is_used(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    waker.wake().unwrap();
    assert!(is_readable(t.poll.as_fd()), "nothing was written when it was woken");
    t.expect(&[want(WAKE, READ)]);
    assert!(!is_readable(t.poll.as_fd()));
}

fn the_registrys_is_the_same(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    assert_eq!(t.registry().as_raw_fd(), t.poll.as_raw_fd());
    let clone = t.registry().try_clone().unwrap();
    let fd = descriptor(&clone);
    waker.wake().unwrap();
    assert!(is_readable(fd.as_fd()));
    t.expect(&[want(WAKE, READ)]);
    assert!(!is_readable(fd.as_fd()));
}

fn a_wake_within_a_poll_within_a_poll(backend: Backend) {
    for &outside in crate::backends() {
        let mut outer = Tester::new(outside);
        let mut inner = Tester::new(backend);
        let waker = Waker::new(inner.registry(), WAKE).unwrap();
        let fd = inner.poll.as_raw_fd();
        outer.register(&mut SourceFd(&fd), A, READ);
        outer.quiet();
        for _ in 0..20 {
            waker.wake().unwrap();
            outer.expect(&[want(A, READ)]);
            inner.expect(&[want(WAKE, READ)]);
            outer.quiet();
        }
    }
}

fn a_sleeper_outside_is_woken(backend: Backend) {
    use crate::support::unix::becomes_readable;
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let fd = descriptor(&t.poll);
    for _ in 0..200 {
        std::thread::scope(|scope| {
            scope.spawn(|| waker.wake().unwrap());
            assert!(becomes_readable(fd.as_fd(), PATIENCE));
        });
        t.expect(&[want(WAKE, READ)]);
    }
}

fn what_found_no_room_keeps_it_readable(backend: Backend) {
    let mut t = Tester::with_capacity(backend, 1);
    let wakers = [A, B, C].map(|token| Waker::new(t.registry(), token).unwrap());
    let fd = descriptor(&t.poll);
    for waker in &wakers {
        waker.wake().unwrap();
    }
    for _ in &wakers {
        assert!(is_readable(fd.as_fd()));
        assert_eq!(t.poll_now().len(), 1);
    }
    t.quiet();
    assert!(!is_readable(fd.as_fd()));
}

/// A stale notification must not take the place of an event.
fn a_zero_timeout_finds_what_is_ready(backend: Backend) {
    let mut t = Tester::with_capacity(backend, 1);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let _ = t.poll.as_fd();
    let (mut a, b) = UnixStream::pair().unwrap();
    t.register(&mut a, A, READ);
    for _ in 0..10 {
        send(&b, b"x");
        waker.wake().unwrap();
        let mut tokens = [t.poll_now(), t.poll_now()].map(|events| events.first().expect("an event").token());
        tokens.sort();
        assert_eq!(tokens, [A, WAKE]);
        drain(&a);
        send(&b, b"y");
        let events = t.poll_now();
        assert_eq!(events.len(), 1, "a byte is there, and the poll is empty");
        assert_eq!(events[0].token(), A);
        drain(&a);
        t.quiet();
    }
}

fn a_poll_cannot_watch_itself(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let fd = t.poll.as_raw_fd();
    for _ in 0..2 {
        assert_kind(t.registry().register(&mut SourceFd(&fd), A, READ), std::io::ErrorKind::InvalidInput);
    }
    waker.wake().unwrap();
    t.expect(&[want(WAKE, READ)]);
}

/// The outer registration is reported until the inner poll has taken what is pending.
fn level_triggered_within_a_poll(backend: Backend) {
    let (mut outer, mut inner) = (Tester::new(backend), Tester::new(backend));
    let waker = Waker::new(inner.registry(), WAKE).unwrap();
    let fd = descriptor(&inner.poll);
    outer.register(&mut SourceFd(&fd.as_raw_fd()), A, READ.level());
    outer.quiet();
    for _ in 0..3 {
        waker.wake().unwrap();
        for _ in 0..3 {
            outer.expect(&[want(A, READ)]);
        }
        inner.expect(&[want(WAKE, READ)]);
        outer.quiet();
    }
}

pub fn level_triggered_sources_within_a_poll(backend: Backend) {
    if backend == Backend::PosixPoll {
        return skip(backend, "nested_poll_levels");
    }
    let (mut outer, mut inner) = (Tester::new(backend), Tester::new(backend));
    let fd = descriptor(&inner.poll);
    outer.register(&mut SourceFd(&fd.as_raw_fd()), A, READ.level());
    let (mut a, b) = UnixStream::pair().unwrap();
    inner.register(&mut a, B, READ.level());
    send(&b, b"x");
    for _ in 0..3 {
        outer.expect(&[want(A, READ)]);
        inner.expect(&[want(B, READ)]);
    }
    drain(&a);
    inner.quiet();
    outer.quiet();
    outer.reregister(&mut SourceFd(&fd.as_raw_fd()), A, READ.one_shot());
    send(&b, b"x");
    outer.expect(&[want(A, READ)]);
    inner.expect(&[want(B, READ)]);
    outer.quiet();
    outer.reregister(&mut SourceFd(&fd.as_raw_fd()), B, READ.one_shot());
    outer.expect(&[want(B, READ)]);
}

/// Linux refuses exclusive wake-ups from an epoll.
fn a_refused_exclusive_changes_nothing(backend: Backend) {
    let (mut outer, mut inner) = (Tester::new(backend), Tester::new(backend));
    let waker = Waker::new(inner.registry(), WAKE).unwrap();
    let fd = descriptor(&inner.poll);
    outer.register(&mut SourceFd(&fd.as_raw_fd()), A, READ);
    let result = outer.registry().reregister(&mut SourceFd(&fd.as_raw_fd()), B, READ.exclusive());
    let token = match result {
        Ok(()) => B,
        Err(e) => {
            assert_eq!((backend, e.kind()), (Backend::Epoll, std::io::ErrorKind::Unsupported), "{e}");
            A
        }
    };
    waker.wake().unwrap();
    outer.expect(&[want(token, READ)]);
    inner.expect(&[want(WAKE, READ)]);
    outer.deregister(&mut SourceFd(&fd.as_raw_fd()));
}
