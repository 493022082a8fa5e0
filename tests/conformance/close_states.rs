//! Promise 7: the flags of closed halves and errors on each backend. The table is in `PLATFORMS.md`.
//!
//! A failure prints every row that isn't as expected; `cargo test close_states -- --nocapture` prints all.

use std::any::Any;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};
use wakeful::event::{Event, Source};
use wakeful::net::TcpStream;
use wakeful::{Backend, Interest};

use crate::connecting::refusing_tcp;
use crate::support::*;

on_every_backend![the_matrix, data_before_a_reset_is_reported];

type Flag = fn(&Event) -> bool;
type Row = (&'static str, State, [&'static str; 3]);
type State = fn() -> (Box<dyn Source>, Box<dyn Any>);

/// A peer that has stopped sending has not hung up, and a local shutdown is not the peer's end: a program that takes
/// either for the end of the connection closes too early, or spins.
///
/// The state, how it is made, and its flags with an interest in readable, in writable, and in both.
///
/// R readable, W writable, E error, r read closed, w write closed.
const SOCKETS: &[Row] = &[
    ("TCP, open", tcp_open, ["-", "W", "W"]),
    ("TCP, peer shut down writing", tcp_peer_shut_write, ["Rr", "W", "RWr"]),
    ("TCP, peer shut down reading", tcp_peer_shut_read, ["-", "W", "W"]),
    ("TCP, shut down reading here", tcp_shut_read, ["Rr", "W", "RWr"]),
    ("TCP, shut down writing here", tcp_shut_write, ["-", "W", "W"]),
    ("TCP, shut down both here", tcp_shut_both, ["Rrw", "Wrw", "RWrw"]),
    ("TCP, both shut down writing", tcp_both_shut, ["Rrw", "Wrw", "RWrw"]),
    ("TCP, peer closed", tcp_peer_closed, ["Rr", "W", "RWr"]),
    ("TCP, reset by the peer", tcp_reset, ["RErw", "WErw", "RWErw"]),
    ("TCP, connection refused", tcp_refused, ["RErw", "WErw", "RWErw"]),
    ("TCP, never connected", tcp_unconnected, ["Rrw", "Wrw", "Wrw"]),
    ("UDP, datagram refused", udp_refused, ["RWEw", "WE", "WE"]),
];

/// The differences of another backend from the matrix, which is epoll's.
fn known_difference(backend: Backend, name: &str, interest: Interest) -> Option<&'static str> {
    if backend == Backend::Kqueue {
        return kqueue_difference(name, interest);
    }
    if backend == Backend::Iocp {
        return iocp_difference(name, interest);
    }
    // posix_poll and a simulation know the interest, and report an error in its directions only.
    match (backend, name) {
        (Backend::PosixPoll | Backend::Sim, "pipe, full, reader has gone") => Some("WEw"),
        (Backend::PosixPoll | Backend::Sim, "UDP, datagram refused") if interest == READ => Some("RE"),
        (Backend::PosixPoll | Backend::Sim, "UDP, datagram refused") if interest == BOTH => Some("RWE"),
        _ => None,
    }
}

/// The kernel of Windows doesn't report a local shutdown, and Winsock reports a refused datagram to the next receive.
fn iocp_difference(name: &str, interest: Interest) -> Option<&'static str> {
    let open = if interest.is_writable() { "W" } else { "-" };
    match name {
        "TCP, shut down reading here" | "TCP, shut down both here" | "UDP, datagram refused" => Some(open),
        "TCP, both shut down writing" if interest == READ => Some("Rr"),
        "TCP, both shut down writing" if interest == WRITE => Some("W"),
        "TCP, both shut down writing" => Some("RWr"),
        "TCP, never connected" => Some("-"),
        _ => None,
    }
}

