//! The client: keeps its number of connections, and knows of each how it must end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use wakeful::net::TcpStream;
use wakeful::{Backend, Events, Interest, Poll, Token};

use super::plan::{mix, End, Plan, ENDS, HEADER};

/// How many may wait for their first byte: fewer than the listeners' queues hold.
const OPENING: usize = 256;
/// A connection that doesn't end in this time has lost something.
const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(20);

pub struct Client {
    poll: Poll,
    events: Events,
    seed: u64,
    /// Of a connection, at most, between its first bytes and the others.
    pause: Duration,
    resume_at: Instant,
    addresses: Vec<SocketAddr>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    opening: usize,
    was_full: bool,
    ended: [u64; ENDS.len()],
    bytes: u64,
    checked_at: Instant,
}

struct Connection {
    stream: TcpStream,
    plan: Plan,
    since: Instant,
    /// Once something has come, nothing more is done before the client says so, which is then.
    resume_at: Instant,
    is_paused: bool,
    has_paused: bool,
    /// With the header.
    sent: usize,
    received: usize,
    is_at_end: bool,
    has_shut_down: bool,
}

impl Client {
    pub fn new(backend: Backend, connections: usize, seed: u64, addresses: Vec<SocketAddr>) -> Client {
        Client {
            poll: Poll::with_backend(backend).unwrap(),
            events: Events::with_capacity(1024),
            seed,
            // About 2,000 a second come and go, if the machine can.
            pause: Duration::from_millis(connections as u64),
            resume_at: Instant::now(),
            addresses,
            connections: (0..connections).map(|_| None).collect(),
            free: (0..connections).rev().collect(),
            opening: 0,
            was_full: false,
            ended: [0; ENDS.len()],
            bytes: 0,
            checked_at: Instant::now(),
        }
    }

    pub fn alive(&self) -> usize {
        self.connections.len() - self.free.len()
    }

    /// Whether all were open at once.
    pub fn was_full(&self) -> bool {
        self.was_full
    }

    /// Opens connections, waits for events and does what they say.
    pub fn turn(&mut self, is_open: bool) {
        if is_open {
            self.open();
        }
        self.poll.poll(&mut self.events, Some(TICK)).unwrap();
        let slots: Vec<_> = self.events.iter().map(|event| event.token().0).collect();
        slots.into_iter().for_each(|slot| self.drive(slot));
        if Instant::now() >= self.resume_at {
            self.resume_at = Instant::now() + TICK;
            self.resume(!is_open);
        }
        if self.checked_at.elapsed() > Duration::from_secs(1) {
            self.checked_at = Instant::now();
            for connection in self.connections.iter().flatten() {
                let is_late = !connection.is_paused && connection.since.elapsed() > PATIENCE;
                assert!(!is_late, "no end: {:?}, {} of them came", connection.plan, connection.received);
            }
        }
    }

    /// Lets those go on whose pause is over, though not so many that too few are open: on a slow machine they wait.
    fn resume(&mut self, all: bool) {
        let now = Instant::now();
        for slot in 0..self.connections.len() {
            let may = all || self.was_full && self.free.len() <= self.connections.len() / 20;
            if !may {
                break;
            }
            // Not always the same ones first.
            let slot = (slot + self.seed as usize) % self.connections.len();
            match &mut self.connections[slot] {
                Some(connection) if connection.is_paused && (all || connection.resume_at <= now) => {
                    connection.is_paused = false;
                    connection.since = now;
                    self.drive(slot);
                }
                _ => {}
            }
        }
    }

    fn drive(&mut self, slot: usize) {
        let connection = self.connections[slot].as_mut().expect("an event of what is gone");
        let before = connection.received;
        let is_over = connection.drive();
        self.bytes += (connection.received - before) as u64;
        self.opening -= usize::from(before == 0 && (connection.received > 0 || is_over));
        if is_over {
            let mut gone = self.connections[slot].take().unwrap();
            self.ended[ENDS.iter().position(|end| *end == gone.plan.end).unwrap()] += 1;
            // Dropping does it too.
            if slot % 3 == 0 {
                self.poll.registry().deregister(&mut gone.stream).unwrap();
            }
            self.free.push(slot);
        }
    }

