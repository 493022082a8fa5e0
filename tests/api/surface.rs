//! The public surface of mio 1.2.4: every path, signature and trait that a program may rely on.
//!
//! It compiles for `wakeful`, for `compat/mio`, and for mio itself, by which the list was checked. Nearly all of it
//! is checked by the compiler: a function has a signature if it coerces to a function pointer of that type.
#![allow(clippy::type_complexity)] // whole signatures, as they are

use std::fmt::Debug;
use std::hash::Hash;
use std::io;
use std::ops::{BitOr, BitOrAssign};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use crate::subject;
use subject::event::{self, Event, Source};
use subject::{Events, Interest, Poll, Registry, Token, Waker};

/// The traits of every public type.
fn is_plain<T: Debug + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}

#[allow(dead_code)] // without `net` and `os-ext` there is none
fn is_source<T: Source + Debug + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}

/// A source that is written for mio.
#[derive(Debug)]
struct OwnSource;

impl event::Source for OwnSource {
    fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn poll() {
    is_plain::<Poll>();
    let _: fn() -> io::Result<Poll> = Poll::new;
    let _: fn(&Poll) -> &Registry = Poll::registry;
    let _: fn(&mut Poll, &mut Events, Option<Duration>) -> io::Result<()> = Poll::poll;
}

#[test]
fn registry() {
    is_plain::<Registry>();
    let _: fn(&Registry, &mut OwnSource, Token, Interest) -> io::Result<()> = Registry::register;
    let _: fn(&Registry, &mut OwnSource, Token, Interest) -> io::Result<()> = Registry::reregister;
    let _: fn(&Registry, &mut OwnSource) -> io::Result<()> = Registry::deregister;
    let _: fn(&Registry) -> io::Result<Registry> = Registry::try_clone;

    // A source need not be `Sized`.
    let _: fn(&Registry, &mut (dyn Source + 'static), Token, Interest) -> io::Result<()> = Registry::register;
    let _: fn(&Registry, &mut (dyn Source + 'static), Token, Interest) -> io::Result<()> =
        Registry::reregister;
    let _: fn(&Registry, &mut (dyn Source + 'static)) -> io::Result<()> = Registry::deregister;
}

#[test]
fn source() {
    fn is<T: Source + ?Sized>() {}
    is::<OwnSource>();
    is::<Box<OwnSource>>();
    is::<Box<dyn Source>>();
    is::<dyn Source>();
}

#[test]
fn events() {
    is_plain::<Events>();
    let _: fn(usize) -> Events = Events::with_capacity;
    let _: fn(&Events) -> usize = Events::capacity;
    let _: fn(&Events) -> bool = Events::is_empty;
    let _: fn(&Events) -> event::Iter<'_> = Events::iter;
    let _: fn(&mut Events) = Events::clear;
    let _: fn(usize) -> event::Events = event::Events::with_capacity;

    fn is_iterable<'a, T: IntoIterator<Item = &'a Event, IntoIter = event::Iter<'a>>>() {}
    is_iterable::<&Events>();
    fn is_iter<'a, T: Iterator<Item = &'a Event> + Clone + Debug>() {}
    is_iter::<event::Iter<'_>>();

    // The capacity is the argument, not the allocator's.
    for capacity in [0, 1, 3, 1000] {
        assert_eq!(Events::with_capacity(capacity).capacity(), capacity);
    }
    assert_eq!(Events::with_capacity(5).iter().size_hint(), (0, Some(0)));
}

#[test]
fn event() {
    is_plain::<Event>();
    fn is_clone<T: Clone>() {}
    is_clone::<Event>();
    let _: fn(&Event) -> Token = Event::token;
    for _test in [
        Event::is_readable as fn(&Event) -> bool,
        Event::is_writable,
        Event::is_error,
        Event::is_read_closed,
        Event::is_write_closed,
        Event::is_priority,
        Event::is_aio,
        Event::is_lio,
    ] {}
}

#[test]
fn token() {
    is_plain::<Token>();
    fn is_value<T: Copy + Eq + Ord + Hash>() {}
    is_value::<Token>();
    const LAST: Token = Token(usize::MAX);
    assert_eq!(usize::from(LAST), LAST.0);
    assert_eq!(format!("{:?}", Token(7)), "Token(7)");
}

#[test]
fn interest() {
    is_plain::<Interest>();
    fn is_value<T: Copy + Eq + Ord + BitOr<Output = T> + BitOrAssign>() {}
    is_value::<Interest>();

    const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
    const TESTS: [bool; 5] =
        [BOTH.is_readable(), BOTH.is_writable(), BOTH.is_aio(), BOTH.is_lio(), BOTH.is_priority()];
    assert_eq!(TESTS, [true, true, false, false, false]);
    let _: fn(Interest, Interest) -> Option<Interest> = Interest::remove;
    assert_eq!(BOTH.remove(Interest::READABLE), Some(Interest::WRITABLE));
    assert_eq!(Interest::READABLE.remove(Interest::READABLE), None);

    assert_eq!(format!("{BOTH:?}"), "READABLE | WRITABLE");
    assert_eq!(std::mem::size_of::<Option<Interest>>(), std::mem::size_of::<Interest>());

    #[cfg(any(target_os = "linux", target_os = "android"))]
    assert!(Interest::PRIORITY.is_priority());
    #[cfg(any(target_os = "dragonfly", target_os = "freebsd", target_vendor = "apple"))]
    assert!(Interest::AIO.is_aio());
    #[cfg(target_os = "freebsd")]
    assert!(Interest::LIO.is_lio());
}

#[test]
fn waker() {
    is_plain::<Waker>();
    let _: fn(&Registry, Token) -> io::Result<Waker> = Waker::new;
    let _: fn(&Waker) -> io::Result<()> = Waker::wake;
}

/// Where the kernel has a descriptor for the whole `Poll`.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "dragonfly",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_vendor = "apple"
))]
#[test]
fn descriptor_of_the_poll() {
    use std::os::fd::{AsFd, AsRawFd};

    fn is_raw<T: AsRawFd>() {}
    fn is_both<T: AsRawFd + AsFd>() {}
    is_raw::<Poll>();
    is_both::<Registry>();
}

/// The traits of every type with a descriptor.
#[cfg(unix)]
#[allow(dead_code)] // without `net` and `os-ext` there is none
fn is_descriptor<T>()
where
    T: std::os::fd::AsFd
        + std::os::fd::AsRawFd
        + std::os::fd::IntoRawFd
        + std::os::fd::FromRawFd
        + From<std::os::fd::OwnedFd>
        + Into<std::os::fd::OwnedFd>,
{
}

/// The traits of every type with a socket.
#[cfg(windows)]
#[allow(dead_code)] // without `net` there is none
fn is_descriptor<T>()
where
    T: std::os::windows::io::AsSocket
        + std::os::windows::io::AsRawSocket
        + std::os::windows::io::IntoRawSocket
        + std::os::windows::io::FromRawSocket
        + From<std::os::windows::io::OwnedSocket>
        + Into<std::os::windows::io::OwnedSocket>,
{
}

/// The traits of all sockets.
#[cfg(feature = "net")]
fn is_socket<T: Source + Debug + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Into<Std>, Std>() {
    is_source::<T>();
}

#[cfg(feature = "net")]
mod net {
    use super::*;

    use std::io::{Read, Write};
    use std::net::{self, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};

    use subject::net::{TcpListener, TcpStream, UdpSocket};

    #[test]
    fn tcp_listener() {
        is_socket::<TcpListener, net::TcpListener>();
        #[cfg(any(unix, windows))]
        is_descriptor::<TcpListener>();
        let _: fn(SocketAddr) -> io::Result<TcpListener> = TcpListener::bind;
        let _: fn(net::TcpListener) -> TcpListener = TcpListener::from_std;
        let _: fn(&TcpListener) -> io::Result<(TcpStream, SocketAddr)> = TcpListener::accept;
        let _: fn(&TcpListener) -> io::Result<SocketAddr> = TcpListener::local_addr;
        let _: fn(&TcpListener, u32) -> io::Result<()> = TcpListener::set_ttl;
        let _: fn(&TcpListener) -> io::Result<u32> = TcpListener::ttl;
        let _: fn(&TcpListener) -> io::Result<Option<io::Error>> = TcpListener::take_error;
    }

    #[test]
    fn tcp_stream() {
        is_socket::<TcpStream, net::TcpStream>();
        is_stream::<TcpStream>();
        #[cfg(any(unix, windows))]
        is_descriptor::<TcpStream>();
        let _: fn(SocketAddr) -> io::Result<TcpStream> = TcpStream::connect;
        let _: fn(net::TcpStream) -> TcpStream = TcpStream::from_std;
        let _: fn(&TcpStream) -> io::Result<SocketAddr> = TcpStream::peer_addr;
        let _: fn(&TcpStream) -> io::Result<SocketAddr> = TcpStream::local_addr;
        let _: fn(&TcpStream, Shutdown) -> io::Result<()> = TcpStream::shutdown;
        let _: fn(&TcpStream, bool) -> io::Result<()> = TcpStream::set_nodelay;
        let _: fn(&TcpStream) -> io::Result<bool> = TcpStream::nodelay;
        let _: fn(&TcpStream, u32) -> io::Result<()> = TcpStream::set_ttl;
        let _: fn(&TcpStream) -> io::Result<u32> = TcpStream::ttl;
        let _: fn(&TcpStream) -> io::Result<Option<io::Error>> = TcpStream::take_error;
        let _: fn(&TcpStream, &mut [u8]) -> io::Result<usize> = TcpStream::peek;
        let _: fn(&TcpStream, Operation) -> io::Result<char> = TcpStream::try_io;
    }

    #[test]
    fn udp_socket() {
        is_socket::<UdpSocket, net::UdpSocket>();
        #[cfg(any(unix, windows))]
        is_descriptor::<UdpSocket>();
        let _: fn(SocketAddr) -> io::Result<UdpSocket> = UdpSocket::bind;
        let _: fn(net::UdpSocket) -> UdpSocket = UdpSocket::from_std;
        let _: fn(&UdpSocket) -> io::Result<SocketAddr> = UdpSocket::local_addr;
        let _: fn(&UdpSocket) -> io::Result<SocketAddr> = UdpSocket::peer_addr;
        let _: fn(&UdpSocket, SocketAddr) -> io::Result<()> = UdpSocket::connect;
        let _: fn(&UdpSocket, &[u8], SocketAddr) -> io::Result<usize> = UdpSocket::send_to;
        let _: fn(&UdpSocket, &[u8]) -> io::Result<usize> = UdpSocket::send;
        for _receive in [UdpSocket::recv as fn(&UdpSocket, &mut [u8]) -> io::Result<usize>, UdpSocket::peek] {
        }
        for _receive in [
            UdpSocket::recv_from as fn(&UdpSocket, &mut [u8]) -> io::Result<(usize, SocketAddr)>,
            UdpSocket::peek_from,
        ] {}
        let _: fn(&UdpSocket) -> io::Result<Option<io::Error>> = UdpSocket::take_error;
        let _: fn(&UdpSocket, Operation) -> io::Result<char> = UdpSocket::try_io;
    }

    #[test]
    fn udp_options() {
        for _set in [
            UdpSocket::set_broadcast as fn(&UdpSocket, bool) -> io::Result<()>,
            UdpSocket::set_multicast_loop_v4,
            UdpSocket::set_multicast_loop_v6,
        ] {}
        for _get in [
            UdpSocket::broadcast as fn(&UdpSocket) -> io::Result<bool>,
            UdpSocket::multicast_loop_v4,
            UdpSocket::multicast_loop_v6,
            UdpSocket::only_v6,
        ] {}
        let number = UdpSocket::set_multicast_ttl_v4 as fn(&UdpSocket, u32) -> io::Result<()>;
        for _set in [number, UdpSocket::set_ttl] {}
        for _get in [UdpSocket::multicast_ttl_v4 as fn(&UdpSocket) -> io::Result<u32>, UdpSocket::ttl] {}
        let group_v4 = UdpSocket::join_multicast_v4 as fn(&UdpSocket, &Ipv4Addr, &Ipv4Addr) -> io::Result<()>;
        for _change in [group_v4, UdpSocket::leave_multicast_v4] {}
        let group_v6 = UdpSocket::join_multicast_v6 as fn(&UdpSocket, &Ipv6Addr, u32) -> io::Result<()>;
        for _change in [group_v6, UdpSocket::leave_multicast_v6] {}
    }

    /// The bound of `try_io`'s argument.
    type Operation = fn() -> io::Result<char>;

    /// `Read` and `Write`, for the stream and for a reference to it.
    fn is_stream<T: Read + Write>()
    where
        for<'a> &'a T: Read + Write,
    {
    }

    #[cfg(unix)]
    mod unix {
        use super::*;

        use std::os::unix::net::{self, SocketAddr};
        use std::path::{Path, PathBuf};

        use subject::net::{UnixDatagram, UnixListener, UnixStream};

        #[test]
        fn unix_listener() {
            is_socket::<UnixListener, net::UnixListener>();
            is_descriptor::<UnixListener>();
            let _: fn(&'static Path) -> io::Result<UnixListener> = UnixListener::bind;
            let _: fn(PathBuf) -> io::Result<UnixListener> = UnixListener::bind;
            let _: fn(&'static str) -> io::Result<UnixListener> = UnixListener::bind;
            let _: fn(&SocketAddr) -> io::Result<UnixListener> = UnixListener::bind_addr;
            let _: fn(net::UnixListener) -> UnixListener = UnixListener::from_std;
            let _: fn(&UnixListener) -> io::Result<(UnixStream, SocketAddr)> = UnixListener::accept;
            let _: fn(&UnixListener) -> io::Result<SocketAddr> = UnixListener::local_addr;
            let _: fn(&UnixListener) -> io::Result<Option<io::Error>> = UnixListener::take_error;
        }

        #[test]
        fn unix_stream() {
            is_socket::<UnixStream, net::UnixStream>();
            is_stream::<UnixStream>();
            is_descriptor::<UnixStream>();
            let _: fn(&'static Path) -> io::Result<UnixStream> = UnixStream::connect;
            let _: fn(&SocketAddr) -> io::Result<UnixStream> = UnixStream::connect_addr;
            let _: fn(net::UnixStream) -> UnixStream = UnixStream::from_std;
            let _: fn() -> io::Result<(UnixStream, UnixStream)> = UnixStream::pair;
            let _: fn(&UnixStream) -> io::Result<SocketAddr> = UnixStream::local_addr;
            let _: fn(&UnixStream) -> io::Result<SocketAddr> = UnixStream::peer_addr;
            let _: fn(&UnixStream) -> io::Result<Option<io::Error>> = UnixStream::take_error;
            let _: fn(&UnixStream, Shutdown) -> io::Result<()> = UnixStream::shutdown;
            let _: fn(&UnixStream, Operation) -> io::Result<char> = UnixStream::try_io;
        }

        #[test]
        fn unix_datagram() {
            is_socket::<UnixDatagram, net::UnixDatagram>();
            is_descriptor::<UnixDatagram>();
            let _: fn(&'static Path) -> io::Result<UnixDatagram> = UnixDatagram::bind;
            let _: fn(&SocketAddr) -> io::Result<UnixDatagram> = UnixDatagram::bind_addr;
            let _: fn(net::UnixDatagram) -> UnixDatagram = UnixDatagram::from_std;
            let _: fn(&UnixDatagram, &'static Path) -> io::Result<()> = UnixDatagram::connect;
            let _: fn() -> io::Result<UnixDatagram> = UnixDatagram::unbound;
            let _: fn() -> io::Result<(UnixDatagram, UnixDatagram)> = UnixDatagram::pair;
            let _: fn(&UnixDatagram) -> io::Result<SocketAddr> = UnixDatagram::local_addr;
            let _: fn(&UnixDatagram) -> io::Result<SocketAddr> = UnixDatagram::peer_addr;
            let _: fn(&UnixDatagram, &mut [u8]) -> io::Result<(usize, SocketAddr)> = UnixDatagram::recv_from;
            let _: fn(&UnixDatagram, &mut [u8]) -> io::Result<usize> = UnixDatagram::recv;
            let _: fn(&UnixDatagram, &[u8], &'static Path) -> io::Result<usize> = UnixDatagram::send_to;
            let _: fn(&UnixDatagram, &[u8]) -> io::Result<usize> = UnixDatagram::send;
            let _: fn(&UnixDatagram) -> io::Result<Option<io::Error>> = UnixDatagram::take_error;
            let _: fn(&UnixDatagram, Shutdown) -> io::Result<()> = UnixDatagram::shutdown;
            let _: fn(&UnixDatagram, Operation) -> io::Result<char> = UnixDatagram::try_io;
        }
    }
}

#[cfg(all(unix, feature = "os-ext"))]
mod unix {
    use super::*;

    use std::io::{Read, Write};
    use std::os::fd::RawFd;
    use std::process::{ChildStderr, ChildStdin, ChildStdout};

    use subject::unix::{pipe, SourceFd};

    #[test]
    fn source_fd() {
        is_source::<SourceFd<'_>>();
        let number: RawFd = 0;
        assert_eq!(*SourceFd(&number).0, 0);
    }

    #[test]
    fn pipes() {
        let _: fn() -> io::Result<(pipe::Sender, pipe::Receiver)> = pipe::new;

        is_source::<pipe::Sender>();
        is_descriptor::<pipe::Sender>();
        fn is_written<T: Write + From<ChildStdin>>()
        where
            for<'a> &'a T: Write,
        {
        }
        is_written::<pipe::Sender>();
        let _: fn(&pipe::Sender, bool) -> io::Result<()> = pipe::Sender::set_nonblocking;
        let _: fn(&pipe::Sender, fn() -> io::Result<char>) -> io::Result<char> = pipe::Sender::try_io;

        is_source::<pipe::Receiver>();
        is_descriptor::<pipe::Receiver>();
        fn is_read<T: Read + From<ChildStdout> + From<ChildStderr>>()
        where
            for<'a> &'a T: Read,
        {
        }
        is_read::<pipe::Receiver>();
        let _: fn(&pipe::Receiver, bool) -> io::Result<()> = pipe::Receiver::set_nonblocking;
        let _: fn(&pipe::Receiver, fn() -> io::Result<char>) -> io::Result<char> = pipe::Receiver::try_io;
    }
}

#[cfg(all(windows, feature = "os-ext"))]
mod windows {
    use super::*;

    use std::ffi::{OsStr, OsString};
    use std::io::{Read, Write};
    use std::os::windows::io::{AsRawHandle, FromRawHandle};

    use subject::windows::NamedPipe;

    #[test]
    fn named_pipe() {
        is_source::<NamedPipe>();
        fn is_pipe<T: Read + Write + AsRawHandle + FromRawHandle>()
        where
            for<'a> &'a T: Read + Write,
        {
        }
        is_pipe::<NamedPipe>();
        let _: fn(&'static str) -> io::Result<NamedPipe> = NamedPipe::new;
        let _: fn(OsString) -> io::Result<NamedPipe> = NamedPipe::new;
        let _: fn(&'static OsStr) -> io::Result<NamedPipe> = NamedPipe::new;
        let _: fn(&NamedPipe) -> io::Result<()> = NamedPipe::connect;
        let _: fn(&NamedPipe) -> io::Result<Option<io::Error>> = NamedPipe::take_error;
        let _: fn(&NamedPipe) -> io::Result<()> = NamedPipe::disconnect;
    }
}
