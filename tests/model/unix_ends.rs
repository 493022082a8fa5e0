//! The sources of Unix.

use std::any::Any;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net as std_net;

use wakeful::event::Source;
use wakeful::net::{UdpSocket, UnixDatagram, UnixStream};
use wakeful::unix::{pipe, SourceFd};
use wakeful::{Interest, IoSource, Registry, Token};

use crate::ends::End;
use crate::ops::Kind;
use crate::support::{any_port, READ, WRITE};

pub fn pair(kind: Kind) -> io::Result<[Box<dyn End>; 2]> {
    Ok(match kind {
        Kind::Stream => {
            let (one, other) = UnixStream::pair()?;
            [Box::new(one), Box::new(other)]
        }
        Kind::Pipe => {
            let (sender, receiver) = pipe::new()?;
            [Box::new(sender), Box::new(receiver)]
        }
        Kind::Datagram => {
            let (one, other) = UnixDatagram::pair()?;
            [Box::new(one), Box::new(other)]
        }
        Kind::Udp => {
            let (one, other) = (UdpSocket::bind(any_port())?, UdpSocket::bind(any_port())?);
            one.connect(other.local_addr()?)?;
            other.connect(one.local_addr()?)?;
            [Box::new(one), Box::new(other)]
        }
        Kind::Raw => {
            let (one, other) = std_pair()?;
            [Box::new(Raw(one)), Box::new(Raw(other))]
        }
        Kind::Wrapped => {
            let (one, other) = std_pair()?;
            [Box::new(IoSource::new(one)), Box::new(IoSource::new(other))]
        }
    })
}

fn std_pair() -> io::Result<(std_net::UnixStream, std_net::UnixStream)> {
    let pair = std_net::UnixStream::pair()?;
    pair.0.set_nonblocking(true)?;
    pair.1.set_nonblocking(true)?;
    Ok(pair)
}

fn duplicate(fd: &impl AsFd) -> Option<Box<dyn Any + Send>> {
    let duplicate: OwnedFd = fd.as_fd().try_clone_to_owned().ok()?;
    Some(Box::new(duplicate))
}

impl End for UnixStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buf)
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Write::write(self, buf)
    }

    fn shutdown(&mut self, how: Shutdown) -> io::Result<bool> {
        UnixStream::shutdown(self, how).map(|()| true)
    }

    fn duplicate(&self) -> Option<Box<dyn Any + Send>> {
        duplicate(self)
    }
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

/// A program's own source, whose operations go through `try_io_with`.
impl End for IoSource<std_net::UnixStream> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.try_io_with(READ, |mut stream| stream.read(buf))
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.try_io_with(WRITE, |mut stream| stream.write(buf))
    }

    fn shutdown(&mut self, how: Shutdown) -> io::Result<bool> {
        std_net::UnixStream::shutdown(self, how).map(|()| true)
    }

    fn duplicate(&self) -> Option<Box<dyn Any + Send>> {
        duplicate(&**self)
    }
}

/// A descriptor whose operations no `Poll` hears of.
struct Raw(std_net::UnixStream);

impl Source for Raw {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).register(registry, token, interest)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).deregister(registry)
    }
}

impl End for Raw {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn shutdown(&mut self, how: Shutdown) -> io::Result<bool> {
        self.0.shutdown(how).map(|()| true)
    }

    fn duplicate(&self) -> Option<Box<dyn Any + Send>> {
        duplicate(&self.0)
    }
}
