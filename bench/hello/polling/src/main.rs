//! The smallest program with a poll, a wake and sockets.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use polling::{Event, Events, Poller};

fn main() -> io::Result<()> {
    let poller = Poller::new()?;
    let mut events = Events::new();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let stream = TcpStream::connect(listener.local_addr()?)?;
    stream.set_nonblocking(true)?;
    // SAFETY: both live as long as the poller.
    unsafe {
        poller.add(&listener, Event::readable(1))?;
        poller.add(&stream, Event::writable(2))?;
    }
    poller.notify()?;
    poller.wait(&mut events, Some(Duration::from_secs(1)))?;
    let readable = events.iter().filter(|event| event.readable).map(|event| event.key).sum::<usize>();
    std::process::exit(readable as i32)
}