/// Each filter of a kqueue reports the end of its half, by the kernels' `filt_soread`, `filt_sowrite` and
/// `filt_pipewrite`. `knotes::kernels` derives the same from their rules.
fn kqueue_difference(name: &str, interest: Interest) -> Option<&'static str> {
    let cells = match name {
        // mio's issues 1087 and 1091. libkqueue doesn't report it either.
        "TCP, shut down writing here" | "Unix stream, shut down writing here" if !cfg!(wakeful_libkqueue) => {
            ["-", "Ww", "Ww"]
        }
        "TCP, shut down both here" | "TCP, both shut down writing" | "Unix stream, peer closed" => {
            ["Rr", "Ww", "RWrw"]
        }
        // An unconnected socket has nothing to read, has not ended, and isn't writable.
        "TCP, never connected" => ["-", "-", "-"],
        // An error without an end makes both filters fire, and is in neither event.
        "UDP, datagram refused" => ["R", "W", "RW"],
        "pipe, writer has gone" | "pipe, writer has gone, data left" => ["Rr", "", ""],
        // Apple's kernel watches such a pipe; the others refuse.
        "pipe, reader has gone" | "pipe, full, reader has gone" if cfg!(target_vendor = "apple") => {
            ["", "Ww", ""]
        }
        "pipe, reader has gone" | "pipe, full, reader has gone" => ["", "WEw", ""],
        _ => return None,
    };
    [READ, WRITE, BOTH].into_iter().zip(cells).find(|(of, _)| *of == interest).map(|(_, cell)| cell)
}

/// Runs on every platform: the suite must expect of a kqueue what its filters can report, each separately. The lists
/// are those of `the_events_of_each_filter` in `knotes::kernels`.
#[cfg(unix)]
#[test]
fn a_kqueue_can_say_what_is_expected_of_it() {
    let expected = |(name, _, cells): &Row, at: usize| {
        kqueue_difference(name, [READ, WRITE, BOTH][at]).unwrap_or(cells[at])
    };
    for row in SOCKETS.iter().chain(special::ROWS) {
        let [read, write, both] = [0, 1, 2].map(|at| expected(row, at));
        assert!(["", "-", "R", "Rr", "RErw"].contains(&read), "{}: {read}", row.0);
        assert!(["", "-", "W", "Ww", "WErw", "WEw"].contains(&write), "{}: {write}", row.0);
        // With both interests, the flags of each are reported.
        let letters = "RWErw".chars().filter(|&letter| read.contains(letter) || write.contains(letter));
        let together: String = letters.collect();
        let together = if together.is_empty() { "-" } else { &together };
        assert!(both.is_empty() || both == together, "{}: {both}, not {together}", row.0);
    }
}

fn the_matrix(backend: Backend) {
    let mut wrong = Vec::new();
    println!("{backend:<36}  {:8}{:8}{:8}", "READ", "WRITE", "BOTH");
    for (name, state, expected) in SOCKETS.iter().chain(special::ROWS) {
        let mut columns = Vec::new();
        for (interest, expected) in [READ, WRITE, BOTH].into_iter().zip(expected) {
            if expected.is_empty() {
                columns.push(String::new());
                continue;
            }
            let expected = known_difference(backend, name, interest).unwrap_or(expected);
            // On a busy machine an error arrives late. After a first difference there is no need to wait that long
            // for the rest.
            let patience = if wrong.is_empty() { PATIENCE } else { PATIENCE / 20 };
            let found = observe(backend, *state, interest, expected, patience);
            if found != expected {
                wrong.push(format!("{name}, {interest:?}: {found}, not {expected}"));
            }
            columns.push(found);
        }
        println!("{name:<36}  {:8}{:8}{:8}", columns[0], columns[1], columns[2]);
    }
    assert!(wrong.is_empty(), "{backend}:\n{}", wrong.join("\n"));
}

/// The flags at registration, after the network has done its part: the patience is for the network.
fn observe(backend: Backend, state: State, interest: Interest, expected: &str, patience: Duration) -> String {
    let mut t = Tester::new(backend);
    let (mut source, _keep) = state();
    t.register(&mut *source, A, interest);
    let deadline = Instant::now() + patience;
    loop {
        let events = t.poll_now();
        assert!(events.iter().all(|event| event.token() == A));
        let found = letters(&events);
        if found == expected || Instant::now() > deadline {
            return found;
        }
        std::thread::yield_now();
        t.reregister(&mut *source, A, interest);
    }
}

