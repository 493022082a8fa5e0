use std::io;
use std::net::{self, SocketAddr};

use super::{ip_options, socket_type, TcpStream};
use crate::os::{self, Domain, Type};
use crate::readiness::Interest;

socket_type! {
    /// A TCP socket that waits for connections.
    ///
    /// It is readable when a connection can be accepted. One event may stand for several: accept until `WouldBlock`.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::io::ErrorKind;
    /// use std::time::Duration;
    /// use wakeful::{net::TcpListener, Events, Interest, Poll, Token};
    ///
    /// let mut poll = Poll::new()?;
    /// let mut events = Events::with_capacity(16);
    /// let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
    ///
    /// # let clients = [(); 2].map(|()| std::net::TcpStream::connect(listener.local_addr().unwrap()));
    /// let mut connections = Vec::new();
    /// let mut pause = None;
    /// while connections.len() < 2 {
    ///     match poll.poll(&mut events, pause) {
    ///         Err(e) if e.kind() == ErrorKind::Interrupted => continue,
    ///         result => result?,
    ///     }
    ///     pause = None;
    ///     loop {
    ///         match listener.accept() {
    ///             Ok((stream, peer)) => connections.push((stream, peer)),
    ///             Err(e) if e.kind() == ErrorKind::WouldBlock => break,
    ///             // This client has gone. The next one may wait already.
    ///             Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
    ///             // Most likely descriptors have run out. The client still waits, and no event reports it again.
    ///             Err(_) => {
    ///                 pause = Some(Duration::from_millis(100));
    ///                 break;
    ///             }
    ///         }
    ///     }
    /// }
    /// # drop(clients);
    /// assert_eq!(connections.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub struct TcpListener(net::TcpListener, SocketAddr);
}

ip_options!(TcpListener);

/// How many connections may wait to be accepted: the number that the standard library has. Kernels have their own
/// limit, often lower.
const BACKLOG: i32 = 128;

impl TcpListener {
    /// Binds a socket to `addr` and listens for connections. Port 0 lets the system choose one:
    /// [`local_addr`](TcpListener::local_addr) tells which.
    ///
    /// # Errors
    ///
    /// `AddrInUse`, `AddrNotAvailable` (no address of this machine), `PermissionDenied` (a low port), or descriptors
    /// have run out. The list is in bind(2).
    ///
    /// # Portability
    ///
    /// `SO_REUSEADDR` is set, so that a server can be started again at once, but not on Windows, where it would let
    /// two programs have the same port.
    ///
    /// WASI's first preview makes no sockets (`Unsupported`). Whoever starts the program opens the listener, and
    /// `from_raw_fd` takes it over: the first has the number 3, after those of directories.
    pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
        let socket = os::socket(Domain::for_address(addr), Type::STREAM)?;
        #[cfg(not(windows))]
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from_std(socket.into()))
    }

    /// Accepts the next connection, in non-blocking mode and close-on-exec, and tells who it is.
    ///
    /// # Errors
    ///
    /// - `WouldBlock`: none is waiting. The next one will give an event.
    /// - `ConnectionAborted`, and on Linux other errors of the network: one was waiting, but has gone. Try the next.
    /// - Descriptors have run out (`EMFILE`, `ENFILE`). The connection stays in the queue, and no event will tell
    ///   again: close something, then call this once more.
    ///
    /// The list is in accept(2).
    ///
    /// # Portability
    ///
    /// WASI's first preview doesn't tell who it is: the address is `0.0.0.0:0`.
    #[inline]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, peer) = self.inner.try_io_with(Interest::READABLE, os::accept)?;
        match peer.as_socket() {
            Some(peer) => Ok((TcpStream::from(socket), peer)),
            None => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the peer's address is neither IPv4 nor IPv6"))
            }
        }
    }
}
