//! Unix-domain datagram sockets.
//!
//! Invariant: every operation goes through the `IoSource`, which re-arms the direction after `WouldBlock`.

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use super::socket_type;
use crate::os::{self, unix_address, Domain, Type};
use crate::readiness::Interest;

socket_type! {
    /// A Unix-domain datagram socket (unix(7)): sends and receives whole messages, reliably.
    ///
    /// One event may stand for several datagrams: after an event, receive until `WouldBlock`. A datagram that is
    /// smaller than the buffer does not mean that the queue is empty.
    ///
    /// # Portability
    ///
    /// Unix. A datagram longer than the buffer is silently truncated.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::io::ErrorKind;
    /// use wakeful::{net::UnixDatagram, Events, Interest, Poll, Token};
    ///
    /// let (mut here, there) = UnixDatagram::pair()?;
    /// let mut poll = Poll::new()?;
    /// let mut events = Events::with_capacity(16);
    /// poll.registry().register(&mut here, Token(0), Interest::READABLE)?;
    ///
    /// there.send(b"one")?;
    /// there.send(b"another")?;
    /// let mut received = Vec::new();
    /// while received.len() < 2 {
    ///     match poll.poll(&mut events, None) {
    ///         Err(e) if e.kind() == ErrorKind::Interrupted => continue,
    ///         result => result?,
    ///     }
    ///     loop {
    ///         let mut buf = [0; 16];
    ///         match here.recv(&mut buf) {
    ///             Ok(n) => received.push(buf[..n].to_vec()),
    ///             Err(e) if e.kind() == ErrorKind::WouldBlock => break,
    ///             Err(e) => return Err(e),
    ///         }
    ///     }
    /// }
    /// assert_eq!(received, [&b"one"[..], b"another"]);
    /// # Ok(())
    /// # }
    /// ```
    pub struct UnixDatagram(net::UnixDatagram, SocketAddr);
}

impl UnixDatagram {
    /// Creates a socket that is bound to `path`, a file that this call creates. Dropping the socket does not remove
    /// the file.
    ///
    /// # Errors
    ///
    /// The errors of [`UnixListener::bind`](super::UnixListener::bind).
    #[inline]
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Creates a socket that is bound to any Unix-domain address.
    ///
    /// # Errors
    ///
    /// The errors of [`UnixListener::bind`](super::UnixListener::bind).
    ///
    /// # Portability
    ///
    /// Linux and Android also have abstract addresses. For an unnamed address (`SocketAddr::from_pathname("")`) they
    /// choose an abstract one, so that peers can reply. Elsewhere an unnamed address is an error.
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixDatagram> {
        let socket = os::bind(Type::DGRAM, &unix_address::to_kernel(addr)?)?;
        Ok(UnixDatagram::from(OwnedFd::from(socket)))
    }

    /// Creates a socket without an address: it can send, but peers cannot reply.
    ///
    /// # Errors
    ///
    /// `EMFILE` or `ENFILE`: out of descriptors.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn main() -> std::io::Result<()> {
    /// use wakeful::net::UnixDatagram;
    ///
    /// let socket = UnixDatagram::unbound()?;
    /// socket.send_to(b"<14>hello", "/dev/log")?;
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn unbound() -> io::Result<UnixDatagram> {
        Ok(UnixDatagram::from(OwnedFd::from(os::socket(Domain::UNIX, Type::DGRAM)?)))
    }

    /// Creates two unnamed sockets that are connected to each other: socketpair(2).
    ///
    /// # Errors
    ///
    /// `EMFILE` or `ENFILE`: out of descriptors.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = os::socket_pair(Type::DGRAM)?;
        Ok((UnixDatagram::from(one), UnixDatagram::from(other)))
    }

    /// Sets the socket at `path` as the peer of [`send`](UnixDatagram::send) and [`recv`](UnixDatagram::recv).
    ///
    /// # Errors
    ///
    /// - `InvalidInput`: the path has a zero byte, or is too long.
    /// - `NotFound`: `path` does not exist.
    /// - `ConnectionRefused`: no socket is bound to this file any more.
    ///
    ///   The full list is in connect(2).
    #[inline]
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.inner.connect(path)
    }

    /// Returns the peer that [`connect`](UnixDatagram::connect) or [`pair`](UnixDatagram::pair) has set.
    ///
    /// # Errors
    ///
    /// `NotConnected`: no peer is set.
    #[inline]
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// Receives a datagram, and returns its length and its sender.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: no datagram has arrived. Otherwise any error of recvfrom(2).
    #[inline]
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.inner.try_io_with(Interest::READABLE, |socket| socket.recv_from(buf))
    }

    /// Receives a datagram, and returns its length.
    ///
    /// # Errors
    ///
    /// The errors of [`recv_from`](UnixDatagram::recv_from).
    #[inline]
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.try_io_with(Interest::READABLE, |socket| os::recv(socket, buf))
    }

    /// Sends a datagram to the socket at `path`, whole or not at all, and returns its length.
    ///
    /// # Errors
    ///
    /// The errors of [`connect`](UnixDatagram::connect) and [`send`](UnixDatagram::send). On Linux also
    /// `PermissionDenied`: the socket at `path` is connected to another peer.
    #[inline]
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.inner.try_io_with(Interest::WRITABLE, |socket| socket.send_to(buf, path))
    }

    /// Sends a datagram to the peer, whole or not at all, and returns its length.
    ///
    /// # Errors
    ///
    /// - `WouldBlock`: the receiver's queue is full.
    /// - `NotConnected`: no peer is set.
    /// - `ConnectionRefused`: the peer has gone.
    ///
    /// The full list is in send(2).
    #[inline]
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.inner.try_io_with(Interest::WRITABLE, |socket| os::send(socket, buf))
    }

    /// Shuts down one direction or both.
    ///
    /// # Errors
    ///
    /// `NotConnected`. The full list is in shutdown(2).
    #[inline]
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }
}