fn letters(events: &[Event]) -> String {
    let flags: [(char, Flag); 6] = [
        ('R', Event::is_readable),
        ('W', Event::is_writable),
        ('E', Event::is_error),
        ('r', Event::is_read_closed),
        ('w', Event::is_write_closed),
        ('p', Event::is_priority),
    ];
    let set: String =
        flags.iter().filter(|(_, is_set)| events.iter().any(is_set)).map(|(letter, _)| letter).collect();
    if set.is_empty() {
        "-".to_owned()
    } else {
        set
    }
}

fn made(source: impl Source + 'static, keep: impl Any) -> (Box<dyn Source>, Box<dyn Any>) {
    (Box::new(source), Box::new(keep))
}

/// The end of writing may be reported first (a kqueue has a filter for each direction). It must not count as the end
/// of reading.
fn data_before_a_reset_is_reported(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, BOTH);
    t.expect(&[want(A, WRITE)]);
    send(&b, b"last words");
    await_bytes(&a);
    SockRef::from(&b).set_linger(Some(Duration::ZERO)).unwrap();
    drop(b);
    t.expect(&[want(A, READ).or(WRITE)]);
    let (bytes, end) = read_on(&a);
    let end = end.map(|e| e.kind());
    if cfg!(windows) {
        // Windows discards unread data at a reset, and Wine reports an ordinary end.
        assert!(bytes.is_empty() || bytes == b"last words", "{bytes:?}");
        assert!(matches!(end, None | Some(ErrorKind::ConnectionReset)), "{end:?}");
    } else {
        assert_eq!((&bytes[..], end), (&b"last words"[..], Some(ErrorKind::ConnectionReset)));
    }
    t.quiet();
}

fn tcp_open() -> (Box<dyn Source>, Box<dyn Any>) {
    let (a, b) = tcp_pair();
    made(a, b)
}

fn tcp_shut(here: Option<Shutdown>, there: Option<Shutdown>) -> (Box<dyn Source>, Box<dyn Any>) {
    let (a, b) = tcp_pair();
    if let Some(there) = there {
        b.shutdown(there).unwrap();
    }
    if let Some(here) = here {
        a.shutdown(here).unwrap();
    }
    made(a, b)
}

fn tcp_peer_shut_write() -> (Box<dyn Source>, Box<dyn Any>) {
    tcp_shut(None, Some(Shutdown::Write))
}

fn tcp_peer_shut_read() -> (Box<dyn Source>, Box<dyn Any>) {
    tcp_shut(None, Some(Shutdown::Read))
}

fn tcp_shut_read() -> (Box<dyn Source>, Box<dyn Any>) {
    tcp_shut(Some(Shutdown::Read), None)
}

fn tcp_shut_write() -> (Box<dyn Source>, Box<dyn Any>) {
    tcp_shut(Some(Shutdown::Write), None)
}

fn tcp_shut_both() -> (Box<dyn Source>, Box<dyn Any>) {
    tcp_shut(Some(Shutdown::Both), None)
}

fn tcp_both_shut() -> (Box<dyn Source>, Box<dyn Any>) {
    tcp_shut(Some(Shutdown::Write), Some(Shutdown::Write))
}

fn tcp_peer_closed() -> (Box<dyn Source>, Box<dyn Any>) {
    let (a, b) = tcp_pair();
    drop(b);
    made(a, ())
}

fn tcp_reset() -> (Box<dyn Source>, Box<dyn Any>) {
    let (a, b) = tcp_pair();
    SockRef::from(&b).set_linger(Some(Duration::ZERO)).unwrap();
    drop(b);
    made(a, ())
}

fn tcp_refused() -> (Box<dyn Source>, Box<dyn Any>) {
    let (keep, addr) = refusing_tcp();
    made(TcpStream::connect(addr).unwrap(), keep)
}

fn tcp_unconnected() -> (Box<dyn Source>, Box<dyn Any>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    made(TcpStream::from_std(socket.into()), ())
}

fn udp_refused() -> (Box<dyn Source>, Box<dyn Any>) {
    let (keep, unused) = refusing_udp();
    let (a, _) = udp();
    a.connect(unused).unwrap();
    a.send(b"question").unwrap();
    made(a, keep)
}

/// The rows of one family of systems.
#[cfg(unix)]
mod special {
    use std::any::Any;
    use std::io::Write;
    use std::net::Shutdown;

    use wakeful::event::Source;
    use wakeful::net::UnixStream;
    use wakeful::unix::pipe;

