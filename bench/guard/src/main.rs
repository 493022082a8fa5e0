//! Does one operation many times, so that a tool outside can count its cost: `wakeful-guard BACKEND OPERATION
//! TIMES`. Run twice with different TIMES, the difference is the operations' alone. `cargo xtask bench --guard` does
//! so.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use wakeful::net::{UdpSocket, UnixStream};
use wakeful::{Backend, Events, Interest, Poll, Timer, Token, Waker};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const NOW: Option<Duration> = Some(Duration::ZERO);

type Operation = fn(&mut Poll, u32) -> Result<()>;

/// The operations, in the order of the figures.
const OPERATIONS: &[(&str, Operation)] = &[
    ("poll", poll),
    ("poll-with-timeout", poll_with_timeout),
    ("wake", wake),
    ("wake-and-poll", wake_and_poll),
    ("register-and-deregister", register),
    ("reregister", reregister),
    ("echo", echo),
    ("datagram", datagram),
    ("cancel-and-set-timer", set_timer),
    ("poll-beside-timer", poll_beside_timer),
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [backend, operation, times] = &args[..] else {
        for backend in Backend::available() {
            OPERATIONS.iter().for_each(|(name, _)| println!("{backend} {name}"));
        }
        return Ok(());
    };
    let mut poll = Poll::with_backend(backend.parse().map_err(|_| "no such backend")?)?;
    let (_, operation) = OPERATIONS.iter().find(|(name, _)| name == operation).ok_or("no such operation")?;
    operation(&mut poll, times.parse()?)
}

/// Nothing is ready.
fn poll(poll: &mut Poll, times: u32) -> Result<()> {
    let mut events = Events::with_capacity(16);
    for _ in 0..times {
        poll.poll(&mut events, NOW)?;
    }
    Ok(())
}

const FAR: Duration = Duration::from_secs(3600);

fn timer(poll: &Poll) -> Result<(Timer, Instant)> {
    let mut timer = Timer::new();
    poll.registry().register(&mut timer, Token(0), Interest::READABLE)?;
    let deadline = Instant::now() + FAR;
    timer.set(Some(deadline))?;
    Ok((timer, deadline))
}

/// The deadline becomes later, as it does for most timers.
fn set_timer(poll: &mut Poll, times: u32) -> Result<()> {
    let (timer, deadline) = timer(poll)?;
    for n in 0..times {
        timer.set(None)?;
        timer.set(Some(deadline + Duration::from_nanos(n.into())))?;
    }
    Ok(())
}

/// Nothing is ready, nor is the timer.
fn poll_beside_timer(engine: &mut Poll, times: u32) -> Result<()> {
    let _timer = timer(engine)?;
    poll(engine, times)
}

/// A call that finds nothing, so that the next one doesn't look first; then one that could sleep, and finds an event.
fn poll_with_timeout(poll: &mut Poll, times: u32) -> Result<()> {
    let mut events = Events::with_capacity(16);
    let (mut stream, _peer) = UnixStream::pair()?;
    poll.registry().register(&mut stream, Token(0), Interest::WRITABLE)?;
    poll.poll(&mut events, NOW)?;
    for _ in 0..times {
        poll.poll(&mut events, NOW)?;
        assert!(events.is_empty());
        poll.registry().reregister(&mut stream, Token(0), Interest::WRITABLE)?;
        poll.poll(&mut events, Some(Duration::from_millis(10)))?;
        assert_eq!(events.len(), 1);
    }
    Ok(())
}

/// No thread polls meanwhile.
fn wake(poll: &mut Poll, times: u32) -> Result<()> {
    let waker = Waker::new(poll.registry(), Token(0))?;
    for _ in 0..times {
        waker.wake()?;
    }
    Ok(())
}

fn wake_and_poll(poll: &mut Poll, times: u32) -> Result<()> {
    let mut events = Events::with_capacity(16);
    let waker = Waker::new(poll.registry(), Token(0))?;
    for _ in 0..times {
        waker.wake()?;
        poll.poll(&mut events, None)?;
        assert_eq!(events.len(), 1);
    }
    Ok(())
}

fn register(poll: &mut Poll, times: u32) -> Result<()> {
    let (mut stream, _peer) = UnixStream::pair()?;
    for _ in 0..times {
        poll.registry().register(&mut stream, Token(0), Interest::READABLE)?;
        poll.registry().deregister(&mut stream)?;
    }
    Ok(())
}

fn reregister(poll: &mut Poll, times: u32) -> Result<()> {
    let (mut stream, _peer) = UnixStream::pair()?;
    poll.registry().register(&mut stream, Token(0), Interest::READABLE)?;
    for _ in 0..times {
        poll.registry().reregister(&mut stream, Token(0), Interest::READABLE)?;
    }
    Ok(())
}

/// Write, poll, read, read until it would block, write back, read.
fn echo(poll: &mut Poll, times: u32) -> Result<()> {
    let mut events = Events::with_capacity(16);
    let (mut stream, mut peer) = UnixStream::pair()?;
    poll.registry().register(&mut stream, Token(0), Interest::READABLE)?;
    let mut buf = [0; 64];
    for _ in 0..times {
        peer.write_all(b"hello")?;
        poll.poll(&mut events, Some(Duration::from_secs(1)))?;
        for event in &events {
            assert!(event.is_readable() && event.token() == Token(0));
            let n = stream.read(&mut buf)?;
            assert_eq!(stream.read(&mut buf).map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
            stream.write_all(&buf[..n])?;
        }
        assert_eq!(peer.read(&mut buf)?, 5);
    }
    Ok(())
}

/// Send, and receive with the sender's address.
fn datagram(poll: &mut Poll, times: u32) -> Result<()> {
    let mut socket = UdpSocket::bind(([127, 0, 0, 1], 0).into())?;
    poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
    let addr = socket.local_addr()?;
    let mut buf = [0; 64];
    for _ in 0..times {
        socket.send_to(b"hello", addr)?;
        assert_eq!(socket.recv_from(&mut buf)?, (5, addr));
    }
    Ok(())
}
