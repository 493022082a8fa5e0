//! The client: keeps up its number of connections, and knows how each must end.
//!
//! The server must hold that number too, all the time. So a connection sends one byte of its message and waits for
//! the answer: the server then holds it, and can't end it, since nothing ends before half of the message. The client
//! stops there, and continues a connection only while it holds more than the number.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use wakeful::net::TcpStream;
use wakeful::{Backend, Events, Interest, Poll, Token};

use super::plan::{mix, End, Plan, ENDS, HEADER};
use super::process::Held;

/// The most connections that may wait for their first byte: fewer than the listeners' queues hold.
const OPENING: usize = 256;
/// A connection without progress in this time has lost something.
const PATIENCE: Duration = Duration::from_secs(60);
/// A port is free again a minute after its connection.
const PATIENCE_FOR_PORTS: Duration = Duration::from_secs(90);
const TICK: Duration = Duration::from_millis(20);

/// The most connections if the server must hold `connections`: some more are connecting or talking.
pub fn slots(connections: usize) -> usize {
    connections + connections / 8 + 64
}

/// The descriptors that each side needs. The server may have more: those that are opening, and those that have ended
/// here.
pub fn descriptors(connections: usize) -> usize {
    slots(connections) + 2 * OPENING + 100
}

pub struct Client {
    poll: Poll,
    events: Events,
    seed: u64,
    /// The number of connections that are kept.
    wanted: usize,
    /// The longest time that a connection is kept.
    pause: Duration,
    resume_at: Instant,
    addresses: Vec<SocketAddr>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    opening: usize,
    /// Whether there are no ports for more, and since when.
    without_ports: Option<Instant>,
    /// The connections at [`Stage::Kept`].
    kept: Held,
    alive: Held,
    ended: [u64; ENDS.len()],
    bytes: u64,
    checked_at: Instant,
}

struct Connection {
    stream: TcpStream,
    plan: Plan,
    stage: Stage,
    /// The time of its last progress.
    since: Instant,
    /// It is kept until then at most, if it may continue.
    resume_at: Instant,
    /// With the header.
    sent: usize,
    received: usize,
    is_at_end: bool,
    has_shut_down: bool,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Until the first byte has come back.
    Opening,
    /// The server holds it, and the client does nothing.
    Kept,
    Talking,
    /// Data has arrived, and the client pauses: the end may arrive meanwhile.
    Away,
    Ending,
}

impl Stage {
    fn is_paused(self) -> bool {
        matches!(self, Stage::Kept | Stage::Away)
    }
}

impl Client {
    pub fn new(backend: Backend, connections: usize, seed: u64, addresses: Vec<SocketAddr>) -> Client {
        let slots = slots(connections);
        Client {
            poll: Poll::with_backend(backend).unwrap(),
            events: Events::with_capacity(1024),
            seed,
            wanted: connections,
            // About 2,000 a second come and go, if the machine can.
            pause: Duration::from_millis(connections as u64),
            resume_at: Instant::now(),
            addresses,
            connections: (0..slots).map(|_| None).collect(),
            free: (0..slots).rev().collect(),
            opening: 0,
            without_ports: None,
            kept: Held::new(connections),
            alive: Held::new(connections),
            ended: [0; ENDS.len()],
            bytes: 0,
            checked_at: Instant::now(),
        }
    }

    pub fn alive(&self) -> &Held {
        &self.alive
    }

    /// Whether all are open.
    pub fn is_full(&self) -> bool {
        self.kept.now >= self.wanted
    }

