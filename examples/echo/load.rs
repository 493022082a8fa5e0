//! The load: many connections from one thread, on its own `Poll`. Each connection sends a message, waits until all of
//! it has come back, checks every byte, and sends the next.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use wakeful::net::UdpSocket;
use wakeful::{Events, Interest, Poll, Token};

use crate::report::{Report, Tally};
use crate::transport::{Connection, Dial};

/// A connection is closed after this many answers, and replaced by another.
const LIFETIME: u32 = 500;
/// How many connections may wait for their first answer: fewer than a listener's queue holds.
const OPENING: usize = 64;
/// When a datagram that has had no answer is sent again.
const LOST: Duration = Duration::from_millis(200);
/// The interval of checks for lost datagrams and connections to open.
const TICK: Duration = Duration::from_millis(20);
/// How long the last answers may take.
const GRACE: Duration = Duration::from_secs(10);

pub struct Load {
    poll: Poll,
    duration: Duration,
    dials: Vec<Dial>,
    /// Tokens count from 0 through the streams, and on through the datagrams.
    streams: Vec<Place>,
    datagrams: Vec<Datagrams>,
    tallies: Vec<Tally>,
    /// Places of streams that are to be opened.
    to_open: Vec<usize>,
    /// How many streams wait for their first answer.
    opening: usize,
    is_stopping: bool,
}

/// The place of a stream, which the next one takes over.
struct Place {
    transport: usize,
    stream: Option<Stream>,
}

struct Stream {
    connection: Box<dyn Connection>,
    state: State,
    message: Message,
    sent: usize,
    received: usize,
    since: Instant,
    answers: u32,
}

#[derive(PartialEq)]
enum State {
    Connecting,
    Talking,
    /// This side has shut down its sending half, and waits for the server's end.
    Ending,
}

struct Datagrams {
    socket: UdpSocket,
    message: Message,
    since: Instant,
    sent_at: Instant,
    is_done: bool,
}

impl Load {
    pub fn new(poll: Poll, seconds: u32) -> Load {
        Load {
            poll,
            duration: Duration::from_secs(seconds.into()),
            dials: Vec::new(),
            streams: Vec::new(),
            datagrams: Vec::new(),
            tallies: Vec::new(),
            to_open: Vec::new(),
            opening: 0,
            is_stopping: false,
        }
    }

    /// The streams of the next transport.
    pub fn add_streams(&mut self, dial: Dial, count: usize) {
        let transport = self.dials.len();
        self.dials.push(dial);
        self.tallies.push(Tally::default());
        self.streams.extend((0..count).map(|_| Place { transport, stream: None }));
    }

    /// The last transport.
    pub fn add_datagrams(&mut self, server: SocketAddr, count: usize) -> io::Result<()> {
        let mut tally = Tally::default();
        for index in 0..count {
            let mut socket = UdpSocket::bind(SocketAddr::new(server.ip(), 0))?;
            socket.connect(server)?;
            let token = Token(self.streams.len() + index);
            self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
            let now = Instant::now();
            let message = Message::new(token.0 as u64);
            self.datagrams.push(Datagrams { socket, message, since: now, sent_at: now, is_done: false });
            tally.connections += 1;
        }
        self.tallies.push(tally);
        Ok(())
    }

    /// Drives the server for the given time, then ends every connection gracefully.
    pub fn run(mut self, report: &mut Report) -> io::Result<Vec<Tally>> {
        let mut events = Events::with_capacity(256);
        let start = Instant::now();
        let end = start + self.duration;
        self.to_open = (0..self.streams.len()).rev().collect();
        let last = self.tallies.len() - 1;
        for datagrams in &mut self.datagrams {
            datagrams.next(&mut self.tallies[last])?;
        }

        let mut tick = start;
        loop {
            let now = Instant::now();
            if now >= end {
                self.is_stopping = true;
                if self.is_over() {
                    break;
                }
                if now >= end + GRACE {
                    return Err(io::Error::new(ErrorKind::TimedOut, "some connections had no answer"));
                }
            }
            if now >= tick {
                tick = now + TICK;
                for datagrams in &mut self.datagrams {
                    datagrams.retry(now, &mut self.tallies[last])?;
                }
                report.progress(now - start, &self.tallies);
            }
            self.open()?;

            match self.poll.poll_until(&mut events, tick) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                let index = event.token().0;
                match index.checked_sub(self.streams.len()) {
                    None => self.drive(index)?,
                    Some(index) => self.datagrams[index].drive(&mut self.tallies[last], self.is_stopping)?,
                }
            }
        }
        report.elapsed(start.elapsed());
        Ok(self.tallies)
    }

    fn is_over(&self) -> bool {
        self.streams.iter().all(|place| place.stream.is_none())
            && self.datagrams.iter().all(|datagrams| datagrams.is_done)
    }

    /// Opens connections, but not more at once than the server's queue will hold.
    fn open(&mut self) -> io::Result<()> {
        while self.opening < OPENING && !self.is_stopping {
            let Some(&index) = self.to_open.last() else { break };
            let place = &mut self.streams[index];
            let mut connection = match (self.dials[place.transport])() {
                // The server's queue is full after all (a Unix socket says so at once): the next tick tries again.
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                result => result?,
            };
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut *connection, Token(index), both)?;
            self.tallies[place.transport].connections += 1;
            place.stream = Some(Stream {
                connection,
                state: State::Connecting,
                message: Message::new(index as u64),
                sent: 0,
                received: 0,
                since: Instant::now(),
                answers: 0,
            });
            self.to_open.pop();
            self.opening += 1;
        }
        Ok(())
    }

    fn drive(&mut self, index: usize) -> io::Result<()> {
        let place = &mut self.streams[index];
        let Some(stream) = &mut place.stream else { return Ok(()) };
        let was_new = stream.answers == 0;
        let is_over = stream.drive(&mut self.tallies[place.transport], self.is_stopping)?;
        if was_new && stream.answers > 0 {
            self.opening -= 1;
        }
        if is_over {
            self.poll.registry().deregister(&mut *stream.connection)?;
            place.stream = None;
            self.to_open.push(index);
        }
        Ok(())
    }
}

