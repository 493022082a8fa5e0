//! Unix, promise 14: a raw descriptor loses no event on any backend, however it is read.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use wakeful::event::Event;
use wakeful::unix::SourceFd;
use wakeful::{Backend, Events, IoSource, Token, Waker};

use crate::skips::skip;
use crate::support::unix::{close, raw_drain, read};
use crate::support::*;
use crate::threads::while_asleep;

on_every_backend![
    raw_reads_lose_nothing,
    drained_and_refilled_in_any_rhythm,
    drained_and_refilled_while_asleep,
    little_room_hides_nothing_from_the_next_poll,
    raw_writes_lose_nothing,
    not_read_does_not_spin,
    a_ready_crowd_starves_no_source,
    a_crowd_starves_no_source_of_a_slow_program,
    the_errors_of_its_contract,
    a_second_registration_repeats_no_event,
    bad_descriptors,
    files_and_directories,
    one_number_with_two_polls,
    closed_without_deregister,
    a_closed_number_does_not_spin,
    deregistered_and_closed_under_a_sleeper,
    a_duplicate_is_a_source_of_its_own,
    an_owned_source_registered_anew_in_another_mode,
];

fn pair() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (a, b)
}

fn raw_reads_lose_nothing(backend: Backend) {
    let mut t = Tester::new(backend);
    let (a, b) = pair();
    let fd = a.as_raw_fd();
    t.register(&mut SourceFd(&fd), A, READ);
    t.quiet();
    for _ in 0..60 {
        send(&b, b"x");
        t.expect(&[want(A, READ)]);
        assert_eq!(raw_drain(&a), 1);
    }
    t.quiet();
    // Refilled before the next poll.
    for _ in 0..30 {
        send(&b, b"x");
        t.expect(&[want(A, READ)]);
        assert_eq!(raw_drain(&a), 1);
        send(&b, b"y");
        t.expect(&[want(A, READ)]);
        assert_eq!(raw_drain(&a), 1);
        send(&b, b"z");
        raw_drain(&a);
        t.quiet();
    }
}

