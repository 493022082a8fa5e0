//! Sockets that the program was given, and those that are accepted from them.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::{check, SockAddr};

pub(crate) fn recv(socket: &impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
    let bufs = [wasi::Iovec { buf: buf.as_mut_ptr(), buf_len: buf.len() }];
    // SAFETY: one slice of ours, as long as stated.
    check(unsafe { wasi::fd_read(number(socket), &bufs) })
}

pub(crate) fn peek(socket: &impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
    let bufs = [wasi::Iovec { buf: buf.as_mut_ptr(), buf_len: buf.len() }];
    // SAFETY: one slice of ours, as long as stated.
    check(unsafe { wasi::sock_recv(number(socket), &bufs, wasi::RIFLAGS_RECV_PEEK) }).map(|(n, _)| n)
}

pub(crate) fn recv_vectored(socket: &impl AsFd, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    // SAFETY: std guarantees that an `IoSliceMut` has the layout of WASI's iovec.
    let bufs = unsafe { std::slice::from_raw_parts(bufs.as_mut_ptr().cast::<wasi::Iovec>(), bufs.len()) };
    // SAFETY: the slices are lent to us for writing.
    check(unsafe { wasi::fd_read(number(socket), bufs) })
}

pub(crate) fn send(socket: &impl AsFd, buf: &[u8]) -> io::Result<usize> {
    let bufs = [wasi::Ciovec { buf: buf.as_ptr(), buf_len: buf.len() }];
    // SAFETY: one slice of ours, as long as stated; it is only read.
    check(unsafe { wasi::fd_write(number(socket), &bufs) })
}

pub(crate) fn send_vectored(socket: &impl AsFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: std guarantees that an `IoSlice` has the layout of WASI's ciovec.
    let bufs = unsafe { std::slice::from_raw_parts(bufs.as_ptr().cast::<wasi::Ciovec>(), bufs.len()) };
    // SAFETY: the slices are only read.
    check(unsafe { wasi::fd_write(number(socket), bufs) })
}

/// The next connection, non-blocking.
pub(crate) fn accept(listener: &impl AsFd) -> io::Result<(OwnedFd, SockAddr)> {
    // SAFETY: no memory is passed.
    let accepted = check(unsafe { wasi::sock_accept(number(listener), wasi::FDFLAGS_NONBLOCK) })?;
    // SAFETY: just made, and nobody else's.
    Ok((unsafe { OwnedFd::from_raw_fd(accepted as i32) }, SockAddr::UNKNOWN))
}

fn number(socket: &impl AsFd) -> wasi::Fd {
    socket.as_fd().as_raw_fd() as wasi::Fd
}
