//! The sources of Windows.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream as StdStream};
use std::os::windows::io::AsRawSocket;
use std::sync::atomic::{AtomicUsize, Ordering};

use socket2::SockRef;
use wakeful::event::Source;
use wakeful::net::{TcpStream, UdpSocket};
use wakeful::windows::{NamedPipe, SourceSocket};
use wakeful::{Interest, IoSource, Registry, Token};

use crate::ends::End;
use crate::ops::Kind;
use crate::support::{any_port, READ, WRITE};

pub fn pair(kind: Kind) -> io::Result<[Box<dyn End>; 2]> {
    Ok(match kind {
        Kind::Stream => {
            let (one, other) = std_pair()?;
            [Box::new(TcpStream::from_std(one)), Box::new(TcpStream::from_std(other))]
        }
        Kind::Pipe => {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!(r"\\.\pipe\wakeful-model-{}-{number}", std::process::id());
            let server = NamedPipe::new(&name)?;
            // Begun by the registration.
            let _ = server.connect();
            let client = NamedPipe::open(&name)?;
            [Box::new(server), Box::new(client)]
        }
        Kind::Datagram | Kind::Udp => {
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

fn std_pair() -> io::Result<(StdStream, StdStream)> {
    let listener = TcpListener::bind(any_port())?;
    let one = StdStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    for stream in [&one, &other] {
        stream.set_nonblocking(true)?;
        // What is written is to arrive soon, and little to be too much.
        stream.set_nodelay(true)?;
        SockRef::from(stream).set_send_buffer_size(16 << 10)?;
        SockRef::from(stream).set_recv_buffer_size(16 << 10)?;
    }
    Ok((one, other))
}

impl End for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buf)
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Write::write(self, buf)
    }

    fn shutdown(&mut self, how: Shutdown) -> io::Result<bool> {
        TcpStream::shutdown(self, how).map(|()| true)
    }
}

/// The model's pipes go from the first end to the second.
impl End for NamedPipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buf)
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Write::write(self, buf)
    }
}

impl End for UdpSocket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Windows answers an error if a datagram is longer than the buffer, where others cut it.
        let mut whole = [0; 100];
        let n = self.recv(&mut whole)?.min(buf.len());
        buf[..n].copy_from_slice(&whole[..n]);
        Ok(n)
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.send(buf)
    }
}

/// A program's own source, whose operations go through `try_io_with`.
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
}

/// A socket whose operations no `Poll` hears of.
struct Raw(StdStream);

impl Source for Raw {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        SourceSocket(&self.0.as_raw_socket()).register(registry, token, interest)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        SourceSocket(&self.0.as_raw_socket()).reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceSocket(&self.0.as_raw_socket()).deregister(registry)
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
}
