//! Non-blocking sockets: TCP, UDP, and on Unix the Unix-domain ones.

mod socket_type;
mod tcp_listener;
mod tcp_stream;
mod udp_socket;
#[cfg(unix)]
mod unix_datagram;
#[cfg(unix)]
mod unix_listener;
#[cfg(unix)]
mod unix_stream;

pub use self::tcp_listener::TcpListener;
pub use self::tcp_stream::TcpStream;
pub use self::udp_socket::UdpSocket;
#[cfg(unix)]
pub use self::{unix_datagram::UnixDatagram, unix_listener::UnixListener, unix_stream::UnixStream};

use self::socket_type::socket_type;
