use std::io;
use std::net::{self, Shutdown, SocketAddr};

use super::{ip_options, socket_type};
use crate::os;
use crate::readiness::Interest;
use crate::source::{read_with, write_with};

socket_type! {
    /// A TCP connection (RFC 9293): one of its own, or one that a [`TcpListener`](super::TcpListener) has accepted.
    ///
    /// Read and write it through `Read` and `Write`, which it implements itself and by shared reference. After an
    /// event read until `WouldBlock`, or until `Ok(0)`, which is the end: the peer sends no more. A read of fewer bytes
    /// than asked for is neither. The end may have arrived with these bytes, and then no event reports it again; the
    /// [guide](crate::guide#short-reads-and-writes) says when such a read may end the loop all the same.
    ///
    /// Dropping it closes the connection.
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
    ///     // Whatever the event says, what can't be done yet fails with `WouldBlock`.
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

read_with!(TcpStream, os::recv, os::recv_vectored);
write_with!(TcpStream, os::send, os::send_vectored);
ip_options!(TcpStream);

impl TcpStream {
    /// Begins to connect to `addr`, and returns at once.
    ///
    /// Register the stream for writable, before or after. When an event says so, the attempt is over:
    ///
    /// 1. [`take_error`](TcpStream::take_error) tells why, if it has failed.
    /// 2. [`peer_addr`](TcpStream::peer_addr) succeeds if it is connected. `NotConnected`: the event was spurious, or
    ///    for something else; wait for the next.
    ///
    /// # Errors
    ///
    /// What the system knows at once: no route (`ENETUNREACH`), no descriptors left, on some systems, but not on Linux,
    /// also `ConnectionRefused` by this machine. The list is in connect(2).
    ///
    /// # Portability
    ///
    /// On Windows set options once it is connected: those that were set before may be lost.
    ///
    /// WASI's first preview makes no sockets (`Unsupported`).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::io::ErrorKind;
    /// use wakeful::net::TcpStream;
    ///
    /// /// To be called when `stream` is writable. `None`: the attempt isn't over.
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

    /// The address of the peer: getpeername(2).
    ///
    /// # Errors
    ///
    /// `NotConnected`: not yet, or no more.
    #[inline]
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// Closes one direction or both. The peer reads all that was sent, and then the end.
    ///
    /// # Errors
    ///
    /// `NotConnected`. The list is in shutdown(2).
    ///
    /// # Portability
    ///
    /// Shutting down what is shut down already is `Ok` on Linux, and `NotConnected` on Apple's systems.
    #[inline]
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }

    /// Sends small pieces at once (`TCP_NODELAY`), instead of collecting them while others are under way, as Nagle's
    /// algorithm does (RFC 1122, 4.2.3.4).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    #[inline]
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.inner.set_nodelay(nodelay)
    }

    /// Whether small pieces are sent at once, see [`set_nodelay`](TcpStream::set_nodelay).
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    #[inline]
    pub fn nodelay(&self) -> io::Result<bool> {
        self.inner.nodelay()
    }

    /// Reads without taking: the next read gives the same bytes.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: nothing has come. Otherwise those of recv(2).
    ///
    /// # Portability
    ///
    /// WASI's second preview can't: `Unsupported`.
    #[inline]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.try_io_with(Interest::READABLE, |socket| os::peek(socket, buf))
    }
}
