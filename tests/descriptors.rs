//! Promises 13 and 15 for descriptors: all are close-on-exec, none is leaked, and running out of them loses nothing.
//! Linux alone, which can list them.
//!
//! Descriptors are counted by process, so these tests run one at a time, in a separate program.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fastrand::Rng;
use wakeful::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use wakeful::unix::{pipe, SourceFd};
use wakeful::{Backend, IoSource, Poll, Token, Waker};

mod support;
use support::unix::is_close_on_exec;
use support::*;

fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_now() -> BTreeSet<RawFd> {
    let listed: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    // Without the one that did the listing.
    // SAFETY: no memory is passed.
    listed.into_iter().filter(|&fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } != -1).collect()
}

/// `work` leaves as many descriptors as it found.
#[track_caller]
fn leaks_nothing(work: impl FnOnce()) {
    let before = open_now();
    work();
    assert_eq!(open_now(), before);
}

/// The token of epoll's notifier needs one descriptor more (`src/backend/epoll/mod.rs`).
const EPOLLS_MARK: Token = Token(0x6e6f_7469_6679_2121u64 as usize);

fn for_each(mut check: impl FnMut(Backend)) {
    let _alone = alone();
    Backend::available().iter().for_each(|&backend| check(backend));
}

/// `--cfg mio_unsupported_force_waker_pipe` excludes the kernel's own notifier.
#[test]
fn a_waker_is_what_it_was_built_with() {
    for_each(|backend| {
        let before = open_now();
        let t = Tester::new(backend);
        let _waker = Waker::new(t.registry(), WAKE).unwrap();
        let new = open_now().difference(&before).copied().collect::<Vec<_>>();
        let stand_for = new.iter().map(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap());
        let stand_for: Vec<String> = stand_for.map(|link| link.to_string_lossy().into_owned()).collect();
        let pipes = stand_for.iter().filter(|link| link.starts_with("pipe:")).count();
        let eventfds = stand_for.iter().filter(|link| *link == "anon_inode:[eventfd]").count();
        let expected = if cfg!(mio_unsupported_force_waker_pipe) { (2, 0) } else { (0, 1) };
        assert_eq!((pipes, eventfds), expected, "{backend}: {stand_for:?}");
    });
}

