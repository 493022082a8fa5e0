//! `SourceFd`: a borrowed descriptor as an event source.
//!
//! Invariant: the type stores nothing. The descriptor's number names the registration, in the kernel or the backend.

use std::io;
use std::os::fd::RawFd;

use crate::poll::{Registry, Source};
use crate::readiness::{Interest, Token};

/// A borrowed descriptor as an event source.
///
/// `SourceFd` neither owns the descriptor nor stores state: any `SourceFd` with the same number refers to the same
/// registration. So the owner must deregister the descriptor before closing it. Otherwise a duplicate of the descriptor
/// may keep the registration alive.
///
/// The descriptor should be in non-blocking mode. The library doesn't check: on a blocking descriptor an operation
/// waits where it should fail with `WouldBlock`, and the polling thread hangs.
///
/// Operations need no wrapper, unlike those of an [`IoSource`](crate::IoSource): no event is lost, on any backend,
/// whichever way the program reads and writes the descriptor.
///
/// # Portability
///
/// Unix (module `unix`), Hermit (module `hermit`) and WASI (module `wasi`).
///
/// - With an edge-triggered kernel (epoll, kqueue), the events are edge-triggered too.
/// - With `posix_poll` and `wasi`, the library finds a change when `poll` is called. While a descriptor stays ready,
///   its event is repeated, at pauses that grow to 13 ms, since the kernel can't distinguish "still ready" from "ready
///   again".
/// - With `posix_poll`, the kernel holds the file while a thread sleeps in `poll`. If another thread closes the
///   descriptor without deregistering it first, the peer sees the end of the connection only after that sleep.
/// - On macOS `/dev/tty` can't be watched: registering it fails with `EINVAL` (`InvalidInput`), since the device has no
///   filter for a kqueue, and poll(2) supports no devices there. The same terminal by its own name can be: a standard
///   stream that is a terminal, or the path that ttyname(3) returns for one, such as `/dev/ttys003`. Without such a
///   stream, a thread of the program waits by select(2) and wakes a [`Waker`](crate::Waker).
///
/// # Errors
///
/// Registering returns the errors of [`Registry::register`], [`reregister`](Registry::reregister) and
/// [`deregister`](Registry::deregister), for the descriptor's number: `AlreadyExists` for one that is registered,
/// `NotFound` for one that isn't, and `EBADF` for one that isn't open.
///
/// # Examples
///
/// ```
/// # #[cfg(unix)]
/// # fn main() -> std::io::Result<()> {
/// use std::net::TcpListener;
/// use std::os::fd::AsRawFd;
/// use wakeful::{unix::SourceFd, Interest, Poll, Token};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// listener.set_nonblocking(true)?;
///
/// let poll = Poll::new()?;
/// let fd = listener.as_raw_fd();
/// poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE)?;
/// poll.registry().deregister(&mut SourceFd(&fd))?;
/// # Ok(())
/// # }
/// # #[cfg(not(unix))] fn main() {}
/// ```
#[derive(Debug)]
pub struct SourceFd<'a>(pub &'a RawFd);

impl Source for SourceFd<'_> {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        registry.register_raw(*self.0, token, interest)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        registry.reregister_raw(*self.0, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister_raw(*self.0)
    }
}
