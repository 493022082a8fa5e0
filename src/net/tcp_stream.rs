use std::io;
use std::net::{self, Shutdown, SocketAddr};

use super::socket_type;
use crate::os;
use crate::poll::{read_with, write_with};
use crate::Interest;

socket_type! {
    /// A TCP connection.
    pub struct TcpStream(net::TcpStream);
}

read_with!(TcpStream, os::recv, os::recv_vectored);
write_with!(TcpStream, os::send, os::send_vectored);

impl TcpStream {
    /// Begins to connect to `addr`.
    pub fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
        Ok(TcpStream::from_std(os::connect(&addr.into())?.into()))
    }

    /// The peer.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// The local address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Shuts down.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }

    /// Sets nodelay.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.inner.set_nodelay(nodelay)
    }

    /// nodelay.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.inner.nodelay()
    }

    /// Sets ttl.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner.set_ttl(ttl)
    }

    /// ttl.
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner.ttl()
    }

    /// Peeks.
    #[inline]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.try_io_with(Interest::READABLE, |socket| os::peek(socket, buf))
    }
}
