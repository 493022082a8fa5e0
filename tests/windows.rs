//! Windows alone: its hazards and its sources. Each hazard is a bug that other libraries have had, with its test:
//!
//! - a completion after `deregister` reports a stale token: `changes_under_way_deliver_no_stale_token`;
//!   `named_pipe::after_deregistration_nothing_is_reported`
//! - an operation that fails after it was pending is freed twice: `operations_that_fail_while_pending_come_back_once`
//! - a message longer than the buffer (`ERROR_MORE_DATA`): `named_pipe::messages_longer_than_any_buffer_lose_nothing`
//! - an operation ends before its starter has taken note of it: `changes_under_way_deliver_no_stale_token`,
//!   `named_pipe::soak`
//! - one socket that can't be polled fails the others, or the `Poll`: `a_socket_closed_behind_our_back_harms_no_other`
//! - a `Poll` dropped with polls under way leaks them: `a_poll_dropped_with_a_thousand_polls_under_way_leaks_nothing`;
//!   in `named_pipe` `a_poll_dropped_with_operations_under_way_leaks_nothing`,
//!   `a_pipe_that_outlives_its_poll_keeps_only_the_port`
//! - peek, accept and datagrams arm nothing: in `conformance` `edges::a_peek_that_blocks_arms`,
//!   `edges::a_listener_with_many_pending`, `udp::datagrams_come_as_they_are_read`
//! - two polls of one socket take away each other's answers: `two_polls_of_one_connection_both_hear`
//! - the memory of a poll that is cancelled is freed too soon: `changes_under_way_deliver_no_stale_token`
//! - a reset or an urgent byte without a meaning spins: `a_reset_does_not_spin`, `an_urgent_byte_does_not_spin`; in the
//!   library the unit tests of `src/backend/logic`
//! - sockets with a layered service provider: in the library `a_layer_is_seen_through`: none can be installed here
//! - handles are inherited: `no_handle_is_inheritable`
//! - a failed connection isn't reported: `a_refused_connection_is_reported`
#![cfg(all(windows, feature = "net", feature = "os-ext"))]

use std::collections::HashSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::windows::io::{AsRawHandle, AsRawSocket, FromRawSocket, IntoRawSocket, OwnedSocket, RawSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use wakeful::event::Event;
use wakeful::net::{TcpListener, TcpStream, UdpSocket};
use wakeful::windows::{NamedPipe, SourceSocket, UserSource};
use wakeful::{Events, Interest, Poll, Token, Waker};

use windows_sys::Win32::Foundation::{
    GetHandleInformation, ERROR_INVALID_HANDLE, HANDLE, HANDLE_FLAG_INHERIT,
};
use windows_sys::Win32::Networking::WinSock::WSAENOTSOCK;

mod support;

use support::handles::{handle_count, handles, turn};
use support::{localhost, until_ready};

const READ: Interest = Interest::READABLE;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
const A: Token = Token(usize::MAX);
const B: Token = Token(1);
const NOT_A_SOCKET: u32 = WSAENOTSOCK as u32;
const PATIENCE: Duration = Duration::from_secs(20);

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(localhost()).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = until_ready(|| listener.accept());
    until_ready(|| match client.peer_addr() {
        Err(e) if e.kind() == ErrorKind::NotConnected => Err(ErrorKind::WouldBlock.into()),
        result => result,
    });
    (client, server)
}

struct Tester {
    poll: Poll,
    events: Events,
}

impl Tester {
    fn new() -> Tester {
        Tester { poll: Poll::new().unwrap(), events: Events::with_capacity(64) }
    }

    fn poll_for(&mut self, timeout: Duration) -> Vec<Event> {
        self.poll.poll(&mut self.events, Some(timeout)).unwrap();
        self.events.iter().cloned().collect()
    }

    #[track_caller]
    fn expect(&mut self, token: Token) -> Event {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = self.poll_for(PATIENCE);
            if let Some(event) = events.into_iter().find(|event| event.token() == token) {
                return event;
            }
            assert!(Instant::now() < deadline, "no event of {token:?}");
        }
    }
}

