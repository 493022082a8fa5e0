//! W8: modes. A one-shot cycle beside the same system calls, and eight pollers that share a listener.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::thread::JoinHandleExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{mpsc, Arc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use wakeful::net::TcpListener;
use wakeful::unix::pipe::Receiver;
use wakeful::{Backend, Events, Interest, Poll, Token};

use crate::batch::Batch;
use crate::clock::cpu_time_of;
use crate::engines::OneShot;
use crate::run::{Contestant, Row};
use crate::sockets;

pub fn rows() -> Vec<Row> {
    let row = |id: &str, title: &str, unit, make: fn() -> Result<Vec<Contestant>>| Row {
        id: id.to_owned(),
        title: title.to_owned(),
        unit,
        share: 1.0,
        make: Box::new(move |_| make()),
    };
    vec![
        row("w8-one-shot", "Reregister in the one-shot mode, and poll one event", "ns", || {
            Ok(vec![contestant("system calls", raw_one_shot()?), contestant("wakeful", one_shot()?)])
        }),
        row(
            "w8-exclusive",
            "Processor time of eight pollers that share a listener, per connection",
            "ns",
            || {
                let exclusive = Interest::READABLE.exclusive();
                let (shared, exclusive) = (Server::start(Interest::READABLE)?, Server::start(exclusive)?);
                Ok(vec![
                    contestant("wakeful shared", processor_time(shared)),
                    contestant("wakeful", processor_time(exclusive)),
                ])
            },
        )
        .share(0.5),
        row("w8-empty-shared", "Events of the eight that accept nothing", "of 1000", || {
            Ok(vec![contestant("wakeful", empty_events(Server::start(Interest::READABLE)?))])
        })
        .share(0.2),
        row("w8-empty-exclusive", "Events of the eight, exclusive, that accept nothing", "of 1000", || {
            Ok(vec![contestant("wakeful", empty_events(Server::start(Interest::READABLE.exclusive())?))])
        })
        .share(0.2),
    ]
}

fn contestant(name: &str, batch: Batch) -> Contestant {
    Contestant { name: name.to_owned(), batch }
}

const NOW: Option<Duration> = Some(Duration::ZERO);

fn one_shot() -> Result<Batch> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(16);
    let mut source = Receiver::from(ready()?);
    let interest = Interest::READABLE.one_shot();
    poll.registry().register(&mut source, Token(7), interest)?;
    Ok(Batch::times(move |times| {
        let start = Instant::now();
        for _ in 0..times {
            poll.registry().reregister(&mut source, Token(7), interest).expect("reregister");
            poll.poll(&mut events, NOW).expect("poll");
            assert!(events.iter().count() == 1, "an event was lost");
        }
        start.elapsed().as_nanos() as f64
    }))
}

fn raw_one_shot() -> Result<Batch> {
    let mut raw = OneShot::new(ready()?)?;
    Ok(Batch::times(move |times| {
        let start = Instant::now();
        for _ in 0..times {
            raw.cycle();
        }
        start.elapsed().as_nanos() as f64
    }))
}

/// A source that is always readable.
fn ready() -> Result<std::os::fd::OwnedFd> {
    let source = sockets::eventfd()?;
    sockets::notify(&source)?;
    Ok(source)
}

const POLLERS: usize = 8;

/// Eight threads, each with a `Poll` of its own, and one listener.
struct Server {
    addr: std::net::SocketAddr,
    pollers: Vec<JoinHandle<Result<()>>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    empty: AtomicU64,
}

impl Server {
    /// The threads sleep for ever when the row is over.
    fn start(interest: Interest) -> Result<Server> {
        let listener = std::net::TcpListener::bind(sockets::any_port())?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let (ready, all) = mpsc::channel();
        let mut pollers = Vec::new();
        for _ in 0..POLLERS {
            let (listener, counts, ready) = (listener.try_clone()?, Arc::clone(&counts), ready.clone());
            pollers.push(thread::spawn(move || {
                let mut poll = Poll::with_backend(Backend::Epoll)?;
                let mut listener = TcpListener::from_std(listener);
                poll.registry().register(&mut listener, Token(0), interest)?;
                ready.send(())?;
                drop(ready);
                let mut events = Events::with_capacity(16);
                loop {
                    poll.poll(&mut events, None)?;
                    let accepted = accept_all(&listener)?;
                    counts.accepted.fetch_add(accepted, Ordering::Release);
                    counts.empty.fetch_add(u64::from(accepted == 0), Ordering::Relaxed);
                }
            }));
        }
        drop(ready);
        ensure!(all.iter().count() == POLLERS, "a poller didn't start");
        Ok(Server { addr, pollers, counts })
    }

    /// Connects so many times, each time while all pollers sleep: one that is awake already isn't woken in vain.
    fn connect(&self, times: u64) {
        let before = self.counts.accepted.load(Ordering::Acquire);
        for connected in 1..=times {
            let client = TcpStream::connect(self.addr).expect("connect");
            sockets::reset(client).expect("reset");
            while self.counts.accepted.load(Ordering::Acquire) < before + connected {
                thread::yield_now();
            }
            thread::sleep(Duration::from_micros(100));
        }
    }

    fn processor_time(&self) -> Duration {
        self.pollers.iter().map(|poller| cpu_time_of(poller.as_pthread_t())).sum()
    }
}

fn accept_all(listener: &TcpListener) -> Result<u64> {
    let mut accepted = 0;
    loop {
        match listener.accept() {
            Ok(_) => accepted += 1,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(accepted),
            Err(e) => return Err(e).context("accept"),
        }
    }
}

/// As many as one batch makes.
const CONNECTIONS: u64 = 200;

fn processor_time(server: Server) -> Batch {
    Batch::value(move || {
        let before = server.processor_time();
        server.connect(CONNECTIONS);
        (server.processor_time() - before).as_nanos() as f64 / CONNECTIONS as f64
    })
}

/// For each 1000 connections.
fn empty_events(server: Server) -> Batch {
    Batch::value(move || {
        let before = server.counts.empty.load(Ordering::Relaxed);
        server.connect(CONNECTIONS);
        let empty = server.counts.empty.load(Ordering::Relaxed) - before;
        empty as f64 * 1_000.0 / CONNECTIONS as f64
    })
}
