//! What an engine must be able to do to be measured.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

/// A readiness library, or what is used as one. One file in `engines` each.
///
/// The workloads are generic over it, so that nothing stands between them and the library but what is here; and what
/// is here is what a program would write. All sockets come in non-blocking mode.
pub trait Engine: Sized + 'static {
    type Waker: Wake;
    type Events;
    type Tcp: Source<Self> + Read + Write;
    type Listener: Source<Self>;
    type Udp: Source<Self>;
    /// For an eventfd, which behaves like a pipe.
    type Pipe: Source<Self> + Read + AsRawFd;

    /// Takes registrations to the kernel only when it polls.
    const DEFERS: bool = false;

    fn open() -> io::Result<Self>;

    /// Whether this engine has something to say in this row.
    fn competes(_row: &str) -> bool {
        true
    }

    fn waker(&mut self) -> io::Result<Self::Waker>;
    fn events() -> Self::Events;
    fn poll(&mut self, events: &mut Self::Events, timeout: Option<Duration>);

    /// Gives the token of each event that is readable. A wake's is [`WAKE`].
    fn readable(events: &Self::Events, each: impl FnMut(usize));

    /// Whether the last poll ended for a wake.
    fn woken(events: &Self::Events) -> bool {
        let mut woken = false;
        Self::readable(events, |token| woken |= token == WAKE);
        woken
    }

    fn tcp(socket: TcpStream) -> Self::Tcp;
    fn listener(socket: TcpListener) -> Self::Listener;
    fn udp(socket: UdpSocket) -> Self::Udp;
    fn pipe(fd: OwnedFd) -> Self::Pipe;
    fn accept(listener: &Self::Listener) -> io::Result<Self::Tcp>;
    fn recv_from(socket: &Self::Udp, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    fn send_to(socket: &Self::Udp, buf: &[u8], target: SocketAddr) -> io::Result<usize>;
}

/// The token of a wake. `polling` keeps it for itself, so no source has it.
pub const WAKE: usize = usize::MAX;

pub trait Wake: Send + Sync + 'static {
    fn wake(&self);
}

/// What an engine watches, always for reading, edge-triggered where it can.
pub trait Source<E> {
    fn register(&mut self, engine: &mut E, token: usize) -> io::Result<()>;
    fn reregister(&mut self, engine: &mut E, token: usize) -> io::Result<()>;
    fn deregister(&mut self, engine: &mut E) -> io::Result<()>;
}

/// Sockets for engines that have none: the standard library's.
macro_rules! std_sockets {
    () => {
        type Tcp = std::net::TcpStream;
        type Listener = std::net::TcpListener;
        type Udp = std::net::UdpSocket;
        type Pipe = std::fs::File;

        fn tcp(socket: std::net::TcpStream) -> std::net::TcpStream {
            socket
        }

        fn listener(socket: std::net::TcpListener) -> std::net::TcpListener {
            socket
        }

        fn udp(socket: std::net::UdpSocket) -> std::net::UdpSocket {
            socket
        }

        fn pipe(fd: std::os::fd::OwnedFd) -> std::fs::File {
            fd.into()
        }

        fn accept(listener: &std::net::TcpListener) -> std::io::Result<std::net::TcpStream> {
            let (stream, _) = listener.accept()?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        }

        fn recv_from(
            socket: &std::net::UdpSocket,
            buf: &mut [u8],
        ) -> std::io::Result<(usize, std::net::SocketAddr)> {
            socket.recv_from(buf)
        }

        fn send_to(
            socket: &std::net::UdpSocket,
            buf: &[u8],
            target: std::net::SocketAddr,
        ) -> std::io::Result<usize> {
            socket.send_to(buf, target)
        }
    };
}

pub(crate) use std_sockets;