    /// Opens connections, waits for events and handles them.
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
                let is_late = !connection.stage.is_paused() && connection.since.elapsed() > PATIENCE;
                assert!(!is_late, "it hangs: {:?}, {} of them came", connection.plan, connection.received);
            }
        }
    }

    /// Continues the connections that may continue.
    fn resume(&mut self, all: bool) {
        let now = Instant::now();
        for slot in 0..self.connections.len() {
            // Not always the same ones first.
            let slot = (slot + self.seed as usize) % self.connections.len();
            let Some(connection) = &mut self.connections[slot] else { continue };
            let is_kept = self.kept.now <= self.wanted || connection.resume_at > now;
            connection.stage = match connection.stage {
                Stage::Kept if all || !is_kept => {
                    self.kept.remove();
                    Stage::Talking
                }
                Stage::Away => Stage::Ending,
                _ => continue,
            };
            connection.since = now;
            self.drive(slot);
        }
    }

    fn drive(&mut self, slot: usize) {
        let connection = self.connections[slot].as_mut().expect("an event of what is gone");
        let (stage, sent, received) = (connection.stage, connection.sent, connection.received);
        let is_over = connection.drive();
        self.bytes += (connection.received - received) as u64;
        if (connection.sent, connection.received) != (sent, received) {
            connection.since = Instant::now();
        }
        if stage == Stage::Opening && connection.stage != stage {
            self.opening -= 1;
            self.kept.add();
        }
        if is_over {
            assert!(connection.stage > Stage::Kept, "an end before half of it: {:?}", connection.plan);
            let mut gone = self.connections[slot].take().unwrap();
            self.ended[ENDS.iter().position(|end| *end == gone.plan.end).unwrap()] += 1;
            // Dropping does it too.
            if slot % 3 == 0 {
                self.poll.registry().deregister(&mut gone.stream).unwrap();
            }
            self.free.push(slot);
            self.alive.remove();
        }
    }

    fn open(&mut self) {
        while self.opening < OPENING {
            let Some(&slot) = self.free.last() else { break };
            self.seed = mix(self.seed);
            let address = self.addresses[(self.seed >> 32) as usize % self.addresses.len()];
            let mut stream = match TcpStream::connect(address) {
                Ok(stream) => stream,
                // All ports are in use: some will be free again.
                Err(e) if e.kind() == ErrorKind::AddrNotAvailable => {
                    let since = *self.without_ports.get_or_insert_with(Instant::now);
                    assert!(
                        since.elapsed() < PATIENCE_FOR_PORTS,
                        "no ports for more than {} connections (net.ipv4.ip_local_port_range): {e}",
                        self.alive.now
                    );
                    break;
                }
                Err(e) => panic!("connect: {e}"),
            };
            self.without_ports = None;
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(slot), both).unwrap();
            self.free.pop();
            self.opening += 1;
            self.alive.add();
            self.connections[slot] = Some(Connection {
                stream,
                plan: Plan::new(self.seed),
                stage: Stage::Opening,
                since: Instant::now(),
                resume_at: Instant::now() + self.pause.mul_f64((self.seed % 1000) as f64 / 1000.0),
                sent: 0,
                received: 0,
                is_at_end: false,
                has_shut_down: false,
            });
        }
    }

    /// Continues all connections to their end.
    pub fn finish(&mut self) {
        while self.alive.now > 0 {
            self.turn(false);
        }
    }

    pub fn ended(&self) -> u64 {
        self.ended.iter().sum()
    }

    pub fn report(&self) -> String {
        let ended: Vec<_> =
            ENDS.iter().zip(self.ended).map(|(end, count)| format!("{count} {end:?}")).collect();
        format!("{} ended ({}), {} MB checked", self.ended(), ended.join(", "), self.bytes / 1_000_000)
    }
}

impl Connection {
    /// Continues until it would block, and returns whether it has ended.
    fn drive(&mut self) -> bool {
        if self.stage.is_paused() {
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
            // Bytes that the server doesn't answer need no window.
            let window = match self.stage {
                Stage::Opening => 1,
                _ if self.received == plan.answered() => plan.length,
                _ => plan.window,
            };
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
                    // The server has received half of it, and receives the rest.
                    false if is_blocked => return Err(ErrorKind::WouldBlock.into()),
                    false => continue,
                }
            }
            let n = self.stream.read(&mut buf)?;
            plan.check(self.received, &buf[..n]);
            self.received += n;
            match self.stage {
                Stage::Opening if n > 0 => self.stage = Stage::Kept,
                Stage::Talking if n > 0 => self.stage = Stage::Away,
                _ => {}
            }
            if self.stage.is_paused() {
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
