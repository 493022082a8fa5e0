use std::io;
use std::net::Shutdown;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use super::socket_type;
use crate::os::{self, unix_address, Domain, Type};
use crate::readiness::Interest;

socket_type! {
    /// A Unix-domain socket (unix(7)) for datagrams: whole messages, none of which is lost.
    ///
    /// One event may stand for several datagrams: after it receive until `WouldBlock`. A datagram that is smaller than
    /// the buffer says nothing about the next one.
    ///
    /// # Portability
    ///
    /// Unix. What of a datagram doesn't fit into the buffer is lost without a word.
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
    /// A socket that is bound to `path`, which it creates. The path is a file, which stays when the socket is dropped:
    /// remove it.
    ///
    /// # Errors
    ///
    /// Those of [`UnixListener::bind`](super::UnixListener::bind).
    #[inline]
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// A socket that is bound to any Unix-domain address.
    ///
    /// # Errors
    ///
    /// Those of [`UnixListener::bind`](super::UnixListener::bind).
    ///
    /// # Portability
    ///
    /// Linux and Android have abstract addresses. For an unnamed address (`SocketAddr::from_pathname("")`) they choose
    /// such a name, so that others can answer. Elsewhere an unnamed address is an error.
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixDatagram> {
        let socket = os::bind(Type::DGRAM, &unix_address::to_kernel(addr)?)?;
        Ok(UnixDatagram::from_std(socket.into()))
    }

    /// A socket without an address: it can send, but nobody can answer.
    ///
    /// # Errors
    ///
    /// Descriptors have run out (`EMFILE`, `ENFILE`).
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
        Ok(UnixDatagram::from_std(os::socket(Domain::UNIX, Type::DGRAM)?.into()))
    }

    /// Two unnamed sockets, connected with each other: socketpair(2).
    ///
    /// # Errors
    ///
    /// Descriptors have run out (`EMFILE`, `ENFILE`).
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = os::socket_pair(Type::DGRAM)?;
        Ok((UnixDatagram::from_std(one.into()), UnixDatagram::from_std(other.into())))
    }

    /// Chooses the socket at `path` for [`send`](UnixDatagram::send) and [`recv`](UnixDatagram::recv).
    ///
    /// # Errors
    ///
    /// - `InvalidInput`: the path has a zero byte, or is too long.
    /// - `NotFound`: there is nothing at `path`.
    /// - `ConnectionRefused`: nobody has this path open. Others are in connect(2).
    #[inline]
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.inner.connect(path)
    }

    /// The peer that was chosen with [`connect`](UnixDatagram::connect) or came with [`pair`](UnixDatagram::pair).
    ///
    /// # Errors
    ///
    /// `NotConnected`: there is none.
    #[inline]
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// Receives a datagram: how many bytes, and from whom.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: none has come. Otherwise those of recvfrom(2).
    #[inline]
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.inner.try_io_with(Interest::READABLE, |socket| socket.recv_from(buf))
    }

    /// Receives a datagram.
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](UnixDatagram::recv_from).
    #[inline]
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.try_io_with(Interest::READABLE, |socket| os::recv(socket, buf))
    }

    /// Sends a datagram to the socket at `path`: all of it or nothing. How many bytes that was.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](UnixDatagram::connect) and [`send`](UnixDatagram::send). On Linux also `PermissionDenied`:
    /// the socket at `path` has chosen another peer.
    #[inline]
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.inner.try_io_with(Interest::WRITABLE, |socket| socket.send_to(buf, path))
    }

    /// Sends a datagram to the peer: all of it or nothing. How many bytes that was.
    ///
    /// # Errors
    ///
    /// - `WouldBlock`: the receiver's queue is full.
    /// - `NotConnected`: there is no peer. `ConnectionRefused`: it has gone.
    ///
    /// Others are in send(2).
    #[inline]
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.inner.try_io_with(Interest::WRITABLE, |socket| os::send(socket, buf))
    }

    /// Closes one direction or both.
    ///
    /// # Errors
    ///
    /// `NotConnected`. The list is in shutdown(2).
    #[inline]
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }
}
