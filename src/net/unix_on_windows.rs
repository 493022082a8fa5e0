//! Unix-domain sockets as Windows has them: streams with paths for addresses. Its standard library has none, so they
//! have types of their own.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::windows::io::OwnedSocket;
use std::path::{Path, PathBuf};

use crate::os::{self, unix_address, Domain, SockRef, Type};
use crate::readiness::Interest;
use crate::source::{read_with, source_type, write_with};

source_type! {
    /// A Unix-domain connection.
    ///
    /// # Portability
    ///
    /// Unix, where it is the standard library's in another dress, and Windows from 10 version 1803 on. Windows has no
    /// pairs of such sockets, no datagrams and no abstract names, and passes no descriptors.
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

read_with!(UnixStream, os::recv, os::recv_vectored);
write_with!(UnixStream, os::send, os::send_vectored);

source_type! {
    /// A Unix-domain socket that waits for connections.
    ///
    /// Its file stays when it is dropped: remove it, or the next [`bind`](UnixListener::bind) to that path fails.
    ///
    /// # Portability
    ///
    /// That of [`UnixStream`].
    pub struct UnixListener(OwnedSocket);
}

/// The address of a Unix-domain socket: a path, or nothing.
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
    /// 107 bytes. `ConnectionRefused`: nobody listens. Otherwise those of `connect`.
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        Ok(UnixStream::from(OwnedSocket::from(os::connect(&unix_address::to_kernel(path.as_ref())?)?)))
    }

    /// Connects to the socket at `addr`.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](UnixStream::connect). `InvalidInput`: `addr` has no path.
    pub fn connect_addr(addr: &SocketAddr) -> io::Result<UnixStream> {
        UnixStream::connect(addr.path()?)
    }

    /// The own address, which a client has none of.
    ///
    /// # Errors
    ///
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        SockRef::from(&*self.inner).local_addr().map(|addr| SocketAddr(unix_address::from_kernel(&addr)))
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// `NotConnected`, and otherwise those of `getpeername`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        SockRef::from(&*self.inner).peer_addr().map(|addr| SocketAddr(unix_address::from_kernel(&addr)))
    }

    /// Takes the error that the socket holds, which is cleared by this; `None` if it has none.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.took(SockRef::from(&*self.inner).take_error())
    }

    /// Ends reading, writing or both, for all handles of the socket.
    ///
    /// # Errors
    ///
    /// `NotConnected`, and otherwise those of `shutdown`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        SockRef::from(&*self.inner).shutdown(how)
    }
}

impl UnixListener {
    /// Makes a socket at `path`, where nothing must be yet, and waits for connections.
    ///
    /// # Errors
    ///
    /// `Unsupported`: the system has no Unix-domain sockets. `InvalidInput`: the path isn't UTF-8, or has more than
    /// 107 bytes. `AddrInUse`: something is there. Otherwise those of `bind`.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        let addr = unix_address::to_kernel(path.as_ref())?;
        let socket = os::socket(Domain::UNIX, Type::STREAM)?;
        socket.bind(&addr)?;
        socket.listen(BACKLOG)?;
        Ok(UnixListener::from(OwnedSocket::from(socket)))
    }

    /// Makes a socket at `addr`.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](UnixListener::bind). `InvalidInput`: `addr` has no path.
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixListener> {
        UnixListener::bind(addr.path()?)
    }

    /// The next connection, and its peer's address.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: none waits. Otherwise those of `accept`.
    #[inline]
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (socket, peer) = self.inner.try_io_with(Interest::READABLE, os::accept)?;
        Ok((UnixStream::from(socket), SocketAddr(unix_address::from_kernel(&peer))))
    }

    /// The own address.
    ///
    /// # Errors
    ///
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        SockRef::from(&*self.inner).local_addr().map(|addr| SocketAddr(unix_address::from_kernel(&addr)))
    }

    /// Takes the error that the socket holds, which is cleared by this; `None` if it has none.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.took(SockRef::from(&*self.inner).take_error())
    }
}

impl SocketAddr {
    /// The address of the socket at `path`.
    ///
    /// # Errors
    ///
    /// `InvalidInput`: the path isn't UTF-8, or has more than 107 bytes.
    pub fn from_pathname<P: AsRef<Path>>(path: P) -> io::Result<SocketAddr> {
        let path = path.as_ref();
        unix_address::to_kernel(path)?;
        Ok(SocketAddr((!path.as_os_str().is_empty()).then(|| path.to_owned())))
    }

    /// The path, if it has one.
    #[must_use]
    pub fn as_pathname(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// Whether it has none.
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
