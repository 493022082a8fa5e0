use std::io;
use std::net::Shutdown;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use socket2::{Domain, Type};

use super::socket_type;
use crate::os::{self, unix_address};
use crate::Interest;

socket_type! {
    /// A Unix-domain datagram socket.
    pub struct UnixDatagram(net::UnixDatagram);
}

impl UnixDatagram {
    /// Binds.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Binds.
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixDatagram> {
        let socket = os::bind(Type::DGRAM, &unix_address::to_kernel(addr)?)?;
        Ok(UnixDatagram::from_std(socket.into()))
    }

    /// Unbound.
    pub fn unbound() -> io::Result<UnixDatagram> {
        Ok(UnixDatagram::from_std(os::socket(Domain::UNIX, Type::DGRAM)?.into()))
    }

    /// Pair.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (a, b) = os::socket_pair(Type::DGRAM)?;
        Ok((UnixDatagram::from_std(a.into()), UnixDatagram::from_std(b.into())))
    }

    /// Connects.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.inner.connect(path)
    }

    /// Local.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Peer.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// Receives.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.inner.try_io_with(Interest::READABLE, |socket| socket.recv_from(buf))
    }

    /// Receives.
    #[inline]
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.try_io_with(Interest::READABLE, |socket| os::recv(socket, buf))
    }

    /// Sends.
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.inner.try_io_with(Interest::WRITABLE, |socket| socket.send_to(buf, path))
    }

    /// Sends.
    #[inline]
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.inner.try_io_with(Interest::WRITABLE, |socket| os::send(socket, buf))
    }

    /// Shutdown.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }
}
