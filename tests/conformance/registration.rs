//! Promises 2 and 11: a registration reports the present state, a reregistration replaces all of it, and both work
//! through any handle.

use std::net::Shutdown;

use wakeful::event::Source;
use wakeful::net::TcpStream;
use wakeful::{Backend, Interest, Registry, Token};

use crate::support::*;

on_every_backend![
    register_reports_what_is_so,
    reregister_reports_again,
    reregister_replaces_token_and_interest,
    a_closed_source_is_reported_at_registration,
    register_again_after_deregister,
    from_one_poll_to_another,
    between_backends,
    through_every_handle,
    a_registry_outlives_its_poll,
    a_source_of_the_users_own,
];

fn register_reports_what_is_so(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, mut b) = tcp_pair();
    send(&b, b"early");
    await_bytes(&a);
    t.register(&mut a, A, BOTH);
    t.register(&mut b, B, WRITE);
    t.expect(&[want(A, BOTH), want(B, WRITE)]);
    t.quiet();
}

fn reregister_reports_again(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    send(&b, b"unread");
    for _ in 0..20 {
        t.expect(&[want(A, READ)]);
        t.quiet();
        t.reregister(&mut a, A, READ);
    }
    drain(&a);
    t.quiet();
    t.reregister(&mut a, A, READ);
    t.quiet();
}

fn reregister_replaces_token_and_interest(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    send(&b, b"data");
    t.register(&mut a, A, READ);
    t.expect(&[want(A, READ)]);
    t.reregister(&mut a, B, WRITE);
    t.expect(&[want(B, WRITE)]);
    // The interest no longer includes it.
    send(&b, b"data");
    t.quiet();
    t.reregister(&mut a, C, READ);
    t.expect(&[want(C, READ)]);
    // The second half may still be on its way, and would cause another event.
    assert_eq!(read_exactly(&a, 8), b"datadata");
    // WASI's second preview: a runtime may report a socket as readable until a read has failed with `WouldBlock`.
    assert!(drain(&a).is_empty());
    t.reregister(&mut a, A, BOTH);
    t.expect(&[want(A, WRITE)]);
    // An event that the kernel has queued for the old token is reported with the new one.
    send(&b, b"queued");
    await_bytes(&a);
    t.reregister(&mut a, B, READ);
    t.expect(&[want(B, READ)]);
    t.quiet();
}

fn a_closed_source_is_reported_at_registration(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    send(&b, b"last words");
    drop(b);
    assert_eq!(read_exactly(&a, 10), b"last words");
    t.register(&mut a, A, READ);
    t.expect(&[want(A, READ)]);
    assert!(matches!(read_on(&a), (bytes, None) if bytes.is_empty()));
    t.quiet();

    let (mut c, d) = tcp_pair();
    d.shutdown(Shutdown::Write).unwrap();
    t.register(&mut c, C, READ);
    t.expect(&[want(C, READ)]);
}

/// With another token each time: no event of an earlier token is reported, whatever the kernel has queued.
fn register_again_after_deregister(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    send(&b, b"unread");
    for round in 0..100 {
        t.register(&mut a, Token(round), READ);
        t.expect(&[want(Token(round), READ)]);
        t.deregister(&mut a);
        t.quiet();
    }
}

fn from_one_poll_to_another(backend: Backend) {
    let (mut one, mut two) = (Tester::new(backend), Tester::new(backend));
    let (mut a, b) = tcp_pair();
    one.register(&mut a, A, READ);
    one.deregister(&mut a);
    two.register(&mut a, B, READ);
    send(&b, b"x");
    two.expect(&[want(B, READ)]);
    one.quiet();
    two.deregister(&mut a);
    one.register(&mut a, C, READ);
    one.expect(&[want(C, READ)]);
    two.quiet();
}

/// Several backends live in one program, and a source goes from one to another.
fn between_backends(backend: Backend) {
    let mut one = Tester::new(backend);
    for &other in crate::backends() {
        let mut two = Tester::new(other);
        let (mut a, b) = tcp_pair();
        let (mut c, d) = tcp_pair();
        one.register(&mut a, A, READ);
        two.register(&mut c, C, READ);
        send(&b, b"x");
        send(&d, b"x");
        one.expect(&[want(A, READ)]);
        two.expect(&[want(C, READ)]);
        one.deregister(&mut a);
        two.register(&mut a, B, READ);
        two.expect(&[want(B, READ)]);
        drain(&a);
        send(&b, b"y");
        two.expect(&[want(B, READ)]);
        one.quiet();
    }
}

fn through_every_handle(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    let clone = t.registry().try_clone().unwrap();
    let clone_of_clone = clone.try_clone().unwrap();
    clone.register(&mut a, A, READ).unwrap();
    send(&b, b"x");
    t.expect(&[want(A, READ)]);
    clone_of_clone.reregister(&mut a, B, READ).unwrap();
    t.expect(&[want(B, READ)]);
    t.deregister(&mut a);
    let mut boxed: Box<dyn Source> = Box::new(a);
    clone.register(&mut boxed, C, READ).unwrap();
    t.expect(&[want(C, READ)]);
    clone.reregister(&mut *boxed, A, READ).unwrap();
    t.expect(&[want(A, READ)]);
    clone.deregister(&mut boxed).unwrap();
    t.quiet();
}

fn a_registry_outlives_its_poll(backend: Backend) {
    let t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    let (mut c, _d) = tcp_pair();
    t.register(&mut a, A, READ);
    let registry = t.registry().try_clone().unwrap();
    drop(t);
    registry.register(&mut c, C, READ).unwrap();
    registry.reregister(&mut a, A, BOTH).unwrap();
    registry.deregister(&mut c).unwrap();
    drop(registry);
    // I/O on a source works after its poll was dropped.
    send(&b, b"still here");
    assert_eq!(read_exactly(&a, 10), b"still here");
    drain(&a);
}

fn a_source_of_the_users_own(backend: Backend) {
    struct Two(TcpStream, TcpStream);

    impl Source for Two {
        fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> std::io::Result<()> {
            self.0.register(registry, token, interest)?;
            self.1.register(registry, Token(token.0 + 1), interest)
        }

        fn reregister(
            &mut self,
            registry: &Registry,
            token: Token,
            interest: Interest,
        ) -> std::io::Result<()> {
            self.0.reregister(registry, token, interest)?;
            self.1.reregister(registry, Token(token.0 + 1), interest)
        }

        fn deregister(&mut self, registry: &Registry) -> std::io::Result<()> {
            self.0.deregister(registry)?;
            self.1.deregister(registry)
        }
    }

    let mut t = Tester::new(backend);
    let (a, b) = tcp_pair();
    let (c, d) = tcp_pair();
    let mut two = Two(a, c);
    t.register(&mut two, Token(10), READ);
    send(&b, b"x");
    t.expect(&[want(Token(10), READ)]);
    send(&d, b"x");
    t.expect(&[want(Token(11), READ)]);
    t.reregister(&mut two, Token(20), READ);
    t.expect(&[want(Token(20), READ), want(Token(21), READ)]);
    t.deregister(&mut two);
    t.quiet();
}