/// One of everything that has a descriptor, registered.
fn everything(backend: Backend) -> Box<dyn std::any::Any> {
    let directory = tempfile::tempdir().unwrap();
    let t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let _ = t.poll.as_fd();
    let registry = t.registry().try_clone().unwrap();
    let (mut listener, addr) = listener();
    t.register(&mut listener, EPOLLS_MARK, READ);
    let mut client = TcpStream::connect(addr).unwrap();
    t.register(&mut client, A, BOTH);
    let server = loop {
        match listener.accept() {
            Ok((server, _)) => break server,
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
    };
    let (mut udp, _) = udp();
    t.register(&mut udp, A, BOTH);
    let mut unix_listener = UnixListener::bind(directory.path().join("stream")).unwrap();
    t.register(&mut unix_listener, A, READ);
    let unix_client = UnixStream::connect(directory.path().join("stream")).unwrap();
    let unix_server = unix_listener.accept().unwrap().0;
    let streams = UnixStream::pair().unwrap();
    let datagrams = UnixDatagram::pair().unwrap();
    let bound = UnixDatagram::bind(directory.path().join("datagram")).unwrap();
    let unbound = UnixDatagram::unbound().unwrap();
    let (mut sender, mut receiver) = pipe::new().unwrap();
    t.register(&mut sender, A, WRITE);
    t.register(&mut receiver, A, READ);
    Box::new((
        (t, waker, registry, listener, client, server, udp),
        (unix_listener, unix_client, unix_server, streams, datagrams, bound, unbound, sender, receiver),
        directory,
    ))
}

#[test]
fn all_are_close_on_exec() {
    for_each(|backend| {
        let before = open_now();
        let everything = everything(backend);
        let made: Vec<_> = open_now().difference(&before).copied().collect();
        assert!(made.len() >= 16, "{made:?}");
        for fd in made {
            let name = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
            assert!(is_close_on_exec(fd), "{backend}: {fd} is {name:?}");
        }
        drop(everything);
        assert_eq!(open_now(), before);
    });
}

#[test]
fn all_are_non_blocking() {
    for_each(|backend| {
        let before = open_now();
        let everything = everything(backend);
        for fd in open_now().difference(&before) {
            let name = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
            // SAFETY: no memory is passed.
            let flags = unsafe { libc::fcntl(*fd, libc::F_GETFL) };
            // An epoll has no such mode.
            let is_epoll = name.to_str().unwrap().contains("eventpoll");
            assert!(is_epoll || flags & libc::O_NONBLOCK != 0, "{backend}: {fd} is {name:?}");
        }
        drop(everything);
    });
}

#[test]
fn errors_leak_nothing() {
    for_each(|backend| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nothing/here");
        let taken = directory.path().join("taken");
        let _taken = UnixListener::bind(&taken).unwrap();
        let (_listener, addr) = listener();
        leaks_nothing(|| {
            for _ in 0..10 {
                assert!(UnixStream::connect(&path).is_err());
                assert!(UnixListener::bind(&path).is_err());
                assert!(UnixListener::bind(&taken).is_err());
                assert!(UnixDatagram::bind(&taken).is_err());
                assert!(TcpListener::bind(addr).is_err());
                assert!(UdpSocket::bind("203.0.113.1:0".parse().unwrap()).is_err());
                assert!(UnixStream::connect("x".repeat(300)).is_err());
                let _ = TcpStream::connect("255.255.255.255:1".parse().unwrap());

                let t = Tester::new(backend);
                let file = std::fs::File::open("/proc/self/exe").unwrap();
                let mut file = IoSource::new(file);
                assert!(t.registry().register(&mut file, A, READ).is_err());
                let (mut a, _b) = UnixStream::pair().unwrap();
                t.register(&mut a, A, READ);
                assert!(t.registry().register(&mut a, B, READ).is_err());
                let other = Poll::with_backend(backend).unwrap();
                assert!(other.registry().register(&mut a, B, READ).is_err());
            }
        });
    });
}

/// Sets the process's limit of descriptors until it is dropped.
struct Limit(libc::rlimit);

impl Limit {
    fn set(count: usize) -> Limit {
        let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the kernel writes one rlimit, and reads one.
        unsafe {
            assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut old), 0);
            let new = libc::rlimit { rlim_cur: count as libc::rlim_t, ..old };
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &new), 0);
        }
        Limit(old)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // SAFETY: the kernel reads one rlimit.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &self.0) };
    }
}

/// Fills the free numbers below the highest one, so that a limit leaves exactly its number.
fn fill_gaps() -> (Vec<OwnedFd>, usize) {
    let null = std::fs::File::open("/dev/null").unwrap();
    let mut fillers: Vec<OwnedFd> = vec![null.into()];
    loop {
        let highest = *open_now().last().unwrap();
        let next = fillers[0].try_clone().unwrap();
        let is_above = next.as_raw_fd() > highest;
        fillers.push(next);
        if is_above {
            let highest = *open_now().last().unwrap() as usize;
            return (fillers, highest + 1);
        }
    }
}

#[track_caller]
fn assert_used_up<T>(result: std::io::Result<T>) -> bool {
    match result {
        Ok(_) => true,
        Err(e) => {
            assert_eq!(e.raw_os_error(), Some(libc::EMFILE));
            false
        }
    }
}