impl Stream {
    /// Sends and receives until both would block, and returns whether the connection has ended.
    fn drive(&mut self, tally: &mut Tally, is_stopping: bool) -> io::Result<bool> {
        if self.state == State::Connecting {
            // The writable event reports that connecting has ended, not how.
            if !self.connection.is_connected()? {
                return Ok(false);
            }
            self.state = State::Talking;
            self.next_message();
        }
        let mut buf = [0; 16 * 1024];
        loop {
            while self.sent < self.message.bytes().len() && self.state == State::Talking {
                match self.connection.write(&self.message.bytes()[self.sent..]) {
                    Ok(n) => self.sent += n,
                    // Read the answers before sending more, or neither side would make progress.
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            match self.connection.read(&mut buf) {
                Ok(0) if self.state == State::Ending => return Ok(true),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.check(&buf[..n])?,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
            if self.state == State::Talking && self.received == self.message.bytes().len() {
                tally.answer(self.received, self.since.elapsed());
                self.answers += 1;
                if is_stopping || self.answers == LIFETIME {
                    self.connection.shutdown_write()?;
                    self.state = State::Ending;
                } else {
                    self.next_message();
                }
            }
        }
    }

    fn next_message(&mut self) {
        self.message.next_for_stream();
        (self.sent, self.received) = (0, 0);
        self.since = Instant::now();
    }

    fn check(&mut self, bytes: &[u8]) -> io::Result<()> {
        // A byte that was not sent yet can't come back.
        let expected = self.message.bytes()[..self.sent].get(self.received..self.received + bytes.len());
        if self.state != State::Talking || expected != Some(bytes) {
            return Err(wrong_bytes());
        }
        self.received += bytes.len();
        Ok(())
    }
}

impl Datagrams {
    fn drive(&mut self, tally: &mut Tally, is_stopping: bool) -> io::Result<()> {
        let mut buf = [0; 2048];
        loop {
            match self.socket.recv(&mut buf) {
                // The answer to an earlier message that was sent twice.
                Ok(n) if self.message.is_older(&buf[..n]) => tally.late += 1,
                Ok(n) if &buf[..n] == self.message.bytes() && !self.is_done => {
                    tally.answer(n, self.since.elapsed());
                    if is_stopping {
                        self.is_done = true;
                    } else {
                        self.next(tally)?;
                    }
                }
                Ok(n) if &buf[..n] == self.message.bytes() => tally.late += 1,
                Ok(_) => return Err(wrong_bytes()),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn next(&mut self, tally: &mut Tally) -> io::Result<()> {
        self.message.next_for_datagram();
        self.since = Instant::now();
        self.send(tally)
    }

    /// Sends again what may have been lost.
    fn retry(&mut self, now: Instant, tally: &mut Tally) -> io::Result<()> {
        if !self.is_done && now.saturating_duration_since(self.sent_at) >= LOST {
            tally.sent_again += 1;
            self.send(tally)?;
        }
        Ok(())
    }

    fn send(&mut self, _: &mut Tally) -> io::Result<()> {
        self.sent_at = Instant::now();
        match self.socket.send(self.message.bytes()) {
            // No room: the datagram counts as lost.
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
            result => result.map(drop),
        }
    }
}

/// A message that no other connection sends, and this one only once: a number, then pseudo-random bytes.
struct Message {
    bytes: Vec<u8>,
    number: u64,
    random: u64,
}

impl Message {
    fn new(seed: u64) -> Message {
        Message { bytes: Vec::new(), number: 0, random: (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Mostly small; now and then larger than the server's buffer, so that both directions fill up.
    fn next_for_stream(&mut self) {
        let length = if self.random() % 256 == 0 { 64 * 1024 } else { 32 + self.random() % 993 };
        self.fill(length as usize);
    }

    /// Always of one packet.
    fn next_for_datagram(&mut self) {
        let length = 32 + self.random() % 481;
        self.fill(length as usize);
    }

    fn fill(&mut self, length: usize) {
        self.number += 1;
        self.bytes.clear();
        self.bytes.extend_from_slice(&self.number.to_be_bytes());
        while self.bytes.len() < length {
            let random = self.random();
            self.bytes.extend_from_slice(&random.to_le_bytes());
        }
        self.bytes.truncate(length);
    }

    /// Whether this is one of the messages before.
    fn is_older(&self, bytes: &[u8]) -> bool {
        let number = bytes.get(..8).and_then(|number| number.try_into().ok()).map(u64::from_be_bytes);
        number.is_some_and(|number| number < self.number)
    }

    /// Marsaglia's xorshift.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

fn wrong_bytes() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "what came back is not what was sent")
}

/// Returns the message of a failed run.
pub fn explain(e: &io::Error) -> String {
    #[cfg(unix)]
    if e.raw_os_error() == Some(24) {
        return format!("{e}. Allow more with `ulimit -n`, or use fewer `--connections`");
    }
    format!("the load failed: {e}")
}
