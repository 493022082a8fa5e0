//! TCP connections.
//!
//! Invariant: every operation goes through the `IoSource`, which re-arms the direction after `WouldBlock`.

use std::io;
use std::net::{self, Shutdown, SocketAddr};

use super::{ip_options, socket_type};
use crate::os;
use crate::readiness::Interest;
use crate::source::{impl_read, impl_write};

socket_type! {
    /// A TCP connection (RFC 9293), from [`connect`](TcpStream::connect) or accepted by a
    /// [`TcpListener`](super::TcpListener).
    ///
    /// Reading and writing go through `Read` and `Write`, which the type and a shared reference to it implement.
    /// After an event, read until `WouldBlock` or until `Ok(0)`, which is the end: the peer has stopped sending. A
    /// short read is neither: the end may have arrived together with its bytes, and then no event reports it again.
    /// The [guide](crate::guide#short-reads-and-writes) says when a short read may end the loop all the same.
    ///
    /// Dropping the stream closes the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::io::{ErrorKind, Read, Write};
    /// use wakeful::{net::TcpStream, Events, Interest, Poll, Token};
    ///
    /// # let server = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let server_addr = server.local_addr()?;
    /// # let server = std::thread::spawn(move || {
    /// #     let (mut stream, _) = server.accept().unwrap();
    /// #     let mut buf = [0; 4];
    /// #     stream.read_exact(&mut buf).unwrap();
    /// #     stream.write_all(&buf).unwrap();
    /// # });
    /// let mut poll = Poll::new()?;
    /// let mut events = Events::with_capacity(16);
    /// let mut stream = TcpStream::connect(server_addr)?;
    /// poll.registry().register(&mut stream, Token(0), Interest::READABLE | Interest::WRITABLE)?;
    ///
    /// let mut question = &b"ping"[..];
    /// let mut answer = Vec::new();
    /// 'connection: loop {
    ///     match poll.poll(&mut events, None) {
    ///         Err(e) if e.kind() == ErrorKind::Interrupted => continue,
    ///         result => result?,
    ///     }
    ///     // No need to look at the event: an operation that cannot be done yet fails with `WouldBlock`.
    ///     if let Some(error) = stream.take_error()? {
    ///         return Err(error);
    ///     }
    ///     if stream.peer_addr().is_err() {
    ///         continue; // not connected yet
    ///     }
    ///     while !question.is_empty() {
    ///         match stream.write(question) {
    ///             Ok(n) => question = &question[n..],
    ///             Err(e) if e.kind() == ErrorKind::WouldBlock => break,
    ///             Err(e) => return Err(e),
    ///         }
    ///     }
    ///     loop {
    ///         let mut buf = [0; 64];
    ///         match stream.read(&mut buf) {
    ///             Ok(0) => break 'connection,
    ///             Ok(n) => answer.extend_from_slice(&buf[..n]),
    ///             Err(e) if e.kind() == ErrorKind::WouldBlock => break,
    ///             Err(e) => return Err(e),
    ///         }
    ///     }
    /// }
    /// assert_eq!(answer, b"ping");
    /// # server.join().unwrap();
    /// # Ok(())
    /// # }
    /// ```
    pub struct TcpStream(net::TcpStream, SocketAddr);
}

impl_read!(TcpStream, os::recv, os::recv_vectored);
impl_write!(TcpStream, os::send, os::send_vectored);
ip_options!(TcpStream);

impl TcpStream {
    /// Starts to connect to `addr`, and returns at once.
    ///
    /// Register the stream for writable. After a writable event the attempt has ended:
    ///
    /// 1. [`take_error`](TcpStream::take_error) returns the reason if the attempt has failed.
    /// 2. [`peer_addr`](TcpStream::peer_addr) succeeds if the stream is connected. If it fails with `NotConnected`,
    ///    the event was spurious or reported something else: wait for the next one.
    ///
    /// # Errors
    ///
    /// Errors that the system knows at once: no route (`ENETUNREACH`), out of descriptors (`EMFILE`, `ENFILE`), and
    /// on some systems, but not on Linux, `ConnectionRefused` by this machine. The full list is in connect(2).
    ///
    /// # Portability
    ///
    /// On Windows set options after the stream has connected: those set earlier may be lost.
    ///
    /// WASI's first preview cannot create sockets (`Unsupported`).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::io::ErrorKind;
    /// use wakeful::net::TcpStream;
    ///
    /// /// Call this when `stream` is writable. Returns `None` while the attempt goes on.
    /// fn finish_connect(stream: &TcpStream) -> std::io::Result<Option<std::net::SocketAddr>> {
    ///     if let Some(error) = stream.take_error()? {
    ///         return Err(error);
    ///     }
    ///     match stream.peer_addr() {
    ///         Ok(peer) => Ok(Some(peer)),
    ///         Err(e) if e.kind() == ErrorKind::NotConnected => Ok(None),
    ///         Err(e) => Err(e),
    ///     }
    /// }
    /// # let server = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = TcpStream::connect(server.local_addr()?)?;
    /// # while finish_connect(&stream)?.is_none() {}
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
        Ok(TcpStream::from_std(os::connect(&addr.into())?.into()))
    }

    /// Returns the address of the peer: getpeername(2).
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
    ///
    /// # Portability
    ///
    /// Shutting down a direction twice returns `Ok` on Linux, and fails with `NotConnected` on Apple's systems.
    #[inline]
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }

    /// Sets `TCP_NODELAY`: sends small pieces at once, without Nagle's algorithm, which collects them while earlier
    /// data is unacknowledged (RFC 1122, 4.2.3.4).
    ///
    /// # Errors
    ///
    /// Any error of setsockopt(2).
    #[inline]
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.inner.set_nodelay(nodelay)
    }

    /// Returns whether small pieces are sent at once, see [`set_nodelay`](TcpStream::set_nodelay).
    ///
    /// # Errors
    ///
    /// Any error of getsockopt(2).
    #[inline]
    pub fn nodelay(&self) -> io::Result<bool> {
        self.inner.nodelay()
    }

    /// Reads without consuming: the next read returns the same bytes.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: nothing has arrived. Otherwise any error of recv(2).
    ///
    /// # Portability
    ///
    /// `Unsupported` on WASI's second preview.
    #[inline]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.try_io_with(Interest::READABLE, |socket| os::peek(socket, buf))
    }
}
