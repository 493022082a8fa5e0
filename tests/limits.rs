//! Unix: running out of descriptors or memory. Each test limits its own process.
#![cfg(all(target_os = "linux", feature = "net", feature = "os-ext"))]

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::process::Command;
use std::time::Duration;

use wakeful::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixStream};
use wakeful::sim::{Faults, Sim};
use wakeful::unix::{pipe, SourceFd};
use wakeful::{Backend, Events, Interest, Poll, Token, Waker};

mod support;
use support::{any_port, PATIENCE};

const SCENARIO: &str = "WAKEFUL_TEST_SCENARIO";

/// Descriptors: more than any test uses.
const ENOUGH: usize = 1024;

type Scenario = fn(Backend);

const SCENARIOS: &[(&str, Scenario)] = &[
    ("no_descriptors", no_descriptors),
    ("a_queue_that_cannot_be_accepted", a_queue_that_cannot_be_accepted),
    ("no_more_memory", no_more_memory),
    ("ready_ones_that_come_and_go", ready_ones_that_come_and_go),
    ("many_once_and_one_now", many_once_and_one_now),
    ("more_than_the_limit", more_than_the_limit),
    ("all_closed_behind_it", all_closed_behind_it),
    ("a_simulated_poll", a_simulated_poll),
    ("a_name_of_no_backend", a_name_of_no_backend),
];

/// The program that the tests run; not a test itself.
#[test]
fn scenario() {
    let Ok(wanted) = std::env::var(SCENARIO) else { return };
    let (name, backend) = wanted.split_once(' ').expect("a name and a backend");
    let (_, run) = SCENARIOS.iter().find(|(known, _)| *known == name).expect("a scenario");
    fill_gaps();
    run(backend.parse().expect("a backend"));
    // A leak checker opens descriptors at the end of the process.
    limit(libc::RLIMIT_NOFILE, ENOUGH);
}

