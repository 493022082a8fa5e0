//! Signals as events: a handler writes to a socket, and the `Poll` watches the other end.
//!
//! ```text
//! cargo run --example signals             # then Ctrl-C, or `kill -HUP` and `kill` from elsewhere
//! cargo run --example signals -- --demo   # sends them to itself
//! ```

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    let is_demo = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--demo") => true,
        Some("--help" | "-h") => {
            println!(
                "Reports SIGHUP, and ends on SIGINT and SIGTERM. With `--demo` it sends them to itself."
            );
            return ExitCode::SUCCESS;
        }
        Some(arg) => {
            eprintln!("signals: unknown argument `{arg}`");
            return ExitCode::from(2);
        }
    };
    if let Some(arg) = std::env::args().nth(2) {
        eprintln!("signals: unknown argument `{arg}`");
        return ExitCode::from(2);
    }
    match example::run(is_demo) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("signals: {e}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(unix))]
fn main() {
    println!("This example is for Unix.");
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

    pub fn run(is_demo: bool) -> io::Result<()> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(8);

        // A pair for each signal, so that the token says which one it was.
        let mut inboxes = Vec::new();
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            let (mut inbox, writer) = UnixStream::pair()?;
            // The handler sends one byte, and never blocks.
            low_level::pipe::register(signal, writer)?;
            poll.registry().register(&mut inbox, Token(inboxes.len()), Interest::READABLE)?;
            inboxes.push((signal, inbox));
        }
        println!("Process {} waits for SIGHUP, SIGINT and SIGTERM.", process::id());

        if is_demo {
            thread::spawn(|| -> io::Result<()> {
                for signal in [SIGHUP, SIGHUP, SIGTERM] {
                    thread::sleep(Duration::from_millis(100));
                    low_level::raise(signal)?;
                }
                Ok(())
            });
        }

        loop {
            match poll.poll(&mut events, None) {
                // The handler has interrupted the sleep. Its byte is there at the next call.
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                let (signal, inbox) = &mut inboxes[event.token().0];
                let count = drain(inbox)?;
                match *signal {
                    SIGHUP => {
                        println!("SIGHUP, {count} of them: a server would read its configuration again")
                    }
                    signal if count > 0 => {
                        println!("{}: the end", low_level::signal_name(signal).unwrap_or("a signal"));
                        return Ok(());
                    }
                    _ => {}
                }
            }
        }
    }

    /// How many bytes, and so signals, have come.
    fn drain(inbox: &mut UnixStream) -> io::Result<usize> {
        let mut buf = [0; 64];
        let mut count = 0;
        loop {
            match inbox.read(&mut buf) {
                Ok(n) => count += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(count),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}
