//! A failed operation leaves no descriptor open. One test in its own process, so that no other test opens any.
#![cfg(all(target_os = "linux", feature = "net"))]

use std::io;

use wakeful::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};

#[test]
fn what_fails_leaves_no_descriptor_open() {
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let taken = listener.local_addr().unwrap();
    let elsewhere = "192.0.2.1:0".parse().unwrap();

    fails("TcpListener::bind", || TcpListener::bind(taken));
    fails("TcpStream::connect", || TcpStream::connect("255.255.255.255:1".parse().unwrap()));
    fails("UdpSocket::bind", || UdpSocket::bind(elsewhere));
    for path in ["/no/such/directory/socket", "with\0zero", &"x".repeat(200)] {
        fails("UnixListener::bind", || UnixListener::bind(path));
        fails("UnixStream::connect", || UnixStream::connect(path));
        fails("UnixDatagram::bind", || UnixDatagram::bind(path));
    }
    fails("accept", || listener.accept());
}

fn fails<T: std::fmt::Debug>(what: &str, operation: impl Fn() -> io::Result<T>) {
    let before = open_descriptors();
    for _ in 0..3 {
        operation().expect_err(what);
    }
    assert_eq!(open_descriptors(), before, "{what}");
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
