//! The sources that only Unix has.

use std::any::Any;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
pub use std::os::unix::net::UnixStream as StdStream;

pub use wakeful::net::UnixStream as Stream;
use wakeful::net::{UdpSocket, UnixDatagram};
use wakeful::unix::pipe;
pub use wakeful::unix::SourceFd as RawSource;

use crate::ends::End;

pub fn stream_pair() -> io::Result<[Box<dyn End>; 2]> {
    let (one, other) = Stream::pair()?;
    Ok([Box::new(one), Box::new(other)])
}

pub fn pipe() -> io::Result<[Box<dyn End>; 2]> {
    let (sender, receiver) = pipe::new()?;
    Ok([Box::new(sender), Box::new(receiver)])
}

pub fn datagram_pair() -> io::Result<[Box<dyn End>; 2]> {
    let (one, other) = UnixDatagram::pair()?;
    Ok([Box::new(one), Box::new(other)])
}

pub fn std_pair() -> io::Result<(StdStream, StdStream)> {
    let pair = StdStream::pair()?;
    pair.0.set_nonblocking(true)?;
    pair.1.set_nonblocking(true)?;
    Ok(pair)
}

pub fn raw(stream: &StdStream) -> RawFd {
    stream.as_raw_fd()
}

pub fn duplicate(fd: &impl AsFd) -> Option<Box<dyn Any + Send>> {
    let duplicate: OwnedFd = fd.as_fd().try_clone_to_owned().ok()?;
    Some(Box::new(duplicate))
}

impl End for pipe::Sender {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Write::write(self, buf)
    }

    fn duplicate(&self) -> Option<Box<dyn Any + Send>> {
        duplicate(self)
    }
}

impl End for pipe::Receiver {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buf)
    }

    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn duplicate(&self) -> Option<Box<dyn Any + Send>> {
        duplicate(self)
    }
}

impl End for UnixDatagram {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv(buf)
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.send(buf)
    }

    fn duplicate(&self) -> Option<Box<dyn Any + Send>> {
        duplicate(self)
    }
}

impl End for UdpSocket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv(buf)
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.send(buf)
    }

    fn duplicate(&self) -> Option<Box<dyn Any + Send>> {
        duplicate(self)
    }
}
