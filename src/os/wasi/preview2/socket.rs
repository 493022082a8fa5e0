//! Sockets, by socket2 and libc.
//!
//! Invariant: every socket is non-blocking before the caller sees it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use socket2::{Domain, SockAddr, Socket, Type};

use super::check;

/// Creates a socket, non-blocking by its flag: not every libc's `fcntl` can set the mode later.
pub(crate) fn socket(domain: Domain, kind: Type) -> io::Result<Socket> {
    Socket::new(domain, Type::from(libc::c_int::from(kind) | libc::SOCK_NONBLOCK), None)
}

/// Creates a socket that is bound to `addr`, non-blocking.
pub(crate) fn bind(kind: Type, addr: &SockAddr) -> io::Result<Socket> {
    let socket = socket(addr.domain(), kind)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Creates a stream socket that is connected or connecting to `addr`, non-blocking.
pub(crate) fn connect(addr: &SockAddr) -> io::Result<Socket> {
    let socket = socket(addr.domain(), Type::STREAM)?;
    match socket.connect(addr) {
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
        result => result.map(|()| socket),
    }
}

/// Accepts the next connection, non-blocking, and returns it with its peer.
pub(crate) fn accept(listener: &impl AsFd) -> io::Result<(OwnedFd, SockAddr)> {
    let fd = listener.as_fd().as_raw_fd();
    // SAFETY: `try_init` lends memory that is as long as it states; libc sets the length that it used.
    unsafe {
        SockAddr::try_init(|addr, len| {
            let accepted = check(libc::accept4(fd, addr.cast(), len, libc::SOCK_NONBLOCK))?;
            // SAFETY: just created, and not owned elsewhere.
            Ok(OwnedFd::from_raw_fd(accepted))
        })
    }
}

pub(crate) fn recv(socket: &impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
    let (fd, none) = (socket.as_fd().as_raw_fd(), ptr::null_mut());
    // SAFETY: `buf` is as long as stated; no room for an address is passed.
    check(unsafe { libc::recvfrom(fd, buf.as_mut_ptr().cast(), buf.len(), 0, none, ptr::null_mut()) })
        .map(|n| n as usize)
}

/// libc can't look at received data without consuming it.
pub(crate) fn peek(_: &impl AsFd, _: &mut [u8]) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn send(socket: &impl AsFd, buf: &[u8]) -> io::Result<usize> {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: `buf` is as long as stated; no address is passed.
    let sent = with_a_look(fd, || unsafe {
        check(libc::sendto(fd, buf.as_ptr().cast(), buf.len(), 0, ptr::null(), 0))
    });
    sent.map(|n| n as usize)
}

pub(crate) fn recv_from(socket: &impl AsFd, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: `buf` is as long as stated; `try_init` lends memory that is as long as it states, and libc sets the
    // length that it used.
    let (received, sender) = unsafe {
        SockAddr::try_init(|addr, len| {
            check(libc::recvfrom(fd, buf.as_mut_ptr().cast(), buf.len(), 0, addr.cast(), len))
        })
    }?;
    match sender.as_socket() {
        Some(sender) => Ok((received as usize, sender)),
        None => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the sender's address is neither IPv4 nor IPv6"))
        }
    }
}

/// libc can't look at received data without consuming it.
pub(crate) fn peek_from(_: &impl AsFd, _: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn send_to(socket: &impl AsFd, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
    let fd = socket.as_fd().as_raw_fd();
    let target = SockAddr::from(target);
    // SAFETY: `buf` and `target` are as long as stated.
    let sent = with_a_look(fd, || unsafe {
        check(libc::sendto(fd, buf.as_ptr().cast(), buf.len(), 0, target.as_ptr().cast(), target.len()))
    });
    sent.map(|n| n as usize)
}

/// Sends. On `WouldBlock` it polls the socket, and tries again if it is writable.
///
/// Only a poll makes a stream notice that earlier data has left, and a new datagram socket notice that it is
/// writable.
fn with_a_look<T>(fd: RawFd, send: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match send() {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
            let mut asked = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
            // SAFETY: one pollfd.
            match unsafe { libc::poll(&mut asked, 1, 0) } {
                1 => send(),
                _ => Err(e),
            }
        }
        result => result,
    }
}