#[track_caller]
fn on_each_backend(scenario: &str) {
    for backend in Backend::available() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "scenario", "--nocapture", "--test-threads=1"])
            .env(SCENARIO, format!("{scenario} {backend}"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{scenario} on {backend}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn without_descriptors_all_that_needs_one_says_so_and_all_else_works() {
    on_each_backend("no_descriptors");
}

#[test]
fn a_connection_waits_until_there_is_a_descriptor_for_it() {
    on_each_backend("a_queue_that_cannot_be_accepted");
}

/// A failed allocation in Rust ends the process. So established registrations must not allocate, nor new ones that
/// replace them.
#[test]
fn what_is_set_up_goes_on_without_memory() {
    on_each_backend("no_more_memory");
}

/// poll(2) refuses a list longer than the limit of descriptors, whatever its entries are.
#[test]
fn what_has_gone_does_not_count_against_the_limit() {
    on_each_backend("ready_ones_that_come_and_go");
    on_each_backend("many_once_and_one_now");
}

#[test]
fn more_registrations_than_the_limit_are_an_error_that_names_it() {
    on_each_backend("more_than_the_limit");
}

/// A `Poll` whose own descriptor has gone can neither be woken nor report anything.
#[test]
fn a_poll_whose_descriptors_were_closed_says_so() {
    on_each_backend("all_closed_behind_it");
}

/// `as_fd` can't fail.
#[test]
fn without_descriptors_a_simulated_poll_lends_one_that_tells_nothing() {
    on_each_backend("a_simulated_poll");
}

#[test]
fn a_backend_that_is_not_there_is_refused_with_the_names_of_those_that_are() {
    on_each_backend("a_name_of_no_backend");
}

fn a_simulated_poll(_: Backend) {
    let mut poll = Sim::with_faults(1, Faults::NONE).new_poll();
    let waker = Waker::new(poll.registry(), Token(0)).unwrap();
    limit(libc::RLIMIT_NOFILE, open_descriptors());
    for _ in 0..3 {
        assert!(is_open(poll.as_fd().as_raw_fd()) && is_open(poll.registry().as_raw_fd()));
        waker.wake().unwrap();
        assert_eq!(tokens(&mut poll, &mut Events::with_capacity(8)), [Token(0)]);
    }
    // As soon as a descriptor is free, it has its own.
    let before = open_descriptors();
    limit(libc::RLIMIT_NOFILE, before + 1);
    let _ = poll.as_fd();
    assert_eq!(open_descriptors(), before + 1);
    assert!(!support::unix::is_readable(poll.as_fd()));
    waker.wake().unwrap();
    assert!(support::unix::is_readable(poll.as_fd()));
    drop((poll, waker));
    assert_eq!(open_descriptors(), before);
}

fn a_name_of_no_backend(_: Backend) {
    let names = |backends: &[Backend]| backends.iter().map(|b| b.name()).collect::<Vec<_>>().join(", ");
    let available = names(Backend::available());
    let e = "poll".parse::<Backend>().unwrap_err().to_string();
    let all = e.strip_prefix("not the name of a backend; the names are: ").unwrap();
    let all: Vec<Backend> = all.split(", ").map(|name| name.parse().unwrap()).collect();
    assert!(Backend::available().iter().all(|backend| all.contains(backend)), "{e}");
    assert!(all.contains(&Backend::Iocp) && all.contains(&Backend::Sim), "{e}");
    for backend in all {
        if Backend::available().contains(&backend) {
            continue;
        }
        let e = Poll::with_backend(backend).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{backend}");
        let text = match backend {
            Backend::Sim => {
                "a simulated `Poll` is made by `Sim::new_poll`, with the feature `sim`".to_owned()
            }
            _ => format!("{backend} is not available here; available: {available}"),
        };
        assert_eq!(e.to_string(), text);
    }
    // This is the only running thread of the process.
    std::env::set_var("WAKEFUL_BACKEND", "poll");
    let e = Poll::new().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidInput);
    let text = format!("WAKEFUL_BACKEND=poll is not the name of a backend; available here: {available}");
    assert_eq!(e.to_string(), text);
}

fn no_descriptors(backend: Backend) {
    let mut poll = Poll::with_backend(backend).unwrap();
    let waker = Waker::new(poll.registry(), Token(0)).unwrap();
    let mut events = Events::with_capacity(8);
    let (mut one, mut other) = UnixStream::pair().unwrap();
    let at_first = open_descriptors();

    // The number of descriptors left: with one left, nothing that needs two can be made.
    for left in [0, 1] {
        let bare = Poll::with_backend(backend).unwrap();
        let before = open_descriptors();
        limit(libc::RLIMIT_NOFILE, before + left);
        let lacks = |what: &str, needs: usize, result: io::Result<()>| match result {
            Err(e) => assert_eq!((e.raw_os_error(), needs > left), (Some(libc::EMFILE), true), "{what}: {e}"),
            Ok(()) => assert!(needs <= left, "{what} has more descriptors than there are"),
        };
        lacks("Poll", 1, Poll::with_backend(backend).map(drop));
        lacks("TcpListener", 1, TcpListener::bind(any_port()).map(drop));
        lacks("UdpSocket", 1, UdpSocket::bind(any_port()).map(drop));
        lacks("UnixStream::pair", 2, UnixStream::pair().map(drop));
        lacks("pipe", 2, pipe::new().map(drop));
        let second = Waker::new(bare.registry(), Token(0)).map(drop);
        lacks("Waker", usize::from(backend == Backend::Epoll), second);

        for _ in 0..3 {
            waker.wake().unwrap();
            assert_eq!(tokens(&mut poll, &mut events), [Token(0)]);
            poll.registry().register(&mut one, Token(1), Interest::READABLE).unwrap();
            other.write_all(b"x").unwrap();
            assert_eq!(tokens(&mut poll, &mut events), [Token(1)]);
            assert_eq!(one.read(&mut [0; 8]).unwrap(), 1);
            poll.registry().deregister(&mut one).unwrap();
        }
        limit(libc::RLIMIT_NOFILE, before + 8);
        drop(bare);
        assert_eq!(open_descriptors(), at_first, "{left} were left");
    }
}

fn a_queue_that_cannot_be_accepted(backend: Backend) {
    let mut poll = Poll::with_backend(backend).unwrap();
    let mut events = Events::with_capacity(8);
    let mut listener = TcpListener::bind(any_port()).unwrap();
    poll.registry().register(&mut listener, Token(1), Interest::READABLE).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(tokens(&mut poll, &mut events), [Token(1)]);

    limit(libc::RLIMIT_NOFILE, open_descriptors());
    for _ in 0..3 {
        let e = listener.accept().unwrap_err();
        assert_eq!(e.raw_os_error(), Some(libc::EMFILE));
        // No event repeats it, or a program without descriptors would spin.
        poll.poll(&mut events, Some(Duration::from_millis(5))).unwrap();
        assert!(events.is_empty(), "{events:?}");
    }
    limit(libc::RLIMIT_NOFILE, open_descriptors() + 1);
    let (_server, peer) = listener.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
}

fn no_more_memory(backend: Backend) {
    let mut poll = Poll::with_backend(backend).unwrap();
    let mut events = Events::with_capacity(64);
    let waker = Waker::new(poll.registry(), Token(0)).unwrap();
    let mut pairs: Vec<_> = (0..64).map(|_| UnixStream::pair().unwrap()).collect();
    for (index, (one, _)) in pairs.iter_mut().enumerate() {
        poll.registry().register(one, Token(1 + index), Interest::READABLE).unwrap();
    }
    let round = |poll: &mut Poll, events: &mut Events, pairs: &mut Vec<(UnixStream, UnixStream)>| {
        for (index, (one, other)) in pairs.iter_mut().enumerate() {
            other.write_all(b"x").unwrap();
            waker.wake().unwrap();
            let mut came = [false; 2];
            while came != [true; 2] {
                poll.poll(events, Some(PATIENCE)).unwrap();
                assert!(!events.is_empty(), "lost");
                for event in &*events {
                    assert!(event.token().0 == 0 || event.token().0 == 1 + index);
                    came[usize::from(event.token().0 != 0)] = true;
                }
            }
            assert_eq!(one.read(&mut [0; 8]).unwrap(), 1);
            assert_eq!(one.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
            poll.registry().reregister(one, Token(1 + index), Interest::READABLE).unwrap();
        }
        // A new registration gets the room of a deregistered one.
        let (mut one, mut other) = pairs.pop().unwrap();
        let token = Token(1 + pairs.len());
        poll.registry().deregister(&mut one).unwrap();
        drop((one, other));
        (one, other) = UnixStream::pair().unwrap();
        other.write_all(b"x").unwrap();
        poll.registry().register(&mut one, token, Interest::READABLE).unwrap();
        poll.poll(events, Some(PATIENCE)).unwrap();
        assert!(events.iter().map(|event| event.token()).eq([token]));
        assert_eq!(one.read(&mut [0; 8]).unwrap(), 1);
        pairs.push((one, other));
    };
    round(&mut poll, &mut events, &mut pairs);
    // A limit below the present use, so no memory is added. The heap's spare memory is taken first.
    limit(libc::RLIMIT_AS, 1 << 20);
    let mut hoard = Vec::with_capacity(1 << 16);
    for size in (4..24).rev().map(|bits| 1 << bits) {
        loop {
            let mut piece: Vec<u8> = Vec::new();
            if hoard.len() == hoard.capacity() || piece.try_reserve_exact(size).is_err() {
                break;
            }
            hoard.push(piece);
        }
    }
    for _ in 0..20 {
        round(&mut poll, &mut events, &mut pairs);
    }
    limit(libc::RLIMIT_AS, libc::RLIM_INFINITY as usize);
    assert!(!hoard.is_empty());
}

/// Datagram sockets whose peer has sent something: ready, and never read.
fn ready_sockets(count: usize) -> Vec<(UnixDatagram, UnixDatagram)> {
    let pairs = (0..count).map(|_| UnixDatagram::pair().unwrap());
    pairs.inspect(|(_, peer)| assert_eq!(peer.send(b"x").unwrap(), 1)).collect()
}

fn ready_ones_that_come_and_go(backend: Backend) {
    const COUNT: usize = 40;
    let mut poll = Poll::with_backend(backend).unwrap();
    let mut events = Events::with_capacity(COUNT);
    let sockets: Vec<_> = ready_sockets(COUNT).into_iter().map(|(socket, _)| socket).collect();
    limit(libc::RLIMIT_NOFILE, 64);
    for round in 0..100 {
        for (index, socket) in sockets.iter().enumerate() {
            let token = Token(round * COUNT + index);
            poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE).unwrap();
        }
        // They are reported, and then checked again.
        let mut seen = BTreeSet::new();
        while seen.len() < COUNT {
            poll.poll(&mut events, Some(PATIENCE)).unwrap_or_else(|e| panic!("round {round}: {e}"));
            assert!(!events.is_empty(), "round {round}: lost");
            seen.extend(events.iter().map(|event| event.token()));
        }
        assert!(seen.iter().map(|token| token.0).eq(round * COUNT..(round + 1) * COUNT));
        for _ in 0..round % 5 {
            let timeout = Some(Duration::from_millis(1));
            poll.poll(&mut events, timeout).unwrap_or_else(|e| panic!("round {round}: {e}"));
        }
        for socket in &sockets {
            poll.registry().deregister(&mut SourceFd(&socket.as_raw_fd())).unwrap();
        }
    }
}

fn many_once_and_one_now(backend: Backend) {
    const COUNT: usize = 301;
    // At any position among the existing ones.
    for survivor in [0, 1, COUNT / 2, COUNT - 1] {
        limit(libc::RLIMIT_NOFILE, ENOUGH);
        let mut poll = Poll::with_backend(backend).unwrap();
        let mut events = Events::with_capacity(8);
        let mut pairs: Vec<_> = (0..COUNT).map(|_| UnixStream::pair().unwrap()).collect();
        for (one, _) in &mut pairs {
            poll.registry().register(one, Token(1), Interest::READABLE).unwrap();
        }
        let (mut one, mut other) = pairs.swap_remove(survivor);
        for (one, _) in &mut pairs {
            poll.registry().deregister(one).unwrap();
        }
        drop(pairs);
        limit(libc::RLIMIT_NOFILE, 128);
        for _ in 0..3 {
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            assert!(events.is_empty());
            other.write_all(b"x").unwrap();
            assert_eq!(tokens(&mut poll, &mut events), [Token(1)]);
            assert_eq!(one.read(&mut [0; 8]).unwrap(), 1);
            assert_eq!(one.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        }
    }
}

fn more_than_the_limit(backend: Backend) {
    let mut poll = Poll::with_backend(backend).unwrap();
    let mut events = Events::with_capacity(64);
    let waker = Waker::new(poll.registry(), Token(0)).unwrap();
    // Ready raw descriptors too, which are checked separately from the list.
    let raw = ready_sockets(30);
    for (index, (socket, _)) in raw.iter().enumerate() {
        let fd = socket.as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), Token(1 + index), Interest::READABLE).unwrap();
    }
    let mut seen = BTreeSet::new();
    while seen.len() < raw.len() {
        seen.extend(tokens(&mut poll, &mut events));
    }
    for few in [0, 1, 20] {
        limit(libc::RLIMIT_NOFILE, few);
        for timeout in [Some(Duration::ZERO), Some(Duration::from_millis(5)), None] {
            if backend != Backend::PosixPoll {
                poll.poll(&mut events, timeout.or(Some(Duration::ZERO))).unwrap();
                continue;
            }
            let e = poll.poll(&mut events, timeout).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidInput, "{e}");
            assert!(e.to_string().contains("RLIMIT_NOFILE"), "{e}");
        }
    }
    // Nothing is lost.
    limit(libc::RLIMIT_NOFILE, ENOUGH);
    waker.wake().unwrap();
    assert!(tokens(&mut poll, &mut events).contains(&Token(0)));
    for (socket, _) in &raw {
        poll.registry().deregister(&mut SourceFd(&socket.as_raw_fd())).unwrap();
    }
    limit(libc::RLIMIT_NOFILE, 1);
    poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
}

