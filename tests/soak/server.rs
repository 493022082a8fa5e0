//! The server: learns the plan of a connection from its first bytes, checks the data, and sends it back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use wakeful::net::{TcpListener, TcpStream};
use wakeful::{Backend, Events, Interest, Poll, Token, Waker};

use super::plan::{End, Plan, HEADER};
use super::process::{open_descriptors, Held, Sample};

/// Connections of one address have no more ports than about 28,000, and closed ones keep theirs for a minute.
pub const LISTENERS: usize = 8;
const STOP: Token = Token(LISTENERS);
const FIRST: usize = LISTENERS + 1;

/// How long to wait for the last connections.
const PATIENCE: Duration = Duration::from_secs(60);
const SAMPLE: Duration = Duration::from_millis(200);

pub fn run(backend: Backend, connections: usize) {
    let mut poll = Poll::with_backend(backend).unwrap();
    let mut events = Events::with_capacity(1024);
    let mut listeners: Vec<_> = (1..=LISTENERS as u8)
        .map(|last| TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).unwrap())
        .collect();
    for (index, listener) in listeners.iter_mut().enumerate() {
        poll.registry().register(listener, Token(index), Interest::READABLE).unwrap();
    }
    let waker = Waker::new(poll.registry(), STOP).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || {
            // Until the other process closes it.
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            is_over.store(true, Ordering::Release);
            waker.wake().unwrap();
            // A dropped waker's wake isn't reported.
            thread::park();
        }
    });
    let addresses: Vec<_> =
        listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
    println!("\nADDRESSES {}", addresses.join(" "));

    let before = open_descriptors();
    let mut held = Held::new(connections);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free = Vec::new();
    let mut sample_at = Instant::now();
    let mut end_by = None;
    while held.now > 0 || end_by.is_none() {
        poll.poll_until(&mut events, sample_at).unwrap();
        for event in &events {
            match event.token() {
                STOP => {}
                Token(index) if index < LISTENERS => loop {
                    let (mut stream, _) = match listeners[index].accept() {
                        Ok(accepted) => accepted,
                        Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                        // Vanished before it was accepted.
                        Err(e) if e.kind() == ErrorKind::ConnectionAborted => continue,
                        Err(e) => panic!("accept: {e}"),
                    };
                    let slot = free.pop().unwrap_or_else(|| {
                        connections.push(None);
                        connections.len() - 1
                    });
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(FIRST + slot), both).unwrap();
                    connections[slot] = Some(Connection::new(stream));
                    held.add();
                },
                Token(token) => {
                    let slot = token - FIRST;
                    let connection = connections[slot].as_mut().expect("an event of what is gone");
                    if connection.drive() {
                        let mut gone = connections[slot].take().unwrap();
                        // Dropping does it too: half of them each.
                        if slot % 2 == 0 {
                            poll.registry().deregister(&mut gone.stream).unwrap();
                        }
                        free.push(slot);
                        held.remove();
                    }
                }
            }
        }
        if is_over.load(Ordering::Acquire) {
            let end_by = *end_by.get_or_insert_with(|| Instant::now() + PATIENCE);
            assert!(Instant::now() < end_by, "{} connections don't end", held.now);
        }
        if Instant::now() >= sample_at {
            sample_at = Instant::now() + SAMPLE;
            let sample = Sample::now(&held);
            assert_eq!(sample.descriptors, before + held.now, "{held:?}, and {before} before");
            if end_by.is_none() {
                println!("SAMPLE {}", sample.line());
            }
        }
    }
    assert_eq!(open_descriptors(), before, "the server has left descriptors open");
}

struct Connection {
    stream: TcpStream,
    header: [u8; HEADER],
    /// Bytes of the header, then of what follows.
    received: usize,
    plan: Option<Plan>,
    sent: usize,
    is_at_end: bool,
    has_shut_down: bool,
}

impl Connection {
    fn new(stream: TcpStream) -> Connection {
        let header = [0; HEADER];
        Connection {
            stream,
            header,
            received: 0,
            plan: None,
            sent: 0,
            is_at_end: false,
            has_shut_down: false,
        }
    }

    /// Continues until it would block, and returns whether it has ended.
    fn drive(&mut self) -> bool {
        match self.step() {
            Ok(()) => true,
            Err(e) if e.kind() == ErrorKind::WouldBlock => false,
            Err(e) => {
                let resets = matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
                let end = self.plan.map(|plan| plan.end);
                // A connection that was reset may have lost its header.
                let may = matches!(end, None | Some(End::ClientVanishes | End::ClientLeavesUnread));
                assert!(resets && may, "the server, {:?} after {} bytes: {e:?}", self.plan, self.received);
                true
            }
        }
    }

    fn step(&mut self) -> io::Result<()> {
        let mut buf = [0; 4096];
        while self.plan.is_none() {
            let n = self.stream.read(&mut self.header[self.received..])?;
            assert!(n > 0, "the end within the header");
            self.received += n;
            if self.received == HEADER {
                self.plan = Some(Plan::new(u64::from_le_bytes(self.header)));
                self.received = 0;
            }
        }
        let plan = self.plan.unwrap();
        loop {
            // Sends as much as possible before it receives more, so that no data piles up.
            while self.sent < self.received.min(plan.answered()) {
                let part = (self.received.min(plan.answered()) - self.sent).min(buf.len());
                plan.fill(self.sent, &mut buf[..part]);
                self.sent += self.stream.write(&buf[..part])?;
            }
            if self.sent == plan.answered() && !self.has_shut_down {
                match plan.end {
                    End::ServerVanishes => {
                        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
                        return Ok(());
                    }
                    End::ServerShutsDown => {
                        self.stream.shutdown(Shutdown::Write)?;
                        self.has_shut_down = true;
                    }
                    _ => {}
                }
            }
            if self.is_at_end {
                return Ok(());
            }
            let n = self.stream.read(&mut buf)?;
            plan.check(self.received, &buf[..n]);
            self.received += n;
            if n == 0 {
                let all = self.received == plan.length;
                let may_lack = matches!(plan.end, End::ClientVanishes | End::ClientLeavesUnread);
                assert!(all || may_lack, "the server, {plan:?}: the end after {} bytes", self.received);
                self.is_at_end = true;
            }
        }
    }
}
