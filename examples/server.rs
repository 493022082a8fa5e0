//! An echo server to learn from: TCP, one thread, one `Poll`.
//!
//! It returns all that a client sends, bounds the memory of each client, and survives clients that don't read, that
//! close one half, that never pause, and that vanish, and a lack of descriptors. `examples/echo` does the same for
//! several transports, under load.
//!
//! ```text
//! cargo run --example server                     # then `nc 127.0.0.1 7777`
//! cargo run --example server -- 127.0.0.1:8080
//! cargo run --example server -- --demo           # serves one client of its own, and ends
//! ```

mod command_line;

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream as Peer};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use wakeful::net::{TcpListener, TcpStream};
use wakeful::{Events, Interest, Poll, Registry, Token};

use command_line::{say, Failure};

const HELP: &str = "\
Returns to each TCP client what it sends.

Usage: server [ADDRESS | --demo]

  ADDRESS   where to listen [default: 127.0.0.1:7777]
  --demo    serves one client of its own, and ends";

const LISTENER: Token = Token(0);
/// The memory of one client.
const BUFFER: usize = 16 * 1024;
/// How many reads and writes one client gets before the others have their turn.
const ROUNDS: usize = 16;
/// How long `accept` rests after an error.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    command_line::run("server", HELP, |argument| {
        let address = match argument {
            None => "127.0.0.1:7777",
            Some("--demo") => return demo(),
            Some(address) => address,
        };
        let address: SocketAddr = address.parse().map_err(|_| Failure::UnknownArgument)?;
        let listener = TcpListener::bind(address)?;
        say(format_args!("Echoing on {}. Ctrl-C ends it.", listener.local_addr()?));
        Ok(serve(Poll::new()?, listener)?)
    })
}

fn serve(mut poll: Poll, mut listener: TcpListener) -> io::Result<()> {
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(256);
    let mut clients = Clients { by_token: HashMap::new(), next: LISTENER.0 + 1 };
    // Clients whose turn was over before their work was. No event reports them again.
    let mut unfinished: Vec<Token> = Vec::new();
    // When to accept again after an error. The clients that wait are not reported again either.
    let mut accept_at: Option<Instant> = None;
    loop {
        let timeout = match accept_at {
            _ if !unfinished.is_empty() => Some(Duration::ZERO),
            at => at.map(|at| at.saturating_duration_since(Instant::now())),
        };
        match poll.poll(&mut events, timeout) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue, // by a signal
            result => result?,
        }
        let mut ready: Vec<Token> = events.iter().map(|event| event.token()).collect();
        ready.append(&mut unfinished);
        if accept_at.is_some_and(|at| at <= Instant::now()) {
            ready.push(LISTENER);
        }
        // An unfinished client that has an event too gets one turn.
        ready.sort_unstable();
        ready.dedup();
        for token in ready {
            if token == LISTENER {
                accept_at = clients.accept(&listener, poll.registry());
            } else if let Some(client) = clients.by_token.get_mut(&token) {
                match client.turn() {
                    Ok(Turn::Blocked) => {}
                    Ok(Turn::Unfinished) => unfinished.push(token),
                    // The end, or a reset. Dropping the stream closes the connection and deregisters it.
                    Ok(Turn::Over) | Err(_) => drop(clients.by_token.remove(&token)),
                }
            }
        }
    }
}

struct Clients {
    by_token: HashMap<Token, Client>,
    /// No token is used twice, so a late event of one client can't reach another.
    next: usize,
}

impl Clients {
    /// Accepts until `WouldBlock`. Returns when to try again, if an error ended it earlier.
    fn accept(&mut self, listener: &TcpListener, registry: &Registry) -> Option<Instant> {
        loop {
            match listener.accept() {
                Ok((mut stream, _)) => {
                    let token = Token(self.next);
                    self.next += 1;
                    // A client that can't be watched is closed. The others stay.
                    if registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).is_ok()
                    {
                        let buffer = vec![0; BUFFER].into();
                        self.by_token.insert(token, Client { stream, buffer, start: 0, end: 0 });
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return None,
                // This client has gone. The next one may wait already.
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                // Most likely descriptors have run out: a client that leaves gives one back.
                Err(_) => return Some(Instant::now() + ACCEPT_PAUSE),
            }
        }
    }
}

struct Client {
    stream: TcpStream,
    buffer: Box<[u8]>,
    /// `buffer[start..end]` is still to be returned.
    start: usize,
    end: usize,
}

enum Turn {
    /// An operation returned `WouldBlock`: an event follows.
    Blocked,
    /// There may be more to do, and no event follows.
    Unfinished,
    /// The client has sent all, and all was returned.
    Over,
}

impl Client {
    /// Returns what the buffer has, then reads again. A client that doesn't read its answers isn't read from, so its
    /// own writes block in the end: the buffer never grows. One that has shut down its writing half gets every answer
    /// before the connection is closed.
    fn turn(&mut self) -> io::Result<Turn> {
        for _ in 0..ROUNDS {
            let result = if self.start < self.end {
                self.stream.write(&self.buffer[self.start..self.end]).map(|n| self.start += n)
            } else {
                match self.stream.read(&mut self.buffer) {
                    Ok(0) => return Ok(Turn::Over),
                    result => result.map(|n| (self.start, self.end) = (0, n)),
                }
            };
            match result {
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Turn::Blocked),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                result => result?,
            }
        }
        Ok(Turn::Unfinished)
    }
}

/// Sends and reads at the same time, closes the writing half, and reads to the end.
fn demo() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    let address = listener.local_addr()?;
    let poll = Poll::new()?;
    thread::Builder::new().spawn(move || {
        if let Err(e) = serve(poll, listener) {
            say(format_args!("the server failed: {e}"));
        }
    })?;

    let peer = Peer::connect(address)?;
    peer.set_read_timeout(Some(Duration::from_secs(5)))?;
    peer.set_write_timeout(Some(Duration::from_secs(5)))?;
    let sent: Vec<u8> = (0..256 * 1024).map(|i: u32| i.to_be_bytes()[2] ^ i.to_be_bytes()[3]).collect();
    let mut returned = Vec::new();
    thread::scope(|scope| {
        let writer = thread::Builder::new().spawn_scoped(scope, || {
            (&peer).write_all(&sent)?;
            peer.shutdown(Shutdown::Write)
        })?;
        (&peer).read_to_end(&mut returned)?;
        writer.join().expect("a writer that doesn't panic")
    })?;
    if returned != sent {
        return Err(format!("{} bytes were sent, and {} returned", sent.len(), returned.len()).into());
    }
    say(format_args!("{} bytes were returned", returned.len()));
    Ok(())
}
