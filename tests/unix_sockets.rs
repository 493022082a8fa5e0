//! Unix-domain sockets without a `Poll`, and the descriptors of all sockets. The conformance suite has the tests with
//! a `Poll`.
#![cfg(all(unix, feature = "net"))]

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::{self as std_net, SocketAddr};
use std::path::{Path, PathBuf};

use wakeful::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};

mod support;

use support::{assert_would_block, is_close_on_exec, is_nonblocking, localhost, until_ready};

#[test]
fn everything_is_nonblocking_and_close_on_exec() {
    let check = |what: &str, socket: &dyn AsFd| {
        let fd = socket.as_fd();
        assert!(is_nonblocking(&fd), "{what} blocks");
        assert!(is_close_on_exec(&fd), "{what} is inherited");
    };
    let listener = TcpListener::bind(localhost()).unwrap();
    check("TcpListener::bind", &listener);
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    check("TcpStream::connect", &client);
    check("TcpListener::accept", &until_ready(|| listener.accept()).0);
    check("UdpSocket::bind", &UdpSocket::bind(localhost()).unwrap());

    let path = TempPath::new();
    let listener = UnixListener::bind(&path).unwrap();
    check("UnixListener::bind", &listener);
    let client = UnixStream::connect(&path).unwrap();
    check("UnixStream::connect", &client);
    check("UnixListener::accept", &until_ready(|| listener.accept()).0);
    let (one, other) = UnixStream::pair().unwrap();
    check("UnixStream::pair", &one);
    check("UnixStream::pair", &other);

    let path = TempPath::new();
    check("UnixDatagram::bind", &UnixDatagram::bind(&path).unwrap());
    check("UnixDatagram::unbound", &UnixDatagram::unbound().unwrap());
    let (one, other) = UnixDatagram::pair().unwrap();
    check("UnixDatagram::pair", &one);
    check("UnixDatagram::pair", &other);
}