#[test]
fn used_up_descriptors_are_an_error() {
    for_each(|backend| {
        let (_fillers, limit) = fill_gaps();
        leaks_nothing(|| {
            let mut made = Vec::new();
            for spare in 0..8 {
                let before = open_now();
                let few = Limit::set(limit + spare);
                let poll = Poll::with_backend(backend);
                let mut count = 0;
                if let Ok(poll) = &poll {
                    count += 1;
                    let waker = Waker::new(poll.registry(), WAKE);
                    count += usize::from(waker.is_ok());
                    if let Ok(waker) = waker {
                        waker.wake().unwrap();
                    }
                }
                assert_used_up(poll);
                for _ in 0..3 {
                    assert_used_up(TcpListener::bind(any_port()));
                    assert_used_up(UdpSocket::bind(any_port()));
                    assert_used_up(UnixStream::pair());
                    assert_used_up(UnixDatagram::unbound());
                    assert_used_up(pipe::new());
                }
                made.push(count);
                drop(few);
                assert_eq!(open_now(), before, "{spare} to spare");
            }
            assert_eq!((made[0], made[7]), (0, 2), "none without, all with: {made:?}");
        });
    });
}

/// A poll's descriptors are closed when it and its registries were dropped, though its sources live on. A living
/// waker keeps them open.
#[test]
fn a_source_keeps_nothing_of_a_dropped_poll() {
    for_each(|backend| {
        for is_shaken in [false, true] {
            let new_poll = || match is_shaken {
                true => Poll::with_chaos(backend, 1).unwrap(),
                false => Poll::with_backend(backend).unwrap(),
            };
            let (mut a, _b) = UnixStream::pair().unwrap();
            let mut c = IoSource::new(std_tcp_pair().0);
            leaks_nothing(|| {
                for _ in 0..3 {
                    let poll = new_poll();
                    poll.registry().register(&mut a, A, BOTH).unwrap();
                    poll.registry().register(&mut c, A, BOTH).unwrap();
                    drain(&a);
                }
            });
            leaks_nothing(|| {
                let poll = new_poll();
                let waker = Waker::new(poll.registry(), WAKE).unwrap();
                let registry = poll.registry().try_clone().unwrap();
                registry.register(&mut a, A, BOTH).unwrap();
                drop(poll);
                drop(registry);
                waker.wake().unwrap();
            });
            drain(&a);
        }
    });
}

/// A registration that gets no descriptor changes nothing; wakes still work.
#[test]
fn a_registration_that_gets_no_descriptor_changes_nothing() {
    for_each(|backend| {
        leaks_nothing(|| {
            let mut t = Tester::new(backend);
            let waker = Waker::new(t.registry(), WAKE).unwrap();
            let (mut a, b) = UnixStream::pair().unwrap();
            let (_fillers, limit) = fill_gaps();
            {
                let _limit = Limit::set(limit);
                for _ in 0..3 {
                    // Only epoll needs one, for this one token.
                    if assert_used_up(t.registry().register(&mut a, EPOLLS_MARK, READ)) {
                        t.deregister(&mut a);
                    }
                    waker.wake().unwrap();
                    t.expect(&[want(WAKE, READ)]);
                }
            }
            t.register(&mut a, EPOLLS_MARK, READ);
            send(&b, b"x");
            waker.wake().unwrap();
            t.expect(&[want(EPOLLS_MARK, READ), want(WAKE, READ)]);
        });
    });
}

/// A connection that can't be accepted for want of a descriptor stays queued until there is one.
#[test]
fn accepting_without_a_descriptor() {
    for_each(|backend| {
        leaks_nothing(|| {
            let mut t = Tester::new(backend);
            let (mut listener, addr) = listener();
            t.register(&mut listener, A, READ);
            let client = std::net::TcpStream::connect(addr).unwrap();
            t.expect(&[want(A, READ)]);
            let (fillers, limit) = fill_gaps();
            {
                let _limit = Limit::set(limit);
                assert!(!assert_used_up(listener.accept()));
                assert!(!assert_used_up(listener.accept()));
            }
            drop(fillers);
            listener.accept().expect("it waits still");
            assert_kind(listener.accept(), ErrorKind::WouldBlock);
            drop(client);
            let _client = std::net::TcpStream::connect(addr).unwrap();
            t.expect(&[want(A, READ)]);
        });
    });
}