/// Kernel polls in progress when their `Poll` is dropped.
#[test]
fn a_poll_dropped_with_a_thousand_polls_under_way_leaks_nothing() {
    let _turn = turn();
    let round = |count: usize, sources_first: bool| {
        let poll = Poll::new().unwrap();
        let mut sockets: Vec<_> = (0..count).map(|_| UdpSocket::bind(localhost()).unwrap()).collect();
        for (number, socket) in sockets.iter_mut().enumerate() {
            poll.registry().register(socket, Token(number), READ).unwrap();
        }
        if sources_first {
            drop(sockets);
            drop(poll);
        } else {
            drop(poll);
            drop(sockets);
        }
    };
    round(40, true);
    round(40, false);
    let before = handle_count();
    round(1000, true);
    round(1000, false);
    // Raw sockets keep nothing alive: the `Poll` is dropped with a thousand kernel polls in progress.
    let sockets: Vec<_> = (0..1000).map(|_| UdpSocket::bind(localhost()).unwrap()).collect();
    let poll = Poll::new().unwrap();
    for (number, socket) in sockets.iter().enumerate() {
        let raw = socket.as_raw_socket();
        poll.registry().register(&mut SourceSocket(&raw), Token(number), READ).unwrap();
    }
    drop(poll);
    drop(sockets);
    let deadline = Instant::now() + PATIENCE;
    while handle_count() > before && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(handle_count(), before);
}

/// The library doesn't see the operations of a raw socket: after an event it must be checked before the next sleep.
#[test]
fn a_raw_socket_that_was_read_and_has_more_is_reported() {
    let _turn = turn();
    let mut t = Tester::new();
    let (socket, peer) = tcp_pair();
    t.poll.registry().register(&mut SourceSocket(&socket.as_raw_socket()), A, READ).unwrap();
    let rescue = Waker::new(t.poll.registry(), B).unwrap();
    let (done, is_done) = mpsc::channel::<()>();
    let rescuer = thread::spawn(move || {
        let sleeps_on = is_done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
        rescue.wake().unwrap();
        sleeps_on
    });
    for _ in 0..50 {
        (&peer).write_all(b"x").unwrap();
        // Without a timeout: a poll with one checks again before it sleeps.
        t.poll.poll(&mut t.events, None).unwrap();
        while (&socket).read(&mut [0; 4]).is_ok() {}
    }
    drop(done);
    assert!(!rescuer.join().unwrap(), "it slept on");
}

