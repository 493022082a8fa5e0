//! Signals as events: a handler writes to a socket, and the `Poll` watches the other end.
//!
//! ```text
//! cargo run --example signals             # then Ctrl-C, or `kill -HUP` and `kill` from elsewhere
//! cargo run --example signals -- --demo   # sends them to itself
//! ```

mod command_line;

use command_line::Failure;

const HELP: &str = "\
Reports SIGHUP, and ends on SIGINT and SIGTERM.

Usage: signals [--demo]

  --demo   sends the signals to itself";

fn main() -> std::process::ExitCode {
    command_line::run("signals", HELP, |argument| match argument {
        None => Ok(example::run(false)?),
        Some("--demo") => Ok(example::run(true)?),
        Some(_) => Err(Failure::UnknownArgument),
    })
}

#[cfg(not(unix))]
mod example {
    pub fn run(_: bool) -> Result<(), &'static str> {
        Err("this example is for Unix")
    }
}

#[cfg(unix)]
mod example {
    use std::io::{self, ErrorKind, Read};
    use std::process;
    use std::thread;
    use std::time::Duration;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::low_level;
    use wakeful::net::UnixStream;
    use wakeful::{Events, Interest, Poll, Token};

    use crate::command_line::say;

    pub fn run(is_demo: bool) -> io::Result<()> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(8);

        // A socket pair for each signal, so that the token identifies the signal.
        let mut inboxes = Vec::new();
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            let (mut inbox, writer) = UnixStream::pair()?;
            // The handler sends one byte, and never blocks.
            low_level::pipe::register(signal, writer)?;
            poll.registry().register(&mut inbox, Token(inboxes.len()), Interest::READABLE)?;
            inboxes.push((signal, inbox));
        }
        say(format_args!("Process {} waits for SIGHUP, SIGINT and SIGTERM.", process::id()));

        if is_demo {
            thread::Builder::new().spawn(|| -> io::Result<()> {
                for signal in [SIGHUP, SIGHUP, SIGTERM] {
                    thread::sleep(Duration::from_millis(100));
                    low_level::raise(signal)?;
                }
                Ok(())
            })?;
        }

        loop {
            match poll.poll(&mut events, None) {
                // The handler has interrupted `poll`. The next call finds its byte.
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                let (signal, inbox) = &mut inboxes[event.token().0];
                let count = drain(inbox)?;
                let name = low_level::signal_name(*signal).unwrap_or("a signal");
                match *signal {
                    _ if count == 0 => {} // the event was spurious
                    SIGHUP => say(format_args!(
                        "{name}, {count} of them: a server would read its configuration again"
                    )),
                    _ => {
                        say(format_args!("{name}: the end"));
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Returns the number of bytes, and so of signals, that have arrived.
    fn drain(inbox: &mut UnixStream) -> io::Result<usize> {
        let mut buf = [0; 64];
        let mut count = 0;
        loop {
            match inbox.read(&mut buf) {
                // The handlers keep their ends for ever, so there is no end of the stream.
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => count += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(count),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}
