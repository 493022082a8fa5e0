//! The named pipes of Windows.
#![cfg(all(windows, feature = "os-ext"))]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::UdpSocket;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsHandle, AsRawHandle, AsRawSocket, FromRawHandle, OwnedHandle};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use wakeful::event::{Event, Source};
use wakeful::windows::{NamedPipe, SourceSocket, UserSource};
use wakeful::{Events, Interest, Poll, Token, Waker};

use windows_sys::Win32::Foundation::{ERROR_NO_DATA, ERROR_PIPE_BUSY};
use windows_sys::Win32::Storage::FileSystem::{FILE_FLAG_OVERLAPPED, PIPE_ACCESS_DUPLEX};
use windows_sys::Win32::System::Pipes::{
    CreateNamedPipeW, SetNamedPipeHandleState, PIPE_READMODE_MESSAGE, PIPE_TYPE_MESSAGE,
};

mod support;
use support::handles::{handle_count, leaks_no_handle, turn};
use support::seeded;

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
const SERVER: Token = Token(1);
const CLIENT: Token = Token(usize::MAX);
const PATIENCE: Duration = Duration::from_secs(20);

fn new_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!(r"\\.\pipe\wakeful-test-{}-{number}", std::process::id())
}

struct Tester {
    poll: Poll,
    events: Events,
}

impl Tester {
    fn new() -> Tester {
        Tester { poll: Poll::new().unwrap(), events: Events::with_capacity(64) }
    }

    fn register(&self, source: &mut NamedPipe, token: Token, interest: Interest) {
        self.poll.registry().register(source, token, interest).unwrap();
    }

    fn poll_for(&mut self, timeout: Duration) -> Vec<Event> {
        self.poll.poll(&mut self.events, Some(timeout)).unwrap();
        self.events.iter().cloned().collect()
    }

    /// Calls `attempt` until it doesn't block, polling in between.
    #[track_caller]
    fn until<T>(&mut self, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match attempt() {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
            self.poll.poll_until(&mut self.events, deadline).unwrap();
            assert!(Instant::now() < deadline, "nothing happens");
        }
    }

    #[track_caller]
    fn read_exactly(&mut self, pipe: &NamedPipe, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut done = 0;
        while done < count {
            let rest = &mut bytes[done..];
            let n = self.until(|| (&*pipe).read(rest)).unwrap();
            assert_ne!(n, 0, "the end after {done} of {count} bytes");
            done += n;
        }
        bytes
    }
}

