//! Sockets that the host has passed, and connections that they accept.
//!
//! Invariant: an accepted connection is non-blocking.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::{check, SockAddr};

pub(crate) fn recv(socket: &impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
    let bufs = [wasi::Iovec { buf: buf.as_mut_ptr(), buf_len: buf.len() }];
    // SAFETY: one slice, as long as stated.
    check(unsafe { wasi::fd_read(number(socket), &bufs) })
}

pub(crate) fn peek(socket: &impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
    let bufs = [wasi::Iovec { buf: buf.as_mut_ptr(), buf_len: buf.len() }];
    // SAFETY: one slice, as long as stated.
    check(unsafe { wasi::sock_recv(number(socket), &bufs, wasi::RIFLAGS_RECV_PEEK) }).map(|(n, _)| n)
}

pub(crate) fn send(socket: &impl AsFd, buf: &[u8]) -> io::Result<usize> {
    let bufs = [wasi::Ciovec { buf: buf.as_ptr(), buf_len: buf.len() }];
    // SAFETY: one slice, as long as stated, which is only read.
    check(unsafe { wasi::fd_write(number(socket), &bufs) })
}

/// Accepts the next connection, non-blocking.
pub(crate) fn accept(listener: &impl AsFd) -> io::Result<(OwnedFd, SockAddr)> {
    // SAFETY: no memory is passed.
    let accepted = check(unsafe { wasi::sock_accept(number(listener), wasi::FDFLAGS_NONBLOCK) })?;
    // SAFETY: just created, and not owned elsewhere.
    Ok((unsafe { OwnedFd::from_raw_fd(accepted as i32) }, SockAddr::UNKNOWN))
}

fn number(socket: &impl AsFd) -> wasi::Fd {
    socket.as_fd().as_raw_fd() as wasi::Fd
}