/// A child that drops its copies of everything takes nothing from its parent (polling#37).
#[test]
fn a_forked_child_takes_nothing() {
    for_each(|backend| {
        leaks_nothing(|| {
            let mut t = Tester::new(backend);
            let waker = Waker::new(t.registry(), WAKE).unwrap();
            let (mut a, b) = UnixStream::pair().unwrap();
            t.register(&mut a, A, READ);
            // SAFETY: the child only drops, and leaves without unwinding.
            let child = unsafe { libc::fork() };
            assert_ne!(child, -1);
            if child == 0 {
                drop(a);
                drop(waker);
                drop(t);
                // SAFETY: ends the child.
                unsafe { libc::_exit(0) };
            }
            let mut status = 0;
            // SAFETY: the kernel writes one int.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0);
            send(&b, b"x");
            waker.wake().unwrap();
            t.expect(&[want(A, READ), want(WAKE, READ)]);
            drain(&a);
            t.quiet();
        });
    });
}

/// A source of the random test below.
enum Kind {
    Stream(UnixStream),
    Wrapped(IoSource<std::os::unix::net::UnixStream>),
    Raw(OwnedFd),
}

struct Entry {
    kind: Kind,
    peer: std::os::unix::net::UnixStream,
    token: Token,
    is_registered: bool,
}

impl Kind {
    fn random(random: &mut Rng, stream: std::os::unix::net::UnixStream) -> Kind {
        match random.usize(..3) {
            0 => Kind::Stream(UnixStream::from_std(stream)),
            1 => Kind::Wrapped(IoSource::new(stream)),
            _ => Kind::Raw(stream.into()),
        }
    }

    fn fd(&self) -> RawFd {
        match self {
            Kind::Stream(stream) => stream.as_raw_fd(),
            Kind::Wrapped(stream) => stream.as_raw_fd(),
            Kind::Raw(fd) => fd.as_raw_fd(),
        }
    }

    fn register(&mut self, t: &Tester, token: Token) {
        match self {
            Kind::Stream(stream) => t.register(stream, token, READ),
            Kind::Wrapped(stream) => t.register(stream, token, READ),
            Kind::Raw(fd) => t.register(&mut SourceFd(&fd.as_raw_fd()), token, READ),
        }
    }

    fn reregister(&mut self, t: &Tester, token: Token) {
        match self {
            Kind::Stream(stream) => t.reregister(stream, token, READ),
            Kind::Wrapped(stream) => t.reregister(stream, token, READ),
            Kind::Raw(fd) => t.reregister(&mut SourceFd(&fd.as_raw_fd()), token, READ),
        }
    }

    fn deregister(&mut self, t: &Tester) {
        match self {
            Kind::Stream(stream) => t.deregister(stream),
            Kind::Wrapped(stream) => t.deregister(stream),
            Kind::Raw(fd) => t.deregister(&mut SourceFd(&fd.as_raw_fd())),
        }
    }

    fn drain(&self) -> usize {
        match self {
            Kind::Stream(stream) => drain(stream).len(),
            Kind::Raw(fd) => support::unix::raw_drain(fd),
            Kind::Wrapped(stream) => {
                let (mut sum, mut buf) = (0, [0; 64]);
                while let Ok(n) = stream.try_io_with(READ, |mut stream| stream.read(&mut buf)) {
                    sum += n;
                }
                sum
            }
        }
    }
}

/// Opens, registers, uses, duplicates and closes in random order, with and without `deregister`. Nothing is lost,
/// nothing leaks, and no closed source is reported.
#[test]
fn any_order_loses_and_leaks_nothing() {
    let mut random = seeded();
    for_each(|backend| {
        leaks_nothing(|| random_order(backend, &mut random, 4000));
    });
}

