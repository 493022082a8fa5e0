//! A program in steps that makes every system call of the library.
//!
//! A step that fails changes nothing, so that it can be repeated, by another thread too.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as std_unix;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wakeful::event::Source;
use wakeful::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use wakeful::process::ChildExit;
use wakeful::unix::pipe::{self, Receiver, Sender};
use wakeful::unix::SourceFd;
use wakeful::{Backend, Events, Interest, Poll, Registry, Token, Waker};

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

const WAKE: Token = Token(0);
const LISTENER: Token = Token(1);
const CLIENT: Token = Token(2);
const SERVER: Token = Token(3);
const SERVER_AGAIN: Token = Token(4);
const UDP: Token = Token(5);
const UNIX_LISTENER: Token = Token(6);
const UNIX: Token = Token(7);
const PIPE: Token = Token(8);
const RAW: Token = Token(9);
const LATE: Token = Token(10);
const LATE_AGAIN: Token = Token(11);
const CHILD: Token = Token(12);
const CHILD_AGAIN: Token = Token(13);
/// Each registration of the source that is registered in each mode.
const MODES: [Token; 9] =
    [Token(20), Token(21), Token(22), Token(23), Token(24), Token(25), Token(26), Token(27), Token(28)];
/// The token of the epoll backend's notifier, which then has to move.
const MARK: Token = Token(0x6e6f_7469_6679_2121);

/// How long to wait for an event: after that it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Step {
    /// The function of the library that it calls.
    pub name: &'static str,
    run: Run,
}

type Run = Box<dyn Fn(&mut World) -> io::Result<()> + Send + Sync>;

impl Step {
    pub fn run(&self, world: &mut World) -> io::Result<()> {
        (self.run)(world)
    }
}

/// The sources of the steps. Each field is set once its step has succeeded.
pub struct World {
    backend: Backend,
    poll: Option<(Poll, Events)>,
    registry: Option<Registry>,
    waker: Option<Waker>,
    /// Events that were reported and not yet waited for: a token, and whether it is readable.
    came: BTreeSet<(Token, bool)>,
    listener: Option<TcpListener>,
    address: Option<SocketAddr>,
    client: Option<TcpStream>,
    server: Option<TcpStream>,
    udp: Option<(UdpSocket, SocketAddr)>,
    marked: Option<UdpSocket>,
    unix_listener: Option<UnixListener>,
    unix: Option<(UnixStream, UnixStream)>,
    unix_client: Option<UnixStream>,
    accepted: Option<UnixStream>,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
    /// A descriptor that the library doesn't own, and its peer.
    raw: Option<(std_unix::UnixStream, std_unix::UnixStream)>,
    late: Option<(UnixStream, std_unix::UnixStream)>,
    moded: Option<(UnixStream, std_unix::UnixStream)>,
    child: Option<(Child, Option<ChildExit>)>,
    sleeper: Option<Sleeper>,
}

type Sleeper = JoinHandle<(Poll, Events, BTreeSet<(Token, bool)>)>;

impl World {
    pub fn new(backend: Backend) -> World {
        World {
            backend,
            poll: None,
            registry: None,
            waker: None,
            came: BTreeSet::new(),
            listener: None,
            address: None,
            client: None,
            server: None,
            udp: None,
            marked: None,
            unix_listener: None,
            unix: None,
            unix_client: None,
            accepted: None,
            sender: None,
            receiver: None,
            raw: None,
            late: None,
            moded: None,
            child: None,
            sleeper: None,
        }
    }

    fn registry(&self) -> &Registry {
        self.registry.as_ref().expect("a poll")
    }

    fn poll(&mut self) -> &mut (Poll, Events) {
        self.poll.as_mut().expect("a poll without a sleeping thread")
    }
}

pub fn steps() -> Vec<Step> {
    let mut steps = Steps(Vec::new());
    steps.tcp();
    steps.udp();
    steps.unix();
    steps.pipes();
    steps.raw();
    steps.modes();
    steps.child();
    steps.timeouts();
    steps.sleepers();
    steps.mark();
    steps.end();
    steps.0
}

struct Steps(Vec<Step>);

impl Steps {
    fn step(
        &mut self,
        name: &'static str,
        run: impl Fn(&mut World) -> io::Result<()> + Send + Sync + 'static,
    ) {
        self.0.push(Step { name, run: Box::new(run) });
    }