fn all_closed_behind_it(backend: Backend) {
    // A poll that never returns must fail the test. SAFETY: no memory is passed.
    unsafe { libc::alarm(20) };
    for closes_all in [false, true] {
        let mut poll = Poll::with_backend(backend).unwrap();
        let mut events = Events::with_capacity(8);
        let (mut one, other) = UnixStream::pair().unwrap();
        poll.registry().register(&mut one, Token(1), Interest::READABLE).unwrap();
        let waker = Waker::new(poll.registry(), Token(0)).unwrap();
        for has_event in [true, false] {
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            assert!(events.is_empty());
            if has_event {
                waker.wake().unwrap();
                assert_eq!(tokens(&mut poll, &mut events), [Token(0)]);
            }
        }
        let (first, last) = match closes_all {
            true => (3, libc::c_uint::MAX),
            false => (poll.as_raw_fd() as libc::c_uint, poll.as_raw_fd() as libc::c_uint),
        };
        let open: Vec<RawFd> = (first as RawFd..ENOUGH as RawFd).filter(|&fd| is_open(fd)).collect();
        // SAFETY: no memory is passed. The owners close what takes the numbers below.
        assert_eq!(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }, 0);
        for timeout in [None, Some(Duration::ZERO), Some(Duration::from_millis(5)), None] {
            let e = poll.poll(&mut events, timeout).unwrap_err();
            assert_eq!(e.raw_os_error(), Some(libc::EBADF), "{timeout:?}: {e}");
        }
        for fd in open.into_iter().filter(|&fd| !is_open(fd)) {
            // SAFETY: no memory is passed, and no code owns the number.
            assert_eq!(unsafe { libc::dup2(0, fd) }, fd);
        }
        drop((poll, one, other, waker));
    }
}