/// Both ends, registered.
fn pair(t: &mut Tester, server_interest: Interest, client_interest: Interest) -> (NamedPipe, NamedPipe) {
    let name = new_name();
    let mut server = NamedPipe::new(&name).unwrap();
    // The connection is reported as writable.
    t.register(&mut server, SERVER, BOTH);
    assert_eq!(server.connect().unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut client = NamedPipe::open(&name).unwrap();
    t.register(&mut client, CLIENT, BOTH);
    t.until(|| server.connect()).unwrap();
    if (server_interest, client_interest) != (BOTH, BOTH) {
        t.poll.registry().reregister(&mut server, SERVER, server_interest).unwrap();
        t.poll.registry().reregister(&mut client, CLIENT, client_interest).unwrap();
    }
    (server, client)
}

/// A registered server, and a client without this library.
fn with_a_strangers_client(t: &mut Tester) -> (NamedPipe, File) {
    let name = new_name();
    let mut server = NamedPipe::new(&name).unwrap();
    t.register(&mut server, SERVER, BOTH);
    let _ = server.connect();
    let client = File::options().read(true).write(true).open(&name).unwrap();
    t.until(|| server.connect()).unwrap();
    (server, client)
}

fn assert_kind<T: std::fmt::Debug>(result: io::Result<T>, kind: ErrorKind) {
    assert_eq!(result.unwrap_err().kind(), kind);
}

#[test]
fn both_directions() {
    let _turn = turn();
    let mut t = Tester::new();
    let (server, client) = pair(&mut t, BOTH, BOTH);
    for message in [&b"x"[..], b"hello", &[7; 100_000], &[8; 1 << 20]] {
        for (from, to) in [(&server, &client), (&client, &server)] {
            let sent = t.until(|| (&*from).write(message)).unwrap();
            assert_eq!(sent, message.len());
            assert_eq!(t.read_exactly(to, message.len()), message);
        }
    }
}

#[test]
fn before_registration_everything_would_block() {
    let _turn = turn();
    let name = new_name();
    let mut server = NamedPipe::new(&name).unwrap();
    assert_kind(server.connect(), ErrorKind::WouldBlock);
    assert_kind(server.connect(), ErrorKind::WouldBlock);
    assert_kind((&server).read(&mut [0; 4]), ErrorKind::WouldBlock);
    assert_kind((&server).write(b"x"), ErrorKind::WouldBlock);
    // The deferred connect starts now.
    let mut t = Tester::new();
    t.register(&mut server, SERVER, BOTH);
    let _client = NamedPipe::open(&name).unwrap();
    t.until(|| server.connect()).unwrap();
    assert!(server.take_error().unwrap().is_none());
}

#[test]
fn the_interest_is_honoured() {
    let _turn = turn();
    let mut t = Tester::new();
    let (mut server, client) = pair(&mut t, READ, WRITE);
    t.until(|| (&client).write(b"hello")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut was_reported = false;
    while !was_reported {
        assert!(Instant::now() < deadline);
        for event in t.poll_for(PATIENCE) {
            assert_eq!(event.is_readable(), event.token() == SERVER, "{event:?}");
            assert_eq!(event.is_writable(), event.token() == CLIENT, "{event:?}");
            was_reported |= event.token() == SERVER;
        }
    }
    // A new registration reports the present state, with the new token.
    t.poll.registry().reregister(&mut server, Token(5), WRITE).unwrap();
    let events = t.poll_for(PATIENCE);
    let others: Vec<_> = events.iter().filter(|event| event.token() != CLIENT).collect();
    assert!(others.iter().all(|event| event.token() == Token(5) && !event.is_readable()), "{events:?}");
    t.poll.registry().reregister(&mut server, Token(6), READ).unwrap();
    let events = t.poll_for(PATIENCE);
    assert!(events.iter().any(|event| event.token() == Token(6) && event.is_readable()), "{events:?}");
}

#[test]
fn an_event_is_reported_once() {
    let _turn = turn();
    let mut t = Tester::new();
    let (server, client) = pair(&mut t, READ, READ);
    (&client).write_all(b"hello").unwrap();
    while t.poll_for(PATIENCE).iter().all(|event| event.token() != SERVER) {}
    assert!(t.poll_for(Duration::from_millis(50)).is_empty());
    assert_eq!(t.read_exactly(&server, 5), b"hello");
    assert_kind((&server).read(&mut [0; 4]), ErrorKind::WouldBlock);
    assert!(t.poll_for(Duration::from_millis(50)).is_empty());
    t.until(|| (&client).write(b"x")).unwrap();
    while t.poll_for(PATIENCE).iter().all(|event| event.token() != SERVER) {}
}

#[test]
fn wrong_use() {
    let _turn = turn();
    let (one, other) = (Poll::new().unwrap(), Poll::new().unwrap());
    let mut pipe = NamedPipe::new(new_name()).unwrap();
    assert_kind(one.registry().deregister(&mut pipe), ErrorKind::NotFound);
    assert_kind(one.registry().reregister(&mut pipe, SERVER, READ), ErrorKind::NotFound);
    one.registry().register(&mut pipe, SERVER, READ).unwrap();
    assert_kind(one.registry().register(&mut pipe, SERVER, READ), ErrorKind::AlreadyExists);
    assert_kind(other.registry().register(&mut pipe, SERVER, READ), ErrorKind::AlreadyExists);
    assert_kind(other.registry().deregister(&mut pipe), ErrorKind::NotFound);
    one.registry().deregister(&mut pipe).unwrap();
    one.registry().register(&mut pipe, SERVER, READ).unwrap();
    // The kernel has tied the pipe to the first port, so it isn't free like other sources.
    drop(one);
    assert_kind(other.registry().deregister(&mut pipe), ErrorKind::NotFound);
    assert_kind(other.registry().reregister(&mut pipe, SERVER, READ), ErrorKind::NotFound);
    assert_kind(other.registry().register(&mut pipe, SERVER, READ), ErrorKind::AlreadyExists);
}

#[test]
fn after_deregistration_nothing_is_reported() {
    let _turn = turn();
    let mut t = Tester::new();
    let (mut server, client) = pair(&mut t, BOTH, BOTH);
    (&client).write_all(b"hello").unwrap();
    thread::sleep(Duration::from_millis(20));
    t.poll.registry().deregister(&mut server).unwrap();
    for event in t.poll_for(Duration::from_millis(50)) {
        assert_eq!(event.token(), CLIENT);
    }
    t.register(&mut server, Token(7), READ);
    assert_eq!(t.read_exactly(&server, 5), b"hello");
}

#[test]
fn a_client_that_has_gone_is_the_end_and_the_next_can_connect() {
    let _turn = turn();
    let mut t = Tester::new();
    let name = new_name();
    let mut server = NamedPipe::new(&name).unwrap();
    t.register(&mut server, SERVER, BOTH);
    for round in 0..10 {
        assert_kind(server.connect(), ErrorKind::WouldBlock);
        let mut client = NamedPipe::open(&name).unwrap();
        t.register(&mut client, CLIENT, BOTH);
        t.until(|| server.connect()).unwrap();
        t.until(|| (&client).write(&[round; 1000])).unwrap();
        drop(client); // with its write under way, or done
        assert_eq!(t.read_exactly(&server, 1000), [round; 1000]);
        assert_eq!(t.until(|| (&server).read(&mut [0; 4])).unwrap(), 0);
        assert_eq!((&server).read(&mut [0; 4]).unwrap(), 0, "the end stays");
        assert_kind(t.until(|| (&server).write(b"question")), ErrorKind::BrokenPipe);
        server.disconnect().unwrap();
    }
}

#[test]
fn a_new_client_hears_nothing_of_the_one_before() {
    let _turn = turn();
    for leaves_bytes in [false, true] {
        let mut t = Tester::new();
        let name = new_name();
        let mut server = NamedPipe::new(&name).unwrap();
        t.register(&mut server, SERVER, BOTH);
        for round in 0..5 {
            assert_kind(server.connect(), ErrorKind::WouldBlock);
            let mut client = NamedPipe::open(&name).unwrap();
            t.register(&mut client, CLIENT, BOTH);
            t.until(|| server.connect()).unwrap();
            assert_eq!(t.until(|| (&server).write(b"hello")).unwrap(), 5);
            assert_eq!(t.read_exactly(&client, 5), b"hello");
            t.until(|| (&client).write(&[round; 3])).unwrap();
            assert_eq!(t.read_exactly(&server, 3), [round; 3]);
            // A write and a read are in progress, or bytes have arrived.
            t.until(|| (&server).write(&vec![0; 1 << 20])).unwrap();
            if leaves_bytes {
                t.until(|| (&client).write(&[77; 10])).unwrap();
                t.poll_for(Duration::from_millis(5));
            }
            server.disconnect().unwrap();
            if round % 2 == 0 {
                // Before or after the operations in progress have ended.
                t.poll_for(Duration::from_millis(5));
            }
            // The old client has lost the unread data, and finds the end.
            let ended = loop {
                match t.until(|| (&client).read(&mut [0; 1 << 14])) {
                    Ok(n) if n > 0 => continue,
                    result => break result,
                }
            };
            assert!(!matches!(ended, Ok(n) if n > 0), "{ended:?}");
        }
    }
}

#[test]
fn a_client_that_came_and_went_has_connected() {
    let _turn = turn();
    let mut t = Tester::new();
    let name = new_name();
    let mut server = NamedPipe::new(&name).unwrap();
    t.register(&mut server, SERVER, BOTH);
    for _ in 0..5 {
        assert_kind(server.connect(), ErrorKind::WouldBlock);
        drop(NamedPipe::open(&name).unwrap());
        t.until(|| server.connect()).unwrap();
        assert_eq!(t.until(|| (&server).read(&mut [0; 4])).unwrap(), 0);
        server.disconnect().unwrap();
    }
}

/// Writes `bytes` to a new pipe, and closes it: a client may do so as soon as the pipe exists.
fn come_and_go(name: &str, bytes: &[u8]) {
    let mut client = File::options().read(true).write(true).open(name).unwrap();
    client.write_all(bytes).unwrap();
}

/// Clients that connect and leave before the server's `connect`: each is a connection with its bytes and its end. A
/// server that creates an instance for each client, as tokio's do, can meet one each time.
#[test]
fn clients_that_have_gone_before_connect_end_no_server_loop() {
    let _turn = turn();
    let mut t = Tester::new();
    for interest in [READ, WRITE, BOTH] {
        for (round, bytes) in [&b""[..], b"hello", b"", &[7; 30_000], b"x"].into_iter().enumerate() {
            let name = new_name();
            let mut server = NamedPipe::new(&name).unwrap();
            t.register(&mut server, SERVER, interest);
            come_and_go(&name, bytes);
            server.connect().unwrap_or_else(|e| panic!("{interest:?}, round {round}: {e}"));
            t.poll.registry().reregister(&mut server, SERVER, BOTH).unwrap();
            assert_eq!(t.read_exactly(&server, bytes.len()), bytes);
            assert_eq!(t.until(|| (&server).read(&mut [0; 4])).unwrap(), 0);
            assert_kind((&server).write(b"question"), ErrorKind::BrokenPipe);
            // The client was reported already, and is no new one.
            assert_eq!(server.connect().unwrap_err().raw_os_error(), Some(ERROR_NO_DATA as i32));
            assert!(server.take_error().unwrap().is_none());
            server.disconnect().unwrap();
            assert_kind(server.connect(), ErrorKind::WouldBlock);
            come_and_go(&name, b"again");
            t.until(|| server.connect()).unwrap();
            assert_eq!(t.read_exactly(&server, 5), b"again");
        }
    }
}

/// A loop that waits for events alone, as runtimes do: the end of such a client must be one.
#[test]
fn a_client_that_has_gone_before_connect_is_reported_by_events() {
    let _turn = turn();
    for bytes in [&b"hello"[..], b""] {
        let mut t = Tester::new();
        let name = new_name();
        let mut server = NamedPipe::new(&name).unwrap();
        t.register(&mut server, SERVER, BOTH);
        t.poll_for(Duration::ZERO);
        come_and_go(&name, bytes);
        server.connect().unwrap();
        let mut received = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        let mut at_end = false;
        while !at_end {
            assert!(Instant::now() < deadline, "no event of the end, after {received:?}");
            let is_readable = t.poll_for(PATIENCE).iter().any(Event::is_readable);
            while is_readable && !at_end {
                let mut buf = [0; 16];
                match (&server).read(&mut buf) {
                    Ok(n) => {
                        received.extend_from_slice(&buf[..n]);
                        at_end = n == 0;
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => panic!("{e}"),
                }
            }
        }
        assert_eq!(received, bytes);
    }
}

/// The connect was called before the registration, and the client has left when it starts.
#[test]
fn a_client_that_has_gone_before_registration_has_connected() {
    let _turn = turn();
    let name = new_name();
    let mut server = NamedPipe::new(&name).unwrap();
    assert_kind(server.connect(), ErrorKind::WouldBlock);
    come_and_go(&name, b"hello");
    let mut t = Tester::new();
    t.register(&mut server, SERVER, BOTH);
    server.connect().unwrap();
    assert!(server.take_error().unwrap().is_none());
    assert_eq!(t.read_exactly(&server, 5), b"hello");
    assert_eq!(t.until(|| (&server).read(&mut [0; 4])).unwrap(), 0);
}

/// Clients connect, write and leave at any moment, between two calls of the server too. The server uses each instance
/// of the pipe twice.
#[test]
fn a_server_loop_survives_clients_that_come_and_go() {
    const CLIENTS: usize = 100;
    let _turn = turn();
    let mut t = Tester::new();
    let name = new_name();
    let mut server = NamedPipe::new(&name).unwrap();
    t.register(&mut server, SERVER, BOTH);
    let server_name = name.clone();
    let clients = thread::spawn(move || {
        let mut random = seeded();
        for number in 0..CLIENTS {
            let mut client = loop {
                match File::options().read(true).write(true).open(&name) {
                    Ok(client) => break client,
                    // The previous client is being served.
                    Err(_) => thread::yield_now(),
                }
            };
            if number % 3 != 0 {
                client.write_all(&vec![1; number]).unwrap();
            }
            if random.usize(..2) == 0 {
                thread::sleep(Duration::from_micros(random.usize(..1000) as u64));
            }
        }
    });
    for number in 0..CLIENTS {
        t.until(|| server.connect()).unwrap_or_else(|e| panic!("client {number}: {e}"));
        let mut sum = 0;
        loop {
            match t.until(|| (&server).read(&mut [0; 64])).unwrap() {
                0 => break,
                n => sum += n,
            }
        }
        assert_eq!(sum, if number % 3 == 0 { 0 } else { number }, "client {number}");
        if number % 2 == 0 {
            server.disconnect().unwrap();
        } else {
            drop(server);
            server = NamedPipe::new(&server_name).unwrap();
            t.register(&mut server, SERVER, BOTH);
        }
    }
    clients.join().unwrap();
}

#[test]
fn several_slices_are_one_write_and_one_read() {
    let _turn = turn();
    let mut t = Tester::new();
    for of_messages in [false, true] {
        let (server, client) = if of_messages { message_pair(&mut t) } else { pair(&mut t, BOTH, BOTH) };
        let parts = [&b"one"[..], b"", b"two", b"three"].map(io::IoSlice::new);
        assert_eq!(t.until(|| (&client).write_vectored(&parts)).unwrap(), 11);
        let (mut a, mut b, mut c, mut d) = ([0; 2], [0; 0], [0; 5], [0; 50]);
        let mut slices = [&mut a[..], &mut b, &mut c, &mut d].map(io::IoSliceMut::new);
        assert_eq!(t.until(|| (&server).read_vectored(&mut slices)).unwrap(), 11);
        assert_eq!((&a, &c, &d[..5]), (b"on", b"etwot", &b"hree\0"[..]));
        // Bytes without room stay for the next read.
        assert_eq!(t.until(|| (&client).write_vectored(&parts)).unwrap(), 11);
        let mut slices = [&mut a[..], &mut c].map(io::IoSliceMut::new);
        assert_eq!(t.until(|| (&server).read_vectored(&mut slices)).unwrap(), 7);
        assert_eq!(t.read_exactly(&server, 4), b"hree");
        assert_kind((&server).read_vectored(&mut []), ErrorKind::WouldBlock);
    }
}

#[test]
fn reads_are_as_large_as_the_callers_buffer() {
    let _turn = turn();
    let mut t = Tester::new();
    let (server, client) = message_pair(&mut t);
    // The second buffer's size is known when the second message is read ahead.
    for (size, expected) in [(200_000, 16 << 10), (200_000, 200_000), (1 << 20, 300_000), (1 << 20, 1 << 20)]
    {
        let message: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        t.until(|| (&client).write(&message)).unwrap();
        let mut buf = vec![0; size.max(300_000)];
        let first = t.until(|| (&server).read(&mut buf)).unwrap();
        assert_eq!(first, expected, "of {size}");
        assert_eq!(buf[..first], message[..first]);
        assert_eq!(t.read_exactly(&server, size - first), message[first..]);
    }
}

#[test]
fn an_empty_message_reads_as_zero_and_is_no_end() {
    let _turn = turn();
    let mut t = Tester::new();
    let (server, client) = message_pair(&mut t);
    t.until(|| (&client).write(b"")).unwrap();
    assert_eq!(t.until(|| (&server).read(&mut [0; 4])).unwrap(), 0);
    assert_kind((&server).read(&mut [0; 4]), ErrorKind::WouldBlock);
    t.until(|| (&client).write(b"on")).unwrap();
    assert_eq!(t.read_exactly(&server, 2), b"on");
    drop(client);
    for _ in 0..2 {
        assert_eq!(t.until(|| (&server).read(&mut [0; 4])).unwrap(), 0);
    }
}

#[test]
fn a_peer_sees_the_end_at_once() {
    let _turn = turn();
    let mut t = Tester::new();
    let (server, mut client) = with_a_strangers_client(&mut t);
    // A read is in progress, and no thread polls any more.
    drop(server);
    assert!(matches!(client.read(&mut [0; 4]), Ok(0)));
}

/// A pipe of messages, and a handle of a client that reads messages.
fn message_pair(t: &mut Tester) -> (NamedPipe, NamedPipe) {
    let name = new_name();
    let wide: Vec<u16> = OsStr::new(&name).encode_wide().chain(Some(0)).collect();
    // SAFETY: the name ends with zero; the handle is new and not owned elsewhere.
    let server = unsafe {
        let handle = CreateNamedPipeW(
            wide.as_ptr(),
            PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED,
            PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE,
            1,
            1024,
            1024,
            0,
            std::ptr::null(),
        );
        NamedPipe::from(OwnedHandle::from_raw_handle(handle))
    };
    let mut server = server;
    t.register(&mut server, SERVER, BOTH);
    let _ = server.connect();
    let mut client = NamedPipe::open(&name).unwrap();
    // SAFETY: the handle is open, and `mode` outlives the call.
    let set = unsafe {
        SetNamedPipeHandleState(
            client.as_raw_handle(),
            &PIPE_READMODE_MESSAGE,
            std::ptr::null(),
            std::ptr::null(),
        )
    };
    assert_ne!(set, 0);
    t.register(&mut client, CLIENT, BOTH);
    t.until(|| server.connect()).unwrap();
    (server, client)
}

/// A read of a part of a message ends with `ERROR_MORE_DATA`.
#[test]
fn messages_longer_than_any_buffer_lose_nothing() {
    let _turn = turn();
    let mut t = Tester::new();
    let (server, client) = message_pair(&mut t);
    for size in [1, 10, 16 << 10, (16 << 10) + 1, 100_000, 1 << 20] {
        let message: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        for (from, to) in [(&server, &client), (&client, &server)] {
            t.until(|| (&*from).write(&message)).unwrap();
            assert_eq!(t.read_exactly(to, size), message, "{size}");
            assert_kind((&*to).read(&mut [0; 4]), ErrorKind::WouldBlock);
        }
    }
}

#[test]
fn several_messages_are_not_joined() {
    let _turn = turn();
    let mut t = Tester::new();
    let (server, client) = message_pair(&mut t);
    for n in 1..=20_u8 {
        t.until(|| (&client).write(&vec![n; usize::from(n)])).unwrap();
    }
    let mut buf = [0; 100];
    for n in 1..=20_u8 {
        let count = t.until(|| (&server).read(&mut buf)).unwrap();
        assert_eq!(buf[..count], vec![n; usize::from(n)]);
    }
}

#[test]
fn what_is_written_before_the_drop_arrives() {
    let _turn = turn();
    let mut t = Tester::new();
    let (server, client) = with_a_strangers_client(&mut t);
    // More than the kernel's buffer: it is in progress when its source is dropped.
    (&server).write_all(&[9; 1 << 20]).unwrap();
    drop(server);
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        let _ = (&client).read_to_end(&mut all);
        all.len()
    });
    let deadline = Instant::now() + PATIENCE;
    while !reader.is_finished() && Instant::now() < deadline {
        t.poll_for(Duration::from_millis(5));
    }
    assert_eq!(reader.join().unwrap(), 1 << 20);
}

#[test]
fn a_poll_dropped_with_operations_under_way_leaks_nothing() {
    let _turn = turn();
    leaks_no_handle(5, || {
        let mut t = Tester::new();
        let mut pipes = Vec::new();
        for _ in 0..20 {
            let (server, client) = pair(&mut t, BOTH, BOTH);
            (&server).write_all(&[1; 1 << 20]).unwrap();
            pipes.push((server, client));
        }
        let mut waiting = NamedPipe::new(new_name()).unwrap();
        t.register(&mut waiting, SERVER, BOTH);
        let _ = waiting.connect();
        let half = pipes.split_off(10);
        drop(half);
        drop(t);
        // No thread polls any more, and the others still end cleanly.
        drop(pipes);
        drop(waiting);
    });
}

/// Drops it in a thread, so that a drop that never ends is a failure.
#[track_caller]
fn drop_soon(what: impl Send + 'static) {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        drop(what);
        let _ = done.send(());
    });
    wait.recv_timeout(PATIENCE).expect("the drop doesn't end");
}

