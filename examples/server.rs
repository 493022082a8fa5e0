//! An echo server to learn from: TCP, one thread, one `Poll`.
//!
//! It returns to each client what it sends. It bounds a client's memory and its idle time, and survives clients that
//! don't read, that close one half, that never pause and that vanish, and a shortage of descriptors. `examples/echo`
//! does the same for several transports, under load.

mod command_line;

use std::collections::{BTreeSet, HashMap};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::ops::Range;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use wakeful::net::{TcpListener, TcpStream};
use wakeful::{Events, Interest, Poll, Token};

use command_line::{say, Failure};

const HELP: &str = "\
Returns to each TCP client what it sends: `nc 127.0.0.1 7777` is a client.

Usage: server [ADDRESS | --demo]

  ADDRESS   where to listen [default: 127.0.0.1:7777]
  --demo    serves one client of its own, and ends";

const LISTENER: Token = Token(0);
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
/// The memory of one client.
const BUFFER: usize = 16 * 1024;
/// How many reads and writes one client gets before the others have their turn.
const ROUNDS: usize = 16;
/// A client that moves no byte for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// How often the server looks for idle clients, and accepts again after an error.
const TICK: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    command_line::run("server", HELP, |argument| {
        let is_demo = argument == Some("--demo");
        let address = if is_demo { "127.0.0.1:0" } else { argument.unwrap_or("127.0.0.1:7777") };
        let listener = TcpListener::bind(address.parse().map_err(|_| Failure::UnknownArgument)?)?;
        let (address, poll) = (listener.local_addr()?, Poll::new()?);
        if is_demo {
            thread::Builder::new().spawn(move || serve(poll, listener))?;
            return demo(address);
        }
        say(format_args!("Echoing on {address}. Ctrl-C ends it."));
        Ok(serve(poll, listener)?)
    })
}

fn serve(mut poll: Poll, mut listener: TcpListener) -> io::Result<()> {
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(256);
    let mut clients: HashMap<Token, Client> = HashMap::new();
    // No token is used twice, so a late event of one client can't reach another.
    let mut next = LISTENER.0 + 1;
    // Clients whose turn was over before their work was. No event reports them again.
    let mut unfinished: Vec<Token> = Vec::new();
    let mut tick = Instant::now() + TICK;
    loop {
        match poll.poll_until(&mut events, if unfinished.is_empty() { tick } else { Instant::now() }) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue, // by a signal
            result => result?,
        }
        // A set: an unfinished client that has an event too gets one turn.
        let mut ready: BTreeSet<Token> = events.iter().map(|event| event.token()).collect();
        ready.extend(unfinished.drain(..));
        let now = Instant::now();
        if tick <= now {
            tick = now + TICK;
            clients.retain(|_, client| now < client.active + IDLE);
            ready.insert(LISTENER); // an `accept` that failed is tried again
        }
        if ready.remove(&LISTENER) {
            while let Some(mut stream) = accept(&listener) {
                let token = Token(next);
                next += 1;
                // A client that can't be watched is closed. The others stay.
                if poll.registry().register(&mut stream, token, BOTH).is_ok() {
                    let buffer = vec![0; BUFFER].into();
                    clients.insert(token, Client { stream, buffer, pending: 0..0, active: now });
                }
            }
        }
        for token in ready {
            match clients.get_mut(&token).map(|client| client.turn(now)) {
                Some(Turn::Blocked) | None => {}
                Some(Turn::Unfinished) => unfinished.push(token),
                // Dropping the stream closes the connection and deregisters it.
                Some(Turn::Over) => drop(clients.remove(&token)),
            }
        }
    }
}

/// Returns a client that waits, until `WouldBlock`. Any other error most likely means that descriptors have run out; no
/// event reports the clients that still wait.
fn accept(listener: &TcpListener) -> Option<TcpStream> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => return Some(stream),
            // This client has gone. The next one may wait already.
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
            Err(_) => return None,
        }
    }
}

struct Client {
    stream: TcpStream,
    buffer: Box<[u8]>,
    /// The part of the buffer that is still to be returned.
    pending: Range<usize>,
    /// When bytes were moved last.
    active: Instant,
}

enum Turn {
    /// An operation returned `WouldBlock`: an event follows.
    Blocked,
    /// There may be more to do, and no event follows.
    Unfinished,
    /// The client has sent all, and all was returned; or the connection has failed.
    Over,
}

impl Client {
    /// Returns what the buffer has, then reads again. A client that doesn't read its answers isn't read from, so its
    /// own writes block in the end: the buffer never grows. A client that has shut down its writing half gets every
    /// answer before the connection is closed.
    fn turn(&mut self, now: Instant) -> Turn {
        for _ in 0..ROUNDS {
            let is_read = self.pending.is_empty();
            let result = match is_read {
                true => self.stream.read(&mut self.buffer),
                false => self.stream.write(&self.buffer[self.pending.clone()]),
            };
            match result {
                Ok(0) => return Turn::Over,
                Ok(n) if is_read => (self.pending, self.active) = (0..n, now),
                Ok(n) => (self.pending.start, self.active) = (self.pending.start + n, now),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Turn::Blocked,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Turn::Over,
            }
        }
        Turn::Unfinished
    }
}

/// Sends and reads at the same time, closes the writing half, and reads to the end.
fn demo(address: SocketAddr) -> Result<(), Failure> {
    let mut reader = std::net::TcpStream::connect(address)?;
    reader.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut writer = reader.try_clone()?;
    let sent: Vec<u8> = (0..256 * 1024).map(|i: u32| i.to_be_bytes()[2] ^ i.to_be_bytes()[3]).collect();
    let bytes = sent.clone();
    thread::Builder::new()
        .spawn(move || writer.write_all(&bytes).and_then(|()| writer.shutdown(Shutdown::Write)))?;
    let mut returned = Vec::new();
    reader.read_to_end(&mut returned)?;
    if returned != sent {
        return Err(format!("{} bytes were sent, and {} returned", sent.len(), returned.len()).into());
    }
    say(format_args!("{} bytes were returned", returned.len()));
    Ok(())
}
