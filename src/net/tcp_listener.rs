use std::io;
use std::net::{self, SocketAddr};

use socket2::{Domain, Type};

use super::{socket_type, TcpStream};
use crate::os;
use crate::Interest;

socket_type! {
    /// A TCP socket that accepts connections.
    pub struct TcpListener(net::TcpListener);
}

/// How many connections may wait to be accepted: the standard library's number.
const BACKLOG: i32 = 128;

impl TcpListener {
    /// Binds to `addr` and listens.
    pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
        let socket = os::socket(Domain::for_address(addr), Type::STREAM)?;
        // On Windows it would let others take the port away.
        #[cfg(not(windows))]
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from_std(socket.into()))
    }

    /// Accepts.
    #[inline]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, peer) = self.inner.try_io_with(Interest::READABLE, os::accept)?;
        let Some(peer) = peer.as_socket() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the peer's address is neither IPv4 nor IPv6",
            ));
        };
        Ok((TcpStream::from(socket), peer))
    }

    /// The address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Sets the TTL.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner.set_ttl(ttl)
    }

    /// The TTL.
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner.ttl()
    }
}
