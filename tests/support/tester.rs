//! Helpers of the tests with a `Poll`, and the differences between platforms.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use wakeful::event::{Event, Source};
use wakeful::net::{TcpListener, TcpStream, UdpSocket};
use wakeful::{Backend, Events, Interest, Poll, Registry, Token};

pub const READ: Interest = Interest::READABLE;
pub const WRITE: Interest = Interest::WRITABLE;
pub const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

pub const A: Token = Token(0xA);
pub const B: Token = Token(0xB);
pub const C: Token = Token(0xC);
pub const WAKE: Token = Token(0xFFFF);

/// How long to wait for an expected event: far longer than any machine under load needs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the system is WASI's second preview, whose libc lacks some features.
pub const IS_LIBC_OF_WASI: bool = cfg!(all(target_os = "wasi", target_env = "p2"));

/// Whether chaos is on (`WAKEFUL_CHAOS`). Events may then be spurious and late, and operations may pretend to block.
pub fn is_shaken() -> bool {
    std::env::var_os("WAKEFUL_CHAOS").is_some_and(|seed| !seed.is_empty())
}

/// The number of repetitions: Miri takes a thousand times as long for each, and a simulated world fifty times. The
/// second starts from what the first left.
pub fn rounds(usual: usize) -> usize {
    if cfg!(miri) || wakeful::sim::Task::current().is_some() {
        usual / 100 + 2
    } else {
        usual
    }
}

/// After this many times a `WouldBlock` is no pretence.
const PRETENCES: usize = 30;

/// A poll that checks its events against the registrations.
pub struct Tester {
    pub poll: Poll,
    pub events: Events,
    /// The token and the interest of each source, by its address.
    tokens: RefCell<BTreeMap<usize, (Token, Interest)>>,
    /// Tokens that must not come any more, even under chaos.
    gone: RefCell<BTreeSet<Token>>,
    /// The tokens that were reported as readable once without data.
    excused: RefCell<BTreeSet<Token>>,
}

/// An expected event, and the flags that it may have.
#[derive(Copy, Clone, Debug)]
pub struct Want {
    token: Token,
    needs: Interest,
    allows: Interest,
}

/// Expects events of `token` that together have the flags `needs` and no others.
pub fn want(token: Token, needs: Interest) -> Want {
    Want { token, needs, allows: needs }
}

impl Want {
    /// Allows these flags as well. The modes mean nothing here, and two of them would be a panic.
    pub fn or(self, also: Interest) -> Want {
        Want { allows: self.allows.level() | also.level(), ..self }
    }
}

impl Tester {
    pub fn new(backend: Backend) -> Tester {
        Tester::with_capacity(backend, 64)
    }

    pub fn with_capacity(backend: Backend, capacity: usize) -> Tester {
        let poll = Poll::with_backend(backend).expect("a poll");
        assert_eq!(poll.backend(), backend);
        let events = Events::with_capacity(capacity);
        Tester {
            poll,
            events,
            tokens: RefCell::default(),
            gone: RefCell::default(),
            excused: RefCell::default(),
        }
    }

    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    #[track_caller]
    pub fn register(&self, source: &mut (impl Source + ?Sized), token: Token, interest: Interest) {
        self.registry().register(source, token, interest).expect("register");
        self.keep(source, Some((token, interest)));
    }

    #[track_caller]
    pub fn reregister(&self, source: &mut (impl Source + ?Sized), token: Token, interest: Interest) {
        self.registry().reregister(source, token, interest).expect("reregister");
        self.keep(source, Some((token, interest)));
    }

    #[track_caller]
    pub fn deregister(&self, source: &mut (impl Source + ?Sized)) {
        self.registry().deregister(source).expect("deregister");
        self.keep(source, None);
    }

    fn keep(&self, source: &(impl Source + ?Sized), now: Option<(Token, Interest)>) {
        let (mut tokens, mut gone) = (self.tokens.borrow_mut(), self.gone.borrow_mut());
        let address = (source as *const _ as *const ()) as usize;
        let old = match now {
            Some(now) => tokens.insert(address, now),
            None => tokens.remove(&address),
        };
        let old = old.map(|(token, _)| token);
        gone.extend(old.filter(|old| !tokens.values().any(|(token, _)| token == old)));
        if let Some((token, _)) = now {
            gone.remove(&token);
        }
    }

    /// Returns the flags that an event of the token may have: under chaos, the whole interest.
    fn allowed(&self, want: Want) -> Want {
        let tokens = self.tokens.borrow();
        let same = tokens.values().filter(|(token, _)| is_shaken() && *token == want.token);
        same.fold(want, |want, (_, interest)| want.or(*interest))
    }

    /// Fails for an event that no chaos could excuse.
    #[track_caller]
    fn check_shaken(&self, event: &Event) {
        assert!(!self.gone.borrow().contains(&event.token()), "its registration is over: {event:?}");
    }

