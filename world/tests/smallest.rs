//! From a seed that fails to its smallest run and its story, with sockets of `net` on two hosts.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use wakeful::net::{TcpListener, TcpStream};
use wakeful::sim::{Choice, ChoiceKind, Faults, Record, Sim, What};
use wakeful::{Events, Interest, Poll, Token};
use wakeful_world::shrink::shrink;
use wakeful_world::story::{Story, LINES};

const HOSTS: [&str; 2] = ["10.0.0.1", "10.0.0.2"];

/// One run: its choices and its log.
fn run(seed: u64, choices: Option<&[Choice]>) -> (Vec<Choice>, Vec<Record>) {
    let sim = Sim::with_log(seed, Faults::default(), choices);
    let programs: [fn() -> io::Result<()>; 2] = [server, client];
    let threads: Vec<_> = HOSTS
        .iter()
        .zip(programs)
        .map(|(name, program)| {
            let address: IpAddr = name.parse().expect("an address");
            let task = sim.add_host(name, &[address]).expect("a host").main_task();
            thread::spawn(move || {
                task.enter();
                if let Err(e) = program() {
                    task.fail(e.to_string());
                }
                task.leave();
            })
        })
        .collect();
    sim.start(None);
    sim.wait_for_end(Duration::from_secs(20)).expect("an end");
    drop(threads); // those of a failed run never end
    (sim.choices(), sim.log())
}

fn retried<T>(poll: &mut Poll, mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut events = Events::with_capacity(4);
    loop {
        match operation() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            result => return result,
        }
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
    }
}

/// Assumes that a message arrives in one piece.
fn server() -> io::Result<()> {
    let mut poll = Poll::new()?;
    let address: SocketAddr = "10.0.0.1:80".parse().expect("an address");
    let mut listener = TcpListener::bind(address)?;
    poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
    let (mut stream, _) = retried(&mut poll, || listener.accept())?;
    poll.registry().register(&mut stream, Token(1), Interest::READABLE)?;
    for _ in 0..4 {
        let mut buf = [0; 8];
        let count = retried(&mut poll, || stream.read(&mut buf))?;
        if count < 8 {
            return Err(io::Error::new(ErrorKind::InvalidData, "half a message"));
        }
        if retried(&mut poll, || stream.write(b"received"))? < 8 {
            return Ok(()); // not the mistake that is tested
        }
    }
    Ok(())
}

fn client() -> io::Result<()> {
    let mut poll = Poll::new()?;
    let address: SocketAddr = "10.0.0.1:80".parse().expect("an address");
    // The server may not listen yet.
    let mut stream = loop {
        let mut stream = TcpStream::connect(address)?;
        poll.registry().register(&mut stream, Token(0), Interest::READABLE.add(Interest::WRITABLE))?;
        let peer = || match stream.take_error()? {
            Some(e) => Err(e),
            None => match stream.peer_addr() {
                Err(e) if e.kind() == ErrorKind::NotConnected => Err(ErrorKind::WouldBlock.into()),
                result => result,
            },
        };
        match retried(&mut poll, peer) {
            Ok(_) => break stream,
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => continue,
            Err(e) => return Err(e),
        }
    };
    for _ in 0..4 {
        let mut rest = &b"question"[..];
        while !rest.is_empty() {
            let count = retried(&mut poll, || stream.write(rest))?;
            rest = &rest[count..];
        }
        let mut answer = 0;
        while answer < 8 {
            let mut buf = [0; 8];
            match retried(&mut poll, || stream.read(&mut buf)) {
                Ok(0) | Err(_) => return Ok(()),
                Ok(count) => answer += count,
            }
        }
    }
    Ok(())
}

fn fails(records: &[Record]) -> bool {
    records.iter().any(|record| matches!(&record.what, What::Failed(reason) if reason == "half a message"))
}

#[test]
fn a_failing_seed_becomes_a_story() {
    let seed = (0..100).find(|&seed| fails(&run(seed, None).1)).expect("a seed that fails");
    let (choices, records) = run(seed, None);
    assert_eq!(run(seed, None), (choices.clone(), records.clone()));

    let shrunk =
        shrink(&choices, 1_000, |choices| fails(&run(seed, Some(choices)).1)).expect("it fails again");
    assert!(shrunk.is_minimal, "{shrunk:?}");
    let (_, records) = run(seed, Some(&shrunk.choices));
    let story = Story::new("", &HOSTS, &records).text(LINES);
    assert!(
        matches!(shrunk.choices[..], [Choice { kind: ChoiceKind::Short, value: 1..=7, .. }]),
        "{shrunk:?}"
    );
    assert!(story.contains(" of 8 bytes "), "{story}");
    assert!(story.ends_with("10.0.0.1 fails: half a message\n"), "{story}");
}