fn drained_and_refilled_in_any_rhythm(backend: Backend) {
    const COUNT: usize = 6;
    let mut random = seeded();
    let mut t = Tester::with_capacity(backend, 4);
    let pairs: Vec<_> = (0..COUNT).map(|_| pair()).collect();
    for (index, (a, _)) in pairs.iter().enumerate() {
        let interest = if index % 3 == 2 { BOTH } else { READ };
        t.register(&mut SourceFd(&a.as_raw_fd()), Token(index), interest);
    }
    // Whether something has arrived since it was last empty or an event last came.
    let mut news = [false; COUNT];
    let mut waiting = [0; COUNT];
    for _ in 0..4000 {
        let index = random.usize(..COUNT);
        let (a, b) = &pairs[index];
        match random.usize(..8) {
            0..=2 => {
                let count = 1 + random.usize(..20);
                send(b, &vec![1; count]);
                waiting[index] += count;
                news[index] = true;
            }
            3 | 4 => {
                assert_eq!(raw_drain(a), waiting[index]);
                waiting[index] = 0;
                news[index] = false;
            }
            5 if waiting[index] > 1 => {
                // Half of the data: no event is promised for the rest.
                waiting[index] -= read(a, &mut vec![0; waiting[index] / 2]).unwrap();
            }
            6 => {
                for event in t.poll_now() {
                    let index = event.token().0;
                    assert_sane(&event, if index % 3 == 2 { BOTH } else { READ });
                    if event.is_readable() {
                        news[index] = false;
                    }
                }
            }
            _ if random.usize(..20) == 0 => {
                let deadline = Instant::now() + PATIENCE;
                while news.contains(&true) {
                    assert!(Instant::now() < deadline, "lost: {news:?} {waiting:?}");
                    for event in t.poll_for(Duration::from_millis(20)) {
                        if event.is_readable() {
                            news[event.token().0] = false;
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

fn drained_and_refilled_while_asleep(backend: Backend) {
    let mut t = Tester::new(backend);
    let (a, b) = pair();
    let fd = a.as_raw_fd();
    t.register(&mut SourceFd(&fd), A, READ);
    for round in 0..60 {
        send(&b, b"x");
        t.expect(&[want(A, READ)]);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                if round % 3 == 0 {
                    std::thread::sleep(Duration::from_micros(round * 3));
                }
                raw_drain(&a);
                if round % 2 == 0 {
                    std::thread::yield_now();
                }
                send(&b, b"y");
            });
            t.expect(&[want(A, READ)]);
        });
        raw_drain(&a);
    }
}

/// Repeated events of unread sources may fill one poll; the next one has room for new events.
fn little_room_hides_nothing_from_the_next_poll(backend: Backend) {
    let mut t = Tester::new(backend);
    let (unread, unread_peer) = pair();
    let (a, b) = pair();
    t.register(&mut SourceFd(&unread.as_raw_fd()), B, READ);
    t.register(&mut SourceFd(&a.as_raw_fd()), A, READ);
    send(&unread_peer, b"x");
    send(&b, b"x");
    t.expect(&[want(A, READ), want(B, READ)]);
    let mut narrow = Events::with_capacity(1);
    for _ in 0..20 {
        raw_drain(&a);
        send(&b, b"x");
        // This may look like an unread source, which is reported after a pause.
        if t.poll_now().iter().any(|event| event.token() == A) {
            continue;
        }
        std::thread::sleep(Duration::from_millis(20));
        t.poll.poll(&mut narrow, Some(Duration::ZERO)).unwrap();
        let was_reported = narrow.iter().any(|event| event.token() == A);
        assert!(was_reported || t.poll_now().iter().any(|event| event.token() == A), "{backend}");
    }
}

fn raw_writes_lose_nothing(backend: Backend) {
    let mut t = Tester::new(backend);
    let (a, b) = pair();
    let fd = a.as_raw_fd();
    t.register(&mut SourceFd(&fd), A, WRITE);
    for _ in 0..30 {
        t.expect(&[want(A, WRITE)]);
        fill(&a);
        raw_drain(&b);
    }
    t.expect(&[want(A, WRITE)]);
}

/// A descriptor that is never read: on a kernel that reports levels its event is repeated, but with pauses.
fn not_read_does_not_spin(backend: Backend) {
    let mut t = Tester::new(backend);
    let (a, b) = pair();
    let fd = a.as_raw_fd();
    t.register(&mut SourceFd(&fd), A, BOTH);
    send(&b, b"unread");
    let start = Instant::now();
    let mut polls = 0;
    while start.elapsed() < Duration::from_millis(200) {
        t.poll_for(Duration::from_millis(50)).iter().for_each(|event| assert_eq!(event.token(), A));
        polls += 1;
    }
    // The pauses double from 0.1 to 12.8 ms: 8 repeats in the first 25 ms, then one in 12.8 ms. A late machine makes
    // fewer.
    assert!(polls < 60, "{polls} polls in 200 ms");
}

/// Promise 8, for sources whose readiness is repeated.
fn a_ready_crowd_starves_no_source(backend: Backend) {
    const CROWD: usize = 300;
    let mut t = Tester::with_capacity(backend, 1);
    let crowd: Vec<_> = (0..CROWD).map(|_| pair()).collect();
    for (index, (a, _)) in crowd.iter().enumerate() {
        t.register(&mut SourceFd(&a.as_raw_fd()), Token(index), WRITE);
    }
    let (mut last, b) = wakeful::net::UnixStream::pair().unwrap();
    let last_token = Token(CROWD);
    t.register(&mut last, last_token, READ);
    let mut seen = [false; CROWD];
    let mut polls = 0;
    while seen.contains(&false) {
        polls += 1;
        assert!(
            polls <= 20 * CROWD,
            "{} of {CROWD} were never seen",
            seen.iter().filter(|&&seen| !seen).count()
        );
        for event in t.poll_for(PATIENCE) {
            seen[event.token().0] = true;
        }
    }
    for _ in 0..20 {
        send(&b, b"x");
        let mut polls = 0;
        while t.poll_for(PATIENCE)[0].token() != last_token {
            polls += 1;
            assert!(polls <= 20 * CROWD, "a ready source starves beside those that are ready always");
        }
        drain(&last);
    }
}

/// Promise 8, where each poll finds all of them due again.
fn a_crowd_starves_no_source_of_a_slow_program(backend: Backend) {
    const CROWD: usize = 5;
    let mut t = Tester::with_capacity(backend, 1);
    let crowd: Vec<_> = (0..CROWD).map(|_| pair()).collect();
    for (index, (a, _)) in crowd.iter().enumerate() {
        t.register(&mut SourceFd(&a.as_raw_fd()), Token(index), WRITE);
    }
    let mut counts = [0; CROWD];
    for _ in 0..8 * CROWD {
        // Longer than any pause.
        std::thread::sleep(Duration::from_millis(14));
        for event in t.poll_now() {
            counts[event.token().0] += 1;
        }
    }
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*least > 0 && *most <= 2 * least + 2, "{counts:?}");
}

fn the_errors_of_its_contract(backend: Backend) {
    let mut t = Tester::new(backend);
    let (a, b) = pair();
    let fd = a.as_raw_fd();
    assert_kind(t.registry().reregister(&mut SourceFd(&fd), A, READ), ErrorKind::NotFound);
    assert_kind(t.registry().deregister(&mut SourceFd(&fd)), ErrorKind::NotFound);
    t.register(&mut SourceFd(&fd), A, READ);
    assert_kind(t.registry().register(&mut SourceFd(&fd), B, WRITE), ErrorKind::AlreadyExists);
    // Another source of the same number.
    assert_kind(t.registry().register(&mut IoSource::new(fd), B, WRITE), ErrorKind::AlreadyExists);
    t.quiet();
    t.reregister(&mut SourceFd(&fd), B, READ);
    send(&b, b"x");
    t.expect(&[want(B, READ)]);
    t.deregister(&mut SourceFd(&fd));
    assert_kind(t.registry().deregister(&mut SourceFd(&fd)), ErrorKind::NotFound);
    assert_kind(t.registry().reregister(&mut SourceFd(&fd), A, READ), ErrorKind::NotFound);
    t.quiet();
}

/// Promise 5: a failed call changes nothing, and a ready source is still reported.
fn a_second_registration_repeats_no_event(backend: Backend) {
    let mut t = Tester::new(backend);
    let (a, b) = pair();
    let fd = a.as_raw_fd();
    t.register(&mut SourceFd(&fd), A, READ);
    send(&b, b"unread");
    t.expect(&[want(A, READ)]);
    for interest in [READ, WRITE, BOTH] {
        assert_kind(t.registry().register(&mut SourceFd(&fd), B, interest), ErrorKind::AlreadyExists);
        // A one-shot kernel's events of a raw descriptor are repeated while it is ready, whatever is registered.
        if matches!(backend, Backend::Epoll | Backend::Kqueue) {
            t.quiet();
        }
    }
    raw_drain(&a);
    t.quiet();
    send(&b, b"x");
    t.expect(&[want(A, READ)]);
}

fn bad_descriptors(backend: Backend) {
    let mut t = Tester::new(backend);
    // Far above the descriptors of any test, and an illegal number.
    for fd in [-1, i32::MIN, i32::MAX, 1 << 20] {
        let results = [
            t.registry().register(&mut SourceFd(&fd), A, READ),
            t.registry().reregister(&mut SourceFd(&fd), A, READ),
            t.registry().deregister(&mut SourceFd(&fd)),
            t.registry().register(&mut IoSource::new(fd), A, READ),
        ];
        for result in results {
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EBADF), "{fd}");
        }
    }
    t.quiet();
}

