use std::io;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use socket2::Type;

use super::{socket_type, UnixStream};
use crate::os::{self, unix_address};
use crate::Interest;

socket_type! {
    /// A Unix-domain socket that accepts connections.
    pub struct UnixListener(net::UnixListener);
}

impl UnixListener {
    /// Binds.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        UnixListener::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Binds.
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixListener> {
        let socket = os::bind(Type::STREAM, &unix_address::to_kernel(addr)?)?;
        // Who finds the queue full doesn't wait, but fails: let it be long.
        socket.listen(os::MAX_BACKLOG)?;
        Ok(UnixListener::from_std(socket.into()))
    }

    /// Accepts.
    #[inline]
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (socket, peer) = self.inner.try_io_with(Interest::READABLE, os::accept)?;
        Ok((UnixStream::from(socket), unix_address::from_kernel(&peer)?))
    }

    /// Local.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}
