use std::io;
use std::net::Shutdown;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use socket2::Type;

use super::socket_type;
use crate::os::{self, unix_address};
use crate::poll::{read_with, write_with};

socket_type! {
    /// A Unix-domain connection.
    pub struct UnixStream(net::UnixStream);
}

read_with!(UnixStream, os::recv, os::recv_vectored);
write_with!(UnixStream, os::send, os::send_vectored);

impl UnixStream {
    /// Connects.
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Connects.
    pub fn connect_addr(addr: &SocketAddr) -> io::Result<UnixStream> {
        Ok(UnixStream::from_std(os::connect(&unix_address::to_kernel(addr)?)?.into()))
    }

    /// Pair.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (a, b) = os::socket_pair(Type::STREAM)?;
        Ok((UnixStream::from_std(a.into()), UnixStream::from_std(b.into())))
    }

    /// Local.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Peer.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// Shutdown.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }
}
