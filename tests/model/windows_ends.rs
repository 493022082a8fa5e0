//! The sources that only Windows has.

use std::any::Any;
use std::io::{self, Read, Write};
use std::net::TcpListener;
pub use std::net::TcpStream as StdStream;
use std::os::windows::io::{AsRawSocket, RawSocket};
use std::sync::atomic::{AtomicUsize, Ordering};

use socket2::SockRef;
pub use wakeful::net::TcpStream as Stream;
use wakeful::net::UdpSocket;
use wakeful::windows::NamedPipe;
pub use wakeful::windows::SourceSocket as RawSource;

pub use crate::ends::udp_pair as datagram_pair;
use crate::ends::End;
use crate::support::any_port;

pub fn stream_pair() -> io::Result<[Box<dyn End>; 2]> {
    let (one, other) = std_pair()?;
    Ok([Box::new(Stream::from_std(one)), Box::new(Stream::from_std(other))])
}

pub fn pipe() -> io::Result<[Box<dyn End>; 2]> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!(r"\\.\pipe\wakeful-model-{}-{number}", std::process::id());
    let server = NamedPipe::new(&name)?;
    // The registration starts it.
    let _ = server.connect();
    let client = NamedPipe::open(&name)?;
    Ok([Box::new(server), Box::new(client)])
}

pub fn std_pair() -> io::Result<(StdStream, StdStream)> {
    let listener = TcpListener::bind(any_port())?;
    let one = StdStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    for stream in [&one, &other] {
        stream.set_nonblocking(true)?;
        // Small buffers, so that data arrives soon and little fills them.
        stream.set_nodelay(true)?;
        SockRef::from(stream).set_send_buffer_size(16 << 10)?;
        SockRef::from(stream).set_recv_buffer_size(16 << 10)?;
    }
    Ok((one, other))
}

pub fn raw(stream: &StdStream) -> RawSocket {
    stream.as_raw_socket()
}

/// Second handles aren't made here.
pub fn duplicate<T>(_: &T) -> Option<Box<dyn Any + Send>> {
    None
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
        // Windows fails for a datagram longer than the buffer, where other systems truncate it.
        let mut whole = [0; 100];
        let n = self.recv(&mut whole)?.min(buf.len());
        buf[..n].copy_from_slice(&whole[..n]);
        Ok(n)
    }

    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.send(buf)
    }
}
