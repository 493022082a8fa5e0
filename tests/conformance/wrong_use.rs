//! Promises 5 and 6: wrong use is a defined error, the same in debug and release, and changes nothing.

use std::io::ErrorKind;

use wakeful::net::TcpStream;
use wakeful::{Backend, IoSource};

use crate::skips::makes_sockets;
use crate::support::*;

on_every_backend![
    a_second_registration,
    an_unregistered_source,
    with_a_second_poll,
    with_a_poll_of_another_backend,
    any_source,
    the_texts_are_the_same_for_every_source,
];

fn a_second_registration(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    assert_kind(t.registry().register(&mut a, B, WRITE), ErrorKind::AlreadyExists);
    assert_kind(t.registry().try_clone().unwrap().register(&mut a, A, READ), ErrorKind::AlreadyExists);
    t.quiet();
    send(&b, b"x");
    t.expect(&[want(A, READ)]);
    t.reregister(&mut a, C, READ);
    assert_kind(t.registry().register(&mut a, B, WRITE), ErrorKind::AlreadyExists);
    t.expect(&[want(C, READ)]);
}

fn an_unregistered_source(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    let check = |a: &mut TcpStream| {
        assert_kind(t.registry().reregister(a, A, READ), ErrorKind::NotFound);
        assert_kind(t.registry().deregister(a), ErrorKind::NotFound);
    };
    check(&mut a);
    for _ in 0..3 {
        t.register(&mut a, A, READ);
        t.deregister(&mut a);
        check(&mut a);
    }
    send(&b, b"x");
    t.quiet();
}

fn with_a_second_poll(backend: Backend) {
    two_polls(Tester::new(backend), Tester::new(backend));
}

fn with_a_poll_of_another_backend(backend: Backend) {
    for &other in crate::backends() {
        two_polls(Tester::new(backend), Tester::new(other));
    }
}

fn two_polls(mut one: Tester, mut two: Tester) {
    let (mut a, b) = tcp_pair();
    // The first of its poll too, so that its index could be mistaken for the other's.
    let (mut c, d) = tcp_pair();
    one.register(&mut a, A, READ);
    two.register(&mut c, C, READ);
    assert_kind(two.registry().register(&mut a, B, READ), ErrorKind::AlreadyExists);
    assert_kind(two.registry().reregister(&mut a, B, READ), ErrorKind::NotFound);
    assert_kind(two.registry().deregister(&mut a), ErrorKind::NotFound);
    send(&b, b"x");
    one.expect(&[want(A, READ)]);
    two.quiet();
    send(&d, b"x");
    two.expect(&[want(C, READ)]);
    one.deregister(&mut a);
    assert_kind(one.registry().deregister(&mut a), ErrorKind::NotFound);
    two.register(&mut a, B, READ);
    two.expect(&[want(B, READ)]);
    one.quiet();
}

fn any_source(backend: Backend) {
    if !makes_sockets(backend) {
        return;
    }
    let (one, two) = (Tester::new(backend), Tester::new(backend));
    let check = |source: &mut dyn wakeful::event::Source| {
        assert_kind(one.registry().deregister(source), ErrorKind::NotFound);
        assert_kind(one.registry().reregister(source, A, READ), ErrorKind::NotFound);
        one.register(source, A, READ);
        assert_kind(one.registry().register(source, A, READ), ErrorKind::AlreadyExists);
        assert_kind(two.registry().register(source, A, READ), ErrorKind::AlreadyExists);
        assert_kind(two.registry().reregister(source, A, READ), ErrorKind::NotFound);
        assert_kind(two.registry().deregister(source), ErrorKind::NotFound);
        one.reregister(source, A, BOTH);
        one.deregister(source);
        assert_kind(one.registry().deregister(source), ErrorKind::NotFound);
        two.register(source, A, WRITE);
        two.deregister(source);
    };
    check(&mut listener().0);
    check(&mut udp().0);
    check(&mut tcp_pair().0);
    check(&mut IoSource::new(std_tcp_pair().0));
    check(&mut (Box::new(udp().0) as Box<dyn wakeful::event::Source>));
    #[cfg(unix)]
    {
        use wakeful::net::{UnixDatagram, UnixStream};
        let pair = UnixStream::pair().unwrap();
        let mut one = pair.0;
        check(&mut one);
        let mut one = UnixDatagram::pair().unwrap().0;
        check(&mut one);
        let (mut sender, mut receiver) = wakeful::unix::pipe::new().unwrap();
        check(&mut sender);
        check(&mut receiver);
        let directory = tempfile::tempdir().unwrap();
        let mut listener = wakeful::net::UnixListener::bind(directory.path().join("socket")).unwrap();
        check(&mut listener);
    }
}

/// The same on every backend, although the kernels differ.
fn the_texts_are_the_same_for_every_source(backend: Backend) {
    let t = Tester::new(backend);
    let (mut a, _b) = tcp_pair();
    let texts = |source: &mut dyn wakeful::event::Source| {
        let unknown = t.registry().reregister(source, A, READ).unwrap_err();
        assert_eq!(t.registry().deregister(source).unwrap_err().to_string(), unknown.to_string());
        t.registry().register(source, A, READ).unwrap();
        let twice = t.registry().register(source, A, READ).unwrap_err();
        t.registry().deregister(source).unwrap();
        assert_eq!((twice.kind(), unknown.kind()), (ErrorKind::AlreadyExists, ErrorKind::NotFound));
        [twice.to_string(), unknown.to_string()]
    };
    let expected =
        ["the source is already registered with a `Poll`", "the source is not registered with this `Poll`"];
    assert_eq!(texts(&mut a), expected);
    #[cfg(unix)]
    assert_eq!(texts(&mut wakeful::unix::SourceFd(&std::os::fd::AsRawFd::as_raw_fd(&a))), expected);
    #[cfg(windows)]
    {
        use std::os::windows::io::AsRawSocket;
        assert_eq!(texts(&mut wakeful::windows::SourceSocket(&a.as_raw_socket())), expected);
        assert_eq!(texts(&mut wakeful::windows::UserSource::new()), expected);
        let thread = std::thread::spawn(|| ());
        assert_eq!(texts(&mut wakeful::windows::Waitable::new(&thread).unwrap()), expected);
    }
    // With two sources of one descriptor, the selector refuses.
    #[cfg(unix)]
    {
        use std::os::fd::AsRawFd;
        let fd = a.as_raw_fd();
        t.registry().register(&mut a, A, READ).unwrap();
        let twice = t.registry().register(&mut wakeful::unix::SourceFd(&fd), A, READ).unwrap_err();
        assert_eq!(twice.to_string(), expected[0]);
        t.registry().deregister(&mut wakeful::unix::SourceFd(&fd)).unwrap();
        assert_eq!(t.registry().deregister(&mut a).unwrap_err().to_string(), expected[1]);
        // And so the source isn't stuck.
        t.registry().register(&mut a, B, READ).unwrap();
    }
}