pub fn files_and_directories(backend: Backend) {
    if backend == Backend::Kqueue {
        return skip(backend, "regular_files");
    }
    let mut t = Tester::new(backend);
    let directory = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(directory.path().join("file")).unwrap();
    let directory = std::fs::File::open(directory.path()).unwrap();
    for file in [file, directory] {
        let fd = file.as_raw_fd();
        assert_kind(t.registry().register(&mut SourceFd(&fd), A, READ), ErrorKind::PermissionDenied);
        assert_kind(t.registry().reregister(&mut SourceFd(&fd), A, READ), ErrorKind::NotFound);
        assert_kind(t.registry().deregister(&mut SourceFd(&fd)), ErrorKind::NotFound);
        let mut source = IoSource::new(file);
        for _ in 0..2 {
            assert_kind(t.registry().register(&mut source, A, BOTH), ErrorKind::PermissionDenied);
            assert_kind(t.registry().deregister(&mut source), ErrorKind::NotFound);
        }
    }
    t.quiet();
}

/// The kernel decides, and to the kernel these are two polls.
fn one_number_with_two_polls(backend: Backend) {
    let (mut one, mut two) = (Tester::new(backend), Tester::new(backend));
    let (a, b) = pair();
    let fd = a.as_raw_fd();
    one.register(&mut SourceFd(&fd), A, READ);
    two.register(&mut SourceFd(&fd), B, READ);
    send(&b, b"x");
    one.expect(&[want(A, READ)]);
    two.expect(&[want(B, READ)]);
    one.deregister(&mut SourceFd(&fd));
    raw_drain(&a);
    two.quiet();
    send(&b, b"x");
    two.expect(&[want(B, READ)]);
    one.quiet();
}

