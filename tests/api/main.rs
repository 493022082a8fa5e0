//! The public surface: mio's, and the additions to it.
#![cfg(feature = "os-poll")]
#![allow(clippy::type_complexity)] // whole signatures, as they are

use wakeful as subject;

mod surface;

/// The additions to mio.
mod additions {
    use std::hash::Hash;
    use std::io;
    use std::iter::FusedIterator;
    use std::panic::{RefUnwindSafe, UnwindSafe};
    use std::time::{Duration, Instant};

    use wakeful::event::{Iter, Source};
    use wakeful::{Backend, Events, Interest, IoSource, Poll, Timer, UnknownBackend};

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
    fn timer() {
        fn is_source<T: Source + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Default>() {}
        is_source::<Timer>();
        let _: fn() -> Timer = Timer::new;
        let _: fn(&Timer, Option<Instant>) -> io::Result<()> = Timer::set;
        let _: fn(&Timer, Instant, Duration) -> io::Result<()> = Timer::set_every;
        let _: fn(&Timer) -> Option<Instant> = Timer::deadline;
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

    #[cfg(feature = "os-ext")]
    #[test]
    fn processes() {
        use std::num::NonZeroU32;
        use std::process::Child;

        use wakeful::process::ChildExit;

        fn is_source<T: Source + std::fmt::Debug + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}
        is_source::<ChildExit>();
        let _: fn(&Child) -> io::Result<ChildExit> = ChildExit::new;
        let _: fn(NonZeroU32) -> io::Result<ChildExit> = ChildExit::from_pid;
    }

    #[cfg(all(unix, feature = "os-ext"))]
    #[test]
    fn pipes() {
        use wakeful::unix::pipe::{Receiver, Sender};

        has_try_io!(Sender, Receiver);
    }

    /// The standard library has no such sockets on Windows, so this library has its own address type, without
    /// conversions.
    #[cfg(all(windows, feature = "net"))]
    #[test]
    fn unix_domain_sockets_on_windows() {
        use std::fmt::Debug;
        use std::io::{Read, Write};
        use std::net::Shutdown;
        use std::os::windows::io::{AsRawSocket, AsSocket, FromRawSocket, IntoRawSocket, OwnedSocket};
        use std::path::Path;

        use wakeful::net::{SocketAddr, UnixListener, UnixStream};

        fn is_source<T>()
        where
            T: Source + Debug + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe,
            T: AsSocket + AsRawSocket + IntoRawSocket + FromRawSocket + From<OwnedSocket> + Into<OwnedSocket>,
        {
        }
        is_source::<UnixListener>();
        is_source::<UnixStream>();
        fn is_stream<T: Read + Write>()
        where
            for<'a> &'a T: Read + Write,
        {
        }
        is_stream::<UnixStream>();
        has_try_io!(UnixListener, UnixStream);

        let _: fn(&'static Path) -> io::Result<UnixListener> = UnixListener::bind;
        let _: fn(&SocketAddr) -> io::Result<UnixListener> = UnixListener::bind_addr;
        let _: fn(&UnixListener) -> io::Result<(UnixStream, SocketAddr)> = UnixListener::accept;
        let _: fn(&UnixListener) -> io::Result<SocketAddr> = UnixListener::local_addr;
        let _: fn(&UnixListener) -> io::Result<Option<io::Error>> = UnixListener::take_error;
        let _: fn(&'static Path) -> io::Result<UnixStream> = UnixStream::connect;
        let _: fn(&SocketAddr) -> io::Result<UnixStream> = UnixStream::connect_addr;
        for _addr in
            [UnixStream::local_addr as fn(&UnixStream) -> io::Result<SocketAddr>, UnixStream::peer_addr]
        {
        }
        let _: fn(&UnixStream, Shutdown) -> io::Result<()> = UnixStream::shutdown;
        let _: fn(&UnixStream) -> io::Result<Option<io::Error>> = UnixStream::take_error;

        fn is_value<T: Clone + Eq + Hash + Debug + Send + Sync>() {}
        is_value::<SocketAddr>();
        let _: fn(&'static Path) -> io::Result<SocketAddr> = SocketAddr::from_pathname;
        let _: fn(&SocketAddr) -> Option<&Path> = SocketAddr::as_pathname;
        let _: fn(&SocketAddr) -> bool = SocketAddr::is_unnamed;
    }

    #[cfg(all(unix, feature = "os-ext"))]
    #[test]
    fn filters() {
        use std::fmt::Debug;
        use std::time::Duration;

        use wakeful::unix::KernelFilter;

        fn is_source<T: Source + Debug + Copy + Eq + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}
        is_source::<KernelFilter>();
        let _: fn(i32) -> KernelFilter = KernelFilter::Signal;
        let of_process: [fn(u32) -> KernelFilter; 3] =
            [KernelFilter::ProcessExit, KernelFilter::ProcessFork, KernelFilter::ProcessExec];
        assert_eq!(of_process[0](5), KernelFilter::ProcessExit(5));
        let (id, interval) = (1_usize, Duration::ZERO);
        assert_ne!(KernelFilter::Timer { id, interval }, KernelFilter::Signal(1));
    }

    #[cfg(all(windows, feature = "os-ext"))]
    #[test]
    fn handles() {
        use std::fmt::Debug;
        use std::os::windows::io::{
            AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, IntoRawHandle, OwnedHandle, RawSocket,
        };

        use wakeful::windows::{completion_port, NamedPipe, Poster, SourceSocket, UserSource, Waitable};

        fn is_source<T: Source + Debug + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}
        is_source::<NamedPipe>();
        is_source::<SourceSocket<'_>>();
        is_source::<UserSource>();
        is_source::<Waitable>();
        let _: fn(BorrowedHandle<'static>) -> io::Result<Waitable> = Waitable::new;
        fn lends_a_handle<T: AsHandle>() {}
        lends_a_handle::<Waitable>();
        let _: fn(&wakeful::Registry) -> io::Result<BorrowedHandle<'_>> = completion_port;

        fn is_handle<T>()
        where
            T: AsHandle + AsRawHandle + IntoRawHandle + FromRawHandle + From<OwnedHandle> + Into<OwnedHandle>,
        {
        }
        is_handle::<NamedPipe>();
        let _: fn(&'static str) -> io::Result<NamedPipe> = NamedPipe::open;

        let number: RawSocket = 0;
        assert_eq!(*SourceSocket(&number).0, 0);

        fn is_new<T: Default>() {}
        is_new::<UserSource>();
        let _: fn() -> UserSource = UserSource::new;
        let _: fn(&UserSource) -> Poster = UserSource::poster;
        fn is_shared<T: Clone + Debug + Send + Sync>() {}
        is_shared::<Poster>();
        let _: fn(&Poster, Interest) -> io::Result<()> = Poster::post;
    }
}
