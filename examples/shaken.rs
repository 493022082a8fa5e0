//! A server with a readiness bug that passes its test, and fails under `WAKEFUL_CHAOS`.
//!
//! The server answers each byte with its double. Its bug: it takes "readable" for "there is data", and closes the
//! connection if a read returns anything else.
//!
//! ```text
//! cargo run --example shaken                                       # the test passes, every time
//! WAKEFUL_CHAOS=1 cargo run --features chaos --example shaken      # fails, and the seed is printed
//! WAKEFUL_CHAOS=1 cargo run --features chaos --example shaken -- fixed
//! ```

mod command_line;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream as Client};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use wakeful::net::{TcpListener, TcpStream};
use wakeful::{Events, Interest, Poll, Token};

use command_line::{say, Failure};

const HELP: &str = "\
A server with a readiness bug that passes its test, and fails under WAKEFUL_CHAOS.

Usage: shaken [fixed]

  fixed   the server without the bug";

const LISTENER: Token = Token(0);

fn main() -> ExitCode {
    command_line::run("shaken", HELP, |argument| match argument {
        None => run(false),
        Some("fixed") => run(true),
        Some(_) => Err(Failure::UnknownArgument),
    })
}

fn run(is_fixed: bool) -> Result<(), Failure> {
    let poll = Poll::new()?;
    let listener = TcpListener::bind("127.0.0.1:0".parse().expect("an address"))?;
    let addr = listener.local_addr()?;
    thread::Builder::new().spawn(move || {
        if let Err(e) = serve(poll, listener, is_fixed) {
            say(format_args!("the server failed: {e}"));
        }
    })?;
    ask(addr)?;
    say("passed");
    Ok(())
}

fn ask(addr: SocketAddr) -> Result<(), Failure> {
    for _ in 0..50 {
        let mut client = Client::connect(addr)?;
        client.set_read_timeout(Some(Duration::from_secs(5)))?;
        for byte in 0..20 {
            client.write_all(&[byte])?;
            let mut answer = [0];
            client.read_exact(&mut answer).map_err(|e| format!("failed: no answer to {byte}: {e}"))?;
            if answer != [2 * byte] {
                return Err(format!("failed: the answer to {byte} was {}", answer[0]).into());
            }
        }
    }
    Ok(())
}

fn serve(mut poll: Poll, mut listener: TcpListener, is_fixed: bool) -> io::Result<()> {
    let mut events = Events::with_capacity(64);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            if event.token() == LISTENER {
                loop {
                    match listener.accept() {
                        Ok((mut stream, _)) => {
                            let token = Token(connections.len() + 1);
                            poll.registry().register(&mut stream, token, Interest::READABLE)?;
                            connections.push(Some(stream));
                        }
                        Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                        Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
                        Err(e) => return Err(e),
                    }
                }
                continue;
            }
            let connection = &mut connections[event.token().0 - 1];
            let Some(stream) = connection else { continue };
            let is_alive = match is_fixed {
                true => answer_all(stream),
                false => answer_once(stream),
            };
            if !is_alive {
                *connection = None;
            }
        }
    }
}

/// The bug: an event means "try now", and this code takes it for "there is data".
fn answer_once(mut stream: &TcpStream) -> bool {
    let mut buf = [0; 64];
    match stream.read(&mut buf) {
        Ok(n) if n > 0 => buf[..n].iter().all(|byte| stream.write_all(&[2 * byte]).is_ok()),
        _ => false,
    }
}

fn answer_all(mut stream: &TcpStream) -> bool {
    let mut buf = [0; 64];
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return false,
            Ok(n) => {
                // A client waits for a few bytes only, which always fit.
                if !buf[..n].iter().all(|byte| stream.write_all(&[2 * byte]).is_ok()) {
                    return false;
                }
            }
            Err(e) => return e.kind() == ErrorKind::WouldBlock,
        }
    }
}