/// A socket that can't be polled any more doesn't affect the others.
#[test]
fn a_socket_closed_behind_our_back_harms_no_other() {
    let _turn = turn();
    let mut t = Tester::new();
    let (mut good, peer) = tcp_pair();
    t.poll.registry().register(&mut good, B, READ).unwrap();
    for closes_after_event in [false, true] {
        let (bad, bad_peer) = tcp_pair();
        let raw: RawSocket = bad.into_raw_socket();
        t.poll.registry().register(&mut SourceSocket(&raw), A, BOTH).unwrap();
        if closes_after_event {
            t.expect(A);
        }
        // SAFETY: it was given away by `into_raw_socket`.
        drop(unsafe { OwnedSocket::from_raw_socket(raw) });
        drop(bad_peer);
        (&peer).write_all(b"x").unwrap();
        t.expect(B);
        assert_eq!((&good).read(&mut [0; 4]).unwrap(), 1);
        for _ in 0..10 {
            t.poll_for(Duration::from_millis(1));
        }
        assert!(t.poll_for(Duration::from_millis(20)).is_empty());
        let again = t.poll.registry().deregister(&mut SourceSocket(&raw));
        assert_eq!(again.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

/// The causes of a second check while the kernel's poll is pending: a change, or an operation that has blocked.
#[derive(Clone, Copy, Debug)]
enum Doubt {
    Reregistered,
    Blocked,
    BlockedInAnUnknownDirection,
}

/// The network refuses a datagram while a poll is pending, and the reported state is then checked again. The error is
/// reported all the same: the kernel may return it only once.
#[test]
fn an_error_is_reported_though_the_state_is_doubtful() {
    let _turn = turn();
    for doubt in [Doubt::Reregistered, Doubt::Blocked, Doubt::BlockedInAnUnknownDirection] {
        let mut t = Tester::new();
        let unused = UdpSocket::bind(localhost()).unwrap().local_addr().unwrap();
        let mut socket = UdpSocket::bind(localhost()).unwrap();
        socket.connect(unused).unwrap();
        t.poll.registry().register(&mut socket, A, READ).unwrap();
        assert!(t.poll_for(Duration::ZERO).is_empty());
        let blocked = || Err::<(), _>(io::Error::from(ErrorKind::WouldBlock));
        if matches!(doubt, Doubt::Blocked) {
            // Before the datagram, so it causes no second check of later reports.
            assert_eq!(socket.recv(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        socket.send(b"question").unwrap();
        thread::sleep(Duration::from_millis(20));
        match doubt {
            Doubt::Reregistered => t.poll.registry().reregister(&mut socket, A, READ).unwrap(),
            Doubt::Blocked => {}
            Doubt::BlockedInAnUnknownDirection => {
                assert_eq!(socket.try_io(blocked).unwrap_err().kind(), ErrorKind::WouldBlock);
            }
        }
        let event = t.expect(A);
        assert!(event.is_readable(), "{doubt:?}: {event:?}");
        // Windows reports it to the next receive; Wine as the socket's error.
        let error = match socket.recv(&mut [0; 4]) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => socket.take_error().unwrap().expect("an error"),
            result => result.unwrap_err(),
        };
        let kind = error.kind();
        assert!(
            matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset),
            "{doubt:?}: {error}"
        );
    }
}

/// The states in which a raw socket can be closed without deregistration.
#[derive(Clone, Copy, Debug)]
enum Before {
    /// Nothing was reported.
    Quiet,
    /// An event was reported.
    Told,
    /// And another thread sleeps in `poll`.
    ToldWhileSleeping,
    /// The end of its connection was reported.
    Reset,
}

/// A raw socket was closed without `deregister`, and another has its number: that one can be registered at once.
#[test]
fn a_new_socket_with_an_old_number_registers() {
    const ROUNDS: usize = 50;
    let _turn = turn();
    for before in [Before::Quiet, Before::Told, Before::ToldWhileSleeping, Before::Reset] {
        let mut t = Tester::new();
        let registry = t.poll.registry().try_clone().unwrap();
        let listener = TcpListener::bind(localhost()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut reused = 0;
        let mut seen = HashSet::new();
        for round in 0..ROUNDS {
            let socket = std::net::TcpStream::connect(address).unwrap();
            socket.set_nonblocking(true).unwrap();
            let (peer, _) = until_ready(|| listener.accept());
            let raw = socket.as_raw_socket();
            reused += usize::from(!seen.insert(raw));
            let token = Token(round);
            let registered = registry.register(&mut SourceSocket(&raw), token, READ);
            registered.unwrap_or_else(|e| panic!("{before:?}, round {round}: {e}"));
            // The socket is open: the second registration is refused, and doesn't affect the first.
            let again = registry.register(&mut SourceSocket(&raw), A, READ);
            assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists, "{before:?}, round {round}");
            match before {
                Before::Quiet => {}
                Before::Told | Before::ToldWhileSleeping => {
                    (&peer).write_all(b"x").unwrap();
                    let event = t.expect(token);
                    assert!(event.is_readable() && !event.is_error(), "{event:?}");
                }
                Before::Reset => {
                    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
                    drop(peer);
                    while !t.expect(token).is_error() {}
                }
            }
            if matches!(before, Before::ToldWhileSleeping) {
                thread::scope(|scope| {
                    let sleeper = scope.spawn(|| t.poll_for(Duration::from_millis(20)));
                    drop(socket);
                    let _ = sleeper;
                });
            } else {
                drop(socket);
            }
        }
        // Otherwise nothing was tested.
        assert!(reused > ROUNDS / 2, "{before:?}: only {reused} numbers came again");
    }
}

/// While another thread sleeps: either thread may take the packets of the old socket, and of others. For readable
/// alone: with both, the server of Wine 8 fails an assertion (`set_fd_events`), whatever is registered.
#[test]
fn a_new_socket_with_an_old_number_registers_beside_a_sleeper() {
    const ROUNDS: usize = 200;
    let _turn = turn();
    let mut t = Tester::new();
    let registry = t.poll.registry().try_clone().unwrap();
    let (mut bystander, peer_of_bystander) = tcp_pair();
    registry.register(&mut bystander, B, READ).unwrap();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let is_done = &is_done;
        let poller = scope.spawn(move || {
            let mut bytes = 0;
            let deadline = Instant::now() + PATIENCE;
            while bytes < ROUNDS && Instant::now() < deadline {
                for event in t.poll_for(PATIENCE) {
                    if event.token() == B {
                        while let Ok(n) = (&bystander).read(&mut [0; 16]) {
                            bytes += n;
                        }
                    }
                }
            }
            assert!(is_done.load(Ordering::Acquire) || bytes < ROUNDS);
            bytes
        });
        let (mut seen, mut reused) = (HashSet::new(), 0);
        for round in 0..ROUNDS {
            let socket = std::net::UdpSocket::bind(localhost()).unwrap();
            let raw = socket.as_raw_socket();
            reused += usize::from(!seen.insert(raw));
            is_done.store(round + 1 == ROUNDS, Ordering::Release);
            (&peer_of_bystander).write_all(b"x").unwrap();
            let registered = registry.register(&mut SourceSocket(&raw), Token(round + 2), READ);
            registered.unwrap_or_else(|e| panic!("round {round}: {e}"));
        }
        assert!(reused > ROUNDS / 2, "only {reused} numbers came again");
        assert_eq!(poller.join().unwrap(), ROUNDS, "no event is lost");
    });
}

/// Registrations that change while their kernel polls are in progress, in all threads.
#[test]
fn changes_under_way_deliver_no_stale_token() {
    let _turn = turn();
    let mut t = Tester::new();
    let stop = Arc::new(AtomicBool::new(false));
    let (mut source, peer) = tcp_pair();
    let registry = t.poll.registry().try_clone().unwrap();
    let changer = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            for round in 1..2000_usize {
                let token = Token(round * 2);
                registry.register(&mut source, token, READ).unwrap();
                (&peer).write_all(b"x").unwrap();
                if round % 3 == 0 {
                    registry.reregister(&mut source, Token(round * 2 + 1), BOTH).unwrap();
                }
                if round % 5 == 0 {
                    thread::yield_now();
                }
                registry.deregister(&mut source).unwrap();
                while (&source).read(&mut [0; 16]).is_ok() {}
            }
            stop.store(true, Ordering::Release);
            source
        })
    };
    let mut newest = 0;
    while !stop.load(Ordering::Acquire) {
        for event in t.poll_for(Duration::from_millis(1)) {
            assert!(event.token().0 / 2 >= newest / 2, "{event:?} after {newest}");
            newest = newest.max(event.token().0);
        }
    }
    changer.join().unwrap();
    assert!(t.poll_for(Duration::from_millis(20)).is_empty());
}

