//! Pipes (pipe(7)): between threads, or to and from a child process.
//!
//! A pipe that [`new`] creates is non-blocking; a child's pipe keeps its mode until [`Sender::set_nonblocking`].

use std::io;
use std::os::fd::OwnedFd;
use std::process::{ChildStderr, ChildStdin, ChildStdout};

use crate::os;
use crate::source::{impl_read, impl_source, impl_write};

/// Creates a pipe, both ends non-blocking and close-on-exec.
///
/// # Errors
///
/// `EMFILE` or `ENFILE`: out of descriptors.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use std::io::{ErrorKind, Read, Write};
/// use wakeful::unix::pipe;
/// use wakeful::{Events, Interest, Poll, Token};
///
/// let (mut sender, mut receiver) = pipe::new()?;
/// let mut poll = Poll::new()?;
/// let mut events = Events::with_capacity(8);
/// poll.registry().register(&mut receiver, Token(0), Interest::READABLE)?;
///
/// sender.write_all(b"hello")?;
/// drop(sender);
/// let mut received = Vec::new();
/// 'pipe: loop {
///     match poll.poll(&mut events, None) {
///         Err(e) if e.kind() == ErrorKind::Interrupted => continue,
///         result => result?,
///     }
///     loop {
///         let mut buf = [0; 16];
///         match receiver.read(&mut buf) {
///             Ok(0) => break 'pipe,
///             Ok(n) => received.extend_from_slice(&buf[..n]),
///             Err(e) if e.kind() == ErrorKind::WouldBlock => break,
///             Err(e) => return Err(e),
///         }
///     }
/// }
/// assert_eq!(received, b"hello");
/// # Ok(())
/// # }
/// ```
pub fn new() -> io::Result<(Sender, Receiver)> {
    let (receiver, sender) = os::pipe()?;
    Ok((Sender::from(sender), Receiver::from(receiver)))
}

impl_source! {
    /// The writing end of a pipe: from [`new`], or a child's standard input.
    ///
    /// Writing goes through `Write`, which the type and a shared reference to it implement. When the last reader has
    /// gone, the sender gets an event, and writing fails with `BrokenPipe` (unless the program has changed Rust's
    /// default of ignoring `SIGPIPE`).
    ///
    /// # Portability
    ///
    /// Unix.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::io::{ErrorKind, Read, Write};
    /// use std::process::{Command, Stdio};
    /// use wakeful::unix::pipe::{Receiver, Sender};
    /// use wakeful::{Events, Interest, Poll, Token};
    ///
    /// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    /// let mut sender = Sender::from(child.stdin.take().unwrap());
    /// let mut receiver = Receiver::from(child.stdout.take().unwrap());
    /// // A child's pipes are in blocking mode at first.
    /// sender.set_nonblocking(true)?;
    /// receiver.set_nonblocking(true)?;
    ///
    /// let mut poll = Poll::new()?;
    /// let mut events = Events::with_capacity(8);
    /// poll.registry().register(&mut receiver, Token(0), Interest::READABLE)?;
    ///
    /// sender.write_all(b"hello")?;
    /// drop(sender);
    /// let mut received = Vec::new();
    /// loop {
    ///     match poll.poll(&mut events, None) {
    ///         Err(e) if e.kind() == ErrorKind::Interrupted => continue,
    ///         result => result?,
    ///     }
    ///     // On an error, `WouldBlock` included, the bytes read so far are kept.
    ///     match receiver.read_to_end(&mut received) {
    ///         Err(e) if e.kind() == ErrorKind::WouldBlock => continue,
    ///         result => break result?,
    ///     }
    /// };
    /// assert_eq!(received, b"hello");
    /// child.wait()?;
    /// # Ok(())
    /// # }
    /// ```
    pub struct Sender(OwnedFd);
}

impl_source! {
    /// The reading end of a pipe: from [`new`], or a child's standard output or error.
    ///
    /// Reading goes through `Read`, which the type and a shared reference to it implement: read until `WouldBlock` or
    /// `Ok(0)`. When the last writer has gone, the receiver gets an event, and reading returns the buffered data and
    /// then `Ok(0)`. A short read doesn't rule that out: see the [guide](crate::guide#short-reads-and-writes).
    ///
    /// # Portability
    ///
    /// Unix.
    ///
    /// # Examples
    ///
    /// [`new`] has an example; [`Sender`] has one with a child process.
    pub struct Receiver(OwnedFd);
}

impl_write!(Sender, os::write, os::write_vectored);
impl_read!(Receiver, os::read, os::read_vectored);

/// Defines `set_nonblocking`. The mode belongs to the open file description, so duplicates of the descriptor share
/// it.
macro_rules! set_nonblocking {
    ($Type:ident) => {
        impl $Type {
            /// Sets whether this end of the pipe is in non-blocking mode.
            ///
            /// The ends that [`new`] creates are; a child's pipe is not. A [`Poll`](crate::Poll) needs non-blocking
            /// mode. Duplicates of the descriptor share the mode; the other end does not.
            ///
            /// # Errors
            ///
            /// Any error of fcntl(2); none is expected.
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                os::set_nonblocking(&*self.inner, nonblocking)
            }
        }
    };
}

set_nonblocking!(Sender);
set_nonblocking!(Receiver);

/// Defines the conversion from a child's pipe of the standard library.
macro_rules! from_child {
    ($Type:ident, $Child:ty) => {
        /// Wraps a child's pipe, still in blocking mode: call [`set_nonblocking(true)`](Self::set_nonblocking) before
        /// use.
        impl From<$Child> for $Type {
            fn from(child: $Child) -> $Type {
                $Type::from(OwnedFd::from(child))
            }
        }
    };
}

from_child!(Sender, ChildStdin);
from_child!(Receiver, ChildStdout);
from_child!(Receiver, ChildStderr);