    /// Polls until `token` is reported, and fails if it isn't.
    fn event(&mut self, token: Token, direction: Interest) {
        self.step("Poll::poll", move |w| {
            let deadline = Instant::now() + PATIENCE;
            let key = (token, direction.is_readable());
            while !w.came.remove(&key) {
                assert!(Instant::now() < deadline, "lost: {token:?}, {direction:?}");
                let (poll, events) = w.poll();
                poll.poll_until(events, deadline)?;
                let came = tokens(events);
                w.came.extend(came);
            }
            Ok(())
        });
    }

    fn register<S: Source>(
        &mut self,
        token: Token,
        interest: Interest,
        source: impl Fn(&mut World) -> &mut S + Send + Sync + 'static,
    ) {
        self.step("Registry::register", move |w| {
            let registry = w.registry().try_clone()?;
            registry.register(source(w), token, interest)
        });
    }

    fn reregister<S: Source>(
        &mut self,
        token: Token,
        interest: Interest,
        source: impl Fn(&mut World) -> &mut S + Send + Sync + 'static,
    ) {
        self.step("Registry::reregister", move |w| {
            let registry = w.registry().try_clone()?;
            registry.reregister(source(w), token, interest)
        });
    }

    fn deregister<S: Source>(&mut self, source: impl Fn(&mut World) -> &mut S + Send + Sync + 'static) {
        self.step("Registry::deregister", move |w| {
            let registry = w.registry().try_clone()?;
            registry.deregister(source(w))
        });
    }

    fn write<S: Write>(&mut self, sink: impl Fn(&mut World) -> &mut S + Send + Sync + 'static) {
        self.step("Write::write", move |w| {
            assert_eq!(sink(w).write(b"hello")?, 5);
            Ok(())
        });
    }

    /// Reads the bytes of [`write`](Steps::write) until `WouldBlock`.
    fn read<S: Read>(&mut self, source: impl Fn(&mut World) -> &mut S + Send + Sync + Copy + 'static) {
        self.step("Read::read", move |w| {
            let mut buf = [0; 5];
            assert_eq!((source(w).read(&mut buf)?, &buf), (5, b"hello"));
            Ok(())
        });
        self.blocks(source);
    }

    fn write_vectored<S: Write>(&mut self, sink: impl Fn(&mut World) -> &mut S + Send + Sync + 'static) {
        self.step("Write::write_vectored", move |w| {
            assert_eq!(sink(w).write_vectored(&[IoSlice::new(b"hel"), IoSlice::new(b"lo")])?, 5);
            Ok(())
        });
    }

    fn read_vectored<S: Read>(
        &mut self,
        source: impl Fn(&mut World) -> &mut S + Send + Sync + Copy + 'static,
    ) {
        self.step("Read::read_vectored", move |w| {
            let (mut one, mut two) = ([0; 2], [0; 3]);
            let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
            assert_eq!(source(w).read_vectored(&mut bufs)?, 5);
            assert_eq!((&one, &two), (b"he", b"llo"));
            Ok(())
        });
        self.blocks(source);
    }

    fn blocks<S: Read>(&mut self, source: impl Fn(&mut World) -> &mut S + Send + Sync + 'static) {
        self.step("Read::read", move |w| blocked(source(w).read(&mut [0; 8])));
    }

    fn tcp(&mut self) {
        self.step("Poll::with_backend", |w| {
            let poll = Poll::with_backend(w.backend)?;
            w.registry = Some(poll.registry().try_clone()?);
            w.poll = Some((poll, Events::with_capacity(16)));
            Ok(())
        });
        self.step("Waker::new", |w| {
            w.waker = Some(Waker::new(w.registry(), WAKE)?);
            Ok(())
        });
        self.step("TcpListener::bind", |w| {
            w.listener = Some(TcpListener::bind(own_address())?);
            Ok(())
        });
        self.step("TcpListener::local_addr", |w| {
            w.address = Some(listener(w).local_addr()?);
            Ok(())
        });
        self.register(LISTENER, READ, listener);
        self.step("TcpStream::connect", |w| {
            w.client = Some(TcpStream::connect(w.address.unwrap())?);
            Ok(())
        });
        self.register(CLIENT, BOTH, client);
        self.event(LISTENER, READ);
        self.step("TcpListener::accept", |w| {
            w.server = Some(listener(w).accept()?.0);
            Ok(())
        });
        self.step("TcpListener::accept", |w| blocked(listener(w).accept()));
        self.register(SERVER, BOTH, server);
        self.event(CLIENT, WRITE);
        self.event(SERVER, WRITE);
        self.step("TcpStream::take_error", |w| {
            assert!(client(w).take_error()?.is_none());
            Ok(())
        });
        self.step("TcpStream::peer_addr", |w| {
            assert_eq!(Some(client(w).peer_addr()?), w.address);
            Ok(())
        });
        self.step("TcpStream::set_nodelay", |w| client(w).set_nodelay(true));
        self.write(client);
        self.event(SERVER, READ);
        self.step("TcpStream::peek", |w| {
            assert_eq!(server(w).peek(&mut [0; 5])?, 5);
            Ok(())
        });
        self.read(server);
        self.write_vectored(server);
        self.event(CLIENT, READ);
        self.read_vectored(client);
        self.reregister(SERVER_AGAIN, READ, server);
        self.write(client);
        self.event(SERVER_AGAIN, READ);
        self.read(server);
    }

