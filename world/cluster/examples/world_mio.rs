//! A bare poll loop in a world: the one host echoes, and the other one counts what comes back.
//!
//! `cargo run --example world_mio`

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use wakeful::net::{TcpListener, TcpStream};
use wakeful::{Events, Interest, Poll, Token};
use wakeful_world::World;

wakeful_world::interpose!();

const MESSAGE: &[u8] = b"a message that may arrive in any number of pieces";

fn main() {
    World::seeds(0..200).run(|world| {
        world.server("10.0.0.1", || echo().unwrap());
        world.host("10.0.0.2", || client().unwrap());
        world.end_when_done(Duration::from_secs(60));
    });
    println!("200 seeds, no failure");
}

/// Echoes what comes on one connection after the other.
fn echo() -> std::io::Result<()> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
    let mut listener = TcpListener::bind("10.0.0.1:7".parse().unwrap())?;
    poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
    let mut streams: Vec<TcpStream> = Vec::new();
    let mut held = Vec::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        while let Some((mut stream, _)) = unless_would_block(listener.accept())? {
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(1), interest)?;
            streams.push(stream);
        }
        let mut buf = [0; 16];
        for stream in &mut streams {
            while let Some(n @ 1..) = unless_would_block(stream.read(&mut buf))? {
                held.extend_from_slice(&buf[..n]);
            }
            while let Some(n @ 1..) = unless_would_block(stream.write(&held))? {
                held.drain(..n);
            }
        }
    }
}

/// Sends a message, and checks that it comes back.
fn client() -> std::io::Result<()> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
    let mut stream = TcpStream::connect("10.0.0.1:7".parse().unwrap())?;
    poll.registry().register(&mut stream, Token(0), Interest::READABLE | Interest::WRITABLE)?;
    let (mut unsent, mut received) = (MESSAGE, Vec::new());
    while received.len() < MESSAGE.len() {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        if stream.peer_addr().is_err() {
            continue; // not connected yet
        }
        while let Some(n @ 1..) = unless_would_block(stream.write(unsent))? {
            unsent = &unsent[n..];
        }
        let mut buf = [0; 16];
        while let Some(n @ 1..) = unless_would_block(stream.read(&mut buf))? {
            received.extend_from_slice(&buf[..n]);
        }
    }
    assert_eq!(received, MESSAGE);
    Ok(())
}

fn unless_would_block<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(None),
        result => result.map(Some),
    }
}