    /// WASI's libc may report a new connection as readable, late on a busy machine (`PLATFORMS.md`): allowed once for
    /// each.
    fn is_excused(&self, event: &Event) -> bool {
        IS_LIBC_OF_WASI
            && event.is_readable()
            && !event.is_read_closed()
            && self.excused.borrow_mut().insert(event.token())
    }

    /// Returns the events that are pending now.
    #[track_caller]
    pub fn poll_now(&mut self) -> Vec<Event> {
        self.poll_for(Duration::ZERO)
    }

    /// Returns the events within `timeout`. If that is [`PATIENCE`], an event must come and end the sleep: an event
    /// that is found only at the end of the timeout didn't wake the sleeper.
    #[track_caller]
    pub fn poll_for(&mut self, timeout: Duration) -> Vec<Event> {
        let start = Instant::now();
        uninterrupted(|| self.poll.poll(&mut self.events, Some(timeout)));
        assert!(self.events.len() <= self.events.capacity());
        if timeout == PATIENCE {
            assert!(start.elapsed() < timeout, "it slept on; then it found {:?}", self.events);
            assert!(!self.events.is_empty(), "the poll came back early and empty");
        }
        self.events.iter().cloned().collect()
    }

    /// Fills `events`.
    #[track_caller]
    pub fn poll_until(&mut self, deadline: Instant) {
        uninterrupted(|| self.poll.poll_until(&mut self.events, deadline));
    }

    /// Fails if an event is pending.
    #[track_caller]
    pub fn quiet(&mut self) {
        let events = self.poll_now();
        if is_shaken() {
            return events.iter().for_each(|event| self.check_shaken(event));
        }
        assert!(events.is_empty(), "nothing has changed, but: {events:?}");
    }

    /// Polls until every wanted event has come, and returns all events. Fails for a missing event, an unexpected
    /// token, or a flag that is not allowed.
    #[track_caller]
    pub fn expect(&mut self, wants: &[Want]) -> Vec<Event> {
        let wants: &[Want] = &wants.iter().map(|&want| self.allowed(want)).collect::<Vec<_>>();
        let deadline = Instant::now() + PATIENCE;
        let mut all: Vec<Event> = Vec::new();
        loop {
            let missing: Vec<_> = wants.iter().filter(|want| !is_met(want, &all)).collect();
            if missing.is_empty() {
                return all;
            }
            assert!(Instant::now() < deadline, "missing: {missing:?}; came: {all:?}");
            self.poll_until(deadline);
            assert!(
                Instant::now() < deadline,
                "missing: {missing:?}; found when time was over: {:?}",
                self.events
            );
            for event in &self.events {
                let is_wanted = wants.iter().any(|want| want.token == event.token());
                if is_shaken() && !is_wanted {
                    self.check_shaken(event);
                    continue;
                }
                if !is_wanted && self.is_excused(event) {
                    continue;
                }
                check(wants, event);
                all.push(event.clone());
            }
        }
    }
}

/// Signals end no sleep of a [`Tester`]. musl sends some to all threads internally. `epoll_wait` of Linux 6.18 fails
/// with `EINTR` for a child's end, without a handler, if it finds `SIGCHLD` blocked in another thread; `spawn` blocks
/// it.
#[track_caller]
fn uninterrupted(mut poll: impl FnMut() -> io::Result<()>) {
    while let Err(e) = poll() {
        assert!(cfg!(unix) && e.kind() == ErrorKind::Interrupted, "poll: {e}");
    }
}

fn is_met(want: &Want, all: &[Event]) -> bool {
    let mut of_token = all.iter().filter(|event| event.token() == want.token);
    let priority = of_token.clone().any(Event::is_priority);
    let readable = of_token.clone().any(Event::is_readable);
    let writable = of_token.any(Event::is_writable);
    (readable || !want.needs.is_readable())
        && (writable || !want.needs.is_writable())
        && (priority || !want.needs.is_priority())
}

#[track_caller]
fn check(wants: &[Want], event: &Event) {
    let Some(want) = wants.iter().find(|want| want.token == event.token()) else {
        panic!("an event with an unexpected token: {event:?}; wanted: {wants:?}");
    };
    assert_sane(event, want.allows);
}

/// Fails for an event without flags, or with flags beyond its registration.
#[track_caller]
pub fn assert_sane(event: &Event, allows: Interest) {
    assert!(event.is_readable() || event.is_writable(), "an event that says nothing: {event:?}");
    let readable = allows.is_readable() || allows.is_priority() || allows.is_end();
    let writable = allows.is_writable() || allows.is_end();
    assert!(readable || !event.is_readable(), "readable without the interest: {event:?}");
    assert!(writable || !event.is_writable(), "writable without the interest: {event:?}");
}

