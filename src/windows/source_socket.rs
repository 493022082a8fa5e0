//! A socket that the program owns, by its number. Invariant: nothing is kept here; the number finds the registration.

use std::io;
use std::os::windows::io::RawSocket;

use crate::poll::{Registry, Source};
use crate::readiness::{Interest, Token};

/// A socket that somebody else owns, as an event source.
///
/// It closes nothing, and keeps nothing: any `SourceSocket` of the same number stands for the same registration. The
/// socket's owner must deregister it before closing it.
///
/// Unlike [`IoSource`](crate::IoSource) it needs no wrapping of operations: no event is lost, whatever way the socket
/// is read and written.
///
/// # Portability
///
/// Windows; `unix::SourceFd` is its like. Windows' kernel answers whether a socket is ready, not whether that has
/// changed. So a change is found when `poll` is called, and while a socket stays ready its event is repeated, at
/// pauses that grow to 13 ms.
///
/// A socket that was closed without `deregister` is forgotten. Windows gives its number to a new socket, and that one
/// can be registered at once: `register` tells it from the old one.
///
/// # Errors
///
/// Registration answers what [`Registry::register`] says: an open socket that is registered is `AlreadyExists`, one
/// that isn't is `NotFound`, one that is no socket is `WSAENOTSOCK`.
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
