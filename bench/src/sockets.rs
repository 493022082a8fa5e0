//! Connected sockets on the loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Servers' ends are non-blocking; clients' ends block, so that they are simple.
pub struct Pairs {
    pub clients: Vec<TcpStream>,
    pub servers: Vec<TcpStream>,
}

pub fn tcp_pairs(count: usize) -> io::Result<Pairs> {
    let listener = TcpListener::bind(any_port())?;
    let mut pairs = Pairs { clients: Vec::new(), servers: Vec::new() };
    for _ in 0..count {
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        server.set_nonblocking(true)?;
        pairs.clients.push(client);
        pairs.servers.push(server);
    }
    Ok(pairs)
}

pub fn udp() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(any_port())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// What can be read once it was written to, with one descriptor.
pub fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    match unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: just created, and not owned elsewhere.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}

/// Makes an eventfd readable.
pub fn notify(eventfd: &impl AsRawFd) -> io::Result<()> {
    let one = 1u64;
    // SAFETY: eight bytes are read.
    match unsafe { libc::write(eventfd.as_raw_fd(), (&one as *const u64).cast(), 8) } {
        8 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

pub fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Closing sends a reset, so that no port is left waiting.
pub fn reset(socket: TcpStream) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: `linger` is as long as stated.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&linger as *const libc::linger).cast(),
            std::mem::size_of_val(&linger) as _,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// As many descriptors as the system lets us have.
pub fn allow_many() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is one rlimit.
    let result = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit)
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