#[test]
fn a_pipe_that_outlives_its_poll_keeps_only_the_port() {
    const SOCKETS: usize = 100;
    let _turn = turn();
    leaks_no_handle(5, || {
        let mut t = Tester::new();
        let (mut server, mut client) = with_a_strangers_client(&mut t);
        client.write_all(b"hello").unwrap();
        while !t.poll_for(PATIENCE).iter().any(|event| event.is_readable()) {}

        let sockets: Vec<_> = (0..SOCKETS).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let before = handle_count();
        for socket in &sockets {
            let mut source = SourceSocket(&socket.as_raw_socket());
            t.poll.registry().register(&mut source, Token(2), READ).unwrap();
        }
        t.poll_for(Duration::ZERO);
        drop(t);
        let left = handle_count();
        assert!(left < before, "polls of the sockets are under way: {left} handles of {before}");

        // Bytes that arrived before can be read; later ones are discarded.
        assert_eq!((&server).read(&mut [0; 8]).unwrap(), 5);
        assert_kind((&server).read(&mut [0; 8]), ErrorKind::WouldBlock);
        let mut late = Poll::new().unwrap();
        assert_kind(late.registry().register(&mut server, CLIENT, BOTH), ErrorKind::AlreadyExists);
        assert_kind(late.registry().deregister(&mut server), ErrorKind::NotFound);
        late.poll(&mut Events::with_capacity(1), Some(Duration::ZERO)).unwrap();
        // A write that the client doesn't read is cancelled with its source: no code would learn of its end.
        (&server).write_all(&[1; 1 << 20]).unwrap();
        drop_soon(server);
        drop(client);
    });
}