    fn udp(&mut self) {
        self.step("UdpSocket::bind", |w| {
            let socket = UdpSocket::bind(own_address())?;
            let address = socket.local_addr()?;
            w.udp = Some((socket, address));
            Ok(())
        });
        self.register(UDP, READ, |w| &mut w.udp.as_mut().unwrap().0);
        for _ in 0..2 {
            self.step("UdpSocket::send_to", |w| {
                let (socket, address) = w.udp.as_ref().unwrap();
                socket.send_to(b"hello", *address).map(|_| ())
            });
            self.event(UDP, READ);
            self.step("UdpSocket::recv_from", |w| {
                let (socket, address) = w.udp.as_ref().unwrap();
                assert_eq!(socket.recv_from(&mut [0; 8])?, (5, *address));
                Ok(())
            });
            self.step("UdpSocket::recv_from", |w| blocked(w.udp.as_ref().unwrap().0.recv_from(&mut [0; 8])));
        }
    }

    fn unix(&mut self) {
        self.step("UnixStream::pair", |w| {
            w.unix = Some(UnixStream::pair()?);
            Ok(())
        });
        self.register(UNIX, READ, |w| &mut w.unix.as_mut().unwrap().0);
        self.write(|w| &mut w.unix.as_mut().unwrap().1);
        self.event(UNIX, READ);
        self.read(|w| &mut w.unix.as_mut().unwrap().0);
        self.step("UnixListener::bind", |w| {
            let name = format!("wakeful-faults-{}", std::process::id());
            let address = std_unix::SocketAddr::from_abstract_name(name)?;
            w.unix_listener = Some(UnixListener::bind_addr(&address)?);
            Ok(())
        });
        self.register(UNIX_LISTENER, READ, |w| w.unix_listener.as_mut().unwrap());
        self.step("UnixStream::connect", |w| {
            let name = format!("wakeful-faults-{}", std::process::id());
            let address = std_unix::SocketAddr::from_abstract_name(name)?;
            w.unix_client = Some(UnixStream::connect_addr(&address)?);
            Ok(())
        });
        self.event(UNIX_LISTENER, READ);
        self.step("UnixListener::accept", |w| {
            w.accepted = Some(w.unix_listener.as_ref().unwrap().accept()?.0);
            Ok(())
        });
    }

    fn pipes(&mut self) {
        self.step("pipe::new", |w| {
            let (sender, receiver) = pipe::new()?;
            (w.sender, w.receiver) = (Some(sender), Some(receiver));
            Ok(())
        });
        self.register(PIPE, READ, receiver);
        for on in [false, true] {
            self.step("Sender::set_nonblocking", move |w| sender(w).set_nonblocking(on));
        }
        self.write(sender);
        self.event(PIPE, READ);
        self.read(receiver);
        self.write_vectored(sender);
        self.event(PIPE, READ);
        self.read_vectored(receiver);
    }

