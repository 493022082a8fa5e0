//! What a world's sockets do and refuse beside the conformance suite, as Linux does where it has the same limit.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

mod support;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};
use wakeful::sim::{Faults, Sim};
use wakeful::unix::SourceFd;
use wakeful::{Interest, Poll, Token};

fn in_a_world(act: impl FnOnce() + Send + 'static) {
    support::on_a_host(&Sim::with_faults(1, Faults::NONE), act).unwrap();
}

fn bound(address: &str, kind: Type, only_v6: Option<bool>) -> std::io::Result<Socket> {
    let address: SocketAddr = address.parse().unwrap();
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if let Some(only_v6) = only_v6 {
        socket.set_only_v6(only_v6)?;
    }
    socket.bind(&address.into()).map(|()| socket)
}

#[test]
fn an_ipv6_socket_takes_ipv4_unless_it_must_not() {
    in_a_world(|| {
        let reaches = |to: &str| TcpStream::connect(to).map_err(|e| e.kind()).map(drop);
        let both = TcpListener::bind("[::]:80").unwrap();
        assert_eq!((reaches("127.0.0.1:80"), reaches("[::1]:80")), (Ok(()), Ok(())));
        let in_use = bound("0.0.0.0:80", Type::STREAM, None).unwrap_err();
        assert_eq!(in_use.kind(), ErrorKind::AddrInUse);
        drop(both);

        let six = bound("[::]:80", Type::STREAM, Some(true)).unwrap();
        six.listen(8).unwrap();
        assert_eq!(reaches("[::1]:80"), Ok(()));
        assert_eq!(reaches("127.0.0.1:80"), Err(ErrorKind::ConnectionRefused));
        // The port of IPv4 is another one.
        let four = bound("0.0.0.0:80", Type::STREAM, None).unwrap();
        four.listen(8).unwrap();
        assert_eq!(reaches("127.0.0.1:80"), Ok(()));
        assert_eq!(bound("[::]:80", Type::STREAM, Some(false)).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(bound("[::]:80", Type::STREAM, Some(true)).unwrap_err().kind(), ErrorKind::AddrInUse);

        let six = bound("[::]:9", Type::DGRAM, Some(true)).unwrap();
        let four = bound("0.0.0.0:9", Type::DGRAM, None).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"four", "127.0.0.1:9").unwrap();
        let mut buf = [std::mem::MaybeUninit::uninit(); 8];
        six.set_nonblocking(true).unwrap();
        assert_eq!(six.recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(four.recv(&mut buf).unwrap(), 4);
    });
}

#[test]
fn what_a_world_cannot_send_is_refused() {
    in_a_world(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client: Socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap().into();
        let (server, _) = listener.accept().unwrap();
        for flags in [libc::MSG_OOB, libc::MSG_ZEROCOPY] {
            let error = client.send_with_flags(b"!", flags).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
        }
        // Nothing of it has arrived.
        server.set_nonblocking(true).unwrap();
        assert_eq!(server.peek(&mut [0; 2]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(client.send(b"!").unwrap(), 1);
    });
}

#[test]
fn a_descriptor_from_outside_is_named() {
    let outside = TcpListener::bind((IpAddr::from([127, 0, 0, 1]), 0)).unwrap();
    let (_sender, reader) = wakeful::unix::pipe::new().unwrap();
    in_a_world(move || {
        let poll = Poll::new().unwrap();
        let refusal = |fd: i32| {
            let error =
                poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE).unwrap_err();
            (error.kind(), error.to_string())
        };
        let (kind, text) = refusal(outside.as_raw_fd());
        assert_eq!(kind, ErrorKind::Unsupported);
        assert!(text.contains("a socket from outside of the world"), "{text}");
        let (kind, text) = refusal(reader.as_raw_fd());
        assert_eq!(kind, ErrorKind::Unsupported);
        assert!(text.contains("no socket, but a file"), "{text}");
    });
}
