use std::io;
use std::os::fd::RawFd;

use crate::poll::{Registry, Source};
use crate::readiness::{Interest, Token};

/// A descriptor that somebody else owns, as an event source.
///
/// It closes nothing, and keeps nothing: any `SourceFd` of the same number stands for the same registration. So the
/// descriptor's owner must deregister it before closing it, or a duplicate of it may keep the registration alive.
///
/// The descriptor should be in non-blocking mode, which isn't checked: on a blocking one, the operation that should
/// return `WouldBlock` waits instead, and the thread that polls hangs.
///
/// Unlike [`IoSource`](crate::IoSource) it needs no wrapping of operations: no event is lost, on any backend, whatever
/// way the descriptor is read and written.
///
/// # Portability
///
/// Unix (module `unix`), Hermit (module `hermit`) and WASI (module `wasi`). Where the kernel is edge-triggered (epoll,
/// kqueue) its events are too. With `posix_poll` and `wasi` a change is found when `poll` is called; while a descriptor
/// stays ready, its event is repeated, at pauses that grow to 13 ms, since the kernel can't tell "still ready" from
/// "ready again". With `posix_poll` the kernel holds the file while a thread sleeps in `poll`: if another thread closes
/// the descriptor without deregistering it first, the peer sees no end of the connection before that sleep is over.
///
/// # Errors
///
/// Registration answers what [`Registry::register`] says, from the kernel's view: a number that is registered is
/// `AlreadyExists`, one that isn't is `NotFound`, one that isn't open is `EBADF`.
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
