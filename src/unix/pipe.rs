//! Pipes (pipe(7)): between threads, or to and from a child process.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{ChildStderr, ChildStdin, ChildStdout};

use crate::os;
use crate::source::{read_with, source_type, write_with};

/// A new pipe, both ends in non-blocking mode and close-on-exec.
///
/// # Errors
///
/// Descriptors have run out (`EMFILE`, `ENFILE`).
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

source_type! {
    /// The end of a pipe that is written to: from [`new`], or a child's standard input.
    ///
    /// Write it through `Write`, which it implements itself and by shared reference. Once the last reader has gone, it
    /// has an event, and writing answers `BrokenPipe` (unless the program has given up Rust's habit of ignoring
    /// `SIGPIPE`).
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
    /// // A child's pipes block until they are told not to.
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
    ///     // Keeps what it has read if it fails, with `WouldBlock` too.
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

source_type! {
    /// The end of a pipe that is read from: from [`new`], or a child's standard output or error.
    ///
    /// Read it through `Read`, which it implements itself and by shared reference, until `WouldBlock` or `Ok(0)`. Once
    /// the last writer has gone, it has an event, and reading gives what is left and then `Ok(0)`. A read of fewer
    /// bytes than asked for doesn't rule that out: see the [guide](crate::guide#short-reads-and-writes).
    ///
    /// # Portability
    ///
    /// Unix.
    ///
    /// # Examples
    ///
    /// There is one at [`new`], and one with a child at [`Sender`].
    pub struct Receiver(OwnedFd);
}

write_with!(Sender, os::write, os::write_vectored);
read_with!(Receiver, os::read, os::read_vectored);

/// The mode belongs to the end of the pipe, so duplicates of the descriptor share it.
macro_rules! set_nonblocking {
    ($Type:ident) => {
        impl $Type {
            /// Puts this end of the pipe into non-blocking mode, or out of it.
            ///
            /// What [`new`] makes is in it; a child's pipe is not. Only in non-blocking mode is it fit for a
            /// [`Poll`](crate::Poll). The mode is shared with duplicates of the descriptor, not with the other end.
            ///
            /// # Errors
            ///
            /// Those of fcntl(2); none is to be expected.
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                os::set_nonblocking(&*self.inner, nonblocking)
            }
        }
    };
}

set_nonblocking!(Sender);
set_nonblocking!(Receiver);

/// What the standard library has made for a child. It blocks until [`set_nonblocking`](Self::set_nonblocking).
macro_rules! from_child {
    ($Type:ident, $Child:ty) => {
        /// The pipe is taken as it is: call [`set_nonblocking(true)`](Self::set_nonblocking) before use.
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
