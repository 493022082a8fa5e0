//! Priority data, such as TCP's out-of-band byte, where `Interest::PRIORITY` exists.

use wakeful::event::Event;
use wakeful::{Backend, Interest};

use crate::support::*;

on_every_backend![an_out_of_band_byte, beside_ordinary_data, without_an_interest_in_it];

const PRIORITY: Interest = Interest::PRIORITY;

fn send_urgent(to: &impl std::os::fd::AsFd, byte: u8) {
    assert_eq!(socket2::SockRef::from(to).send_out_of_band(&[byte]).unwrap(), 1);
}

fn receive_urgent(from: &wakeful::net::TcpStream) -> std::io::Result<u8> {
    from.try_io_with(PRIORITY, || {
        let mut byte = [std::mem::MaybeUninit::new(0)];
        socket2::SockRef::from(from).recv_out_of_band(&mut byte)?;
        // SAFETY: it was initialized above.
        Ok(unsafe { byte[0].assume_init() })
    })
}

fn an_out_of_band_byte(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, PRIORITY);
    t.quiet();
    send_urgent(&b, b'!');
    let events = t.expect(&[want(A, PRIORITY)]);
    // A backend without priority reports it all the same, as readable.
    assert!(events.iter().all(Event::is_readable), "{events:?}");
    assert_eq!(receive_urgent(&a).unwrap(), b'!');
    t.quiet();
}

fn beside_ordinary_data(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ | PRIORITY);
    for round in 0..3 {
        send(&b, b"ordinary");
        let events = t.expect(&[want(A, READ).or(PRIORITY)]);
        // The BSDs report priority at the position of an out-of-band byte until something behind it is read.
        assert!(round > 0 || !events.iter().any(Event::is_priority), "{backend}: ordinary data: {events:?}");
        assert_eq!(drain(&a), b"ordinary", "round {round}");
        send_urgent(&b, b'!');
        t.expect(&[want(A, PRIORITY).or(READ)]);
        assert_eq!(receive_urgent(&a).unwrap(), b'!');
        drain(&a);
        assert!(receive_urgent(&a).is_err());
    }
}

fn without_an_interest_in_it(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    send_urgent(&b, b'!');
    send(&b, b"x");
    let events = t.expect(&[want(A, READ)]);
    assert!(!events.iter().any(Event::is_priority), "{events:?}");
}
