//! Sockets: created non-blocking and not inheritable, read and written in the fewest calls.
//!
//! Invariant: reading after a local shutdown is the end of the stream, as on other systems.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::windows::io::{AsRawSocket, AsSocket, BorrowedSocket, OwnedSocket};
use std::ptr;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use windows_sys::Win32::Networking::WinSock::{
    self, WSAGetLastError, WSARecv, WSASend, MSG_PEEK, SOCKET, SOCKET_ERROR, WSABUF, WSAEAFNOSUPPORT,
    WSAESHUTDOWN, WSAESOCKTNOSUPPORT, WSAEWOULDBLOCK,
};

/// The number of slices that one call takes. More slices make a short read or write.
const MAX_SLICES: usize = 1024;

/// Creates a socket, non-blocking and not inheritable.
pub(crate) fn socket(domain: Domain, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, None).map_err(|e| match e.raw_os_error() {
        Some(WSAEAFNOSUPPORT | WSAESOCKTNOSUPPORT) => {
            io::Error::new(io::ErrorKind::Unsupported, "this system has no such sockets")
        }
        _ => e,
    })?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Creates a socket that is bound to `addr`, non-blocking and not inheritable.
pub(crate) fn bind(kind: Type, addr: &SockAddr) -> io::Result<Socket> {
    let socket = socket(addr.domain(), kind)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Creates a stream socket that is connected or connecting to `addr`, non-blocking and not inheritable.
pub(crate) fn connect(addr: &SockAddr) -> io::Result<Socket> {
    let socket = socket(addr.domain(), Type::STREAM)?;
    match socket.connect(addr) {
        // The attempt continues in the background.
        Err(e) if e.raw_os_error() == Some(WSAEWOULDBLOCK) => Ok(socket),
        result => result.map(|()| socket),
    }
}

/// Accepts the next connection, non-blocking and not inheritable, and returns it with its peer.
pub(crate) fn accept(listener: &impl AsSocket) -> io::Result<(OwnedSocket, SockAddr)> {
    let (accepted, peer) = SockRef::from(listener).accept()?;
    accepted.set_nonblocking(true)?;
    Ok((accepted.into(), peer))
}

pub(crate) fn recv(socket: &impl AsSocket, buf: &mut [u8]) -> io::Result<usize> {
    recv_with(socket.as_socket(), buf, 0)
}

pub(crate) fn peek(socket: &impl AsSocket, buf: &mut [u8]) -> io::Result<usize> {
    recv_with(socket.as_socket(), buf, MSG_PEEK)
}

pub(crate) fn send(socket: &impl AsSocket, buf: &[u8]) -> io::Result<usize> {
    // SAFETY: `buf` is as long as stated.
    let sent = unsafe { WinSock::send(raw(socket.as_socket()), buf.as_ptr(), length(buf.len()), 0) };
    moved(sent)
}

pub(crate) fn recv_vectored(socket: &impl AsSocket, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let count = bufs.len().min(MAX_SLICES) as u32;
    let (mut received, mut flags) = (0, 0);
    // SAFETY: an `IoSliceMut` has the layout of a WSABUF, and there are at least `count`; the call isn't overlapped.
    let result = unsafe {
        WSARecv(
            raw(socket.as_socket()),
            bufs.as_mut_ptr().cast::<WSABUF>(),
            count,
            &mut received,
            &mut flags,
            ptr::null_mut(),
            None,
        )
    };
    match moved(result) {
        Ok(_) => Ok(received as usize),
        Err(e) if e.raw_os_error() == Some(WSAESHUTDOWN) => Ok(0),
        Err(e) => Err(e),
    }
}

pub(crate) fn send_vectored(socket: &impl AsSocket, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let count = bufs.len().min(MAX_SLICES) as u32;
    let mut sent = 0;
    // SAFETY: an `IoSlice` has the layout of a WSABUF, and there are at least `count`; the call isn't overlapped, and
    // doesn't write to them.
    let result = unsafe {
        WSASend(
            raw(socket.as_socket()),
            bufs.as_ptr().cast::<WSABUF>(),
            count,
            &mut sent,
            0,
            ptr::null_mut(),
            None,
        )
    };
    moved(result)?;
    Ok(sent as usize)
}

pub(crate) fn recv_from(socket: &impl AsSocket, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    recv_from_with(socket.as_socket(), buf, 0)
}

pub(crate) fn peek_from(socket: &impl AsSocket, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    recv_from_with(socket.as_socket(), buf, MSG_PEEK)
}

pub(crate) fn send_to(socket: &impl AsSocket, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
    let target = SockAddr::from(target);
    // SAFETY: `buf` and `target` are as long as stated.
    let sent = unsafe {
        WinSock::sendto(
            raw(socket.as_socket()),
            buf.as_ptr(),
            length(buf.len()),
            0,
            target.as_ptr().cast(),
            target.len(),
        )
    };
    moved(sent)
}

fn recv_with(socket: BorrowedSocket<'_>, buf: &mut [u8], flags: i32) -> io::Result<usize> {
    // SAFETY: `buf` is as long as stated.
    let received = unsafe { WinSock::recv(raw(socket), buf.as_mut_ptr(), length(buf.len()), flags) };
    match moved(received) {
        // A local shutdown of the reading half: on other systems this is the end of the stream.
        Err(e) if e.raw_os_error() == Some(WSAESHUTDOWN) => Ok(0),
        result => result,
    }
}

fn recv_from_with(socket: BorrowedSocket<'_>, buf: &mut [u8], flags: i32) -> io::Result<(usize, SocketAddr)> {
    // SAFETY: `buf` is as long as stated; `try_init` lends memory that is as long as it states, and the kernel sets
    // the length that it used.
    let (received, sender) = unsafe {
        SockAddr::try_init(|addr, len| {
            moved(WinSock::recvfrom(
                raw(socket),
                buf.as_mut_ptr(),
                length(buf.len()),
                flags,
                addr.cast(),
                len,
            ))
        })
    }?;
    match sender.as_socket() {
        Some(sender) => Ok((received, sender)),
        None => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the sender's address is neither IPv4 nor IPv6"))
        }
    }
}

fn raw(socket: BorrowedSocket<'_>) -> SOCKET {
    socket.as_raw_socket() as SOCKET
}

/// A longer buffer makes a short read or write.
fn length(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// Returns the result of a call that returns `SOCKET_ERROR` on failure.
fn moved(result: i32) -> io::Result<usize> {
    if result == SOCKET_ERROR {
        // SAFETY: no memory is passed.
        return Err(io::Error::from_raw_os_error(unsafe { WSAGetLastError() }));
    }
    Ok(result as usize)
}
