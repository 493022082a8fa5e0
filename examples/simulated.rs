//! Finds a bug in a small line protocol by trying seeds, and replays it.
//!
//! The server answers each line with its length. Its bug: it assumes that the data of one read ends with a whole
//! line, which holds in every test over loopback.
//!
//! ```text
//! cargo run --features sim --example simulated            # tries seeds until one fails
//! cargo run --features sim --example simulated -- 17      # repeats seed 17, and prints its events
//! cargo run --features sim --example simulated -- fixed   # the server without the bug: no seed fails
//! ```

mod command_line;

use std::io::{self, ErrorKind, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use wakeful::sim::{Sim, Stream};
use wakeful::{Events, Interest, Token};

use command_line::{say, Failure};

const HELP: &str = "\
Finds a bug in a small line protocol by trying seeds, and replays it.

Usage: simulated [SEED | fixed]

  SEED    repeats this seed, and prints its events; without it, tries seeds until one fails
  fixed   the server without the bug";

const SERVER: Token = Token(0);
const CLIENT: Token = Token(1);
const LINES: [&str; 4] = ["a", "line", "of several words", "and the last one"];

fn main() -> ExitCode {
    command_line::run("simulated", HELP, |argument| match argument {
        None => {
            match try_seeds(false) {
                Err(fault) => say(fault),
                Ok(()) => say("10000 seeds, and no fault was found"),
            }
            Ok(())
        }
        Some("fixed") => {
            try_seeds(true)?;
            say("10000 seeds, and no fault was found");
            Ok(())
        }
        Some(seed) => {
            let seed = seed.parse().map_err(|_| Failure::UnknownArgument)?;
            say(format_args!("seed {seed}: {:?}", run(seed, false, true)));
            Ok(())
        }
    })
}

fn try_seeds(is_fixed: bool) -> Result<(), String> {
    (0..10_000)
        .try_for_each(|seed| run(seed, is_fixed, false).map_err(|fault| format!("seed {seed}: {fault}")))
}

/// Runs a server and a client in one world, in one thread.
fn run(seed: u64, is_fixed: bool, is_loud: bool) -> Result<(), String> {
    let sim = Sim::new(seed);
    let mut poll = sim.new_poll();
    let mut events = Events::with_capacity(8);
    let (mut client, mut server) = sim.stream_pair();
    poll.registry().register(&mut server, SERVER, Interest::READABLE).map_err(text)?;
    poll.registry().register(&mut client, CLIENT, Interest::READABLE | Interest::WRITABLE).map_err(text)?;

    let mut question: Vec<u8> = LINES.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
    let expected: String = LINES.iter().map(|line| format!("{}\n", line.len())).collect();
    let (mut pending, mut answer) = (Vec::new(), Vec::new());

    while answer.len() < expected.len() {
        match poll.poll(&mut events, Some(Duration::from_secs(60))) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            result => result.map_err(text)?,
        }
        if events.is_empty() {
            return Err(format!("a minute of silence after {:?}", String::from_utf8_lossy(&answer)));
        }
        for event in &events {
            if is_loud {
                say(format_args!("{:>12?}: {event:?}", sim.elapsed()));
            }
            match event.token() {
                SERVER => serve(&server, &mut pending, is_fixed)?,
                _ => {
                    while !question.is_empty() {
                        match retry(|| (&client).write(&question)).map_err(text)? {
                            Some(n) => drop(question.drain(..n)),
                            None => break,
                        }
                    }
                    let mut buf = [0; 64];
                    while let Some(n) = retry(|| (&client).read(&mut buf)).map_err(text)? {
                        answer.extend_from_slice(&buf[..n]);
                    }
                }
            }
        }
    }
    match answer == expected.as_bytes() {
        true => Ok(()),
        false => Err(format!("answered {:?}, not {expected:?}", String::from_utf8_lossy(&answer))),
    }
}

fn serve(stream: &Stream, pending: &mut Vec<u8>, is_fixed: bool) -> Result<(), String> {
    let mut buf = [0; 256];
    while let Some(n) = retry(|| { stream }.read(&mut buf)).map_err(text)? {
        pending.extend_from_slice(&buf[..n]);
        let whole = match is_fixed {
            true => pending.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1),
            // The bug.
            false => pending.len(),
        };
        for line in pending[..whole].split_inclusive(|&byte| byte == b'\n') {
            let length = line.iter().filter(|&&byte| byte != b'\n').count();
            // Answers are small and always fit, but a write may be short.
            let mut answer = format!("{length}\n").into_bytes();
            while !answer.is_empty() {
                if let Some(n) = retry(|| { stream }.write(&answer)).map_err(text)? {
                    answer.drain(..n);
                }
            }
        }
        pending.drain(..whole);
    }
    Ok(())
}

/// Returns `None` on `WouldBlock`.
fn retry(mut operation: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match operation() {
            Ok(n) => return Ok(Some(n)),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(e) => return Err(e),
        }
    }
}

fn text(error: io::Error) -> String {
    error.to_string()
}
