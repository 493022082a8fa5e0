//! A socket that the program owns, by its number.
//!
//! Invariant: it stores nothing; the number finds the registration.

use std::io;
use std::os::windows::io::RawSocket;

use crate::poll::{Registry, Source};
use crate::readiness::{Interest, Token};

/// A socket that other code owns, as an event source.
///
/// `SourceSocket` neither owns the socket nor stores state; any `SourceSocket` with the same number refers to the
/// same registration. Deregister the socket before closing it.
///
/// Unlike with [`IoSource`](crate::IoSource) operations need no wrapper: no event is lost, however the socket is read
/// and written.
///
/// # Portability
///
/// Windows; `unix::SourceFd` is the counterpart on Unix. The kernel of Windows reports whether a socket is ready, not
/// whether that has changed. So a change is found when `poll` is called, and while a socket stays ready its event is
/// repeated, at intervals that grow to 13 ms.
///
/// A socket that was closed without `deregister` is forgotten. A new socket with the same number can be registered at
/// once: `register` distinguishes it from the old one.
///
/// # Errors
///
/// The errors of [`Registry::register`]: `AlreadyExists` for an open socket that is registered, `NotFound` for a
/// socket that isn't, `WSAENOTSOCK` for a number that is no socket.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use std::net::TcpListener;
/// use std::os::windows::io::AsRawSocket;
/// use wakeful::{windows::SourceSocket, Interest, Poll, Token};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// listener.set_nonblocking(true)?;
///
/// let poll = Poll::new()?;
/// let socket = listener.as_raw_socket();
/// poll.registry().register(&mut SourceSocket(&socket), Token(0), Interest::READABLE)?;
/// poll.registry().deregister(&mut SourceSocket(&socket))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SourceSocket<'a>(pub &'a RawSocket);

impl Source for SourceSocket<'_> {
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
