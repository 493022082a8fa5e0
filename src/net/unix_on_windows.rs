//! Unix-domain sockets of Windows: streams whose addresses are paths. The standard library has no types for them
//! there, so this file defines its own.
//!
//! Invariant: the methods are those of the Unix types, as far as Windows has them.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::windows::io::OwnedSocket;
use std::path::{Path, PathBuf};

use crate::os::{self, unix_address, Domain, SockRef, Type};
use crate::readiness::Interest;
use crate::source::{impl_read, impl_source, impl_write};

impl_source! {
    /// A connection between two Unix-domain sockets.
    ///
    /// # Portability
    ///
    /// Unix, as the counterpart of the standard library's type, and Windows 10 version 1803 and newer. Windows has no
    /// socket pairs, no datagrams, no abstract names, and cannot pass descriptors.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn main() -> std::io::Result<()> {
    /// use wakeful::{net::UnixStream, Interest, Poll, Token};
    ///
    /// let poll = Poll::new()?;
    /// let mut stream = UnixStream::connect(r"C:\ProgramData\service.sock")?;
    /// poll.registry().register(&mut stream, Token(0), Interest::READABLE)?;
    /// # Ok(())
    /// # }
    /// ```
    pub struct UnixStream(OwnedSocket);
}

impl_read!(UnixStream, os::recv, os::recv_vectored);
impl_write!(UnixStream, os::send, os::send_vectored);

impl_source! {
    /// A Unix-domain socket that listens for connections.
    ///
    /// Dropping the listener does not remove its file. Remove it, or the next [`bind`](UnixListener::bind) to that
    /// path fails.
    ///
    /// # Portability
    ///
    /// The portability of [`UnixStream`].
    pub struct UnixListener(OwnedSocket);
}

/// The address of a Unix-domain socket: a path, or unnamed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SocketAddr(Option<PathBuf>);

/// How many connections may wait to be accepted: the standard library's number.
const BACKLOG: i32 = 128;

impl UnixStream {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    ///
    /// `Unsupported`: the system has no Unix-domain sockets. `InvalidInput`: the path isn't UTF-8, or has more than
    /// 107 bytes. `ConnectionRefused`: no socket listens at `path`. Otherwise any error of `connect`.
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        Ok(UnixStream::from(OwnedSocket::from(os::connect(&unix_address::to_kernel(path.as_ref())?)?)))
    }

    /// Connects to the socket at `addr`.
    ///
    /// # Errors
    ///
    /// The errors of [`connect`](UnixStream::connect). `InvalidInput`: `addr` has no path.
    pub fn connect_addr(addr: &SocketAddr) -> io::Result<UnixStream> {
        UnixStream::connect(addr.path()?)
    }

    /// Returns the local address; a client's is unnamed.
    ///
    /// # Errors
    ///
    /// Any error of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        SockRef::from(&*self.inner).local_addr().map(|addr| SocketAddr(unix_address::from_kernel(&addr)))
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// `NotConnected`, or any other error of `getpeername`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        SockRef::from(&*self.inner).peer_addr().map(|addr| SocketAddr(unix_address::from_kernel(&addr)))
    }

    /// Returns the socket's pending error, if any, and clears it.
    ///
    /// # Errors
    ///
    /// Any error of `getsockopt`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.after_take_error(SockRef::from(&*self.inner).take_error())
    }

    /// Shuts down one direction or both, for all handles of the socket.
    ///
    /// # Errors
    ///
    /// `NotConnected`, or any other error of `shutdown`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        SockRef::from(&*self.inner).shutdown(how)
    }
}

impl UnixListener {
    /// Binds a socket to `path`, which must not exist, and listens for connections.
    ///
    /// # Errors
    ///
    /// `Unsupported`: the system has no Unix-domain sockets. `InvalidInput`: the path isn't UTF-8, or has more than
    /// 107 bytes. `AddrInUse`: the path exists. Otherwise any error of `bind`.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        let addr = unix_address::to_kernel(path.as_ref())?;
        let socket = os::socket(Domain::UNIX, Type::STREAM)?;
        socket.bind(&addr)?;
        socket.listen(BACKLOG)?;
        Ok(UnixListener::from(OwnedSocket::from(socket)))
    }

    /// Binds a socket to `addr`, and listens for connections.
    ///
    /// # Errors
    ///
    /// The errors of [`bind`](UnixListener::bind). `InvalidInput`: `addr` has no path.
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixListener> {
        UnixListener::bind(addr.path()?)
    }

    /// Accepts the next connection, and returns it with the peer's address.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: no connection is waiting. Otherwise any error of `accept`.
    #[inline]
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (socket, peer) = self.inner.try_io_with(Interest::READABLE, os::accept)?;
        Ok((UnixStream::from(socket), SocketAddr(unix_address::from_kernel(&peer))))
    }

    /// Returns the local address.
    ///
    /// # Errors
    ///
    /// Any error of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        SockRef::from(&*self.inner).local_addr().map(|addr| SocketAddr(unix_address::from_kernel(&addr)))
    }

    /// Returns the socket's pending error, if any, and clears it.
    ///
    /// # Errors
    ///
    /// Any error of `getsockopt`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.after_take_error(SockRef::from(&*self.inner).take_error())
    }
}

impl SocketAddr {
    /// Creates the address of the socket at `path`.
    ///
    /// # Errors
    ///
    /// `InvalidInput`: the path isn't UTF-8, or has more than 107 bytes.
    pub fn from_pathname<P: AsRef<Path>>(path: P) -> io::Result<SocketAddr> {
        let path = path.as_ref();
        unix_address::to_kernel(path)?;
        Ok(SocketAddr((!path.as_os_str().is_empty()).then(|| path.to_owned())))
    }

    /// Returns the path, if the address has one.
    #[must_use]
    pub fn as_pathname(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// Returns whether the address has no path.
    #[must_use]
    pub fn is_unnamed(&self) -> bool {
        self.0.is_none()
    }

    fn path(&self) -> io::Result<&Path> {
        self.as_pathname()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the address has no path"))
    }
}

impl fmt::Debug for SocketAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(path) => write!(f, "{path:?} (pathname)"),
            None => f.write_str("(unnamed)"),
        }
    }
}
