//! Unix-domain stream sockets.
//!
//! Invariant: every operation goes through the `IoSource`, which re-arms the direction after `WouldBlock`.

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use super::socket_type;
use crate::os::{self, unix_address, Type};
use crate::source::{impl_read, impl_write};

socket_type! {
    /// A connection between two Unix-domain sockets (unix(7)).
    ///
    /// Reading and writing go through `Read` and `Write`, which the type and a shared reference to it implement.
    /// After an event, read until `WouldBlock` or until `Ok(0)`, which is the end: the peer has stopped sending. A
    /// short read is neither: the end may have arrived together with its bytes, and then no event reports it again.
    /// The [guide](crate::guide#short-reads-and-writes) says when a short read may end the loop all the same.
    ///
    /// # Portability
    ///
    /// Unix.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::io::{ErrorKind, Read, Write};
    /// use wakeful::{net::UnixStream, Events, Interest, Poll, Token};
    ///
    /// let (mut here, mut there) = UnixStream::pair()?;
    /// let mut poll = Poll::new()?;
    /// let mut events = Events::with_capacity(16);
    /// poll.registry().register(&mut here, Token(0), Interest::READABLE)?;
    ///
    /// there.write_all(b"hello")?;
    /// drop(there);
    /// let mut received = Vec::new();
    /// 'connection: loop {
    ///     match poll.poll(&mut events, None) {
    ///         Err(e) if e.kind() == ErrorKind::Interrupted => continue,
    ///         result => result?,
    ///     }
    ///     loop {
    ///         let mut buf = [0; 16];
    ///         match here.read(&mut buf) {
    ///             Ok(0) => break 'connection,
    ///             Ok(n) => received.extend_from_slice(&buf[..n]),
    ///             Err(e) if e.kind() == ErrorKind::WouldBlock => break,
    ///             Err(e) => return Err(e),
    ///         }
    ///     }
    /// }
    /// assert_eq!(received, b"hello");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// An operation without a method here:
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::io::Write;
    /// use std::mem::MaybeUninit;
    /// use wakeful::{net::UnixStream, Interest};
    ///
    /// let (here, mut there) = UnixStream::pair()?;
    /// there.write_all(b"hello")?;
    ///
    /// let mut buf = [MaybeUninit::uninit(); 16];
    /// let n = here.try_io_with(Interest::READABLE, || socket2::SockRef::from(&here).recv(&mut buf))?;
    /// assert_eq!(n, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub struct UnixStream(net::UnixStream, SocketAddr);
}

impl_read!(UnixStream, os::recv, os::recv_vectored);
impl_write!(UnixStream, os::send, os::send_vectored);

impl UnixStream {
    /// Connects to the listener at `path`.
    ///
    /// # Errors
    ///
    /// - `InvalidInput`: the path contains a zero byte, or is too long for a Unix-domain address (107 bytes on
    ///   Linux).
    /// - `NotFound`: `path` does not exist.
    /// - `ConnectionRefused`: no socket listens at `path`.
    /// - `WouldBlock`: the listener's queue is full. No event reports when it has room, so try again later.
    /// - `PermissionDenied` and others.
    ///
    ///   The full list is in connect(2).
    ///
    /// # Portability
    ///
    /// On Linux the stream is connected when this returns. Elsewhere the attempt may still go on, as for
    /// [`TcpStream::connect`](super::TcpStream::connect).
    #[inline]
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Connects to the listener at any Unix-domain address. [`UnixListener::bind_addr`] has an example.
    ///
    /// [`UnixListener::bind_addr`]: super::UnixListener::bind_addr
    ///
    /// # Errors
    ///
    /// The errors of [`connect`](UnixStream::connect). `InvalidInput`: the address is unnamed.
    ///
    /// # Portability
    ///
    /// Linux and Android also have abstract addresses.
    #[inline]
    pub fn connect_addr(addr: &SocketAddr) -> io::Result<UnixStream> {
        Ok(UnixStream::from(OwnedFd::from(os::connect(&unix_address::to_kernel(addr)?)?)))
    }

    /// Creates two unnamed sockets that are connected to each other: socketpair(2).
    ///
    /// # Errors
    ///
    /// `EMFILE` or `ENFILE`: out of descriptors.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = os::socket_pair(Type::STREAM)?;
        Ok((UnixStream::from(one), UnixStream::from(other)))
    }

    /// Returns the address of the peer: getpeername(2). A client's is mostly unnamed.
    ///
    /// # Errors
    ///
    /// `NotConnected`: the stream is not connected yet, or no longer.
    #[inline]
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// Shuts down one direction or both. The peer reads the data that was sent before, and then the end.
    ///
    /// # Errors
    ///
    /// `NotConnected`. The full list is in shutdown(2).
    #[inline]
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }
}
