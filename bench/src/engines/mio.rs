use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use mio::event::Source as MioSource;
use mio::unix::pipe::Receiver;
use mio::{net, Events, Interest, Poll, Token, Waker};

use super::CAPACITY;
use crate::engine::{Engine, Source, Wake, WAKE};

pub struct Mio(Poll);

impl Engine for Mio {
    type Waker = Waker;
    type Events = Events;
    type Tcp = net::TcpStream;
    type Listener = net::TcpListener;
    type Udp = net::UdpSocket;
    type Pipe = Receiver;

    fn open() -> io::Result<Self> {
        Poll::new().map(Mio)
    }

    fn waker(&mut self) -> io::Result<Waker> {
        Waker::new(self.0.registry(), Token(WAKE))
    }

    fn events() -> Events {
        Events::with_capacity(CAPACITY)
    }

    #[inline(always)]
    fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) {
        self.0.poll(events, timeout).expect("mio's poll");
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

impl<S: MioSource> Source<Mio> for S {
    fn register(&mut self, engine: &mut Mio, token: usize) -> io::Result<()> {
        engine.0.registry().register(self, Token(token), Interest::READABLE)
    }

    fn reregister(&mut self, engine: &mut Mio, token: usize) -> io::Result<()> {
        engine.0.registry().reregister(self, Token(token), Interest::READABLE)
    }

    fn deregister(&mut self, engine: &mut Mio) -> io::Result<()> {
        engine.0.registry().deregister(self)
    }
}

impl Wake for Waker {
    fn wake(&self) {
        Waker::wake(self).expect("mio's wake");
    }
}