    /// A descriptor whose reads the library doesn't see.
    fn raw(&mut self) {
        self.step("", |w| {
            w.raw = Some(elsewhere(|| std_unix::UnixStream::pair().unwrap()));
            Ok(())
        });
        self.step("Registry::register", |w| w.registry().register(&mut SourceFd(&raw(w)), RAW, READ));
        for pause in [0, 0, 5] {
            self.step("", move |w| {
                let peer = &mut w.raw.as_mut().unwrap().1;
                elsewhere(|| {
                    peer.write_all(b"hello").unwrap();
                    // One-shot backends repeat the event of a descriptor that looks unread after a pause. Mostly the
                    // second event waits for that, which takes a varying number of checks; the third never does.
                    thread::sleep(Duration::from_millis(pause));
                });
                Ok(())
            });
            self.event(RAW, READ);
            self.step("", |w| {
                let fd = &mut w.raw.as_mut().unwrap().0;
                elsewhere(|| fd.read_exact(&mut [0; 5]).unwrap());
                // The event may be repeated before the read.
                w.came.remove(&(RAW, true));
                Ok(())
            });
        }
        self.step("Registry::reregister", |w| w.registry().reregister(&mut SourceFd(&raw(w)), RAW, BOTH));
        self.event(RAW, WRITE);
        self.step("Registry::deregister", |w| w.registry().deregister(&mut SourceFd(&raw(w))));
        // A regular file is always ready, and refused.
        self.step("Registry::register", |w| {
            let file = elsewhere(|| File::open("/proc/self/exe").unwrap());
            let result = w.registry().register(&mut SourceFd(&file.as_raw_fd()), RAW, READ);
            elsewhere(|| drop(file));
            match result {
                Ok(()) => panic!("a regular file was registered"),
                Err(e) if e.raw_os_error() == Some(libc::EPERM) => Ok(()),
                Err(e) => Err(e),
            }
        });
    }

    /// A source in one mode after the other, tracked and as a raw descriptor.
    fn modes(&mut self) {
        self.step("", |w| {
            let (one, other) = elsewhere(|| std_unix::UnixStream::pair().unwrap());
            elsewhere(|| one.set_nonblocking(true).unwrap());
            w.moded = Some((UnixStream::from_std(one), other));
            Ok(())
        });
        let [level, once, again, edge, exclusive, other, plain, end, last] = MODES;
        self.register(level, READ.level(), moded);
        self.write_to_moded();
        for _ in 0..3 {
            self.event(level, READ);
        }
        for (token, interest) in [(once, READ.one_shot()), (again, BOTH.one_shot())] {
            self.reregister(token, interest, moded);
            self.event(token, READ);
            self.no_event(token);
        }
        self.reregister(edge, READ.edge_one_shot(), moded);
        self.event(edge, READ);
        self.read(moded);
        self.write_to_moded();
        self.no_event(edge);
        // The kernel can't modify these: an error in the middle of the replacement ends the registration.
        for (token, interest) in [(exclusive, READ.exclusive()), (other, READ.exclusive()), (plain, READ)] {
            self.reregister_exclusive(token, interest);
            self.event(token, READ);
            self.read(moded);
            self.write_to_moded();
            self.event(token, READ);
        }
        self.read(moded);
        self.reregister(end, Interest::END.one_shot(), moded);
        self.write_to_moded();
        self.no_event(end);
        self.deregister(moded);

        self.step("Registry::register", move |w| {
            let fd = moded(w).as_raw_fd();
            w.registry().register(&mut SourceFd(&fd), last, READ.one_shot())
        });
        for _ in 0..2 {
            self.event(last, READ);
            self.no_event(last);
            self.step("Registry::reregister", move |w| {
                let fd = moded(w).as_raw_fd();
                w.registry().reregister(&mut SourceFd(&fd), last, READ.one_shot())
            });
        }
        self.event(last, READ);
        self.step("Registry::deregister", |w| {
            let fd = moded(w).as_raw_fd();
            w.registry().deregister(&mut SourceFd(&fd))
        });
    }

    fn write_to_moded(&mut self) {
        self.step("", |w| {
            let peer = &mut w.moded.as_mut().unwrap().1;
            elsewhere(|| peer.write_all(b"hello").unwrap());
            Ok(())
        });
    }

