//! W4: the server's stage of a TCP echo. The clients have sent; timed is polling, reading and writing back.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::batch::Batch;
use crate::clock::{cpu_time, Stopwatch};
use crate::engine::{Engine, Source};
use crate::processor::{pin, unpin};
use crate::run::{Row, Workload};
use crate::sockets;

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (connections, share) in [(1, 1.0), (64, 1.0), (1_000, 0.25)] {
        for size in [64, 4_096, 16_384] {
            for (end, name) in [(End::WouldBlock, "drain"), (End::Short, "short")] {
                // A program that stops reading when less came than there was room for: the same for all.
                if end == End::Short && size != 64 {
                    continue;
                }
                let what = match end {
                    End::WouldBlock => "reads until it would block",
                    End::Short => "reads until less came than it could",
                };
                let make = if connections < 1_000 { Row::new } else { Row::apart };
                rows.push(
                    make(
                        &format!("w4-{name}-{connections}x{size}"),
                        &format!("Echo of {size} B, {connections} connections; the server {what}"),
                        "ns",
                        Echo { connections, size, end },
                    )
                    .share(share),
                );
            }
        }
    }
    for (cost, name, what) in
        [(Cost::Wall, "wall", "time"), (Cost::Cpu, "cpu", "processor time, client included")]
    {
        rows.push(
            Row::new(
                &format!("w4-pingpong-{name}"),
                &format!("A client sends 64 B and waits for them; the server sleeps meanwhile; {what}"),
                "ns",
                PingPong { cost },
            )
            .share(0.5),
        );
    }
    rows
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    WouldBlock,
    Short,
}

#[derive(Clone)]
struct Echo {
    connections: usize,
    size: usize,
    end: End,
}

impl Workload for Echo {
    fn operations(&self) -> usize {
        self.connections
    }

    fn set_up<E: Engine>(&self) -> Result<Batch> {
        let Echo { connections, size, end } = *self;
        let mut engine = E::open()?;
        let mut events = E::events();
        let pairs = sockets::tcp_pairs(connections)?;
        let mut clients = pairs.clients;
        let mut servers: Vec<E::Tcp> = pairs.servers.into_iter().map(E::tcp).collect();
        for (token, server) in servers.iter_mut().enumerate() {
            server.register(&mut engine, token)?;
        }
        let message = vec![7; size];
        let mut answer = vec![0; size];
        // One byte more than a message, so that a read that finds all of it is a short one.
        let mut buf = vec![0; size + 1];
        let mut watch = Stopwatch::new();
        Ok(Batch::times_of(connections, move |times| {
            for _ in 0..times {
                clients
                    .iter_mut()
                    .for_each(|client: &mut TcpStream| client.write_all(&message).expect("write"));
                let mut left = connections * size;
                watch.time(|| {
                    while left > 0 {
                        engine.poll(&mut events, Some(Duration::from_secs(1)));
                        E::readable(&events, |token| left -= echo(&mut servers[token], &mut buf, end));
                    }
                });
                clients.iter_mut().for_each(|client| client.read_exact(&mut answer).expect("read"));
            }
            watch.take()
        }))
    }
}

fn echo(stream: &mut (impl Read + Write), buf: &mut [u8], end: End) -> usize {
    let mut sum = 0;
    loop {
        match stream.read(buf) {
            Ok(n) => {
                stream.write_all(&buf[..n]).expect("write");
                sum += n;
                if end == End::Short && n < buf.len() {
                    return sum;
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => return sum,
            Err(e) => panic!("read: {e}"),
        }
    }
}

/// The server on a thread and a processor of its own, so that both sides sleep.
#[derive(Clone)]
struct PingPong {
    cost: Cost,
}

#[derive(Clone, Copy)]
enum Cost {
    Wall,
    Cpu,
}

impl Workload for PingPong {
    fn set_up<E: Engine>(&self) -> Result<Batch> {
        let cost = self.cost;
        let mut pairs = sockets::tcp_pairs(1)?;
        let (mut client, server) = (pairs.clients.remove(0), pairs.servers.remove(0));
        // Ends when the row does, and with it the connection.
        thread::spawn(move || -> Result<()> {
            pin(1);
            let mut engine = E::open()?;
            let mut events = E::events();
            let mut server = E::tcp(server);
            server.register(&mut engine, 0)?;
            let mut buf = [0; 65];
            let mut is_open = true;
            while is_open {
                engine.poll(&mut events, None);
                E::readable(&events, |_| is_open = answer(&mut server, &mut buf));
            }
            Ok(())
        });
        let mut message = [7; 64];
        Ok(Batch::times(move |times| {
            pin(0);
            let (start, start_cpu) = (Instant::now(), cpu_time());
            for _ in 0..times {
                client.write_all(&message).expect("write");
                client.read_exact(&mut message).expect("read");
            }
            let took = match cost {
                Cost::Wall => start.elapsed(),
                Cost::Cpu => cpu_time() - start_cpu,
            };
            unpin();
            took.as_nanos() as f64
        }))
    }
}

/// Whether the connection is still open.
fn answer(stream: &mut (impl Read + Write), buf: &mut [u8]) -> bool {
    loop {
        match stream.read(buf) {
            Ok(0) => return false,
            Ok(n) => stream.write_all(&buf[..n]).expect("write"),
            Err(e) => return e.kind() == ErrorKind::WouldBlock,
        }
    }
}