#[track_caller]
fn tokens(poll: &mut Poll, events: &mut Events) -> Vec<Token> {
    poll.poll(events, Some(PATIENCE)).unwrap();
    events.iter().map(|event| event.token()).collect()
}

/// Sets the soft limit, and leaves the hard limit.
fn limit(what: libc::__rlimit_resource_t, limit: usize) {
    let mut both = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: there is room for what is asked.
    assert_eq!(unsafe { libc::getrlimit(what, &mut both) }, 0);
    both.rlim_cur = limit as libc::rlim_t;
    // SAFETY: it is only read.
    assert_eq!(unsafe { libc::setrlimit(what, &both) }, 0);
}

/// Fills the gaps between open descriptors: the parent process may have left descriptors open anywhere.
fn fill_gaps() {
    let last = (0..1024).rev().find(|&fd| is_open(fd)).unwrap_or(-1);
    while (0..last).any(|fd| !is_open(fd)) {
        std::mem::forget(std::fs::File::open("/dev/null").unwrap());
    }
}

fn is_open(fd: i32) -> bool {
    // SAFETY: no memory is passed; a number that isn't open is an error.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// The lowest numbers are given first, so this is the limit at which there is none.
fn open_descriptors() -> usize {
    let count = (0..1024).filter(|&fd| is_open(fd)).count();
    let last = (0..1024).rev().find(|&fd| is_open(fd)).unwrap_or(-1);
    assert_eq!(count as i32, last + 1, "a gap");
    count
}