/// Two `Poll`s on one connection, each through its own handle.
#[test]
fn two_polls_of_one_connection_both_hear() {
    let _turn = turn();
    let (mut one, mut two) = (Tester::new(), Tester::new());
    let (mut a, peer) = tcp_pair();
    let twin = SockRef::from(&a).try_clone().unwrap();
    let mut twin = TcpStream::from(OwnedSocket::from(twin));
    one.poll.registry().register(&mut a, A, READ).unwrap();
    two.poll.registry().register(&mut twin, B, READ).unwrap();
    for _ in 0..20 {
        (&peer).write_all(b"x").unwrap();
        one.expect(A);
        two.expect(B);
        assert_eq!((&a).read(&mut [0; 1]).unwrap(), 1);
        assert_eq!((&twin).read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!((&a).read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

/// An urgent byte that is never read.
#[test]
fn an_urgent_byte_does_not_spin() {
    let _turn = turn();
    let mut t = Tester::new();
    let (mut a, peer) = tcp_pair();
    t.poll.registry().register(&mut a, A, READ).unwrap();
    SockRef::from(&peer).send_out_of_band(b"!").unwrap();
    let mut count = 0;
    let deadline = Instant::now() + Duration::from_millis(200);
    while Instant::now() < deadline {
        t.poll.poll_until(&mut t.events, deadline).unwrap();
        count += t.events.len();
        let _ = (&a).read(&mut [0; 4]);
    }
    assert!(count < 3, "{count} events");
    (&peer).write_all(b"x").unwrap();
    t.expect(A);
}

/// A reset that is never read.
#[test]
fn a_reset_does_not_spin() {
    let _turn = turn();
    for interest in [READ, Interest::WRITABLE, BOTH] {
        let mut t = Tester::new();
        let (mut a, peer) = tcp_pair();
        t.poll.registry().register(&mut a, A, interest).unwrap();
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        while !t.expect(A).is_error() {}
        let mut count = 0;
        let deadline = Instant::now() + Duration::from_millis(200);
        while Instant::now() < deadline {
            t.poll.poll_until(&mut t.events, deadline).unwrap();
            count += t.events.len();
        }
        // A hang-up is checked again at intervals, and reported again only if it has changed.
        assert!(count < 3, "{interest:?}: {count} events");
    }
}

/// An operation that fails after it was pending. Its memory comes back once, by the packet.
#[test]
fn operations_that_fail_while_pending_come_back_once() {
    let _turn = turn();
    let round = |t: &mut Tester| {
        let name = format!(r"\\.\pipe\wakeful-pending-{}", std::process::id());
        let mut server = NamedPipe::new(&name).unwrap();
        t.poll.registry().register(&mut server, A, BOTH).unwrap();
        let _ = server.connect();
        let client = std::fs::File::options().read(true).write(true).open(&name).unwrap();
        t.expect(A);
        server.connect().unwrap();
        // A write without room and a read without data: both are pending when the client closes.
        assert_eq!(server.write(&vec![0; 1 << 20]).unwrap(), 1 << 20);
        assert_eq!(server.read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(client);
        let deadline = Instant::now() + PATIENCE;
        let mut ended = (false, false);
        while ended != (true, true) {
            t.poll_for(PATIENCE);
            ended.0 |= matches!(server.read(&mut [0; 4]), Ok(0));
            ended.1 |= matches!(server.write(b"x"), Err(e) if e.kind() == ErrorKind::BrokenPipe);
            assert!(Instant::now() < deadline, "{ended:?}");
        }
    };
    let mut t = Tester::new();
    round(&mut t);
    t.poll_for(Duration::ZERO);
    let before = handle_count();
    for _ in 0..50 {
        round(&mut t);
    }
    t.poll_for(Duration::ZERO);
    assert_eq!(handle_count(), before);
}

#[test]
fn no_handle_is_inheritable() {
    let _turn = turn();
    // Every handle that a `Poll` opens for itself and its sources.
    let before = handles();
    let t = Tester::new();
    let mut sockets: Vec<_> = (0..40).map(|_| UdpSocket::bind(localhost()).unwrap()).collect();
    for socket in &mut sockets {
        t.poll.registry().register(socket, A, READ).unwrap();
    }
    let ours: Vec<usize> = handles().into_iter().filter(|handle| !before.contains(handle)).collect();
    assert!(ours.len() > sockets.len(), "{ours:?}");
    let is_inheritable = |handle: HANDLE| {
        let mut flags = 0;
        // SAFETY: `flags` outlives the call.
        assert_ne!(unsafe { GetHandleInformation(handle, &mut flags) }, 0);
        flags & HANDLE_FLAG_INHERIT != 0
    };
    for handle in ours {
        assert!(!is_inheritable(handle as HANDLE), "{handle:#x}");
    }
    let listener = TcpListener::bind(localhost()).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = until_ready(|| listener.accept());
    let udp = UdpSocket::bind(localhost()).unwrap();
    for socket in
        [listener.as_raw_socket(), client.as_raw_socket(), server.as_raw_socket(), udp.as_raw_socket()]
    {
        assert!(!is_inheritable(socket as HANDLE));
    }
    let pipe = NamedPipe::new(format!(r"\\.\pipe\wakeful-inherit-{}", std::process::id())).unwrap();
    assert!(!is_inheritable(pipe.as_raw_handle()));
}

#[test]
fn a_raw_socket_loses_no_event() {
    let _turn = turn();
    let mut t = Tester::new();
    let (a, peer) = tcp_pair();
    let raw = a.as_raw_socket();
    t.poll.registry().register(&mut SourceSocket(&raw), A, READ).unwrap();
    let again = t.poll.registry().register(&mut SourceSocket(&raw), A, READ);
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    for _ in 0..50 {
        (&peer).write_all(b"x").unwrap();
        assert!(t.expect(A).is_readable());
        // It bypasses the library, so the poll doesn't learn of it.
        assert_eq!(drain(&SockRef::from(&a)), 1);
    }
    t.poll.registry().reregister(&mut SourceSocket(&raw), B, BOTH).unwrap();
    assert!(t.expect(B).is_writable());
    t.poll.registry().deregister(&mut SourceSocket(&raw)).unwrap();
    let again = t.poll.registry().deregister(&mut SourceSocket(&raw));
    assert_eq!(again.unwrap_err().kind(), ErrorKind::NotFound);
    let nonsense: RawSocket = 0x7770;
    let refused = t.poll.registry().register(&mut SourceSocket(&nonsense), A, READ);
    // Wine reports an invalid handle.
    let refused = refused.unwrap_err().raw_os_error().map(|code| code as u32);
    assert!(matches!(refused, Some(NOT_A_SOCKET | ERROR_INVALID_HANDLE)), "{refused:?}");
}

/// Until it would block.
fn drain(socket: &SockRef<'_>) -> usize {
    let mut sum = 0;
    loop {
        match (&**socket).read(&mut [0; 16]) {
            Ok(n) => sum += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return sum,
            Err(e) => panic!("{e}"),
        }
    }
}

/// A missing listener is reported soon, and to a reader too.
#[test]
fn a_refused_connection_is_reported() {
    let _turn = turn();
    for interest in [READ, Interest::WRITABLE, BOTH] {
        let mut t = Tester::new();
        let unused: SocketAddr = TcpListener::bind(localhost()).unwrap().local_addr().unwrap();
        let mut client = match TcpStream::connect(unused) {
            Ok(client) => client,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::ConnectionRefused);
                continue;
            }
        };
        t.poll.registry().register(&mut client, A, interest).unwrap();
        let event = t.expect(A);
        assert!(event.is_error(), "{event:?}");
        let error: io::Error = client.take_error().unwrap().expect("an error");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
}

/// More sockets than share one handle of the driver, all ready at once.
#[test]
fn many_sockets_at_once() {
    let _turn = turn();
    const COUNT: usize = 200;
    let mut t = Tester::new();
    let mut sockets: Vec<_> = (0..COUNT).map(|_| UdpSocket::bind(localhost()).unwrap()).collect();
    for (number, socket) in sockets.iter_mut().enumerate() {
        t.poll.registry().register(socket, Token(number), READ).unwrap();
    }
    let sender = UdpSocket::bind(localhost()).unwrap();
    for round in 0..5 {
        for socket in &sockets {
            sender.send_to(&[round], socket.local_addr().unwrap()).unwrap();
        }
        let mut seen = [false; COUNT];
        let deadline = Instant::now() + PATIENCE;
        while seen.iter().any(|seen| !seen) {
            assert!(Instant::now() < deadline);
            for event in t.poll_for(PATIENCE) {
                let number = event.token().0;
                if let Ok(n) = sockets[number].recv(&mut [0; 4]) {
                    assert_eq!(n, 1);
                    seen[number] = true;
                }
                let _ = sockets[number].recv(&mut [0; 4]);
            }
        }
    }
}

#[test]
fn a_users_own_event() {
    let _turn = turn();
    let mut t = Tester::new();
    let mut source = UserSource::new();
    let poster = source.poster();
    assert_eq!(poster.post(READ).unwrap_err().kind(), ErrorKind::NotFound);
    t.poll.registry().register(&mut source, A, READ).unwrap();
    let again = t.poll.registry().register(&mut source, A, READ);
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);

    // Posts before the poll merge, without readiness outside of the interest.
    poster.post(BOTH).unwrap();
    poster.post(READ).unwrap();
    let events = t.poll_for(Duration::ZERO);
    assert!(events.len() == 1 && events[0].is_readable() && !events[0].is_writable(), "{events:?}");
    poster.post(Interest::WRITABLE).unwrap();
    assert!(t.poll_for(Duration::from_millis(5)).is_empty());

    // A post to a sleeper, repeatedly.
    for _ in 0..100 {
        let poster = poster.clone();
        let thread = thread::spawn(move || poster.post(READ).unwrap());
        t.expect(A);
        thread.join().unwrap();
    }
    // A pending post is discarded by a change of the registration.
    poster.post(READ).unwrap();
    t.poll.registry().reregister(&mut source, B, BOTH).unwrap();
    assert!(t.poll_for(Duration::ZERO).is_empty());
    poster.post(READ).unwrap();
    t.poll.registry().deregister(&mut source).unwrap();
    assert!(t.poll_for(Duration::ZERO).is_empty());
    t.poll.registry().register(&mut source, A, READ).unwrap();
    poster.post(READ).unwrap();
    drop(source);
    assert!(t.poll_for(Duration::ZERO).is_empty());
    assert_eq!(poster.post(READ).unwrap_err().kind(), ErrorKind::NotFound);

    // More sources than room: each gets its turn.
    let mut sources: Vec<_> = (0..200).map(|_| UserSource::new()).collect();
    for (number, source) in sources.iter_mut().enumerate() {
        t.poll.registry().register(source, Token(number), READ).unwrap();
        source.poster().post(READ).unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < sources.len() {
        let events = t.poll_for(PATIENCE);
        assert!(!events.is_empty());
        seen.extend(events.iter().map(|event| event.token().0));
    }
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..200));
}

#[test]
fn a_users_own_event_outlives_its_poll() {
    let _turn = turn();
    let mut source = UserSource::new();
    let poster = source.poster();
    for is_kept in [false, true] {
        let gone = Poll::new().unwrap();
        let waker = is_kept.then(|| wakeful::Waker::new(gone.registry(), Token(9)).unwrap());
        gone.registry().register(&mut source, A, READ).unwrap();
        poster.post(READ).unwrap();
        drop(gone);
        assert_eq!(poster.post(READ).unwrap_err().kind(), ErrorKind::NotFound);

        let mut t = Tester { poll: Poll::new().unwrap(), events: Events::with_capacity(8) };
        let unknown = t.poll.registry().deregister(&mut source);
        assert_eq!(unknown.unwrap_err().kind(), ErrorKind::NotFound);
        t.poll.registry().register(&mut source, B, READ).unwrap();
        assert!(t.poll_for(Duration::ZERO).is_empty());
        poster.post(READ).unwrap();
        t.expect(B);
        t.poll.registry().deregister(&mut source).unwrap();
        drop(waker);
    }
}

/// A source that is always ready, by the kernel or by the program, leaves the others their turn.
#[test]
fn no_source_starves_when_there_is_room_for_one() {
    let _turn = turn();
    let mut t = Tester { poll: Poll::new().unwrap(), events: Events::with_capacity(1) };
    let (mut socket, peer) = tcp_pair();
    let (raw, raw_peer) = tcp_pair();
    let mut source = UserSource::new();
    let poster = source.poster();
    t.poll.registry().register(&mut socket, Token(0), READ).unwrap();
    t.poll.registry().register(&mut SourceSocket(&raw.as_raw_socket()), Token(1), READ).unwrap();
    t.poll.registry().register(&mut source, Token(2), READ).unwrap();
    (&raw_peer).write_all(b"unread").unwrap();
    let mut counts = [0; 3];
    for _ in 0..300 {
        poster.post(READ).unwrap();
        (&peer).write_all(b"x").unwrap();
        let events = t.poll_for(PATIENCE);
        counts[events[0].token().0] += 1;
        while (&socket).read(&mut [0; 16]).is_ok() {}
    }
    assert!(counts.iter().all(|&count| count > 3), "{counts:?}");
}
