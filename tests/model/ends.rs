//! The sources that a run uses, behind one interface.

use std::any::Any;
use std::io::{self, Read, Write};
use std::net::Shutdown;

use wakeful::event::Source;
use wakeful::net::UdpSocket;
use wakeful::{Interest, IoSource, Registry, Token};

use crate::ops::Kind;
use crate::support::{any_port, READ, WRITE};
#[cfg(unix)]
use crate::unix_ends as system;
#[cfg(windows)]
use crate::windows_ends as system;

use system::{duplicate, raw, std_pair, RawSource, StdStream, Stream};

/// One end of a pair.
pub trait End: Source + Send {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;
    fn write(&mut self, buf: &[u8]) -> io::Result<usize>;
    fn shutdown(&mut self, _: Shutdown) -> io::Result<bool> {
        Ok(false)
    }
    /// On platforms with duplicates of descriptors.
    fn duplicate(&self) -> Option<Box<dyn Any + Send>> {
        None
    }
}

pub fn pair(kind: Kind) -> io::Result<[Box<dyn End>; 2]> {
    Ok(match kind {
        Kind::Stream => system::stream_pair()?,
        Kind::Pipe => system::pipe()?,
        Kind::Datagram => system::datagram_pair()?,
        Kind::Udp => udp_pair()?,
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

pub fn udp_pair() -> io::Result<[Box<dyn End>; 2]> {
    let (one, other) = (UdpSocket::bind(any_port())?, UdpSocket::bind(any_port())?);
    one.connect(other.local_addr()?)?;
    other.connect(one.local_addr()?)?;
    Ok([Box::new(one), Box::new(other)])
}

impl End for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buf)
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Write::write(self, buf)
    }

    fn shutdown(&mut self, how: Shutdown) -> io::Result<bool> {
        Stream::shutdown(self, how).map(|()| true)
    }

    fn duplicate(&self) -> Option<Box<dyn Any + Send>> {
        duplicate(self)
    }
}

/// A source of the program, whose operations go through `try_io_with`.
impl End for IoSource<StdStream> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.try_io_with(READ, |mut stream| stream.read(buf))
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.try_io_with(WRITE, |mut stream| stream.write(buf))
    }

    fn shutdown(&mut self, how: Shutdown) -> io::Result<bool> {
        StdStream::shutdown(self, how).map(|()| true)
    }

    fn duplicate(&self) -> Option<Box<dyn Any + Send>> {
        duplicate(&**self)
    }
}

/// A descriptor or socket whose operations the library doesn't see.
struct Raw(StdStream);

impl Source for Raw {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        RawSource(&raw(&self.0)).register(registry, token, interest)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        RawSource(&raw(&self.0)).reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        RawSource(&raw(&self.0)).deregister(registry)
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