#[test]
fn descriptors_go_out_and_in() {
    let (one, mut other) = UnixStream::pair().unwrap();
    let number = one.as_raw_fd();
    let fd = OwnedFd::from(one);
    let raw = UnixStream::from(fd).into_raw_fd();
    assert_eq!(raw, number);
    // SAFETY: `into_raw_fd` has given it to us.
    let mut one = unsafe { UnixStream::from_raw_fd(raw) };
    one.write_all(b"x").unwrap();
    assert_eq!(other.read(&mut [0; 8]).unwrap(), 1);
    drop(one);
    assert_eq!(other.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn std_unix_sockets_go_in_and_out() {
    let (one, other) = std_net::UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    let mut one = UnixStream::from(one);
    assert_would_block(one.read(&mut [0; 8]));
    let mut one = std_net::UnixStream::from(one);
    assert_would_block(one.read(&mut [0; 8]));
    drop(other);
}

#[test]
fn unix_connection() {
    let path = TempPath::new();
    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(path.as_ref()));
    assert_would_block(listener.accept());

    let mut client = UnixStream::connect(&path).unwrap();
    let (mut server, peer) = until_ready(|| listener.accept());
    assert!(peer.is_unnamed());
    assert!(client.local_addr().unwrap().is_unnamed());
    assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(path.as_ref()));
    assert!(client.take_error().unwrap().is_none());

    assert_would_block(server.read(&mut [0; 8]));
    client.write_all(b"hello").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    server.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"hello");

    drop(server);
    assert_eq!(client.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn unix_client_with_a_path() {
    let (path, client_path) = (TempPath::new(), TempPath::new());
    let listener = UnixListener::bind(&path).unwrap();
    let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    client.bind(&socket2::SockAddr::unix(&client_path).unwrap()).unwrap();
    client.connect(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    let (_, peer) = until_ready(|| listener.accept());
    assert_eq!(peer.as_pathname(), Some(client_path.as_ref()));
}

#[test]
fn unix_paths_that_are_no_addresses() {
    let too_long = "x".repeat(200);
    for path in ["with\0zero", &too_long] {
        assert_invalid(UnixListener::bind(path));
        assert_invalid(UnixStream::connect(path));
        assert_invalid(UnixDatagram::bind(path));
        assert_invalid(UnixDatagram::unbound().unwrap().connect(path));
        assert_invalid(UnixDatagram::unbound().unwrap().send_to(b"x", path));
    }
    assert!(UnixStream::connect("").is_err());
}

#[test]
fn unix_without_a_peer() {
    let path = TempPath::new();
    assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::NotFound);
    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(listener);
    assert!(path.as_ref().exists(), "it stays");
    assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[test]
fn unix_datagrams() {
    let (path, other_path) = (TempPath::new(), TempPath::new());
    let one = UnixDatagram::bind(&path).unwrap();
    let other = UnixDatagram::bind(&other_path).unwrap();
    let mut buf = [0; 8];
    assert_would_block(one.recv_from(&mut buf));
    assert_would_block(one.recv(&mut buf));

    assert_eq!(one.send_to(b"hello", &other_path).unwrap(), 5);
    let (n, from) = until_ready(|| other.recv_from(&mut buf));
    assert_eq!((n, from.as_pathname()), (5, Some(path.as_ref())));

    assert_eq!(one.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    assert_eq!(one.send(b"no peer?").unwrap_err().kind(), ErrorKind::NotConnected);
    one.connect(&other_path).unwrap();
    assert_eq!(one.peer_addr().unwrap().as_pathname(), Some(other_path.as_ref()));
    assert_eq!(one.send(b"again").unwrap(), 5);
    assert_eq!(until_ready(|| other.recv(&mut buf)), 5);

    UnixDatagram::unbound().unwrap().send_to(b"hey!", &other_path).unwrap();
    assert!(until_ready(|| other.recv_from(&mut buf)).1.is_unnamed());
    assert!(one.take_error().unwrap().is_none());

    let (one, other) = UnixDatagram::pair().unwrap();
    one.shutdown(Shutdown::Write).unwrap();
    assert!(one.send(b"x").is_err());
    assert_eq!(other.send(b"x").unwrap(), 1);
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use super::*;

    use std::ffi::OsStr;
    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};

    #[test]
    fn abstract_names() {
        for name in [&b"with\0zeros\0"[..], b"", &[b'x'; 100]] {
            let mut name = name.to_vec();
            name.extend(std::process::id().to_ne_bytes());
            let addr = SocketAddr::from_abstract_name(&name).unwrap();
            let listener = UnixListener::bind_addr(&addr).unwrap();
            assert_eq!(listener.local_addr().unwrap().as_abstract_name(), Some(&name[..]));
            let client = UnixStream::connect_addr(&addr).unwrap();
            assert_eq!(client.peer_addr().unwrap().as_abstract_name(), Some(&name[..]));
            until_ready(|| listener.accept());
            drop(listener);
            let gone = UnixStream::connect_addr(&addr).unwrap_err();
            assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);
        }
    }

    #[test]
    fn an_unnamed_address_gets_a_name() {
        let unnamed = SocketAddr::from_pathname("").unwrap();
        let names = [UnixDatagram::bind_addr(&unnamed).unwrap(), UnixDatagram::bind_addr(&unnamed).unwrap()]
            .map(|socket| socket.local_addr().unwrap().as_abstract_name().unwrap().to_vec());
        assert_ne!(names[0], names[1]);
        let listener = UnixListener::bind_addr(&unnamed).unwrap();
        let addr = listener.local_addr().unwrap();
        let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        client.bind(&socket2::SockAddr::unix("").unwrap()).unwrap();
        let name = addr.as_abstract_name().unwrap();
        let name = [b"\0", name].concat();
        client.connect(&socket2::SockAddr::unix(OsStr::from_bytes(&name)).unwrap()).unwrap();
        let (_, peer) = until_ready(|| listener.accept());
        assert!(peer.as_abstract_name().is_some());

        assert_invalid(UnixStream::connect_addr(&unnamed));
    }

    /// The kernel accepts a path that leaves no room for a final zero.
    #[test]
    fn a_peer_whose_path_is_as_long_as_can_be() {
        let dir = TempPath::new();
        fs::create_dir(&dir).unwrap();
        let mut path = dir.as_ref().join("x").into_os_string().into_vec();
        path.resize(108, b'y');
        // SAFETY: the storage is larger than a `sockaddr_un`, which begins with the family, and then has 108
        // bytes of path.
        let ((), addr) = unsafe {
            socket2::SockAddr::try_init(|storage, len| {
                let family = socket2::SockAddr::unix("").unwrap().family();
                storage.cast::<u16>().write(family);
                storage.cast::<u8>().add(2).copy_from_nonoverlapping(path.as_ptr(), path.len());
                *len = 110;
                Ok(())
            })
        }
        .unwrap();

        let listener_path = TempPath::new();
        let listener = UnixListener::bind(&listener_path).unwrap();
        let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        client.bind(&addr).unwrap();
        client.connect(&socket2::SockAddr::unix(&listener_path).unwrap()).unwrap();
        let (_, peer) = until_ready(|| listener.accept());
        assert_eq!(peer.as_pathname().unwrap().as_os_str().as_bytes(), path);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_connected_datagram_socket_keeps_strangers_out() {
        let path = TempPath::new();
        let (one, other_path) = (UnixDatagram::bind(&path).unwrap(), TempPath::new());
        let _other = UnixDatagram::bind(&other_path).unwrap();
        one.connect(&other_path).unwrap();
        let refused = UnixDatagram::unbound().unwrap().send_to(b"hey!", &path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_full_queue_is_an_error() {
        let path = TempPath::new();
        let listener = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        listener.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(1).unwrap();
        let mut clients = Vec::new();
        let full = loop {
            match UnixStream::connect(&path) {
                Ok(client) => clients.push(client),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        assert_eq!(clients.len(), 2);
    }

    #[test]
    fn a_listener_has_room_for_many() {
        let path = TempPath::new();
        let _listener = UnixListener::bind(&path).unwrap();
        let clients: Vec<_> = (0..300).map(|_| UnixStream::connect(&path).unwrap()).collect();
        assert_eq!(clients.len(), 300);
    }
}

fn assert_invalid<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// A path that nothing has, in a folder that goes with this.
struct TempPath {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl TempPath {
    fn new() -> TempPath {
        let folder = tempfile::tempdir().unwrap();
        TempPath { path: folder.path().join("socket"), _folder: folder }
    }
}

impl AsRef<Path> for TempPath {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}
