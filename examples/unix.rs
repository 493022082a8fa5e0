//! Unix beyond the network: a Unix-domain socket and a child process's output, on one `Poll`.
//!
//! ```text
//! cargo run --example unix --features os-ext
//! ```

mod command_line;

use command_line::no_argument;

const HELP: &str = "\
Runs `echo` and prints what it says, and talks to itself.

Usage: unix";

fn main() -> std::process::ExitCode {
    command_line::run("unix", HELP, |argument| {
        no_argument(argument)?;
        Ok(example::run()?)
    })
}

#[cfg(not(unix))]
mod example {
    pub fn run() -> Result<(), &'static str> {
        Err("this example is for Unix")
    }
}

#[cfg(unix)]
mod example {
    use std::io::{self, ErrorKind, Read, Write};
    use std::net::Shutdown;
    use std::process::{Command, Stdio};

    use wakeful::net::UnixStream;
    use wakeful::unix::pipe;
    use wakeful::{Events, Interest, Poll, Token};

    use crate::command_line::say;

    const CHILD: Token = Token(0);
    const STREAM: Token = Token(1);

    pub fn run() -> io::Result<()> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(8);

        // A child's output is a pipe, which is in blocking mode at first.
        let mut child = Command::new("echo").arg("hello from a child").stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().expect("its output was asked for");
        let mut output = pipe::Receiver::from(output);
        output.set_nonblocking(true)?;
        poll.registry().register(&mut output, CHILD, Interest::READABLE)?;

        let (mut stream, mut peer) = UnixStream::pair()?;
        poll.registry().register(&mut stream, STREAM, Interest::READABLE)?;
        peer.write_all(b"hello from a socket")?;
        peer.shutdown(Shutdown::Write)?;

        let (mut from_child, mut from_stream) = (Vec::new(), Vec::new());
        let (mut child_is_over, mut stream_is_over) = (false, false);
        while !(child_is_over && stream_is_over) {
            match poll.poll(&mut events, None) {
                // The end of the child may cause a signal.
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                // After its end a source stays readable, so stop watching it. This batch may have a second event of
                // it already.
                match event.token() {
                    CHILD if !child_is_over => {
                        child_is_over = read(&mut output, &mut from_child)?;
                        if child_is_over {
                            poll.registry().deregister(&mut output)?;
                        }
                    }
                    STREAM if !stream_is_over => {
                        stream_is_over = read(&mut stream, &mut from_stream)?;
                        if stream_is_over {
                            poll.registry().deregister(&mut stream)?;
                        }
                    }
                    _ => {}
                }
            }
        }
        child.wait()?;
        say(String::from_utf8_lossy(&from_child).trim_end());
        say(String::from_utf8_lossy(&from_stream));
        Ok(())
    }

    /// Reads until `WouldBlock` or the end, and returns whether it was the end.
    fn read(source: &mut impl Read, into: &mut Vec<u8>) -> io::Result<bool> {
        // `read_to_end` keeps the data that it has read when it fails, with `WouldBlock` too.
        match source.read_to_end(into) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e),
        }
    }
}
