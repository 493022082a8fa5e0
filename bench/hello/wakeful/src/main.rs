//! The smallest program with a poll, a waker and sockets.

use std::io;
use std::time::Duration;

use wakeful::net::{TcpListener, TcpStream};
use wakeful::{Events, Interest, Poll, Token, Waker};

fn main() -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(64);
    let waker = Waker::new(poll.registry(), Token(0))?;
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    poll.registry().register(&mut listener, Token(1), Interest::READABLE)?;
    let mut stream = TcpStream::connect(listener.local_addr()?)?;
    poll.registry().register(&mut stream, Token(2), Interest::WRITABLE)?;
    waker.wake()?;
    poll.poll(&mut events, Some(Duration::from_secs(1)))?;
    let readable =
        events.iter().filter(|event| event.is_readable()).map(|event| event.token().0).sum::<usize>();
    std::process::exit(readable as i32)
}
