//! Chaos: an unmodified program is shaken, and loses nothing. `tests/model.rs` has random programs for it.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use wakeful::net::{TcpListener, TcpStream};
use wakeful::{Backend, Events, Interest, Poll, Token};

const BYTES: usize = 1 << 20;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = loop {
        match listener.accept() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            result => break result.unwrap(),
        }
    };
    (one, other)
}

/// Moves a megabyte by edges; how often the program had to wait.
fn transfer(backend: Backend, seed: u64, is_vectored: bool) -> usize {
    let mut poll = Poll::with_chaos(backend, seed).unwrap();
    let mut events = Events::with_capacity(8);
    let (mut one, mut other) = pair();
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
                    Token(1) => {
                        let (first, second) = data[sent..].split_at((BYTES - sent) / 2);
                        let written = match is_vectored {
                            true => one.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]),
                            false => one.write(&data[sent..]),
                        };
                        written.map(|n| sent += n)
                    }
                    _ => {
                        let (first, second) = buf.split_at_mut(100);
                        let read = match is_vectored {
                            true => {
                                other.read_vectored(&mut [IoSliceMut::new(first), IoSliceMut::new(second)])
                            }
                            false => other.read(&mut buf),
                        };
                        read.map(|n| {
                            assert!(n > 0 && buf[..n] == data[received..received + n]);
                            received += n;
                        })
                    }
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
        for is_vectored in [false, true] {
            let blocked: usize = (0..10).map(|seed| transfer(backend, seed, is_vectored)).sum();
            assert!(blocked > 20, "{backend}: nothing was shaken");
        }
    }
}

/// As from a kernel, a vectored operation may move less than there is.
#[test]
fn vectored_operations_are_short_too() {
    let poll = Poll::with_chaos(Backend::default(), 1).unwrap();
    let (mut one, _other) = pair();
    poll.registry().register(&mut one, Token(1), Interest::READABLE).unwrap();
    let lengths: Vec<usize> = (0..100)
        .map(|_| {
            one.write_vectored(&[IoSlice::new(&[]), IoSlice::new(&[1; 5]), IoSlice::new(&[2; 5])]).unwrap()
        })
        .collect();
    assert!(lengths.contains(&10) && lengths.iter().any(|&length| length < 5), "{lengths:?}");
}

/// With room for one event, what is held back leaves the kernel its turn.
#[test]
fn with_room_for_one_nobody_starves() {
    for &backend in Backend::available() {
        let mut poll = Poll::with_chaos(backend, 3).unwrap();
        let mut events = Events::with_capacity(1);
        let mut pairs: Vec<_> = (0..50).map(|_| pair()).collect();
        for (token, (one, _)) in pairs.iter_mut().enumerate() {
            poll.registry().register(one, Token(token), Interest::READABLE).unwrap();
        }
        let (mut quiet, mut peer) = pair();
        poll.registry().register(&mut quiet, Token(99), Interest::READABLE).unwrap();
        let has_come = (0..5000).any(|round| {
            // Each time some only pretend to block, and the events of these alone would fill the room for ever.
            for (one, _) in &mut pairs {
                assert_eq!(one.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            }
            if round == 500 {
                peer.write_all(b"x").unwrap();
            }
            poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
            round >= 500 && events.iter().any(|event| event.token() == Token(99))
        });
        assert!(has_come, "{backend}");
    }
}

/// What is held back doesn't show on the poll's descriptor: when that is given away, it must.
#[cfg(unix)]
#[test]
fn who_watches_the_descriptor_misses_nothing() {
    use std::os::fd::{AsRawFd, RawFd};

    fn is_readable(fd: RawFd) -> bool {
        let mut fd = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd.
        unsafe { libc::poll(&mut fd, 1, 0) == 1 }
    }

    let mut held = 0;
    for seed in 0..50 {
        let mut poll = Poll::with_chaos(Backend::default(), seed).unwrap();
        let mut events = Events::with_capacity(8);
        let (mut one, mut other) = pair();
        poll.registry().register(&mut one, Token(1), Interest::READABLE).unwrap();
        other.write_all(b"x").unwrap();
        while one.peek(&mut [0]).is_err() {
            std::thread::yield_now();
        }
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        if events.is_empty() {
            held += 1;
            let fd = poll.as_raw_fd();
            assert!(is_readable(fd), "seed {seed}");
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            assert!(!events.is_empty(), "seed {seed}");
        }
    }
    assert!(held > 3, "nothing was held back");
}

#[test]
fn the_environment_must_name_a_number() {
    if std::env::var_os("WAKEFUL_CHAOS_CHILD").is_some() {
        assert_eq!(Poll::new().unwrap_err().kind(), ErrorKind::InvalidInput);
        return;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_environment_must_name_a_number"])
        .env("WAKEFUL_CHAOS_CHILD", "1")
        .env("WAKEFUL_CHAOS", "much")
        .status();
    assert!(status.unwrap().success());
}
