//! The public surface: mio's, and what goes beyond it.
#![cfg(feature = "os-poll")]
#![allow(clippy::type_complexity)] // whole signatures, as they are

use wakeful as subject;

#[path = "api/surface.rs"]
mod surface;

/// What mio doesn't have.
mod additions {
    use std::hash::Hash;
    use std::io;
    use std::iter::FusedIterator;
    use std::panic::{RefUnwindSafe, UnwindSafe};
    use std::time::Instant;

    use wakeful::event::{Iter, Source};
    use wakeful::{Backend, Events, Interest, IoSource, Poll, UnknownBackend};

    #[test]
    fn events() {
        let _: fn(&Events) -> usize = Events::len;
        fn is_iter<T: ExactSizeIterator + DoubleEndedIterator + FusedIterator>() {}
        is_iter::<Iter<'_>>();
        fn is_hash<T: Hash>() {}
        is_hash::<Interest>();
    }

    #[test]
    fn poll() {
        let _: fn(Backend) -> io::Result<Poll> = Poll::with_backend;
        let _: fn(&Poll) -> Backend = Poll::backend;
        let _: fn(&mut Poll, &mut Events, Instant) -> io::Result<()> = Poll::poll_until;
        fn is_backend<T>()
        where
            T: Copy + Eq + Hash + Default + std::fmt::Display + std::str::FromStr<Err = UnknownBackend>,
        {
        }
        is_backend::<Backend>();
        fn is_error<T: std::error::Error + Send + Sync + 'static>() {}
        is_error::<UnknownBackend>();
    }

    #[test]
    fn io_source() {
        #[cfg(not(windows))]
        type Io = std::os::fd::OwnedFd;
        #[cfg(windows)]
        type Io = std::net::TcpStream;

        fn is_source<T: Source + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}
        is_source::<IoSource<Io>>();
        let _: fn(Io) -> IoSource<Io> = IoSource::new;
        let _: fn(IoSource<Io>) -> Io = IoSource::into_inner;
        let _: fn(&IoSource<Io>, fn(&Io) -> io::Result<char>) -> io::Result<char> = IoSource::try_io;
        let _: fn(&IoSource<Io>, Interest, fn(&Io) -> io::Result<char>) -> io::Result<char> =
            IoSource::try_io_with;
    }

    #[cfg(unix)]
    #[test]
    fn descriptors() {
        fn is_descriptor<T: std::os::fd::AsFd + std::os::fd::AsRawFd>() {}
        is_descriptor::<Poll>();
        is_descriptor::<wakeful::Registry>();
    }

    /// Both ways to do another library's operation, for every type that `IoSource` is in.
    #[allow(unused_macros)] // without `net` and `os-ext` there is none
    macro_rules! has_try_io {
        ($($Type:ty),*) => {$(
            let _: fn(&$Type, fn() -> io::Result<char>) -> io::Result<char> = <$Type>::try_io;
            let _: fn(&$Type, Interest, fn() -> io::Result<char>) -> io::Result<char> = <$Type>::try_io_with;
        )*};
    }

    #[cfg(feature = "net")]
    #[test]
    fn net() {
        use wakeful::net::*;

        has_try_io!(TcpListener, TcpStream, UdpSocket);
        fn is_from<T: From<Std>, Std>() {}
        is_from::<TcpListener, std::net::TcpListener>();
        is_from::<TcpStream, std::net::TcpStream>();
        is_from::<UdpSocket, std::net::UdpSocket>();
        #[cfg(unix)]
        {
            use std::os::unix::net as std_net;

            has_try_io!(UnixListener, UnixStream, UnixDatagram);
            is_from::<UnixListener, std_net::UnixListener>();
            is_from::<UnixStream, std_net::UnixStream>();
            is_from::<UnixDatagram, std_net::UnixDatagram>();
        }
    }

    #[cfg(all(unix, feature = "os-ext"))]
    #[test]
    fn pipes() {
        use wakeful::unix::pipe::{Receiver, Sender};

        has_try_io!(Sender, Receiver);
    }
}
