//! Promise 1 for flags of the kernel that persist although no operation clears them: an unread error queue, a socket
//! that is shut down, room that another socket takes. Each causes an event or a few, not one after each `WouldBlock`,
//! and other changes still cause events.
//!
//! The program is the same on every backend: after each event it operates until `WouldBlock`. Its events are counted
//! against epoll's.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::SockRef;
use wakeful::event::{Event, Source};
use wakeful::net::{TcpStream, UdpSocket, UnixDatagram};
use wakeful::unix::{pipe, SourceFd};
use wakeful::{Backend, Interest, IoSource, Registry, Token};

use crate::linux_terminals::terminal;
use crate::support::*;

on_every_backend![
    an_error_queue_that_is_not_read,
    data_beside_an_unread_error,
    an_error_queue_that_is_read,
    completions_that_are_not_read,
    data_beside_an_unread_completion,
    timestamps_that_are_not_read,
    a_shut_down_datagram_socket,
    a_terminal_that_has_gone_and_is_full,
    a_full_queue_of_another,
    priority_data_that_is_not_read,
    an_overrun,
    an_end_that_is_not_read,
    a_process_that_has_ended,
    a_file_that_can_be_watched,
];

/// How long events are counted.
const WINDOW: Duration = Duration::from_millis(200);

/// A state: a source, and the values that keep it so.
type Made<S> = (S, Box<dyn std::any::Any>);

/// Returns the number of events of a source within the window, with `operate` after each. `make` brings the source
/// into the state.
fn count<S: Source>(
    backend: Backend,
    interest: Interest,
    make: &dyn Fn() -> Made<S>,
    operate: &dyn Fn(&S, &Event),
) -> usize {
    let mut t = Tester::new(backend);
    let (mut source, _keep) = make();
    t.register(&mut source, A, interest);
    let deadline = Instant::now() + WINDOW;
    let mut count = 0;
    while Instant::now() < deadline {
        t.poll_until(deadline);
        for event in &t.events {
            count += 1;
            operate(&source, event);
        }
    }
    count
}

/// Fails for more than `more` events beyond epoll's.
#[track_caller]
fn compare<S: Source>(
    backend: Backend,
    interest: Interest,
    more: usize,
    make: impl Fn() -> Made<S>,
    operate: impl Fn(&S, &Event),
) {
    let epolls = count(Backend::Epoll, interest, &make, &operate);
    assert!(epolls > 0, "epoll reports nothing, so this shows nothing");
    at_most(backend, interest, epolls + more, make, operate);
}

/// Fails for no event, and for more than `most`, except with epoll, which is the reference.
#[track_caller]
fn at_most<S: Source>(
    backend: Backend,
    interest: Interest,
    most: usize,
    make: impl Fn() -> Made<S>,
    operate: impl Fn(&S, &Event),
) {
    let found = count(backend, interest, &make, &operate);
    assert!(found > 0, "{interest:?}: nothing");
    assert!(found <= most || backend == Backend::Epoll, "{interest:?}: {found} events, not {most}");
}

/// A descriptor whose operations are not seen.
struct Raw(OwnedFd);

impl Source for Raw {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).register(registry, token, interest)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).deregister(registry)
    }
}

