use std::io;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use super::{socket_type, UnixStream};
use crate::os::{self, unix_address, Type};
use crate::readiness::Interest;

socket_type! {
    /// A Unix-domain socket (unix(7)) that waits for connections.
    ///
    /// It is readable when a connection can be accepted. One event may stand for several: accept until `WouldBlock`.
    ///
    /// The path that it is bound to is a file, which stays when the listener is dropped: remove it.
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
    ///         Err(e) => return Err(e), // a server goes on, as in the example of `TcpListener`
    ///     }
    /// };
    /// assert!(peer.is_unnamed());
    /// std::fs::remove_file(&path)?;
    /// # Ok(())
    /// # }
    /// ```
    pub struct UnixListener(net::UnixListener, SocketAddr);
}

/// How many connections may wait to be accepted: more than most kernels allow, which cut it (POSIX). A client that
/// finds the queue full doesn't wait, as with TCP, but fails.
const BACKLOG: i32 = 4096;

impl UnixListener {
    /// Binds a socket to `path`, which it creates, and listens for connections.
    ///
    /// # Errors
    ///
    /// - `InvalidInput`: the path has a zero byte, or is longer than a Unix-domain address can be (107 bytes on Linux).
    /// - `AddrInUse`: something has this path, if only what an earlier listener has left.
    /// - `NotFound`, `PermissionDenied` and others of the file system. The list is in bind(2).
    #[inline]
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        UnixListener::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Binds a socket to any Unix-domain address, and listens for connections.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](UnixListener::bind).
    ///
    /// # Portability
    ///
    /// Linux and Android have abstract addresses, names without a file that vanish with the socket: see
    /// `SocketAddrExt` in `std::os::linux::net` and `std::os::android::net`. For an unnamed address they choose such a
    /// name. Elsewhere an unnamed address is an error.
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
        Ok(UnixListener::from_std(socket.into()))
    }

    /// Accepts the next connection, in non-blocking mode and close-on-exec, and tells the address of the peer, which
    /// mostly is unnamed.
    ///
    /// # Errors
    ///
    /// - `WouldBlock`: none is waiting. The next one will give an event.
    /// - `ConnectionAborted`: one was waiting, but has gone. Try the next.
    /// - Descriptors have run out (`EMFILE`, `ENFILE`). The connection stays in the queue, and no event will tell
    ///   again: close something, then call this once more.
    ///
    /// The list is in accept(2).
    #[inline]
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (socket, peer) = self.inner.try_io_with(Interest::READABLE, os::accept)?;
        let stream = UnixStream::from(socket);
        // A path that fills the kernel's address to the last byte can't be made into std's type, only be asked for.
        let peer = unix_address::from_kernel(&peer).or_else(|_| stream.peer_addr())?;
        Ok((stream, peer))
    }
}