#[track_caller]
pub fn assert_kind<T: Debug>(result: io::Result<T>, kind: ErrorKind) {
    match result {
        Err(e) if e.kind() == kind => {}
        other => panic!("{kind:?} was expected, not {other:?}"),
    }
}

/// Returns an address with any free port of the loopback.
pub fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Two ends of a TCP connection, blocking.
#[cfg(not(all(target_os = "wasi", not(target_env = "p2"))))]
#[track_caller]
pub fn std_tcp_pair() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind(any_port()).expect("bind");
    let one = std::net::TcpStream::connect(listener.local_addr().unwrap()).expect("connect");
    let (other, peer) = listener.accept().expect("accept");
    assert_eq!(peer, one.local_addr().unwrap(), "another connection");
    one.set_nodelay(true).unwrap();
    other.set_nodelay(true).unwrap();
    (one, other)
}

/// Two ends of a TCP connection, blocking. The only sockets come from outside, so the ends are connections that the
/// test runner has made and forwards to each other (`xtask/src/wasi/bridge.rs`).
#[cfg(all(target_os = "wasi", not(target_env = "p2")))]
#[track_caller]
pub fn std_tcp_pair() -> (std::net::TcpStream, std::net::TcpStream) {
    use std::mem::ManuallyDrop;
    use std::os::fd::FromRawFd;
    // SAFETY: the runtime has opened it; it is never closed.
    let listener = ManuallyDrop::new(unsafe { std::net::TcpListener::from_raw_fd(FIRST_GIVEN) });
    let accept = || patiently(|| listener.accept()).expect("a connection from outside").0;
    let (one, other) = (accept(), accept());
    // Signals to the bridge that both were accepted: the next pair may follow.
    (&one).write_all(&[0]).expect("write");
    (one, other)
}

/// The first descriptor that isn't a standard stream: the listener.
#[cfg(all(target_os = "wasi", not(target_env = "p2")))]
const FIRST_GIVEN: std::os::fd::RawFd = 3;

/// Two ends of a TCP connection.
#[track_caller]
pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let (one, other) = std_tcp_pair();
    one.set_nonblocking(true).unwrap();
    other.set_nonblocking(true).unwrap();
    (TcpStream::from_std(one), TcpStream::from_std(other))
}

/// A source and a blocking peer, whose reads give up after [`PATIENCE`].
#[track_caller]
pub fn tcp_pair_with_std() -> (TcpStream, std::net::TcpStream) {
    let (one, other) = std_tcp_pair();
    one.set_nonblocking(true).unwrap();
    // One preview of WASI lacks it.
    let limited = other.set_read_timeout(Some(PATIENCE));
    assert!(limited.is_ok() || cfg!(target_os = "wasi"), "{limited:?}");
    (TcpStream::from_std(one), other)
}

/// Waits until something has arrived, and leaves it there.
#[track_caller]
pub fn await_bytes(at: &TcpStream) {
    let deadline = Instant::now() + PATIENCE;
    while !has_bytes(at) {
        assert!(Instant::now() < deadline, "nothing has arrived");
        std::thread::yield_now();
    }
}

#[cfg(not(all(target_os = "wasi", target_env = "p2")))]
fn has_bytes(at: &TcpStream) -> bool {
    match at.peek(&mut [0]) {
        Ok(_) => true,
        Err(e) if e.kind() == ErrorKind::WouldBlock => false,
        Err(e) => panic!("{e}"),
    }
}

/// The libc there can't peek.
#[cfg(all(target_os = "wasi", target_env = "p2"))]
fn has_bytes(at: &TcpStream) -> bool {
    use std::os::fd::AsRawFd;
    let mut fd = libc::pollfd { fd: at.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd.
    unsafe { libc::poll(&mut fd, 1, 1) == 1 }
}

#[track_caller]
pub fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(any_port()).expect("bind");
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

#[track_caller]
pub fn udp() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(any_port()).expect("bind");
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// A port that refuses datagrams for as long as the socket is kept. It is connected to itself, and keeps the port: a
/// port that is merely free may be taken by the time that a datagram arrives.
#[track_caller]
pub fn refusing_udp() -> (Option<UdpSocket>, SocketAddr) {
    let (socket, addr) = udp();
    // The kernel of Windows may accept data that it then discards.
    if !cfg!(unix) {
        return (None, addr);
    }
    socket.connect(addr).expect("connect");
    (Some(socket), addr)
}

/// Writes all of `bytes`, which fit.
#[track_caller]
pub fn send(mut to: impl Write, bytes: &[u8]) {
    if cfg!(target_os = "wasi") {
        let sent = patiently(|| to.write(bytes)).expect("write");
        assert_eq!(sent, bytes.len(), "they don't fit");
    } else {
        let mut left = bytes;
        while !left.is_empty() {
            let sent = patiently(|| to.write(left)).expect("write");
            left = &left[sent..];
        }
    }
}

/// Waits for data that was sent within this machine. On other systems it arrives at once; WASI's runtimes learn of it
/// in the background.
pub fn settle() {
    if cfg!(target_os = "wasi") {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Retries an operation that may block only because the system is late: WASI's runtimes learn in the background that
/// a new socket is writable. Chaos doesn't pretend for long either.
pub fn patiently<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match operation() {
            Err(e) if e.kind() == ErrorKind::WouldBlock && (cfg!(target_os = "wasi") || is_shaken()) => {
                assert!(Instant::now() < deadline, "it would block for ever");
                std::thread::yield_now();
            }
            result => return result,
        }
    }
}

/// Retries an operation, which counts as blocked only if it blocks each time.
pub fn insistently<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut result = operation();
    for _ in 0..PRETENCES {
        match &result {
            Err(e) if e.kind() == ErrorKind::WouldBlock && is_shaken() => result = operation(),
            _ => break,
        }
    }
    result
}