    use super::{fill, made, Row};

    pub const ROWS: &[Row] = &[
        ("Unix stream, open", unix_open, ["-", "W", "W"]),
        ("Unix stream, peer shut down writing", unix_peer_shut_write, ["Rr", "W", "RWr"]),
        ("Unix stream, shut down writing here", unix_shut_write, ["-", "W", "W"]),
        ("Unix stream, peer closed", unix_peer_closed, ["Rrw", "Wrw", "RWrw"]),
        ("pipe, writer has gone", pipe_writer_gone, ["Rrw", "", ""]),
        ("pipe, writer has gone, data left", pipe_writer_gone_data, ["Rrw", "", ""]),
        ("pipe, reader has gone", pipe_reader_gone, ["", "WEw", ""]),
        ("pipe, full, reader has gone", pipe_full_reader_gone, ["", "RWEw", ""]),
    ];

    fn unix_open() -> (Box<dyn Source>, Box<dyn Any>) {
        let (a, b) = UnixStream::pair().unwrap();
        made(a, b)
    }

    fn unix_peer_shut_write() -> (Box<dyn Source>, Box<dyn Any>) {
        let (a, b) = UnixStream::pair().unwrap();
        b.shutdown(Shutdown::Write).unwrap();
        made(a, b)
    }

    fn unix_shut_write() -> (Box<dyn Source>, Box<dyn Any>) {
        let (a, b) = UnixStream::pair().unwrap();
        a.shutdown(Shutdown::Write).unwrap();
        made(a, b)
    }

    fn unix_peer_closed() -> (Box<dyn Source>, Box<dyn Any>) {
        let (a, b) = UnixStream::pair().unwrap();
        drop(b);
        made(a, ())
    }

    fn pipe_writer_gone() -> (Box<dyn Source>, Box<dyn Any>) {
        let (_, receiver) = pipe::new().unwrap();
        made(receiver, ())
    }

    fn pipe_writer_gone_data() -> (Box<dyn Source>, Box<dyn Any>) {
        let (mut sender, receiver) = pipe::new().unwrap();
        sender.write_all(b"left").unwrap();
        drop(sender);
        made(receiver, ())
    }

    fn pipe_reader_gone() -> (Box<dyn Source>, Box<dyn Any>) {
        let (sender, _) = pipe::new().unwrap();
        made(sender, ())
    }

    fn pipe_full_reader_gone() -> (Box<dyn Source>, Box<dyn Any>) {
        let (sender, receiver) = pipe::new().unwrap();
        fill(&sender);
        drop(receiver);
        made(sender, ())
    }
}

