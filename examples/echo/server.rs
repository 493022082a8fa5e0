//! The server: any number of listeners and one UDP socket on one `Poll`, in one thread.
//!
//! It handles the cases of a real server:
//!
//! - a client that doesn't read can't fill the server's memory: [`Client::echo`] has one buffer, and doesn't read
//!   while it is full, so that the client's own sends block in the end
//! - a client that sends without pause can't starve the others: [`ROUNDS`], [`Server::unfinished`]
//! - a client that has shut down its sending half still gets all its answers
//! - running out of descriptors pauses accepting, not the server: [`Server::accept`]
//! - another thread can stop it: [`Server::waker`]

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wakeful::net::UdpSocket;
use wakeful::{Events, Interest, Poll, Token, Waker};

use crate::transport::{Connection, Listener};

const STOP: Token = Token(0);
const DATAGRAMS: Token = Token(1);
const FIRST_LISTENER: usize = 2;
/// Tokens of listeners come before those of clients.
const FIRST_CLIENT: usize = 64;

/// The most bytes that wait to go back to one client.
const BUFFER: usize = 16 * 1024;
/// How many reads one source gets before the other sources have their turn.
const ROUNDS: usize = 16;
/// How long to pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub struct Server {
    poll: Poll,
    listeners: Vec<Box<dyn Listener>>,
    datagrams: Option<Datagrams>,
    /// Indexed by token, less `FIRST_CLIENT`.
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    /// Tokens whose sources had more data when their turn ended. The kernel won't report them again.
    unfinished: Vec<Token>,
    /// When to accept again.
    accept_again: Option<Instant>,
    served: Served,
}

/// The server's counts.
#[derive(Default)]
pub struct Served {
    pub polls: u64,
    pub events: u64,
    /// For each listener in its order, and last for UDP: the number of polls with an event of it.
    pub wakes: Vec<u64>,
}

struct Client {
    stream: Box<dyn Connection>,
    /// The listener that has accepted it.
    listener: usize,
    buffer: Box<[u8]>,
    /// The part of the buffer that is to be sent.
    start: usize,
    end: usize,
    /// The client has shut down its sending half.
    is_at_end: bool,
}

struct Datagrams {
    socket: UdpSocket,
    buffer: Box<[u8]>,
    /// A datagram that could not be sent yet: its length and its receiver.
    pending: Option<(usize, SocketAddr)>,
    /// The interest that it is registered with.
    interest: Interest,
}

/// The state of a source after its turn.
#[derive(PartialEq)]
enum Turn {
    /// It would block: an event follows.
    Blocked,
    /// It may have more data.
    Unfinished,
    /// It has ended.
    Over,
}

impl Server {
    pub fn new(poll: Poll) -> Server {
        Server {
            poll,
            listeners: Vec::new(),
            datagrams: None,
            clients: Vec::new(),
            free: Vec::new(),
            unfinished: Vec::new(),
            accept_again: None,
            served: Served::default(),
        }
    }

    pub fn add_listener(&mut self, mut listener: Box<dyn Listener>) -> io::Result<()> {
        let token = Token(FIRST_LISTENER + self.listeners.len());
        assert!(token.0 < FIRST_CLIENT, "too many listeners");
        self.poll.registry().register(&mut *listener, token, Interest::READABLE)?;
        self.listeners.push(listener);
        Ok(())
    }

    pub fn add_datagrams(&mut self, mut socket: UdpSocket) -> io::Result<()> {
        self.poll.registry().register(&mut socket, DATAGRAMS, Interest::READABLE)?;
        // The largest possible datagram.
        let buffer = vec![0; 64 * 1024].into();
        self.datagrams = Some(Datagrams { socket, buffer, pending: None, interest: Interest::READABLE });
        Ok(())
    }

    /// Makes [`run`](Server::run) check its flag.
    pub fn waker(&self) -> io::Result<Waker> {
        Waker::new(self.poll.registry(), STOP)
    }

    /// Serves until `stop` is set and the waker wakes.
    pub fn run(mut self, stop: &AtomicBool) -> io::Result<Served> {
        let mut events = Events::with_capacity(256);
        let mut turns = Vec::new();
        let mut had_wake = vec![false; self.listeners.len() + 1];
        self.served.wakes = vec![0; had_wake.len()];
        loop {
            match self.wait(&mut events) {
                // A signal handler has run: nothing is lost.
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            self.served.polls += 1;
            self.served.events += events.len() as u64;

            turns.extend(events.iter().map(|event| event.token()));
            turns.append(&mut self.unfinished);
            // An unfinished source that has an event too gets one turn, not two.
            turns.sort_unstable();
            turns.dedup();
            for token in turns.drain(..) {
                if token == STOP {
                    if stop.load(Ordering::Relaxed) {
                        return Ok(self.served);
                    }
                } else if let Some(transport) = self.turn(token)? {
                    had_wake[transport] = true;
                }
            }
            if self.accept_again.is_some_and(|again| again <= Instant::now()) {
                self.accept_again = None;
                for listener in 0..self.listeners.len() {
                    self.accept(listener)?;
                }
            }
            for (wakes, had_wake) in self.served.wakes.iter_mut().zip(&mut had_wake) {
                *wakes += u64::from(std::mem::take(had_wake));
            }
        }
    }

    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        if !self.unfinished.is_empty() {
            // A source is unfinished: don't wait.
            return self.poll.poll(events, Some(Duration::ZERO));
        }
        match self.accept_again {
            Some(again) => self.poll.poll_until(events, again),
            None => self.poll.poll(events, None),
        }
    }

