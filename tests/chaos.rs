//! Chaos: an unmodified program is shaken, and loses nothing. `tests/model.rs` has random programs for it.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use wakeful::net::{TcpListener, TcpStream};
use wakeful::{Backend, Events, Interest, Poll, Token};

const BYTES: usize = 1 << 20;

/// Moves a megabyte by edges; how often the program had to wait.
fn transfer(backend: Backend, seed: u64) -> usize {
    let mut poll = Poll::with_chaos(backend, seed).unwrap();
    let mut events = Events::with_capacity(8);
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut other, _) = loop {
        match listener.accept() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            result => break result.unwrap(),
        }
    };
    poll.registry().register(&mut one, Token(1), Interest::WRITABLE).unwrap();
    poll.registry().register(&mut other, Token(2), Interest::READABLE).unwrap();

    let byte_at = |position: usize| (position * 7 / 3) as u8;
    let data: Vec<u8> = (0..BYTES).map(byte_at).collect();
    let (mut sent, mut received, mut blocked) = (0, 0, 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut buf = vec![0; 50_000];
    while received < BYTES {
        poll.poll_until(&mut events, deadline).unwrap();
        assert!(Instant::now() < deadline, "stuck after {sent} and {received} bytes");
        for event in &events {
            loop {
                let result = match event.token() {
                    Token(1) if sent == BYTES => break,
                    Token(1) => one.write(&data[sent..]).map(|n| sent += n),
                    _ => other.read(&mut buf).map(|n| {
                        assert!(n > 0 && buf[..n] == data[received..received + n]);
                        received += n;
                    }),
                };
                match result {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        blocked += 1;
                        break;
                    }
                    result => result.unwrap(),
                }
            }
        }
    }
    blocked
}

#[test]
fn nothing_is_lost() {
    for &backend in Backend::available() {
        let blocked: usize = (0..10).map(|seed| transfer(backend, seed)).sum();
        assert!(blocked > 20, "{backend}: nothing was shaken");
    }
}

#[test]
#[cfg(not(target_family = "wasm"))] // no second process
fn the_environment_must_name_a_number() {
    if std::env::var_os("WAKEFUL_CHAOS_CHILD").is_some() {
        assert_eq!(Poll::new().unwrap_err().kind(), ErrorKind::InvalidInput);
        return;
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_environment_must_name_a_number"])
        .env("WAKEFUL_CHAOS_CHILD", "1")
        .env("WAKEFUL_CHAOS", "much")
        .status();
    assert!(status.unwrap().success());
}