fn random_order(backend: Backend, random: &mut Rng, steps: usize) {
    let mut t = Tester::with_capacity(backend, 1 + random.usize(..8));
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let mut entries: Vec<Entry> = Vec::new();
    // Duplicates of sources that were deregistered before their close, so that they keep no registration alive.
    let mut duplicates: Vec<OwnedFd> = Vec::new();
    let mut next_token = 0;
    let mut token = || {
        next_token += 1;
        Token(next_token)
    };
    for _ in 0..steps {
        match random.usize(..12) {
            0 | 1 if entries.len() < 20 => {
                let (stream, peer) = std::os::unix::net::UnixStream::pair().unwrap();
                stream.set_nonblocking(true).unwrap();
                peer.set_nonblocking(true).unwrap();
                let kind = Kind::random(random, stream);
                let mut entry = Entry { kind, peer, token: token(), is_registered: true };
                entry.kind.register(&t, entry.token);
                entries.push(entry);
            }
            _ if entries.is_empty() => {}
            2 => {
                // Without `deregister`, and perhaps with an event queued.
                let entry = entries.swap_remove(random.usize(..entries.len()));
                if random.usize(..2) == 0 {
                    send(&entry.peer, b"gone");
                }
                drop(entry);
            }
            3 => {
                let mut entry = entries.swap_remove(random.usize(..entries.len()));
                if entry.is_registered {
                    entry.kind.deregister(&t);
                }
                if random.usize(..2) == 0 {
                    // SAFETY: the number is open.
                    let duplicate = unsafe { libc::fcntl(entry.kind.fd(), libc::F_DUPFD_CLOEXEC, 0) };
                    assert_ne!(duplicate, -1);
                    // SAFETY: just created, and not owned elsewhere.
                    duplicates.push(unsafe { OwnedFd::from_raw_fd(duplicate) });
                    send(&entry.peer, b"to the duplicate");
                }
            }
            4 => {
                // The number is reused by another kind of source.
                let index = random.usize(..entries.len());
                let Entry { mut kind, peer, token: _, is_registered } = entries.swap_remove(index);
                if is_registered {
                    kind.deregister(&t);
                }
                let fd = match kind {
                    Kind::Stream(stream) => OwnedFd::from(stream),
                    Kind::Wrapped(stream) => stream.into_inner().into(),
                    // SAFETY: taken from its owner in the same breath.
                    Kind::Raw(fd) => unsafe { OwnedFd::from_raw_fd(fd.into_raw_fd()) },
                };
                let mut entry = Entry {
                    kind: Kind::random(random, fd.into()),
                    peer,
                    token: token(),
                    is_registered: true,
                };
                entry.kind.register(&t, entry.token);
                entries.push(entry);
            }
            5 | 6 => {
                let index = random.usize(..entries.len());
                let entry = &mut entries[index];
                entry.token = token();
                if entry.is_registered {
                    entry.kind.reregister(&t, entry.token);
                } else {
                    entry.kind.register(&t, entry.token);
                    entry.is_registered = true;
                }
            }
            7 => {
                let index = random.usize(..entries.len());
                let entry = &mut entries[index];
                if entry.is_registered {
                    entry.kind.deregister(&t);
                    entry.is_registered = false;
                }
            }
            8 => {
                drop(duplicates.pop());
                waker.wake().unwrap();
                until(&mut t, WAKE, &entries);
            }
            9 => {
                for event in t.poll_now() {
                    assert_known(&event, &entries);
                }
            }
            _ => {
                let index = random.usize(..entries.len());
                entries[index].kind.drain();
                send(&entries[index].peer, b"x");
                if entries[index].is_registered {
                    until(&mut t, entries[index].token, &entries);
                }
                assert_eq!(entries[index].kind.drain(), 1);
            }
        }
    }
}

/// Polls until `token` comes; no stale token may.
fn until(t: &mut Tester, token: Token, entries: &[Entry]) {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        assert!(std::time::Instant::now() < deadline, "{token:?} is lost");
        let events = t.poll_for(std::time::Duration::from_millis(100));
        for event in &events {
            assert_known(event, entries);
        }
        if events.iter().any(|event| event.token() == token) {
            return;
        }
    }
}

fn assert_known(event: &wakeful::event::Event, entries: &[Entry]) {
    assert_sane(event, READ);
    let is_known = entries.iter().any(|entry| entry.is_registered && entry.token == event.token());
    assert!(is_known || event.token() == WAKE, "{event:?} of a source that has gone");
}