#[test]
fn a_simulated_poll_takes_no_pipe() {
    let _turn = turn();
    let poll = wakeful::sim::Sim::new(1).new_poll();
    let registry = poll.registry();
    let mut pipe = NamedPipe::new(new_name()).unwrap();
    let mut posted = UserSource::new();
    for source in [&mut pipe as &mut dyn Source, &mut posted] {
        assert_kind(source.register(registry, SERVER, READ), ErrorKind::Unsupported);
        assert_kind(source.reregister(registry, SERVER, READ), ErrorKind::NotFound);
        assert_kind(source.deregister(registry), ErrorKind::NotFound);
        // Nothing has changed for the pipe.
        source.register(Poll::new().unwrap().registry(), SERVER, READ).unwrap();
    }
}

#[test]
fn conversions() {
    let _turn = turn();
    let name = new_name();
    let server = NamedPipe::new(&name).unwrap();
    let raw = server.as_raw_handle();
    assert_eq!(server.as_handle().as_raw_handle(), raw);
    let owned = OwnedHandle::from(server);
    assert_eq!(owned.as_raw_handle(), raw);
    let mut server = NamedPipe::from(owned);
    assert!(format!("{server:?}").contains("NamedPipe"));
    let t = Tester::new();
    t.register(&mut server, SERVER, BOTH);
    let _ = server.connect();
    t.poll.registry().deregister(&mut server).unwrap();
    // An operation is in progress: the returned handle is open all the same.
    let owned = OwnedHandle::from(server);
    owned.try_clone().unwrap();
    assert!(NamedPipe::open(new_name()).is_err());
}