/// Linux queues the completion of a transfer with `MSG_ZEROCOPY` as an error of the socket. An error without readable
/// is also what the writer of a pipe gets when the reader has gone, so epoll doesn't distinguish the two.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod zero_copy {
    use std::any::Any;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::thread;
    use std::time::Instant;

    use wakeful::event::Source;
    use wakeful::net::TcpStream;
    use wakeful::Backend;

    use super::{made, observe};
    use crate::skips::skip;
    use crate::support::*;

    on_every_backend![a_completion_closes_nothing];

    const BYTES: &[u8] = b"not copied";

    pub fn a_completion_closes_nothing(backend: Backend) {
        if is_lacking() {
            return skip(backend, "zero_copy");
        }
        let epoll = ["RWEw", "WEw", "WEw"];
        // posix_poll checks the kind of the descriptor at registration, so it doesn't take a socket's error for a
        // pipe's.
        let posix_poll = ["RE", "WE", "RWE"];
        let expected = if backend == Backend::Epoll { epoll } else { posix_poll };
        for (interest, expected) in [READ, WRITE, BOTH].into_iter().zip(expected) {
            assert_eq!(observe(backend, done, interest, expected, PATIENCE), expected, "{interest:?}");
        }

        goes_on(backend);
        is_written_until_it_would_block(backend);
    }

    /// After an event with a closed flag a short write must not end the loop; `WouldBlock` does.
    fn is_written_until_it_would_block(backend: Backend) {
        let mut t = Tester::new(backend);
        let (mut a, b) = pair();
        t.register(&mut a, A, WRITE);
        t.expect(&[want(A, WRITE)]);
        let sent = fill(&a) + BYTES.len();
        let mut received = 0;
        while received < sent {
            await_bytes(&b);
            received += drain(&b).len();
        }
        t.expect(&[want(A, WRITE)]);
    }

    fn goes_on(backend: Backend) {
        let mut t = Tester::new(backend);
        let (mut a, b) = pair();
        t.register(&mut a, A, BOTH);
        t.expect(&[want(A, WRITE).or(READ)]);
        assert!(drain(&a).is_empty());
        send(&a, b", sent");
        let mut received = Vec::new();
        while received.len() < BYTES.len() + 6 {
            await_bytes(&b);
            received.extend(drain(&b));
        }
        assert_eq!(received, [BYTES, b", sent"].concat());
        send(&b, b"answer");
        await_bytes(&a);
        t.expect(&[want(A, READ).or(WRITE)]);
        assert_eq!(drain(&a), b"answer");
    }

    fn done() -> (Box<dyn Source>, Box<dyn Any>) {
        let (a, b) = pair();
        made(a, b)
    }

    /// Whether the kernel lacks it, such as qemu's emulated one.
    pub fn is_lacking() -> bool {
        allow(&std_tcp_pair().0).is_err()
    }

    fn allow(socket: &impl AsRawFd) -> io::Result<()> {
        let on: libc::c_int = 1;
        let length = std::mem::size_of_val(&on) as libc::socklen_t;
        let value = (&on as *const libc::c_int).cast();
        // SAFETY: the option is an int.
        match unsafe {
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ZEROCOPY, value, length)
        } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// A healthy connection with a completion that has not been taken.
    fn pair() -> (TcpStream, TcpStream) {
        let (a, b) = tcp_pair();
        allow(&a).unwrap();
        // SAFETY: the bytes live for ever.
        let sent =
            unsafe { libc::send(a.as_raw_fd(), BYTES.as_ptr().cast(), BYTES.len(), libc::MSG_ZEROCOPY) };
        assert_eq!(sent, BYTES.len() as isize, "{}", io::Error::last_os_error());
        let deadline = Instant::now() + PATIENCE;
        while !has_error(&a) {
            assert!(Instant::now() < deadline, "the transfer is never done");
            thread::yield_now();
        }
        (a, b)
    }

    fn has_error(socket: &impl AsRawFd) -> bool {
        let mut fd = libc::pollfd { fd: socket.as_raw_fd(), events: 0, revents: 0 };
        // SAFETY: one pollfd.
        unsafe { libc::poll(&mut fd, 1, 0) == 1 && fd.revents & libc::POLLERR != 0 }
    }
}

#[cfg(windows)]
mod special {
    use std::any::Any;
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use wakeful::event::Source;
    use wakeful::windows::NamedPipe;
    use wakeful::{Events, Poll};

    use super::{made, Row, A, BOTH};

    pub const ROWS: &[Row] = &[
        ("named pipe, open", open, ["-", "W", "W"]),
        ("named pipe, peer has gone", gone, ["Rr", "W", "RWr"]),
        ("named pipe, peer has gone, data left", gone_with_data, ["R", "W", "RW"]),
    ];

    /// A client, and its server with a poll.
    fn pair() -> (NamedPipe, NamedPipe, Poll) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!(r"\\.\pipe\wakeful-states-{}-{number}", std::process::id());
        let mut server = NamedPipe::new(&name).unwrap();
        let poll = Poll::new().unwrap();
        poll.registry().register(&mut server, A, BOTH).unwrap();
        let client = NamedPipe::open(&name).unwrap();
        server.connect().unwrap();
        (client, server, poll)
    }

    fn open() -> (Box<dyn Source>, Box<dyn Any>) {
        let (client, server, poll) = pair();
        made(client, (server, poll))
    }

    fn gone() -> (Box<dyn Source>, Box<dyn Any>) {
        let (client, server, poll) = pair();
        drop(server);
        made(client, poll)
    }

    fn gone_with_data() -> (Box<dyn Source>, Box<dyn Any>) {
        let (client, mut server, mut poll) = pair();
        server.write_all(b"left").unwrap();
        poll.poll(&mut Events::with_capacity(8), Some(Duration::ZERO)).unwrap();
        drop(server);
        made(client, poll)
    }
}
