//! Promise 4: every `usize` is a legal token, and nothing is reserved.

use wakeful::{Backend, Token, Waker};

use crate::support::*;

/// The token that the epoll backend uses for its notifier (`src/backend/epoll/mod.rs`); cut on 32 bits.
const EPOLLS_MARK: usize = 0x6e6f_7469_6679_2121u64 as usize;

fn tokens() -> [Token; 8] {
    let local = 0;
    let pointer = std::ptr::addr_of!(local) as usize;
    [0, 1, usize::MAX, usize::MAX - 1, usize::MAX / 2, EPOLLS_MARK, EPOLLS_MARK ^ 1, pointer].map(Token)
}

on_every_backend![
    every_token_without_a_waker,
    every_token_before_the_first_waker,
    every_token_after_the_first_waker,
    every_token_by_reregistration,
    every_token_of_a_waker,
    all_tokens_at_once,
    a_token_that_source_and_waker_share,
];

fn every_token_without_a_waker(backend: Backend) {
    for token in tokens() {
        let mut t = Tester::new(backend);
        let (mut a, b) = tcp_pair();
        t.register(&mut a, token, READ);
        for _ in 0..3 {
            send(&b, b"x");
            t.expect(&[want(token, READ)]);
            drain(&a);
            t.quiet();
        }
    }
}

fn every_token_before_the_first_waker(backend: Backend) {
    for token in tokens() {
        let mut t = Tester::new(backend);
        let (mut a, b) = tcp_pair();
        t.register(&mut a, token, READ);
        let waker = Waker::new(t.registry(), WAKE).unwrap();
        beside_wakes(&mut t, &a, &b, token, &waker);
    }
}

fn every_token_after_the_first_waker(backend: Backend) {
    for token in tokens() {
        let mut t = Tester::new(backend);
        let (mut a, b) = tcp_pair();
        let waker = Waker::new(t.registry(), WAKE).unwrap();
        waker.wake().unwrap();
        t.register(&mut a, token, READ);
        t.expect(&[want(WAKE, READ)]);
        beside_wakes(&mut t, &a, &b, token, &waker);
        t.deregister(&mut a);
        t.quiet();
        waker.wake().unwrap();
        t.expect(&[want(WAKE, READ)]);
    }
}

fn every_token_by_reregistration(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    t.register(&mut a, A, READ);
    for token in tokens() {
        t.reregister(&mut a, token, READ);
        beside_wakes(&mut t, &a, &b, token, &waker);
    }
}

/// Events and wakes, separately and together. Wakes go through the kernel too, since a thread may sleep on the
/// descriptor.
fn beside_wakes(
    t: &mut Tester,
    a: &wakeful::net::TcpStream,
    b: &wakeful::net::TcpStream,
    token: Token,
    waker: &Waker,
) {
    for round in 0..6 {
        #[cfg(unix)]
        if round == 3 {
            let _ = std::os::fd::AsRawFd::as_raw_fd(&t.poll);
        }
        let _ = round;
        send(b, b"x");
        t.expect(&[want(token, READ)]);
        drain(a);
        t.quiet();

        waker.wake().unwrap();
        t.expect(&[want(WAKE, READ)]);
        t.quiet();

        send(b, b"y");
        waker.wake().unwrap();
        waker.wake().unwrap();
        t.expect(&[want(token, READ), want(WAKE, READ)]);
        drain(a);
        t.quiet();
    }
}

fn every_token_of_a_waker(backend: Backend) {
    for token in tokens() {
        let mut t = Tester::new(backend);
        let waker = Waker::new(t.registry(), token).unwrap();
        for _ in 0..3 {
            waker.wake().unwrap();
            t.expect(&[want(token, READ)]);
            t.quiet();
        }
    }
}

fn all_tokens_at_once(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let mut pairs: Vec<_> = tokens().into_iter().map(|token| (token, tcp_pair())).collect();
    for (token, (a, _)) in &mut pairs {
        t.register(a, *token, READ);
    }
    for _ in 0..20 {
        let mut wants = vec![want(WAKE, READ)];
        for (token, (_, b)) in &pairs {
            send(b, b"x");
            wants.push(want(*token, READ));
        }
        waker.wake().unwrap();
        t.expect(&wants);
        for (_, (a, _)) in &pairs {
            assert_eq!(drain(a), b"x");
        }
        t.quiet();
    }
}

fn a_token_that_source_and_waker_share(backend: Backend) {
    for token in tokens() {
        let mut t = Tester::new(backend);
        let (mut a, b) = tcp_pair();
        let waker = Waker::new(t.registry(), token).unwrap();
        t.register(&mut a, token, READ);
        waker.wake().unwrap();
        t.expect(&[want(token, READ)]);
        t.quiet();
        send(&b, b"x");
        t.expect(&[want(token, READ)]);
        t.quiet();
    }
}
