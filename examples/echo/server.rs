//! The server: any number of listeners and one UDP socket on one `Poll`, in one thread.
//!
//! What makes it more than a toy, and where:
//!
//! - a client that doesn't read can't fill our memory: [`Client::echo`] has one buffer, and doesn't read what it has
//!   no room for, so that the client's own sends block in the end
//! - a client that sends without pause can't starve the others: [`ROUNDS`], [`Server::unfinished`]
//! - a client that has shut down its sending half still gets all its answers
//! - descriptors that have run out stop the accepting for a while, not the server: [`Server::accept`]
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
/// Listeners come before clients: what is no listener's is a client's.
const FIRST_CLIENT: usize = 64;

/// How many bytes wait to go back to one client, at most.
const BUFFER: usize = 16 * 1024;
/// How many reads one source gets before the others have their turn.
const ROUNDS: usize = 16;
/// How long to leave a listener alone that could not accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub struct Server {
    poll: Poll,
    listeners: Vec<Box<dyn Listener>>,
    datagrams: Option<Datagrams>,
    /// By token, less `FIRST_CLIENT`.
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    /// Tokens whose sources had more to give when their turn was over. The kernel won't report them again.
    unfinished: Vec<Token>,
    /// When to try again to accept.
    accept_again: Option<Instant>,
    served: Served,
}

/// What the server has to tell of itself.
#[derive(Default)]
pub struct Served {
    pub polls: u64,
    pub events: u64,
    /// Of each listener in its order, and last of UDP: the polls that brought it something.
    pub wakes: Vec<u64>,
}

struct Client {
    stream: Box<dyn Connection>,
    /// Which listener it came from.
    listener: usize,
    buffer: Box<[u8]>,
    /// The part of the buffer that is to be sent.
    start: usize,
    end: usize,
    /// The client has sent all that it will.
    is_at_end: bool,
}

struct Datagrams {
    socket: UdpSocket,
    buffer: Box<[u8]>,
    /// A datagram that could not be sent yet: its length, and to whom.
    pending: Option<(usize, SocketAddr)>,
    /// What it is registered for.
    interest: Interest,
}

/// What a source is like after its turn.
#[derive(PartialEq)]
enum Turn {
    /// It would block: the next event will tell.
    Blocked,
    /// There may be more.
    Unfinished,
    /// All is done.
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
        // The largest datagram that there is.
        let buffer = vec![0; 64 * 1024].into();
        self.datagrams = Some(Datagrams { socket, buffer, pending: None, interest: Interest::READABLE });
        Ok(())
    }

    /// Makes [`run`](Server::run) look at its flag.
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
            // Who was unfinished and has an event too gets one turn, not two.
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
            // Somebody has more to do: only look.
            return self.poll.poll(events, Some(Duration::ZERO));
        }
        match self.accept_again {
            Some(again) => self.poll.poll_until(events, again),
            None => self.poll.poll(events, None),
        }
    }

    /// Gives a source its turn; which transport it belongs to, if it is still there.
    fn turn(&mut self, token: Token) -> io::Result<Option<usize>> {
        if token == DATAGRAMS {
            let Some(datagrams) = &mut self.datagrams else { return Ok(None) };
            if datagrams.echo()? == Turn::Unfinished {
                self.unfinished.push(token);
            }
            // Each datagram that leaves makes room, and with some kernels that is an event. So, unlike with streams,
            // writable is asked for only while something waits to be sent.
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

        // An event may come after its client has gone, in the same batch, and perhaps another client has the place now.
        // Then it is a spurious event, which does no harm.
        let place = &mut self.clients[token.0 - FIRST_CLIENT];
        let Some(client) = place else { return Ok(None) };
        let listener = client.listener;
        match client.echo() {
            Ok(Turn::Blocked) => {}
            Ok(Turn::Unfinished) => self.unfinished.push(token),
            // An error is this client's (a reset, most often), not the server's.
            Ok(Turn::Over) | Err(_) => {
                // Dropping it would do. To deregister first costs one call more, and is right even if a child process
                // has inherited a duplicate.
                if let Some(mut client) = place.take() {
                    let _ = self.poll.registry().deregister(&mut *client.stream);
                }
                self.free.push(token.0 - FIRST_CLIENT);
            }
        }
        Ok(Some(listener))
    }

    /// Takes the connections that wait. Fails if the socket is none that accepts connections.
    fn accept(&mut self, listener: usize) -> io::Result<()> {
        for _ in 0..ROUNDS {
            match self.listeners[listener].accept().and_then(|stream| self.admit(stream, listener)) {
                Ok(()) => {}
                Err(e) => match e.kind() {
                    ErrorKind::WouldBlock => return Ok(()),
                    // It went away while it waited. There may be others.
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => {}
                    // It doesn't listen, or has no connections at all: a descriptor that we were given wrongly.
                    ErrorKind::InvalidInput | ErrorKind::Unsupported => return Err(e),
                    // Descriptors or memory have run out, most likely. The connections go on waiting, and there is no
                    // event for those that wait already: come back when some clients may have gone.
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
        // Both directions, once and for all: a stream becomes writable only after it was not, so asking for it costs
        // next to nothing, and no system call is needed to switch.
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
    /// It doesn't matter which event has come: what can be done is tried, and what can't answers `WouldBlock`.
    fn echo(&mut self) -> io::Result<Turn> {
        for _ in 0..ROUNDS {
            while self.start < self.end {
                match self.stream.write(&self.buffer[self.start..self.end]) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(n) => self.start += n,
                    // The client doesn't read. So we don't either: a writable event will bring us back here, and then
                    // reading goes on, although its event has long been had.
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Turn::Blocked),
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            if self.is_at_end {
                // It has had every answer. What it does with its receiving half is its own affair.
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
    /// The same without connections: one datagram is kept while it can't be sent, and meanwhile none is received.
    fn echo(&mut self) -> io::Result<Turn> {
        // A datagram is small beside what a stream moves in one read.
        for _ in 0..ROUNDS * 4 {
            if let Some((length, sender)) = self.pending {
                match self.socket.send_to(&self.buffer[..length], sender) {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Turn::Blocked),
                    Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                    // Sent; or the network won't have it, and datagrams may be lost.
                    _ => self.pending = None,
                }
            }
            match self.socket.recv_from(&mut self.buffer) {
                Ok(datagram) => self.pending = Some(datagram),
                Err(e) => match e.kind() {
                    ErrorKind::WouldBlock => return Ok(Turn::Blocked),
                    // Somebody to whom we sent has gone. That is no answer about what has come: go on.
                    ErrorKind::Interrupted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused => {}
                    _ => return Err(e),
                },
            }
        }
        Ok(Turn::Unfinished)
    }
}
