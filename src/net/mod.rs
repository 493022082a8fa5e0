//! Non-blocking sockets: TCP, UDP and Unix-domain sockets (on Windows only Unix-domain streams).
//!
//! The types are counterparts of the standard library's sockets, with the same methods under the same names. No
//! method blocks, and each type can be registered with a [`Poll`](crate::Poll). An operation that cannot make
//! progress fails with [`WouldBlock`](std::io::ErrorKind::WouldBlock), and a later event reports when to try again.
//!
//! Every socket that this module creates is non-blocking and close-on-exec (non-inheritable on Windows), atomically
//! where the kernel supports it. `from_std` and the conversions from descriptors do not change the mode of the socket
//! that they take.
//!
//! For an operation without a method here (options, ancillary data, batches) use another library on the same socket,
//! such as `socket2::SockRef::from(&stream)`. If the call can fail with `WouldBlock`, make it within `try_io_with`.

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