#[test]
fn a_busy_pipe_says_so() {
    let _turn = turn();
    let name = new_name();
    let _server = NamedPipe::new(&name).unwrap();
    let _client = NamedPipe::open(&name).unwrap();
    let second = NamedPipe::open(&name).unwrap_err();
    assert_eq!(second.raw_os_error(), Some(ERROR_PIPE_BUSY as i32));
}

#[test]
fn a_sleeping_poller_hears_of_a_pipe_used_by_another_thread() {
    let _turn = turn();
    let mut t = Tester::new();
    let (server, client) = pair(&mut t, READ, READ);
    let waker = Waker::new(t.poll.registry(), Token(3)).unwrap();
    let thread = thread::spawn(move || {
        for n in 0..50_u8 {
            thread::sleep(Duration::from_millis(1));
            while let Err(e) = (&client).write(&[n]) {
                assert_eq!(e.kind(), ErrorKind::WouldBlock);
                thread::yield_now();
            }
        }
        waker.wake().unwrap();
        client
    });
    assert_eq!(t.read_exactly(&server, 50), (0..50).collect::<Vec<u8>>());
    thread.join().unwrap();
}

/// A thousand pipes, a few at a time, with messages of 1 byte to 1 MiB in both directions, dropped at random moments.
#[test]
fn soak() {
    const PIPES: usize = 1000;
    let _turn = turn();
    let mut random = seeded();
    let mut t = Tester::new();
    drop(pair(&mut t, BOTH, BOTH));
    // The threads of earlier tests may still be ending.
    let mut before = handle_count();
    while {
        t.poll_for(Duration::from_millis(100));
        let now = handle_count();
        std::mem::replace(&mut before, now) != now
    } {}
    let mut sum = 0;
    for number in 0..PIPES {
        let (server, client) = pair(&mut t, BOTH, BOTH);
        for _ in 0..random.usize(..4) {
            let limit = 1 << random.usize(..21);
            let size = 1 + random.usize(..limit);
            let message: Vec<u8> = (0..size).map(|n| (n + number) as u8).collect();
            let (from, to) = if random.usize(..2) == 0 { (&server, &client) } else { (&client, &server) };
            t.until(|| (&*from).write(&message)).unwrap();
            if random.usize(..8) == 0 {
                break; // with the message under way
            }
            assert_eq!(t.read_exactly(to, size), message);
            sum += size;
        }
        match random.usize(..3) {
            0 => drop((server, client)),
            1 => drop((client, server)),
            _ => {
                let mut server = server;
                server.deregister(t.poll.registry()).unwrap();
            }
        }
    }
    println!("{sum} bytes");
    let deadline = Instant::now() + PATIENCE;
    while handle_count() > before && Instant::now() < deadline {
        t.poll_for(Duration::from_millis(5));
    }
    assert_eq!(handle_count(), before);
}