#[track_caller]
fn set(socket: &impl AsRawFd, level: i32, name: i32, value: i32) {
    let length = std::mem::size_of_val(&value) as libc::socklen_t;
    let value: *const i32 = &value;
    // SAFETY: `value` is as long as stated.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.cast(), length) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

fn recv(socket: &impl AsRawFd, flags: i32) -> io::Result<usize> {
    let mut buf = [0_u8; 512];
    // SAFETY: `buf` is as long as stated.
    let n = unsafe { libc::recv(socket.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), flags) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Until `WouldBlock`, whatever errors come before.
fn until_it_blocks<T>(mut operation: impl FnMut() -> io::Result<T>) {
    for _ in 0..100_000 {
        match operation() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => return,
            _ => {}
        }
    }
    panic!("it never blocks");
}

/// A socket that has sent to a port where nothing listens, with the error in its queue.
fn refused() -> Made<UdpSocket> {
    let (keep, unused) = refusing_udp();
    let (a, _) = udp();
    set(&a, libc::IPPROTO_IP, libc::IP_RECVERR, 1);
    a.connect(unused).unwrap();
    a.send(b"question").unwrap();
    (a, Box::new(keep))
}

fn receive(socket: &UdpSocket, _: &Event) {
    until_it_blocks(|| socket.recv(&mut [0; 16]));
}

fn receive_unknown(socket: &UdpSocket, _: &Event) {
    until_it_blocks(|| socket.try_io(|| recv(socket, 0)));
}

fn an_error_queue_that_is_not_read(backend: Backend) {
    for interest in [READ, BOTH] {
        // Each error that an operation returns allows one more.
        compare(backend, interest, 2, refused, receive);
        compare(backend, interest, 14, refused, receive_unknown);
        // A program that only takes the error, so that no operation blocks.
        compare(backend, interest, 2, refused, |socket, _| drop(socket.take_error().unwrap()));
    }
}

/// A change meanwhile causes an event.
fn data_beside_an_unread_error(backend: Backend) {
    let mut t = Tester::new(backend);
    let (peer, to_peer) = refusing_udp();
    let (mut a, to_a) = udp();
    set(&a, libc::IPPROTO_IP, libc::IP_RECVERR, 1);
    a.connect(to_peer).unwrap();
    patiently(|| a.send(b"question")).unwrap();
    t.register(&mut a, A, READ);
    let peer = peer.unwrap();
    peer.connect(to_a).unwrap();
    for round in 0..10 {
        let deadline = Instant::now() + Duration::from_millis(20 * round);
        while Instant::now() < deadline {
            t.poll_until(deadline);
            t.events.iter().for_each(|event| receive(&a, event));
        }
        patiently(|| peer.send(b"here")).unwrap();
        let received = Cell::new(0);
        while received.get() < 1 {
            assert!(!t.poll_for(PATIENCE).is_empty());
            until_it_blocks(|| a.recv(&mut [0; 16]).map(|_| received.set(received.get() + 1)));
        }
    }
}

fn an_error_queue_that_is_read(backend: Backend) {
    for unknown in [false, true] {
        for interest in [READ, BOTH] {
            let mut t = Tester::new(backend);
            let (mut a, _keep) = refused();
            t.register(&mut a, A, interest);
            for _ in 0..10 {
                let read = |flags| match unknown {
                    true => a.try_io(|| recv(&a, flags)),
                    false => a.try_io_with(READ, || recv(&a, flags)),
                };
                let entries = Cell::new(0);
                while entries.get() == 0 {
                    assert!(!t.poll_for(PATIENCE).is_empty());
                    until_it_blocks(|| read(0));
                    until_it_blocks(|| read(libc::MSG_ERRQUEUE).map(|_| entries.set(entries.get() + 1)));
                }
                assert_eq!(entries.get(), 1);
                patiently(|| a.send(b"question")).unwrap();
            }
        }
    }
}

const SO_ZEROCOPY: i32 = 60;
const MSG_ZEROCOPY: i32 = 0x400_0000;

/// A connection with a completion in its error queue.
fn completed() -> Made<TcpStream> {
    const COUNT: usize = 4096;
    static BYTES: [u8; COUNT] = [7; COUNT];
    let (a, mut b) = tcp_pair_with_std();
    set(&a, libc::SOL_SOCKET, SO_ZEROCOPY, 1);
    // SAFETY: the bytes stay as they are for ever.
    let sent = unsafe { libc::send(a.as_raw_fd(), BYTES.as_ptr().cast(), BYTES.len(), MSG_ZEROCOPY) };
    assert_eq!(sent, BYTES.len() as isize, "{}", io::Error::last_os_error());
    b.read_exact(&mut [0; COUNT]).unwrap();
    wait_until("the completion", || has_error(&a));
    (a, Box::new(b))
}

fn completions_that_are_not_read(backend: Backend) {
    for interest in [READ, BOTH] {
        compare(backend, interest, 2, completed, |mut stream, _| {
            until_it_blocks(|| stream.read(&mut [0; 64]));
        });
    }
}

/// The connection goes on, also for programs that stop after a short read.
fn data_beside_an_unread_completion(backend: Backend) {
    for stops_when_short in [false, true] {
        let mut t = Tester::new(backend);
        let (mut a, b) = completed();
        let mut b = b.downcast::<std::net::TcpStream>().unwrap();
        t.register(&mut a, A, BOTH);
        for _ in 0..10 {
            b.write_all(b"ping").unwrap();
            let mut came = 0;
            while came < 4 {
                assert!(!t.poll_for(PATIENCE).is_empty());
                loop {
                    match (&a).read(&mut [0; 64]) {
                        Ok(n) => came += n,
                        Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                        Err(e) => panic!("{e}"),
                    }
                    if stops_when_short {
                        break;
                    }
                }
            }
            assert_eq!(came, 4);
        }
    }
}

/// Whether poll(2) says that there is an error.
fn has_error(fd: &impl AsRawFd) -> bool {
    let mut fd = libc::pollfd { fd: fd.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one pollfd.
    unsafe { libc::poll(&mut fd, 1, 0) == 1 && fd.revents & libc::POLLERR != 0 }
}

fn timestamps_that_are_not_read(backend: Backend) {
    const SO_SELECT_ERR_QUEUE: i32 = 45;
    // Of what is sent, by software, without the datagram itself.
    const FLAGS: u32 = libc::SOF_TIMESTAMPING_TX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE | 1 << 11;
    for with_priority in [0, 1] {
        let make = || {
            let (peer, to_peer) = udp();
            let (a, _) = udp();
            set(&a, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, FLAGS as i32);
            set(&a, libc::SOL_SOCKET, SO_SELECT_ERR_QUEUE, with_priority);
            a.send_to(b"now", to_peer).unwrap();
            wait_until("the timestamp", || has_error(&a));
            (a, Box::new(peer) as Box<dyn std::any::Any>)
        };
        compare(backend, READ, 2, make, receive);
        compare(backend, BOTH, 14, make, receive_unknown);
        compare(backend, READ | Interest::PRIORITY, 12, make, receive);
    }
}

fn a_shut_down_datagram_socket(backend: Backend) {
    for how in [Shutdown::Both, Shutdown::Read] {
        let make = || {
            let (peer, to_peer) = udp();
            let (a, _) = udp();
            a.connect(to_peer).unwrap();
            SockRef::from(&a).shutdown(how).unwrap();
            (a, Box::new(peer) as Box<dyn std::any::Any>)
        };
        for interest in [READ, BOTH] {
            compare(backend, interest, 12, make, receive);
            compare(backend, interest, 14, make, receive_unknown);
        }
    }
}

fn a_terminal_that_has_gone_and_is_full(backend: Backend) {
    let make = || {
        let (terminal, user) = terminal();
        drop(terminal);
        // SAFETY: no memory is passed.
        assert_eq!(unsafe { libc::fcntl(user.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }, 0);
        (IoSource::new(user), Box::new(()) as Box<dyn std::any::Any>)
    };
    // The kernel discards in the background the bytes that the terminal doesn't take, so there is room now and then.
    // A spurious event follows one with room. (epoll reports each failed write, and so for ever.)
    for interest in [WRITE, BOTH] {
        for unknown in [false, true] {
            let (useful, useless) = (Cell::new(0), Cell::new(0));
            let write = |user: &IoSource<std::fs::File>, _: &Event| {
                // Bytes written before its end come back; then there is an error.
                while interest.is_readable()
                    && user.try_io_with(READ, |mut user| user.read(&mut [0; 512])).is_ok()
                {}
                let mut has_written = false;
                until_it_blocks(|| {
                    let write = |mut user: &std::fs::File| user.write(&[b'x'; 512]);
                    let written = if unknown { user.try_io(write) } else { user.try_io_with(WRITE, write) };
                    has_written |= written.is_ok();
                    written
                });
                let count = if has_written { &useful } else { &useless };
                count.set(count.get() + 1);
            };
            at_most(backend, interest, usize::MAX, make, write);
            let (useful, useless) = (useful.get(), useless.get());
            assert!(
                useless <= useful + 14 || backend == Backend::Epoll,
                "{useless} useless, {useful} useful"
            );
        }
    }
}

/// The kernel reports room to send, but the receiver has none.
fn a_full_queue_of_another(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full");
    let _full = UnixDatagram::bind(&path).unwrap();
    let make = || (UnixDatagram::unbound().unwrap(), Box::new(()) as Box<dyn std::any::Any>);
    // The kernel doesn't report the receiver's room, so events make the program retry, at intervals that grow to 13
    // ms. (With epoll it retries without a pause, since each failed attempt causes an event.)
    at_most(backend, WRITE, 40, make, |socket, _| until_it_blocks(|| socket.send_to(b"full?", &path)));
}

fn priority_data_that_is_not_read(backend: Backend) {
    let make = || {
        let (a, b) = tcp_pair();
        assert_eq!(SockRef::from(&b).send_out_of_band(b"!").unwrap(), 1);
        (a, Box::new(b) as Box<dyn std::any::Any>)
    };
    compare(backend, Interest::PRIORITY, 12, make, |_, _| {});
    compare(backend, READ | Interest::PRIORITY, 14, make, |mut stream, _| {
        until_it_blocks(|| stream.read(&mut [0; 64]));
    });
}

/// A netlink socket with too little room: the one error is cleared by a receive.
fn an_overrun(backend: Backend) {
    // The group is shared by the whole machine: another test or process would be received too.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    fn group() -> u32 {
        1 << (std::process::id() % 31)
    }
    fn netlink() -> OwnedFd {
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: an address of zeroes is one; it is as long as stated, and what is made belongs to nothing else.
        unsafe {
            let fd = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_USERSOCK);
            assert!(fd >= 0, "{}", io::Error::last_os_error());
            let mut address: libc::sockaddr_nl = std::mem::zeroed();
            address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
            address.nl_groups = group();
            let length = std::mem::size_of_val(&address) as libc::socklen_t;
            assert_eq!(libc::bind(fd, std::ptr::addr_of!(address).cast(), length), 0);
            OwnedFd::from_raw_fd(fd)
        }
    }
    let make = || {
        let (receiver, sender) = (netlink(), netlink());
        set(&receiver, libc::SOL_SOCKET, libc::SO_RCVBUF, 2048);
        while !has_error(&receiver) {
            // SAFETY: an address of zeroes is one; all is as long as stated.
            unsafe {
                let mut address: libc::sockaddr_nl = std::mem::zeroed();
                address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
                address.nl_groups = group();
                let length = std::mem::size_of_val(&address) as libc::socklen_t;
                let to: *const libc::sockaddr_nl = &address;
                libc::sendto(sender.as_raw_fd(), [0_u8; 64].as_ptr().cast(), 64, 0, to.cast(), length);
            }
        }
        (IoSource::new(receiver), Box::new(sender) as Box<dyn std::any::Any>)
    };
    for interest in [READ, BOTH] {
        compare(backend, interest, 2, make, |socket, _| {
            until_it_blocks(|| socket.try_io_with(READ, |socket| recv(socket, 0)));
        });
        compare(backend, interest, 14, make, |socket, _| {
            until_it_blocks(|| socket.try_io(|socket| recv(socket, 0)));
        });
    }
}

/// Raw descriptors whose peer has gone, and which can't change any more.
fn an_end_that_is_not_read(backend: Backend) {
    let half_closed = || {
        let (a, b) = std_tcp_pair();
        (&b).write_all(b"left").unwrap();
        drop(b);
        (Raw(a.into()), Box::new(()) as Box<dyn std::any::Any>)
    };
    let ended = |left: &'static [u8]| {
        move || {
            let (mut sender, receiver) = pipe::new().unwrap();
            sender.write_all(left).unwrap();
            (Raw(receiver.into()), Box::new(()) as Box<dyn std::any::Any>)
        }
    };
    let terminal = || {
        let (terminal, user) = terminal();
        drop(terminal);
        (Raw(user.into()), Box::new(()) as Box<dyn std::any::Any>)
    };
    compare(backend, READ, 12, half_closed, |_, _| {});
    compare(backend, READ, 12, ended(b"left"), |_, _| {});
    compare(backend, READ, 1, ended(b""), |_, _| {});
    compare(backend, READ, 1, terminal, |_, _| {});
}