fn closed_without_deregister(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    for round in 0..100 {
        let (a, b) = pair();
        let fd = a.into_raw_fd();
        t.register(&mut SourceFd(&fd), A, BOTH);
        if round % 2 == 0 {
            t.expect(&[want(A, WRITE)]);
        }
        close(fd);
        // The number gets a new owner, which is ready in both directions.
        let (mut c, d) = pair();
        send(&d, b"x");
        waker.wake().unwrap();
        t.expect(&[want(WAKE, READ)]);
        t.quiet();
        if round % 3 == 0 {
            assert_not_there(t.registry().deregister(&mut SourceFd(&fd)));
        }
        // Another test's thread may have taken the number.
        if c.as_raw_fd() == fd || round % 2 == 0 {
            t.register(&mut SourceFd(&c.as_raw_fd()), C, READ);
            t.expect(&[want(C, READ)]);
            t.deregister(&mut SourceFd(&c.as_raw_fd()));
        }
        c.write_all(b"x").unwrap();
        drop(b);
    }
}

fn a_closed_number_does_not_spin(backend: Backend) {
    let mut t = Tester::new(backend);
    let (a, _b) = pair();
    // A number that no other descriptor gets meanwhile. SAFETY: no memory is passed.
    let fd = unsafe { libc::fcntl(a.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 900) };
    assert!(fd >= 900);
    drop(a);
    t.register(&mut SourceFd(&fd), A, READ);
    t.quiet();
    close(fd);
    for _ in 0..20 {
        t.quiet();
        let start = Instant::now();
        assert!(t.poll_for(Duration::from_millis(2)).is_empty());
        assert!(start.elapsed() >= Duration::from_millis(2));
    }
    assert_not_there(t.registry().deregister(&mut SourceFd(&fd)));
}

/// The number is free, or has a new owner that isn't registered.
#[track_caller]
fn assert_not_there(result: std::io::Result<()>) {
    let e = result.unwrap_err();
    assert!(e.kind() == ErrorKind::NotFound || e.raw_os_error() == Some(libc::EBADF), "{e:?}");
}

/// A kernel that gets a list holds its files while the call sleeps. `deregister` ends that, so that the peer sees the
/// end as soon as the descriptor is closed.
fn deregistered_and_closed_under_a_sleeper(backend: Backend) {
    let mut t = Tester::new(backend);
    let registry = t.registry().try_clone().unwrap();
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    for round in 0..30 {
        let (a, mut b) = std_tcp_pair();
        b.set_read_timeout(Some(PATIENCE)).unwrap();
        let fd = a.as_raw_fd();
        t.register(&mut SourceFd(&fd), A, READ);
        let (registry, waker) = (&registry, &waker);
        while_asleep(&mut t, round, move || {
            registry.deregister(&mut SourceFd(&fd)).unwrap();
            drop(a);
            // The poller sleeps on: only then is it woken.
            assert_eq!(b.read(&mut [0]).expect("the end of the stream"), 0);
            waker.wake().unwrap();
        });
    }
}

fn a_duplicate_is_a_source_of_its_own(backend: Backend) {
    let mut t = Tester::new(backend);
    let (a, b) = pair();
    let duplicate = OwnedFd::from(a.try_clone().unwrap());
    t.register(&mut SourceFd(&a.as_raw_fd()), A, READ);
    t.register(&mut SourceFd(&duplicate.as_raw_fd()), B, READ);
    send(&b, b"x");
    t.expect(&[want(A, READ), want(B, READ)]);
    t.deregister(&mut SourceFd(&a.as_raw_fd()));
    raw_drain(&a);
    // Raw descriptors may repeat their readiness, so make sure that it has ended.
    t.quiet();
    send(&b, b"y");
    let events: Vec<Event> = t.expect(&[want(B, READ)]);
    assert!(!events.is_empty());
}

/// No operation of a one-shot source re-arms it. A `SourceFd` that makes it edge-triggered knows nothing of its
/// operations.
fn an_owned_source_registered_anew_in_another_mode(backend: Backend) {
    for before in [READ.one_shot(), READ.level(), READ] {
        let mut t = Tester::new(backend);
        let (mut a, b) = tcp_pair();
        t.register(&mut a, A, before);
        send(&b, b"x");
        t.expect(&[want(A, READ)]);
        t.reregister(&mut SourceFd(&a.as_raw_fd()), B, READ);
        for _ in 0..5 {
            t.expect(&[want(B, READ)]);
            assert_eq!(drain(&a).len(), 1);
            t.quiet();
            send(&b, b"x");
        }
        t.expect(&[want(B, READ)]);
        t.reregister(&mut a, C, READ);
        t.expect(&[want(C, READ)]);
    }
}
