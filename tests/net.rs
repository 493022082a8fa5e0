//! Sockets without a `Poll`: options, addresses, errors, conversions. The conformance suite has the tests with one.
#![cfg(feature = "net")]
// WASI's first preview can't create sockets.
#![cfg(not(all(target_os = "wasi", not(target_env = "p2"))))]

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use socket2::SockRef;
use wakeful::net::{TcpListener, TcpStream, UdpSocket};
use wakeful::Interest;

mod support;

use support::{assert_would_block, localhost, until_ready};

#[test]
fn tcp_both_ends_have_the_same_addresses() {
    let (client, server, peer) = tcp_pair();
    assert_eq!(client.local_addr().unwrap(), peer);
    assert_eq!(server.peer_addr().unwrap(), peer);
    assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
}

#[test]
fn tcp_port_can_be_bound_again_at_once() {
    let listener = TcpListener::bind(localhost()).unwrap();
    let addr = listener.local_addr().unwrap();
    let client = TcpStream::connect(addr).unwrap();
    let (server, _) = until_ready(|| listener.accept());
    // The side that closes first keeps the port for a while (TIME_WAIT).
    drop(server);
    drop(client);
    drop(listener);
    TcpListener::bind(addr).unwrap();
}

#[test]
fn tcp_port_in_use() {
    let listener = TcpListener::bind(localhost()).unwrap();
    let again = TcpListener::bind(listener.local_addr().unwrap());
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[test]
fn tcp_connection_refused() {
    let listener = TcpListener::bind(localhost()).unwrap();
    let unused = listener.local_addr().unwrap();
    drop(listener);
    // Either at once or in the background.
    let error = match TcpStream::connect(unused) {
        Ok(stream) => until_ready(|| stream.take_error()?.ok_or_else(|| ErrorKind::WouldBlock.into())),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn tcp_nothing_there_would_block() {
    let (mut client, server, _) = tcp_pair();
    let mut buf = [0; 8];
    let mut other = [0; 8];
    let bufs = &mut [IoSliceMut::new(&mut buf), IoSliceMut::new(&mut other)];
    assert_would_block(client.read_vectored(bufs));
    assert_would_block(client.read(&mut buf));
    assert_would_block(client.peek(&mut buf));
    assert_would_block((&server).read(&mut buf));
    assert_would_block(TcpListener::bind(localhost()).unwrap().accept());
}

#[test]
fn tcp_full_buffers_would_block() {
    let (mut client, _server, _) = tcp_pair();
    let chunk = vec![7; 1 << 20];
    let result = loop {
        match client.write(&chunk) {
            Ok(n) => assert!(n > 0),
            result => break result,
        }
    };
    assert_would_block(result);
    assert_would_block(client.write_vectored(&[IoSlice::new(&chunk), IoSlice::new(&chunk)]));
}

#[test]
fn tcp_bytes_arrive_in_order() {
    let (client, mut server, _) = tcp_pair();
    (&client).write_all(b"one ").unwrap();
    assert_eq!((&client).write_vectored(&[IoSlice::new(b"two "), IoSlice::new(b"three")]).unwrap(), 9);
    client.shutdown(Shutdown::Write).unwrap();

    let mut start = [0; 3];
    until_ready(|| server.peek(&mut start));
    assert_eq!(&start, b"one");
    let (mut word, mut rest) = ([0; 4], [0; 64]);
    let bufs = &mut [IoSliceMut::new(&mut word), IoSliceMut::new(&mut rest)];
    let n = until_ready(|| server.read_vectored(bufs));
    assert_eq!((&word, &rest[..n - 4]), (b"one ", &b"two three"[..n - 4]));
    let mut left = [0; 64];
    while n + until_ready(|| server.read(&mut left)) < 13 {}
    assert_eq!(until_ready(|| server.read(&mut left)), 0);
}

#[test]
fn tcp_options() {
    let (client, _server, _) = tcp_pair();
    for on in [true, false] {
        client.set_nodelay(on).unwrap();
        assert_eq!(client.nodelay().unwrap(), on);
    }
    client.set_ttl(42).unwrap();
    assert_eq!(client.ttl().unwrap(), 42);
    assert!(client.set_ttl(256).is_err());
    assert!(client.take_error().unwrap().is_none());

    let listener = TcpListener::bind(localhost()).unwrap();
    listener.set_ttl(43).unwrap();
    assert_eq!(listener.ttl().unwrap(), 43);
    assert!(listener.take_error().unwrap().is_none());
    #[cfg(not(windows))]
    assert!(SockRef::from(&listener).reuse_address().unwrap());
}

#[test]
fn udp_to_any_peer() {
    let (one, other) = (udp(), udp());
    let mut buf = [0; 8];
    assert_would_block(other.recv_from(&mut buf));
    assert_would_block(other.peek_from(&mut buf));
    assert_eq!(other.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    assert!(one.send(b"no peer?").is_err());

    assert_eq!(one.send_to(b"hello", other.local_addr().unwrap()).unwrap(), 5);
    let from = one.local_addr().unwrap();
    assert_eq!(until_ready(|| other.peek_from(&mut buf)), (5, from));
    assert_eq!(other.recv_from(&mut buf).unwrap(), (5, from));
    assert_eq!(&buf[..5], b"hello");
    assert_would_block(other.recv_from(&mut buf));
}

#[test]
fn udp_to_one_peer() {
    let (one, other, stranger) = (udp(), udp(), udp());
    one.connect(other.local_addr().unwrap()).unwrap();
    other.connect(one.local_addr().unwrap()).unwrap();
    assert_eq!(one.peer_addr().unwrap(), other.local_addr().unwrap());
    let mut buf = [0; 8];
    assert_would_block(other.recv(&mut buf));

    stranger.send_to(b"strange", other.local_addr().unwrap()).unwrap();
    assert_eq!(one.send(b"hello").unwrap(), 5);
    assert_eq!(until_ready(|| other.peek(&mut buf)), 5);
    assert_eq!(other.recv(&mut buf).unwrap(), 5);
    assert_eq!(&buf[..5], b"hello");
    assert_would_block(other.recv(&mut buf));
}

#[test]
fn udp_empty_and_long_datagrams() {
    let (one, other) = (udp(), udp());
    let to = other.local_addr().unwrap();
    let mut buf = [0; 4];
    assert_eq!(one.send_to(b"", to).unwrap(), 0);
    assert_eq!(until_ready(|| other.recv_from(&mut buf)).0, 0);

    one.send_to(b"too long", to).unwrap();
    one.send_to(b"next", to).unwrap();
    #[cfg(unix)]
    assert_eq!(until_ready(|| other.recv_from(&mut buf)).0, 4);
    #[cfg(windows)]
    assert!(
        matches!(until_ready(|| Ok(other.recv_from(&mut buf))), Err(e) if e.kind() != ErrorKind::WouldBlock)
    );
    assert_eq!(until_ready(|| other.recv_from(&mut buf)).0, 4);
    assert_eq!(&buf, b"next");

    assert!(one.send_to(&vec![0; 1 << 17], to).is_err());
}

#[test]
fn udp_options() {
    let socket = UdpSocket::bind("0.0.0.0:0".parse().unwrap()).unwrap();
    for on in [true, false] {
        socket.set_broadcast(on).unwrap();
        assert_eq!(socket.broadcast().unwrap(), on);
        socket.set_multicast_loop_v4(on).unwrap();
        assert_eq!(socket.multicast_loop_v4().unwrap(), on);
    }
    socket.set_ttl(44).unwrap();
    assert_eq!(socket.ttl().unwrap(), 44);
    socket.set_multicast_ttl_v4(45).unwrap();
    assert_eq!(socket.multicast_ttl_v4().unwrap(), 45);
    assert!(socket.take_error().unwrap().is_none());

    let group = Ipv4Addr::new(224, 0, 0, 251);
    socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    assert!(socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).is_err(), "a member already");
    socket.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    assert!(socket.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).is_err(), "no member");
    assert!(socket.join_multicast_v4(&Ipv4Addr::LOCALHOST, &Ipv4Addr::LOCALHOST).is_err(), "no group");

    // No options of IPv4.
    #[cfg(unix)]
    assert!(socket.only_v6().is_err());
    assert!(socket.join_multicast_v6(&"ff02::fb".parse().unwrap(), 0).is_err());
}

#[test]
fn udp_options_of_ipv6() {
    let socket = match UdpSocket::bind("[::]:0".parse().unwrap()) {
        // A machine without IPv6.
        Err(e) if cfg!(unix) => return eprintln!("skipped: {e}"),
        result => result.unwrap(),
    };
    for on in [true, false] {
        socket.set_multicast_loop_v6(on).unwrap();
        assert_eq!(socket.multicast_loop_v6().unwrap(), on);
    }
    assert_eq!(socket.only_v6().unwrap(), SockRef::from(&socket).only_v6().unwrap());
    assert!(socket.leave_multicast_v6(&"ff02::fb".parse().unwrap(), 0).is_err(), "no member");
}

#[test]
fn what_std_has_made_is_taken_as_it_is() {
    let (client, _server, _) = tcp_pair();
    let std_stream = std::net::TcpStream::from(client);
    assert_would_block((&std_stream).read(&mut [0; 8]));
    let mut stream = TcpStream::from(std_stream);
    assert_would_block(stream.read(&mut [0; 8]));

    let std_socket = std::net::UdpSocket::bind(localhost()).unwrap();
    let short = Duration::from_millis(20);
    std_socket.set_read_timeout(Some(short)).unwrap();
    let socket = UdpSocket::from_std(std_socket);
    let start = Instant::now();
    socket.recv(&mut [0; 8]).unwrap_err();
    assert!(start.elapsed() >= short, "it was in blocking mode and still is");
}

#[test]
fn operations_of_others() {
    let (client, mut server, _) = tcp_pair();
    let mut buf = [0; 4];
    let mut peek = || (&client).read(&mut buf);
    assert_would_block(client.try_io_with(Interest::READABLE, &mut peek));
    assert_would_block(client.try_io(&mut peek));
    server.write_all(b"data").unwrap();
    assert_eq!(until_ready(|| client.try_io_with(Interest::READABLE, &mut peek)), 4);

    let error = client.try_io(|| Err::<(), _>(io::Error::from(ErrorKind::Other))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
}

fn udp() -> UdpSocket {
    UdpSocket::bind(localhost()).unwrap()
}

/// A client, its server, and the client's address from `accept`.
fn tcp_pair() -> (TcpStream, TcpStream, SocketAddr) {
    let listener = TcpListener::bind(localhost()).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, peer) = until_ready(|| listener.accept());
    until_ready(|| match client.peer_addr() {
        Err(e) if e.kind() == ErrorKind::NotConnected => Err(ErrorKind::WouldBlock.into()),
        result => result,
    });
    (client, server, peer)
}