fn pidfd(child: &Child) -> OwnedFd {
    // SAFETY: no memory is passed; what is made belongs to nothing else.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, child.id(), 0);
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd as i32)
    }
}

/// Its descriptor is readable for ever, and nothing can be read.
fn a_process_that_has_ended(backend: Backend) {
    let counts = [Backend::Epoll, backend].map(|backend| {
        let mut t = Tester::new(backend);
        let mut children = [(); 2].map(|()| Command::new("true").spawn().unwrap());
        let mut raw = Raw(pidfd(&children[0]));
        let mut source = IoSource::new(pidfd(&children[1]));
        t.register(&mut raw, A, READ);
        t.register(&mut source, B, READ);
        t.expect(&[want(A, READ), want(B, READ)]);
        let mut counts = [0; 2];
        for count in &mut counts {
            let deadline = Instant::now() + WINDOW;
            while Instant::now() < deadline {
                t.poll_until(deadline);
                *count += t.events.iter().count();
            }
            // From now on it hangs up, too, in the newer versions of Linux.
            children.iter_mut().for_each(|child| assert!(child.wait().unwrap().success()));
        }
        counts
    });
    assert_eq!(counts[0], counts[1]);
    // And one that had ended before.
    let mut child = Command::new("true").spawn().unwrap();
    let fd = pidfd(&child);
    child.wait().unwrap();
    compare(backend, READ, 0, || (Raw(fd.try_clone().unwrap()), Box::new(())), |_, _| {});
}

/// Such as the list of mounts: it can be read at any time, and only its changes are events.
fn a_file_that_can_be_watched(backend: Backend) {
    for interest in [READ, READ | Interest::PRIORITY] {
        let open = || (Raw(std::fs::File::open("/proc/self/mounts").unwrap().into()), Box::new(()) as Box<_>);
        compare(backend, interest, 1, open, |_, _| {});
    }
}