    /// As [`reregister`](Steps::reregister), to or from an exclusive registration, which an error may have ended. Then
    /// the source can be registered again.
    fn reregister_exclusive(&mut self, token: Token, interest: Interest) {
        self.step("Registry::reregister", move |w| {
            let registry = w.registry().try_clone()?;
            match registry.reregister(moded(w), token, interest) {
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    let ended = registry.deregister(moded(w)).expect_err("a registration that doesn't exist");
                    assert_eq!(ended.kind(), ErrorKind::NotFound);
                    registry.register(moded(w), token, interest)
                }
                result => result,
            }
        });
    }

    /// Fails if `token` is reported.
    fn no_event(&mut self, token: Token) {
        self.step("Poll::poll", move |w| {
            let (poll, events) = w.poll();
            poll.poll(events, Some(Duration::ZERO))?;
            let came = tokens(events);
            w.came.extend(came);
            assert!(!w.came.contains(&(token, true)), "a second event of {token:?}, or one for data");
            Ok(())
        });
    }

    /// A child that has ended: so each poll finds its event at once.
    fn child(&mut self) {
        self.step("", |w| {
            w.child = Some((elsewhere(ended_child), None));
            Ok(())
        });
        self.step("ChildExit::new", |w| {
            let (child, exit) = w.child.as_mut().unwrap();
            *exit = Some(ChildExit::new(child)?);
            Ok(())
        });
        self.register(CHILD, READ, exit);
        self.event(CHILD, READ);
        self.no_event(CHILD);
        self.reregister(CHILD_AGAIN, READ.level(), exit);
        self.event(CHILD_AGAIN, READ);
        self.deregister(exit);
        self.step("", |w| {
            w.came.remove(&(CHILD_AGAIN, true));
            let (mut child, _) = w.child.take().unwrap();
            assert!(elsewhere(|| child.wait().unwrap()).success());
            Ok(())
        });
    }

    fn timeouts(&mut self) {
        // Shortened by the timer slack, none is a whole number of milliseconds, so each uses the call that counts
        // nanoseconds.
        for timeout in [2000, 1500, 500, 250] {
            self.step("Poll::poll", move |w| {
                let timeout = Duration::from_micros(timeout);
                let start = Instant::now();
                let (poll, events) = w.poll();
                poll.poll(events, Some(timeout))?;
                assert!(!events.is_empty() || start.elapsed() >= timeout, "early and empty");
                let came = tokens(events);
                w.came.extend(came);
                Ok(())
            });
        }
    }

    /// The ways to wake a thread that sleeps in the poll.
    fn sleepers(&mut self) {
        self.asleep();
        self.wake();
        self.awake(WAKE);

        self.step("", |w| {
            let (one, mut other) = elsewhere(|| std_unix::UnixStream::pair().unwrap());
            elsewhere(|| {
                one.set_nonblocking(true).unwrap();
                other.write_all(b"hello").unwrap();
            });
            w.late = Some((UnixStream::from_std(one), other));
            Ok(())
        });
        self.asleep();
        self.register(LATE, READ, late);
        self.awake(LATE);

        self.asleep();
        self.reregister(LATE_AGAIN, READ, late);
        self.awake(LATE_AGAIN);

        self.asleep();
        self.read(late);
        self.step("", |w| {
            let peer = &mut w.late.as_mut().unwrap().1;
            elsewhere(|| peer.write_all(b"hello").unwrap());
            Ok(())
        });
        self.awake(LATE_AGAIN);

        self.asleep();
        self.deregister(late);
        self.wake();
        self.awake(WAKE);

        // After `as_raw_fd` each wake is written.
        self.step("Poll::as_raw_fd", |w| {
            let _ = w.poll().0.as_raw_fd();
            Ok(())
        });
        for _ in 0..3 {
            self.wake();
            self.event(WAKE, READ);
        }
    }

    fn wake(&mut self) {
        self.step("Waker::wake", |w| w.waker.as_ref().unwrap().wake());
    }

    /// Lets another thread sleep in the poll.
    fn asleep(&mut self) {
        self.step("", |w| {
            let (mut poll, mut events) = w.poll.take().expect("a poll without a sleeping thread");
            let id = Arc::new(AtomicI32::new(0));
            let its = Arc::clone(&id);
            w.sleeper = Some(thread::spawn(move || {
                // SAFETY: takes nothing, and always succeeds.
                its.store(unsafe { libc::gettid() }, Ordering::Release);
                let deadline = Instant::now() + PATIENCE;
                poll.poll_until(&mut events, deadline).unwrap();
                assert!(Instant::now() < deadline, "it slept on, and then found {events:?}");
                let came = tokens(&events);
                (poll, events, came)
            }));
            elsewhere(|| until_asleep(&id));
            Ok(())
        });
    }

    /// Fails unless an event of `token`, and no other, has woken the sleeper.
    fn awake(&mut self, token: Token) {
        self.step("", move |w| {
            let (poll, events, came) = w.sleeper.take().unwrap().join().expect("the sleeper");
            assert_eq!(came, BTreeSet::from([(token, true)]));
            w.poll = Some((poll, events));
            Ok(())
        });
    }

    fn mark(&mut self) {
        self.step("UdpSocket::bind", |w| {
            w.marked = Some(UdpSocket::bind(own_address())?);
            Ok(())
        });
        self.register(MARK, WRITE, |w| w.marked.as_mut().unwrap());
        self.event(MARK, WRITE);
        self.wake();
        self.event(WAKE, READ);
        self.deregister(|w| w.marked.as_mut().unwrap());
        self.step("", |w| {
            // An event of the notifier may have been queued when it moved.
            w.came.remove(&(MARK, true));
            Ok(())
        });
        self.wake();
        self.event(WAKE, READ);
        self.step("", |w| {
            assert!(!w.came.contains(&(MARK, true)), "an event of what was deregistered");
            Ok(())
        });
    }

    /// Some sources are deregistered; the others are dropped as they are.
    fn end(&mut self) {
        self.step("TcpStream::shutdown", |w| client(w).shutdown(Shutdown::Write));
        self.event(SERVER_AGAIN, READ);
        self.step("Read::read", |w| {
            assert_eq!(server(w).read(&mut [0; 8])?, 0);
            Ok(())
        });
        self.deregister(listener);
        self.deregister(server);
        self.deregister(receiver);
        self.step("drop", |w| {
            *w = World::new(w.backend);
            Ok(())
        });
    }
}