    /// Gives a source its turn, and returns its transport, if the source still exists.
    fn turn(&mut self, token: Token) -> io::Result<Option<usize>> {
        if token == DATAGRAMS {
            let Some(datagrams) = &mut self.datagrams else { return Ok(None) };
            if datagrams.echo()? == Turn::Unfinished {
                self.unfinished.push(token);
            }
            // Each datagram that leaves makes room, which some kernels report. So, unlike with streams, the interest
            // includes writable only while a datagram waits to be sent.
            let interest = match datagrams.pending {
                Some(_) => Interest::READABLE | Interest::WRITABLE,
                None => Interest::READABLE,
            };
            if interest != datagrams.interest {
                self.poll.registry().reregister(&mut datagrams.socket, DATAGRAMS, interest)?;
                datagrams.interest = interest;
            }
            return Ok(Some(self.listeners.len()));
        }
        if token.0 < FIRST_CLIENT {
            let listener = token.0 - FIRST_LISTENER;
            self.accept(listener)?;
            return Ok(Some(listener));
        }

        // The event's client may have gone earlier in the same batch, and another may have its place. Then the event
        // is spurious, which does no harm.
        let place = &mut self.clients[token.0 - FIRST_CLIENT];
        let Some(client) = place else { return Ok(None) };
        let listener = client.listener;
        match client.echo() {
            Ok(Turn::Blocked) => {}
            Ok(Turn::Unfinished) => self.unfinished.push(token),
            // An error is this client's (a reset, most often), not the server's.
            Ok(Turn::Over) | Err(_) => {
                // Dropping the stream would suffice. To deregister first costs one call more, and is right even if a
                // child process has inherited a duplicate.
                if let Some(mut client) = place.take() {
                    let _ = self.poll.registry().deregister(&mut *client.stream);
                }
                self.free.push(token.0 - FIRST_CLIENT);
            }
        }
        Ok(Some(listener))
    }

    /// Accepts the waiting connections. Fails if the socket can't accept connections.
    fn accept(&mut self, listener: usize) -> io::Result<()> {
        for _ in 0..ROUNDS {
            match self.listeners[listener].accept().and_then(|stream| self.admit(stream, listener)) {
                Ok(()) => {}
                Err(e) => match e.kind() {
                    ErrorKind::WouldBlock => return Ok(()),
                    // The client left while it waited. There may be others.
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => {}
                    // The socket doesn't listen, or is no stream socket: a wrong descriptor.
                    ErrorKind::InvalidInput | ErrorKind::Unsupported => return Err(e),
                    // Most likely out of descriptors or memory. The waiting connections stay queued without another
                    // event: try again when some clients may have gone.
                    _ => {
                        self.accept_again = Some(Instant::now() + ACCEPT_PAUSE);
                        return Ok(());
                    }
                },
            }
        }
        self.unfinished.push(Token(FIRST_LISTENER + listener));
        Ok(())
    }

    fn admit(&mut self, mut stream: Box<dyn Connection>, listener: usize) -> io::Result<()> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        // Both directions for the whole connection: a stream becomes writable only after it was not, so the interest
        // costs next to nothing, and switching it would cost system calls.
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(e) = self.poll.registry().register(&mut *stream, Token(FIRST_CLIENT + index), both) {
            self.free.push(index);
            return Err(e);
        }
        let buffer = vec![0; BUFFER].into();
        self.clients[index] = Some(Client { stream, listener, buffer, start: 0, end: 0, is_at_end: false });
        Ok(())
    }
}

impl Client {
    /// Reads and writes until one of the two would block.
    ///
    /// The kind of event doesn't matter: every operation is tried, and fails with `WouldBlock` if it can't be done.
    fn echo(&mut self) -> io::Result<Turn> {
        for _ in 0..ROUNDS {
            while self.start < self.end {
                match self.stream.write(&self.buffer[self.start..self.end]) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(n) => self.start += n,
                    // The client doesn't read, so the server doesn't either. A writable event leads back here, and
                    // then reading continues, although its event was long ago.
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Turn::Blocked),
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            if self.is_at_end {
                // The client has every answer. Its receiving half doesn't matter.
                self.stream.shutdown_write()?;
                return Ok(Turn::Over);
            }
            match self.stream.read(&mut self.buffer) {
                Ok(0) => self.is_at_end = true,
                Ok(n) => (self.start, self.end) = (0, n),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Turn::Blocked),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Turn::Unfinished)
    }
}

impl Datagrams {
    /// Echoes datagrams: keeps one that can't be sent yet, and receives none meanwhile.
    fn echo(&mut self) -> io::Result<Turn> {
        // A datagram is small beside what a stream moves in one read.
        for _ in 0..ROUNDS * 4 {
            if let Some((length, sender)) = self.pending {
                match self.socket.send_to(&self.buffer[..length], sender) {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Turn::Blocked),
                    Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                    // Sent; or refused by the network, and datagrams may be lost.
                    _ => self.pending = None,
                }
            }
            match self.socket.recv_from(&mut self.buffer) {
                Ok(datagram) => self.pending = Some(datagram),
                Err(e) => match e.kind() {
                    ErrorKind::WouldBlock => return Ok(Turn::Blocked),
                    // An earlier receiver has gone. This says nothing about received datagrams: continue.
                    ErrorKind::Interrupted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused => {}
                    _ => return Err(e),
                },
            }
        }
        Ok(Turn::Unfinished)
    }
}
