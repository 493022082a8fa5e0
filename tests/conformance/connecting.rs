//! Connecting: success, refusal, and a socket that is registered before it is connected.

use std::io::ErrorKind;
use std::net::SocketAddr;

use wakeful::net::TcpStream;
use wakeful::Backend;

use crate::skips::makes_sockets;
use crate::support::*;

on_every_backend![a_connection_is_writable, a_refused_connection_is_an_error, registered_before_connected];

fn a_connection_is_writable(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    let mut t = Tester::new(backend);
    let (mut listener, addr) = listener();
    t.register(&mut listener, A, READ);
    for interest in [WRITE, BOTH] {
        let mut client = TcpStream::connect(addr).unwrap();
        t.register(&mut client, B, interest);
        // WASI's libc reports a new connection as readable too.
        let made = if IS_LIBC_OF_WASI { want(B, WRITE).or(interest) } else { want(B, WRITE) };
        t.expect(&[want(A, READ), made]);
        assert!(client.take_error().unwrap().is_none());
        assert_eq!(client.peer_addr().unwrap(), addr);
        let (server, peer) = listener.accept().unwrap();
        assert_kind(listener.accept(), ErrorKind::WouldBlock);
        assert_eq!(client.local_addr().unwrap(), peer);
        send(&server, b"hello");
        assert_eq!(read_exactly(&client, 5), b"hello");
    }
}

/// A port that refuses connections for as long as the socket is kept: the socket doesn't listen, and no other can
/// have the port.
#[cfg(not(target_family = "wasm"))]
#[track_caller]
pub fn refusing_tcp() -> (Option<socket2::Socket>, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&any_port().into()).expect("bind");
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    // Other kernels may not answer at all if a bound socket doesn't listen.
    (cfg!(any(target_os = "linux", target_os = "android")).then_some(socket), addr)
}

/// A port whose listener is dropped at once: this libc has no bound sockets that don't listen.
#[cfg(target_family = "wasm")]
fn refusing_tcp() -> ((), SocketAddr) {
    ((), std::net::TcpListener::bind(any_port()).unwrap().local_addr().unwrap())
}

fn a_refused_connection_is_an_error(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    for interest in [READ, WRITE, BOTH] {
        let mut t = Tester::new(backend);
        let (_keep, unused) = refusing_tcp();
        // Some systems refuse at once.
        let Ok(mut client) = TcpStream::connect(unused) else { continue };
        t.register(&mut client, A, interest);
        let events = t.expect(&[want(A, interest)]);
        assert!(events.iter().all(wakeful::event::Event::is_error), "{events:?}");
        let error = client.take_error().unwrap().expect("an error");
        // Some versions of WASI's libc return a number of another list.
        assert!(error.kind() == ErrorKind::ConnectionRefused || IS_LIBC_OF_WASI, "{error:?}");
        t.quiet();
    }
}

/// tokio#4549: an unconnected socket reports a hang-up. It must report later changes too.
#[cfg(any(unix, windows, target_env = "p2"))]
fn registered_before_connected(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    use std::io::Read;

    use socket2::{Domain, Socket, Type};

    for interest in [READ, WRITE, BOTH] {
        let mut t = Tester::new(backend);
        let (listener, addr) = listener();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let socket = std::net::TcpStream::from(socket);
        socket.set_nonblocking(true).unwrap();
        let mut client = TcpStream::from_std(socket);
        t.register(&mut client, A, interest);
        // The flags before the connect differ by kernel; they are reported once.
        let before = t.poll_now();
        before.iter().for_each(|event| assert_sane(event, interest));
        t.quiet();
        match socket2::SockRef::from(&client).connect(&addr.into()) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            #[cfg(not(windows))]
            Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(e) => panic!("{e}"),
        }
        if interest.is_writable() {
            t.expect(&[want(A, WRITE).or(interest)]);
            assert_eq!(client.peer_addr().unwrap(), addr);
        }
        if interest.is_readable() {
            let (server, _) = accept_from(&listener);
            if IS_LIBC_OF_WASI && interest.is_writable() {
                // The new connection may have been reported as readable; drain that first.
                assert_kind((&client).read(&mut [0]), ErrorKind::WouldBlock);
            }
            // Otherwise no operation is needed: the arrival is a change.
            send(&server, b"x");
            t.expect(&[want(A, READ).or(interest)]);
            assert_eq!(read_exactly(&client, 1), b"x");
        }
    }
}

#[cfg(any(unix, windows, target_env = "p2"))]
fn accept_from(listener: &wakeful::net::TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            other => return other.expect("accept"),
        }
    }
}

#[cfg(not(any(unix, windows, target_env = "p2")))]
fn registered_before_connected(_: Backend) {}