/// An address of this process alone: other processes may connect to any port of 127.0.0.1.
fn own_address() -> SocketAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    (Ipv4Addr::new(127, high | 128, middle, low), 0).into()
}

fn listener(w: &mut World) -> &mut TcpListener {
    w.listener.as_mut().unwrap()
}

fn client(w: &mut World) -> &mut TcpStream {
    w.client.as_mut().unwrap()
}

fn server(w: &mut World) -> &mut TcpStream {
    w.server.as_mut().unwrap()
}

fn sender(w: &mut World) -> &mut Sender {
    w.sender.as_mut().unwrap()
}

fn receiver(w: &mut World) -> &mut Receiver {
    w.receiver.as_mut().unwrap()
}

fn moded(w: &mut World) -> &mut UnixStream {
    &mut w.moded.as_mut().unwrap().0
}

fn exit(w: &mut World) -> &mut ChildExit {
    w.child.as_mut().unwrap().1.as_mut().unwrap()
}

fn late(w: &mut World) -> &mut UnixStream {
    &mut w.late.as_mut().unwrap().0
}

fn raw(w: &World) -> i32 {
    w.raw.as_ref().unwrap().0.as_raw_fd()
}

fn tokens(events: &Events) -> BTreeSet<(Token, bool)> {
    let mut came = BTreeSet::new();
    for event in events {
        came.extend(event.is_readable().then_some((event.token(), true)));
        came.extend(event.is_writable().then_some((event.token(), false)));
    }
    came
}

fn blocked<T: std::fmt::Debug>(result: io::Result<T>) -> io::Result<()> {
    match result {
        Ok(found) => panic!("this was not to be: {found:?}"),
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(e) => Err(e),
    }
}

/// Runs code that isn't the library's in a thread without faults.
fn elsewhere<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(run).join().unwrap())
}

/// A child that has ended, and that the program hasn't waited for.
fn ended_child() -> Child {
    let child = Command::new("true").spawn().unwrap();
    // SAFETY: `waitid` accepts a null pointer for the status.
    let ended = unsafe {
        let look = libc::WEXITED | libc::WNOWAIT;
        libc::waitid(libc::P_PID, child.id() as libc::id_t, std::ptr::null_mut(), look)
    };
    assert_eq!(ended, 0);
    child
}

/// Waits until the thread sleeps in the kernel, and not for a lock.
fn until_asleep(thread: &AtomicI32) {
    let waits = [libc::SYS_epoll_wait, libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_ppoll];
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "it doesn't sleep");
        let folder = format!("/proc/self/task/{}", thread.load(Ordering::Acquire));
        let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).unwrap_or_default();
        let call = read("syscall");
        let number = call.split(' ').next().and_then(|number| number.parse().ok());
        // "1234 (name) S ..."
        let sleeps = read("stat").rsplit(") ").next().is_some_and(|stat| stat.starts_with('S'));
        if sleeps && number.is_some_and(|number: libc::c_long| waits.contains(&number)) {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}