/// Reads until the source would block.
#[track_caller]
pub fn drain(from: impl Read) -> Vec<u8> {
    let (bytes, end) = read_on(from);
    match end {
        Some(e) if e.kind() == ErrorKind::WouldBlock => bytes,
        other => panic!("WouldBlock was expected, not {other:?}"),
    }
}

/// Reads until the end (`None`) or an error.
pub fn read_on(mut from: impl Read) -> (Vec<u8>, Option<io::Error>) {
    let mut bytes = Vec::new();
    let mut buf = [0; 4096];
    loop {
        match insistently(|| from.read(&mut buf)) {
            Ok(0) => return (bytes, None),
            Ok(n) => bytes.extend_from_slice(&buf[..n]),
            Err(e) => return (bytes, Some(e)),
        }
    }
}

/// Writes until the source would block, and returns the number of bytes.
#[track_caller]
pub fn fill(mut to: impl Write) -> usize {
    let chunk = [7; 16 << 10];
    let mut sum = 0;
    loop {
        match insistently(|| to.write(&chunk)) {
            Ok(n) => sum += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return sum,
            Err(e) => panic!("WouldBlock was expected, not {e:?}"),
        }
    }
}

/// Reads `count` bytes from a source that may not have them yet.
#[track_caller]
pub fn read_exactly(mut from: impl Read, count: usize) -> Vec<u8> {
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = vec![0; count];
    let mut done = 0;
    while done < count {
        assert!(Instant::now() < deadline, "only {done} of {count} bytes came");
        match from.read(&mut bytes[done..]) {
            Ok(0) => panic!("the end after {done} of {count} bytes"),
            Ok(n) => done += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(e) => panic!("{e:?} after {done} of {count} bytes"),
        }
    }
    bytes
}

/// Waits for another thread. A failure there must not leave this one waiting for ever.
#[track_caller]
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + 2 * PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::yield_now();
    }
}

/// Returns the number of events of each token.
pub fn count_tokens<'a>(events: impl IntoIterator<Item = &'a Event>) -> BTreeMap<Token, usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(event.token()).or_insert(0) += 1;
    }
    counts
}

/// The system's figures for a thread and a process, where it has them.
#[cfg(unix)]
pub mod unix {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// Returns whether a thread that sleeps on `fd` would find it readable.
    pub fn is_readable(fd: BorrowedFd<'_>) -> bool {
        becomes_readable(fd, Duration::ZERO)
    }

    pub fn becomes_readable(fd: BorrowedFd<'_>, timeout: Duration) -> bool {
        let mut fd = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd.
        let found = unsafe { libc::poll(&mut fd, 1, timeout.as_millis() as libc::c_int) };
        assert_ne!(found, -1, "{}", io::Error::last_os_error());
        found == 1
    }

    pub fn read(fd: impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
        // SAFETY: `buf` is as long as stated.
        let n = unsafe { libc::read(fd.as_fd().as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    /// Reads by `read(2)`, unseen by the source, until it would block, and returns the number of bytes.
    pub fn raw_drain(fd: impl AsFd) -> usize {
        let mut buf = [0; 4096];
        let mut sum = 0;
        loop {
            match read(&fd, &mut buf) {
                Ok(0) => return sum,
                Ok(n) => sum += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return sum,
                Err(e) => panic!("{e}"),
            }
        }
    }

    pub fn close(fd: RawFd) {
        // SAFETY: the caller owns the number.
        assert_eq!(unsafe { libc::close(fd) }, 0);
    }

    pub fn is_close_on_exec(fd: RawFd) -> bool {
        // SAFETY: no memory is passed.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        assert_ne!(flags, -1, "{fd}: {}", io::Error::last_os_error());
        flags & libc::FD_CLOEXEC != 0
    }
}
