//! Unix pipes.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{ChildStderr, ChildStdin, ChildStdout};

use crate::os;
use crate::poll::{read_with, source_type, write_with};

/// A pipe.
pub fn new() -> io::Result<(Sender, Receiver)> {
    let (receiver, sender) = os::pipe()?;
    Ok((Sender::from(sender), Receiver::from(receiver)))
}

source_type! {
    /// The writing end of a pipe.
    pub struct Sender(OwnedFd);
}

source_type! {
    /// The reading end of a pipe.
    pub struct Receiver(OwnedFd);
}

write_with!(Sender, os::write, os::write_vectored);
read_with!(Receiver, os::read, os::read_vectored);

impl Sender {
    /// Sets.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        os::set_nonblocking(&*self.inner, nonblocking)
    }
}

impl Receiver {
    /// Sets.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        os::set_nonblocking(&*self.inner, nonblocking)
    }
}

/// As is.
impl From<ChildStdin> for Sender {
    fn from(stdin: ChildStdin) -> Sender {
        Sender::from(OwnedFd::from(stdin))
    }
}

/// As is.
impl From<ChildStdout> for Receiver {
    fn from(stdout: ChildStdout) -> Receiver {
        Receiver::from(OwnedFd::from(stdout))
    }
}

/// As is.
impl From<ChildStderr> for Receiver {
    fn from(stderr: ChildStderr) -> Receiver {
        Receiver::from(OwnedFd::from(stderr))
    }
}
