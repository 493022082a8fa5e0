//! A seed is the same run on every machine: the hash of a cluster's logs, pinned.
//!
//! `cargo xtask targets` runs this under qemu on other machines, one of them big-endian.
//!
//! Invariant: the programs use nothing whose order depends on the machine, such as a `HashMap`.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use wakeful::net::UdpSocket;
use wakeful::sim::Task;
use wakeful::{Events, Interest, Poll, Token};
use wakeful_world::{Link, World};

wakeful_world::interpose!();

const SECOND: Duration = Duration::from_secs(1);

/// Of all runs, the same in every version that changes none of them.
const HASH: u64 = 0x97ac_aa6a_79bd_230f;

/// The turns of all tasks: a smaller sign of where a difference comes from.
const TURNS: u64 = 6_464;

fn task() -> Task {
    Task::current().expect("a task of the world")
}

fn note(text: String) {
    task().note(text);
}

/// Answers each line on a thread of its own, until the peer says no more.
fn serve() {
    let listener = TcpListener::bind("[::]:80").unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        thread::spawn(move || {
            let (mut got, mut buf) = (0_u64, [0; 700]);
            while let Ok(n @ 1..) = stream.read(&mut buf) {
                got += n as u64;
                let _ = stream.write_all(&buf[..n / 2]);
            }
            let _ = stream.write_all(&got.to_be_bytes());
            note(format!("{got} bytes from {:?}", stream.peer_addr().map(|addr| addr.ip())));
        });
    }
}

/// Sends pieces of random lengths with pauses, and counts what comes back.
fn ask(server: &str) -> std::io::Result<u64> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(SECOND * 30))?;
    let mut reader = stream.try_clone()?;
    let counter = thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    for round in 0..6_u64 {
        let mut length = [0; 2];
        task().fill_random(&mut length);
        stream.write_all(&vec![7; usize::from(u16::from_le_bytes(length))])?;
        thread::sleep(Duration::from_millis(40 * round));
    }
    stream.shutdown(Shutdown::Write)?;
    counter.join().unwrap()
}

/// Sends a datagram every 100 ms, and counts the answers.
fn ping(peer: &str, count: u32) -> u32 {
    let mut socket = UdpSocket::bind("[::]:9".parse().unwrap()).unwrap();
    let (mut poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(8));
    let both = Interest::READABLE.add(Interest::WRITABLE);
    poll.registry().register(&mut socket, Token(usize::MAX), both).unwrap();
    let (start, mut received) = (Instant::now(), 0);
    for number in 0..count {
        let _ = socket.send_to(&number.to_le_bytes(), peer.parse().unwrap());
        let next = SECOND / 10 * (number + 1);
        while start.elapsed() < next {
            let _ = poll.poll(&mut events, Some(next.saturating_sub(start.elapsed())));
            let mut buf = [0; 4];
            while let Ok((4, _)) = socket.recv_from(&mut buf) {
                received += 1;
            }
        }
    }
    received
}

fn cluster(world: &World) {
    let spread = Duration::from_millis(7);
    world.links(Link { spread, loss: 20, bandwidth: Some(400_000), ..Link::default() });
    let server = world.server_named("server", "10.0.0.1,fd00::1", serve);
    for address in ["10.0.0.2,fd00::2", "10.0.0.3,fd00::3"] {
        world.host(address, || {
            for address in ["server:80", "[fd00::1]:80"] {
                loop {
                    let asked = ask(address).map_err(|e| e.kind());
                    note(format!("{asked:?} by {address}, after {:?}", task().time()));
                    match asked {
                        Ok(_) => break,
                        Err(_) => thread::sleep(SECOND / 2),
                    }
                }
            }
        });
    }
    world.host("10.0.0.4,fd00::4", || note(format!("{} datagrams", ping("[fd00::5]:9", 30))));
    world.host("10.0.0.5,fd00::5", || note(format!("{} datagrams", ping("10.0.0.4:9", 30))));
    let when = Duration::from_millis(world.choose(3_000) as u64);
    world.at(when, |world| world.partition(&["10.0.0.2", "10.0.0.4"], &["server", "10.0.0.5"]));
    world.at(when + SECOND / 2, World::heal);
    world.at(when + SECOND, move |world| world.crash(&server));
    world.at(when + SECOND * 3, |world| world.restart("server"));
    world.at(when + SECOND * 2, |world| world.pause("10.0.0.3"));
    world.at(when + SECOND * 4, |world| world.resume("10.0.0.3"));
    world.clock_ahead("10.0.0.5", SECOND * 3600);
}

#[test]
fn a_seed_is_the_same_run_everywhere() {
    let report = World::seeds(0..4).twice(1).check(cluster);
    assert!(report.failure.is_none(), "{}", report.failure.unwrap());
    assert_eq!((report.turns, report.hash), (TURNS, HASH), "{:#x}", report.hash);
}
