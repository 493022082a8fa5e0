//! TCP listeners.
//!
//! Invariant: an accepted connection is non-blocking and close-on-exec before the caller sees it.

use std::io;
use std::net::{self, SocketAddr};

use super::{ip_options, socket_type, TcpStream};
use crate::os::{self, Domain, Type};
use crate::readiness::Interest;

socket_type! {
    /// A TCP socket that listens for connections.
    ///
    /// A listener is readable when a connection can be accepted. One event may stand for several connections: call
    /// [`accept`](TcpListener::accept) until it fails with `WouldBlock`.
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
    ///             // This client has gone. The next may be in the queue already.
    ///             Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
    ///             // Most likely out of descriptors. The client stays queued, and no event reports it again.
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

/// How many connections may wait to be accepted: the standard library's number. Kernels clamp it to their own limit,
/// which is often lower.
const BACKLOG: i32 = 128;

impl TcpListener {
    /// Binds a socket to `addr` and listens for connections. With port 0 the system chooses a port, which
    /// [`local_addr`](TcpListener::local_addr) returns.
    ///
    /// # Errors
    ///
    /// `AddrInUse`, `AddrNotAvailable` (not an address of this machine), `PermissionDenied` (a low port), or `EMFILE`
    /// and `ENFILE` (out of descriptors). The full list is in bind(2).
    ///
    /// # Portability
    ///
    /// Sets `SO_REUSEADDR`, so that a server can be restarted at once. Not on Windows, where the option would let two
    /// programs share a port.
    ///
    /// WASI's first preview cannot create sockets (`Unsupported`). The program's host opens the listener, and
    /// `from_raw_fd` wraps it: the first has the number 3, or the next one after the preopened directories.
    pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
        let socket = os::socket(Domain::for_address(addr), Type::STREAM)?;
        #[cfg(not(windows))]
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from_std(socket.into()))
    }

    /// Accepts the next connection, and returns it with the peer's address. The connection is non-blocking and
    /// close-on-exec.
    ///
    /// # Errors
    ///
    /// - `WouldBlock`: no connection is waiting. The next one causes an event.
    /// - `ConnectionAborted`, and on Linux other network errors: a connection was waiting but has gone. Accept the
    ///   next.
    /// - `EMFILE` or `ENFILE`: out of descriptors. The connection stays in the queue, and no event reports it again:
    ///   close a descriptor, then call `accept` again.
    ///
    /// The full list is in accept(2).
    ///
    /// # Portability
    ///
    /// On WASI's first preview the peer's address is unknown: `0.0.0.0:0` is returned.
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
