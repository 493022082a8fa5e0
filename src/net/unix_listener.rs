//! Unix-domain listeners.
//!
//! Invariant: an accepted connection is non-blocking and close-on-exec before the caller sees it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use super::{socket_type, UnixStream};
use crate::os::{self, unix_address, Type};
use crate::readiness::Interest;

socket_type! {
    /// A Unix-domain socket (unix(7)) that listens for connections.
    ///
    /// A listener is readable when a connection can be accepted. One event may stand for several connections: call
    /// [`accept`](UnixListener::accept) until it fails with `WouldBlock`.
    ///
    /// The path that a listener is bound to is a file. Dropping the listener does not remove the file.
    ///
    /// # Portability
    ///
    /// Unix.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::io::ErrorKind;
    /// use wakeful::net::{UnixListener, UnixStream};
    /// use wakeful::{Events, Interest, Poll, Token};
    ///
    /// let path = std::env::temp_dir().join(format!("wakeful-listener-{}", std::process::id()));
    /// let mut listener = UnixListener::bind(&path)?;
    /// let mut poll = Poll::new()?;
    /// let mut events = Events::with_capacity(16);
    /// poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
    ///
    /// let client = UnixStream::connect(&path)?;
    /// let (stream, peer) = loop {
    ///     match poll.poll(&mut events, None) {
    ///         Err(e) if e.kind() == ErrorKind::Interrupted => continue,
    ///         result => result?,
    ///     }
    ///     match listener.accept() {
    ///         Ok(connection) => break connection,
    ///         Err(e) if e.kind() == ErrorKind::WouldBlock => {} // the event was spurious
    ///         Err(e) => return Err(e), // a server continues, see the example of `TcpListener`
    ///     }
    /// };
    /// assert!(peer.is_unnamed());
    /// std::fs::remove_file(&path)?;
    /// # Ok(())
    /// # }
    /// ```
    pub struct UnixListener(net::UnixListener, SocketAddr);
}

/// How many connections may wait to be accepted: more than most kernels allow; they clamp it (POSIX). Unlike with
/// TCP, a client that finds the queue full does not wait but fails.
const BACKLOG: i32 = 4096;

impl UnixListener {
    /// Binds a socket to `path`, a file that this call creates, and listens for connections.
    ///
    /// # Errors
    ///
    /// - `InvalidInput`: the path contains a zero byte, or is too long for a Unix-domain address (107 bytes on
    ///   Linux).
    /// - `AddrInUse`: the path exists; an earlier listener may have left it.
    /// - `NotFound`, `PermissionDenied` and other errors of the file system.
    ///
    ///   The full list is in bind(2).
    #[inline]
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        UnixListener::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Binds a socket to any Unix-domain address, and listens for connections.
    ///
    /// # Errors
    ///
    /// The errors of [`bind`](UnixListener::bind).
    ///
    /// # Portability
    ///
    /// Linux and Android also have abstract addresses, which have no file and vanish with the socket: see
    /// `SocketAddrExt` in `std::os::linux::net` and `std::os::android::net`. For an unnamed address they choose an
    /// abstract one. Elsewhere an unnamed address is an error.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::os::unix::net::SocketAddr;
    /// use wakeful::net::{UnixListener, UnixStream};
    ///
    /// let path = std::env::temp_dir().join(format!("wakeful-bind-addr-{}", std::process::id()));
    /// let addr = SocketAddr::from_pathname(&path)?;
    /// let listener = UnixListener::bind_addr(&addr)?;
    /// let client = UnixStream::connect_addr(&listener.local_addr()?)?;
    /// std::fs::remove_file(&path)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixListener> {
        let socket = os::bind(Type::STREAM, &unix_address::to_kernel(addr)?)?;
        socket.listen(BACKLOG)?;
        Ok(UnixListener::from(OwnedFd::from(socket)))
    }

    /// Accepts the next connection, and returns it with the peer's address, which is mostly unnamed. The connection
    /// is non-blocking and close-on-exec.
    ///
    /// # Errors
    ///
    /// - `WouldBlock`: no connection is waiting. The next one causes an event.
    /// - `ConnectionAborted`: a connection was waiting but has gone. Accept the next.
    /// - `EMFILE` or `ENFILE`: out of descriptors. The connection stays in the queue, and no event reports it again:
    ///   close a descriptor, then call `accept` again.
    ///
    /// The full list is in accept(2).
    #[inline]
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (socket, peer) = self.inner.try_io_with(Interest::READABLE, os::accept)?;
        let stream = UnixStream::from(socket);
        // Std's type cannot be built from a path that fills the kernel's address to the last byte; `peer_addr` can
        // return it.
        let peer = unix_address::from_kernel(&peer).or_else(|_| stream.peer_addr())?;
        Ok((stream, peer))
    }
}
