//! Non-blocking sockets: TCP, UDP, and those of the Unix domain (on Windows stream sockets alone).
//!
//! They are the standard library's sockets in another dress: the same calls under the same names, but none blocks,
//! and each can be registered with a [`Poll`](crate::Poll). An operation that can't go on answers
//! [`WouldBlock`](std::io::ErrorKind::WouldBlock), and an event tells when to try again.
//!
//! Every socket that is made here is in non-blocking mode and close-on-exec (non-inheritable on Windows), from the
//! start where the kernel can do that. `from_std` and the conversions from descriptors take a socket as it is.
//!
//! For what has no method here (options, ancillary data, batches) use another library on the same socket, such as
//! `socket2::SockRef::from(&stream)`; if the call may answer `WouldBlock`, do it within `try_io_with`.

mod socket_type;
mod tcp_listener;
mod tcp_stream;
mod udp_socket;
#[cfg(unix)]
mod unix_datagram;
#[cfg(unix)]
mod unix_listener;
#[cfg(windows)]
mod unix_on_windows;
#[cfg(unix)]
mod unix_stream;

pub use self::tcp_listener::TcpListener;
pub use self::tcp_stream::TcpStream;
pub use self::udp_socket::UdpSocket;
#[cfg(unix)]
pub use self::{unix_datagram::UnixDatagram, unix_listener::UnixListener, unix_stream::UnixStream};

#[cfg(windows)]
pub use self::unix_on_windows::{SocketAddr, UnixListener, UnixStream};

use self::socket_type::{ip_options, socket_type};
