use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use wakeful::event::Source as WakefulSource;
use wakeful::unix::pipe::Receiver;
use wakeful::{net, Backend, Events, Interest, Poll, Token, Waker};

use super::CAPACITY;
use crate::engine::{Engine, Source, Wake, WAKE};

pub struct Wakeful<B>(Poll, PhantomData<B>);

pub trait Choice: 'static {
    const BACKEND: Backend;
    /// How long a poll looks before it sleeps.
    const SPIN: Option<Duration> = None;

    fn competes(_row: &str) -> bool {
        true
    }
}

pub struct Epoll;
pub struct PosixPoll;
/// epoll, spinning for a while before each sleep.
pub struct Spin;

impl Choice for Epoll {
    const BACKEND: Backend = Backend::Epoll;
}

impl Choice for PosixPoll {
    const BACKEND: Backend = Backend::PosixPoll;
}

impl Choice for Spin {
    const BACKEND: Backend = Backend::Epoll;
    const SPIN: Option<Duration> = Some(Duration::from_micros(50));

    /// Where there is a sleep to be spared.
    fn competes(row: &str) -> bool {
        row.starts_with("w1-asleep") || row.starts_with("w4-pingpong")
    }
}

impl<B: Choice> Engine for Wakeful<B> {
    type Waker = Waker;
    type Events = Events;
    type Tcp = net::TcpStream;
    type Listener = net::TcpListener;
    type Udp = net::UdpSocket;
    type Pipe = Receiver;

    fn open() -> io::Result<Self> {
        let mut poll = Poll::with_backend(B::BACKEND)?;
        poll.set_spin(B::SPIN);
        Ok(Wakeful(poll, PhantomData))
    }

    fn competes(row: &str) -> bool {
        B::competes(row)
    }

    fn waker(&mut self) -> io::Result<Waker> {
        Waker::new(self.0.registry(), Token(WAKE))
    }

    fn events() -> Events {
        Events::with_capacity(CAPACITY)
    }

    #[inline(always)]
    fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) {
        self.0.poll(events, timeout).expect("wakeful's poll");
    }

    fn readable(events: &Events, mut each: impl FnMut(usize)) {
        for event in events {
            if event.is_readable() {
                each(event.token().0);
            }
        }
    }

    fn tcp(socket: std::net::TcpStream) -> net::TcpStream {
        net::TcpStream::from_std(socket)
    }

    fn listener(socket: std::net::TcpListener) -> net::TcpListener {
        net::TcpListener::from_std(socket)
    }

    fn udp(socket: std::net::UdpSocket) -> net::UdpSocket {
        net::UdpSocket::from_std(socket)
    }

    fn pipe(fd: OwnedFd) -> Receiver {
        Receiver::from(fd)
    }

    fn accept(listener: &net::TcpListener) -> io::Result<net::TcpStream> {
        listener.accept().map(|(stream, _)| stream)
    }

    fn recv_from(socket: &net::UdpSocket, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        socket.recv_from(buf)
    }

    fn send_to(socket: &net::UdpSocket, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        socket.send_to(buf, target)
    }
}

impl<B: Choice, S: WakefulSource> Source<Wakeful<B>> for S {
    fn register(&mut self, engine: &mut Wakeful<B>, token: usize) -> io::Result<()> {
        engine.0.registry().register(self, Token(token), Interest::READABLE)
    }

    fn reregister(&mut self, engine: &mut Wakeful<B>, token: usize) -> io::Result<()> {
        engine.0.registry().reregister(self, Token(token), Interest::READABLE)
    }

    fn deregister(&mut self, engine: &mut Wakeful<B>) -> io::Result<()> {
        engine.0.registry().deregister(self)
    }
}

impl Wake for Waker {
    fn wake(&self) {
        Waker::wake(self).expect("wakeful's wake");
    }
}