/// Promise 18: until all is read, and as long as there is room to write.
#[test]
fn a_level_triggered_pipe() {
    let mut t = Tester::new();
    let (server, mut client) = pair(&mut t, BOTH, READ.level());
    t.until(|| (&server).write(b"abc")).unwrap();
    for left in [b'a', b'b', b'c'] {
        for _ in 0..3 {
            let events = t.poll_for(PATIENCE);
            assert!(events.iter().any(|event| event.token() == CLIENT && event.is_readable()), "{events:?}");
        }
        assert_eq!(t.read_exactly(&client, 1), [left]);
    }
    let events = t.poll_for(Duration::from_millis(20));
    assert!(events.iter().all(|event| event.token() != CLIENT), "{events:?}");
    t.poll.registry().reregister(&mut client, CLIENT, WRITE.level()).unwrap();
    for _ in 0..3 {
        let events = t.poll_for(PATIENCE);
        assert!(events.iter().any(|event| event.token() == CLIENT && event.is_writable()), "{events:?}");
    }
    t.poll.registry().deregister(&mut client).unwrap();
    let events = t.poll_for(Duration::from_millis(20));
    assert!(events.iter().all(|event| event.token() != CLIENT), "{events:?}");
}

/// Promise 19: also for what comes later.
#[test]
fn a_one_shot_pipe() {
    let mut t = Tester::new();
    let (server, mut client) = pair(&mut t, BOTH, READ.one_shot());
    for round in 0..3 {
        t.until(|| (&server).write(b"x")).unwrap();
        let mut count = 0;
        while count == 0 {
            count = t.poll_for(PATIENCE).iter().filter(|event| event.token() == CLIENT).count();
        }
        assert_eq!(count, 1);
        assert_eq!(t.read_exactly(&client, 1), b"x");
        t.until(|| (&server).write(b"y")).unwrap();
        let events = t.poll_for(Duration::from_millis(20));
        assert!(events.iter().all(|event| event.token() != CLIENT), "{round}: {events:?}");
        assert_eq!(t.read_exactly(&client, 1), b"y");
        t.poll.registry().reregister(&mut client, CLIENT, READ.one_shot()).unwrap();
    }
}

#[test]
fn what_is_posted_after_the_event_comes_after_the_reregistration() {
    let mut t = Tester::new();
    let mut source = UserSource::new();
    let poster = source.poster();
    t.poll.registry().register(&mut source, SERVER, BOTH.one_shot()).unwrap();
    poster.post(READ).unwrap();
    assert_eq!(t.poll_for(PATIENCE).len(), 1);
    poster.post(WRITE).unwrap();
    assert!(t.poll_for(Duration::from_millis(20)).is_empty());
    t.poll.registry().reregister(&mut source, CLIENT, BOTH.one_shot()).unwrap();
    let events = t.poll_for(PATIENCE);
    assert!(matches!(&events[..], [event] if event.token() == CLIENT && !event.is_readable()), "{events:?}");

    for interest in [READ.level(), Interest::END] {
        let refused = t.poll.registry().reregister(&mut source, CLIENT, interest);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
