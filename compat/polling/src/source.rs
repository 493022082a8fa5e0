//! Sources: descriptors, on Windows sockets.
//!
//! Invariant: a source is its number. The platform's name for it stands here alone.

#[cfg(not(windows))]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
#[cfg(windows)]
use std::os::windows::io::{AsRawSocket, AsSocket, BorrowedSocket, RawSocket};

#[cfg(not(any(unix, windows, target_family = "wasm")))]
pub(crate) use wakeful::hermit::SourceFd as Numbered;
#[cfg(unix)]
pub(crate) use wakeful::unix::SourceFd as Numbered;
#[cfg(all(target_family = "wasm", not(unix)))]
pub(crate) use wakeful::wasi::SourceFd as Numbered;
#[cfg(windows)]
pub(crate) use wakeful::windows::SourceSocket as Numbered;

/// A descriptor that is borrowed without a lifetime, as [`Poller::add`](crate::Poller::add) takes it. On Windows a
/// socket.
#[cfg(not(windows))]
pub trait AsRawSource {
    /// Returns the descriptor.
    fn raw(&self) -> RawFd;
}

#[cfg(not(windows))]
impl<T: AsRawFd> AsRawSource for &T {
    fn raw(&self) -> RawFd {
        self.as_raw_fd()
    }
}

#[cfg(not(windows))]
impl AsRawSource for RawFd {
    fn raw(&self) -> RawFd {
        *self
    }
}

/// A borrowed descriptor, as [`Poller::modify`](crate::Poller::modify) takes it. On Windows a socket.
#[cfg(not(windows))]
pub trait AsSource: AsFd {
    /// Returns the descriptor.
    fn source(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

#[cfg(not(windows))]
impl<T: AsFd> AsSource for T {}

/// A socket that is borrowed without a lifetime, as [`Poller::add`](crate::Poller::add) takes it. On Unix a descriptor.
#[cfg(windows)]
pub trait AsRawSource {
    /// Returns the socket.
    fn raw(&self) -> RawSocket;
}

#[cfg(windows)]
impl<T: AsRawSocket> AsRawSource for &T {
    fn raw(&self) -> RawSocket {
        self.as_raw_socket()
    }
}

#[cfg(windows)]
impl AsRawSource for RawSocket {
    fn raw(&self) -> RawSocket {
        *self
    }
}

/// A borrowed socket, as [`Poller::modify`](crate::Poller::modify) takes it. On Unix a descriptor.
#[cfg(windows)]
pub trait AsSource: AsSocket {
    /// Returns the socket.
    fn source(&self) -> BorrowedSocket<'_> {
        self.as_socket()
    }
}

#[cfg(windows)]
impl<T: AsSocket> AsSource for T {}

/// Returns the number of a source.
pub(crate) fn number(source: &impl AsSource) -> impl AsRawSource {
    #[cfg(windows)]
    return source.source().as_raw_socket();
    #[cfg(not(windows))]
    return source.source().as_raw_fd();
}