    fn open(&mut self) {
        while self.opening < OPENING {
            let Some(&slot) = self.free.last() else { break };
            self.seed = mix(self.seed);
            let address = self.addresses[(self.seed >> 32) as usize % self.addresses.len()];
            let mut stream = match TcpStream::connect(address) {
                Ok(stream) => stream,
                // All ports are taken: some will come back.
                Err(e) if e.kind() == ErrorKind::AddrNotAvailable => break,
                Err(e) => panic!("connect: {e}"),
            };
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(slot), both).unwrap();
            self.free.pop();
            self.opening += 1;
            self.connections[slot] = Some(Connection {
                stream,
                plan: Plan::new(self.seed),
                since: Instant::now(),
                resume_at: Instant::now() + self.pause.mul_f64((self.seed % 1000) as f64 / 1000.0),
                is_paused: false,
                has_paused: false,
                sent: 0,
                received: 0,
                is_at_end: false,
                has_shut_down: false,
            });
        }
        self.was_full |= self.free.is_empty();
    }

    /// Lets all connections come to their end.
    pub fn finish(&mut self) {
        while self.alive() > 0 {
            self.turn(false);
        }
    }

    pub fn report(&self) -> String {
        let ended: Vec<_> =
            ENDS.iter().zip(self.ended).map(|(end, count)| format!("{count} {end:?}")).collect();
        let sum: u64 = self.ended.iter().sum();
        format!("{sum} ended ({}), {} MB checked", ended.join(", "), self.bytes / 1_000_000)
    }
}

impl Connection {
    /// Goes on until it would block; whether it's over.
    fn drive(&mut self) -> bool {
        if self.is_paused {
            return false;
        }
        match self.step() {
            Ok(()) => true,
            Err(e) if e.kind() == ErrorKind::WouldBlock => false,
            Err(e) => {
                let resets = matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
                let may = self.plan.end == End::ServerVanishes;
                assert!(resets && may, "the client, {:?} after {} bytes: {e:?}", self.plan, self.received);
                true
            }
        }
    }

    fn step(&mut self) -> io::Result<()> {
        let plan = self.plan;
        let mut buf = [0; 4096];
        if self.sent == 0 {
            // Not connected yet, or it has failed.
            if let Some(e) = self.stream.take_error()? {
                return Err(e);
            }
            match self.stream.peer_addr() {
                Err(e) if e.kind() == ErrorKind::NotConnected => return Err(ErrorKind::WouldBlock.into()),
                result => result?,
            };
        }
        loop {
            while self.sent < HEADER {
                self.sent += self.stream.write(&plan.header()[self.sent..])?;
            }
            let mut is_blocked = false;
            // What the server doesn't answer needs no window.
            let window = if self.received == plan.answered() { plan.length } else { plan.window };
            while self.sent < HEADER + plan.length.min(self.received + window) {
                let at = self.sent - HEADER;
                let part = (plan.length.min(self.received + window) - at).min(buf.len());
                plan.fill(at, &mut buf[..part]);
                match self.stream.write(&buf[..part]) {
                    Ok(n) => self.sent += n,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        is_blocked = true;
                        break;
                    }
                    Err(e) => return Err(e),
                }
            }
            let has_sent_all = self.sent == HEADER + plan.length;
            if has_sent_all && !self.has_shut_down && plan.end == End::ClientShutsDown {
                self.stream.shutdown(Shutdown::Write)?;
                self.has_shut_down = true;
            }
            if self.received >= plan.length / 2 {
                match plan.end {
                    End::ClientVanishes => {
                        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
                        return Ok(());
                    }
                    End::ClientLeavesUnread => return Ok(()),
                    _ => {}
                }
            }
            if self.is_at_end {
                match has_sent_all {
                    true => return Ok(()),
                    // The server has heard half of it, and hears the rest.
                    false if is_blocked => return Err(ErrorKind::WouldBlock.into()),
                    false => continue,
                }
            }
            let n = self.stream.read(&mut buf)?;
            plan.check(self.received, &buf[..n]);
            self.received += n;
            if n > 0 && !self.has_paused {
                (self.has_paused, self.is_paused) = (true, true);
                return Err(ErrorKind::WouldBlock.into());
            }
            if n == 0 {
                assert!(plan.end != End::ServerVanishes, "{plan:?}: an end in good order");
                assert_eq!(self.received, plan.answered(), "{plan:?}: the end");
                self.is_at_end = true;
            }
        }
    }
}
