//! W3: the life of a connection, as far as its server works on it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Result;

use crate::batch::Batch;
use crate::clock::Stopwatch;
use crate::engine::{Engine, Source};
use crate::run::{Row, Workload};
use crate::sockets;

pub fn rows() -> Vec<Row> {
    [1, 64]
        .into_iter()
        .map(|at_once| {
            Row::new(
                &format!("w3-churn-{at_once}"),
                &format!(
                    "A connection: accept, register, answer 64 B, deregister, close; {at_once} at a time"
                ),
                "ns",
                Churn { at_once },
            )
            .share(0.7)
        })
        .collect()
}

#[derive(Clone)]
struct Churn {
    at_once: usize,
}

const LISTENER: usize = usize::MAX - 2;

impl Workload for Churn {
    fn set_up<E: Engine>(&self) -> Result<Batch> {
        let at_once = self.at_once;
        let mut server = Server::<E>::open()?;
        let mut watch = Stopwatch::new();
        Ok(Batch::times_of(at_once, move |times| {
            for _ in 0..times {
                let connect = || TcpStream::connect(server.addr).expect("connect");
                let mut clients: Vec<TcpStream> = (0..at_once).map(|_| connect()).collect();
                watch.time(|| server.work_until(|done| done.accepted == at_once));
                let message = [7; 64];
                clients.iter_mut().for_each(|client| client.write_all(&message).expect("write"));
                watch.time(|| server.work_until(|done| done.answered == at_once));
                let mut answer = [0; 64];
                clients.iter_mut().for_each(|client| client.read_exact(&mut answer).expect("read"));
                clients.into_iter().for_each(|client| sockets::reset(client).expect("reset"));
                watch.time(|| server.work_until(|done| done.closed == at_once));
                server.done = Done::default();
            }
            watch.take()
        }))
    }
}

struct Server<E: Engine> {
    engine: E,
    events: E::Events,
    listener: E::Listener,
    addr: SocketAddr,
    connections: Vec<Option<E::Tcp>>,
    free: Vec<usize>,
    buf: Vec<u8>,
    done: Done,
}

#[derive(Default)]
struct Done {
    accepted: usize,
    answered: usize,
    closed: usize,
}

impl<E: Engine> Server<E> {
    fn open() -> Result<Server<E>> {
        let listener = TcpListener::bind(sockets::any_port())?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let mut listener = E::listener(listener);
        let mut engine = E::open()?;
        listener.register(&mut engine, LISTENER)?;
        Ok(Server {
            engine,
            events: E::events(),
            listener,
            addr,
            connections: Vec::new(),
            free: Vec::new(),
            buf: vec![0; 4096],
            done: Done::default(),
        })
    }

    fn work_until(&mut self, is_done: impl Fn(&Done) -> bool) {
        while !is_done(&self.done) {
            self.engine.poll(&mut self.events, Some(Duration::from_secs(1)));
            // Apart from the rest, since a connection may change the engine.
            let Server { engine, events, listener, connections, free, buf, done, .. } = self;
            E::readable(events, |token| match token {
                LISTENER => accept(engine, listener, connections, free, done),
                token => serve(engine, token, connections, free, buf, done),
            });
        }
    }
}

fn accept<E: Engine>(
    engine: &mut E,
    listener: &E::Listener,
    connections: &mut Vec<Option<E::Tcp>>,
    free: &mut Vec<usize>,
    done: &mut Done,
) {
    while let Ok(mut stream) = E::accept(listener) {
        let token = free.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        stream.register(engine, token).expect("register");
        connections[token] = Some(stream);
        done.accepted += 1;
    }
}

fn serve<E: Engine>(
    engine: &mut E,
    token: usize,
    connections: &mut [Option<E::Tcp>],
    free: &mut Vec<usize>,
    buf: &mut [u8],
    done: &mut Done,
) {
    let Some(stream) = &mut connections[token] else {
        return;
    };
    loop {
        match stream.read(buf) {
            Ok(n) if n > 0 => {
                stream.write_all(&buf[..n]).expect("write");
                done.answered += 1;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => return,
            // The end, or the client's reset.
            _ => break,
        }
    }
    stream.deregister(engine).expect("deregister");
    connections[token] = None;
    free.push(token);
    done.closed += 1;
}
