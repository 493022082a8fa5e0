//! Two UDP sockets on one `Poll`, and a deadline for the datagrams that may be lost.
//!
//! ```text
//! cargo run --example udp
//! ```

mod command_line;

use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use wakeful::net::UdpSocket;
use wakeful::{Events, Interest, Poll, Token};

use command_line::{no_argument, say};

const ASKING: Token = Token(0);
const ANSWERING: Token = Token(1);

const QUESTIONS: u32 = 5;
/// How long to wait for an answer before the question is sent again.
const PATIENCE: Duration = Duration::from_millis(200);

const HELP: &str = "\
Asks 5 questions over UDP, and answers them.

Usage: udp";

fn main() -> ExitCode {
    command_line::run("udp", HELP, |argument| {
        no_argument(argument)?;
        Ok(run()?)
    })
}

fn run() -> io::Result<()> {
    let localhost = "127.0.0.1:0".parse().expect("an address");
    let mut answering = UdpSocket::bind(localhost)?;
    let mut asking = UdpSocket::bind(localhost)?;
    // A connected socket receives its peer's datagrams only, and learns when the peer has no socket.
    asking.connect(answering.local_addr()?)?;

    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    poll.registry().register(&mut answering, ANSWERING, Interest::READABLE)?;
    poll.registry().register(&mut asking, ASKING, Interest::READABLE)?;

    let mut buf = [0; 1500];
    let mut question = 1u32;
    ask(&asking, question)?;
    let mut deadline = Instant::now() + PATIENCE;
    while question <= QUESTIONS {
        match poll.poll_until(&mut events, deadline) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            // Receive until `WouldBlock`: more than one datagram may have arrived.
            loop {
                match event.token() {
                    ASKING => match asking.recv(&mut buf) {
                        Ok(n) if n == 4 && buf[..2] == [b'o', b'k'] && u32::from(buf[3]) == question => {
                            say(format_args!("question {question} was answered"));
                            question += 1;
                            if question <= QUESTIONS {
                                ask(&asking, question)?;
                                deadline = Instant::now() + PATIENCE;
                            }
                        }
                        Ok(_) => {} // the second answer to a question that was asked twice
                        Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                        // An earlier question was refused; an answer may have arrived since.
                        Err(e) if e.kind() == ErrorKind::ConnectionRefused => {}
                        Err(e) => return Err(e),
                    },
                    ANSWERING => match answering.recv_from(&mut buf) {
                        Ok((_, sender)) => {
                            (buf[0], buf[1]) = (b'o', b'k');
                            is_sent(answering.send_to(&buf[..4], sender))?;
                        }
                        Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                        Err(e) => return Err(e),
                    },
                    _ => break,
                }
            }
        }
        if question <= QUESTIONS && Instant::now() >= deadline {
            say(format_args!("question {question} is asked again"));
            ask(&asking, question)?;
            deadline = Instant::now() + PATIENCE;
        }
    }
    Ok(())
}

fn ask(socket: &UdpSocket, question: u32) -> io::Result<()> {
    is_sent(socket.send(&question.to_be_bytes()))
}

/// Treats a datagram without room or receiver as lost: after the deadline the question is sent again.
fn is_sent(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => Ok(()),
        result => result.map(drop),
    }
}
