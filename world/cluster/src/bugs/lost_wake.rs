//! A reconnect that loses a wake.
//!
//! The client has one task that owns the connection and another that queues requests and wakes the first. The bug:
//! the wake reaches only a task that waits (`notify_waiters`). A request that is queued while the connection is made
//! anew is never sent, and the program hangs. Needs [`Fault::Reset`] or [`Fault::Crash`] just before a request.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::{oneshot, Notify};
use tokio::time::{sleep, timeout};

use super::{serve, Fault, Host, Scenario};
use crate::net::TcpStream;
use crate::wire;

pub const SCENARIO: Scenario = Scenario {
    name: "lost_wake",
    hosts: &[
        Host { name: "server", run: |_, at| Box::pin(server(at[0])), ends: false },
        Host { name: "client", run: |bug, at| Box::pin(client(bug, at[0])), ends: true },
    ],
    faults: &[Fault::Reset(0, 1), Fault::Crash(0, Duration::from_millis(200))],
    takes: Duration::from_millis(3000),
    limit: Duration::from_secs(60),
};

const REQUESTS: u64 = 40;
/// The pause between two requests, and between a lost connection and the next.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest that a connection or an answer takes.
const PATIENCE: Duration = Duration::from_millis(500);
/// A request that takes longer has been lost: the faults end before.
const LIMIT: Duration = Duration::from_secs(3);

struct Outbox {
    bug: bool,
    /// The oldest request first. It leaves the queue when it is answered.
    queue: Mutex<VecDeque<(u64, oneshot::Sender<u64>)>>,
    wake: Notify,
}

impl Outbox {
    fn push(&self, request: u64) -> oneshot::Receiver<u64> {
        let (answer, answered) = oneshot::channel();
        self.queue.lock().unwrap().push_back((request, answer));
        self.wake();
        answered
    }

    fn wake(&self) {
        if self.bug {
            self.wake.notify_waiters();
        } else {
            self.wake.notify_one(); // which a task that doesn't wait yet finds later
        }
    }

    /// Keeps a connection, and sends what is queued.
    async fn run(&self, server: SocketAddr) {
        loop {
            if let Ok(Ok(mut stream)) = timeout(PATIENCE, TcpStream::connect(server)).await {
                let _ = self.converse(&mut stream).await;
                // A request without an answer is still queued.
                self.wake();
            }
            sleep(PAUSE).await;
        }
    }

    /// Sends what is queued until the connection ends.
    async fn converse(&self, stream: &mut TcpStream) -> io::Result<()> {
        loop {
            tokio::select! {
                _ = self.wake.notified() => {}
                _ = stream.read_u8() => return Ok(()), // no answer is due: this is the end
            }
            while let Some(request) = self.first() {
                let answer = timeout(PATIENCE, wire::ask(stream, &[request])).await??;
                let (_, to) = self.queue.lock().unwrap().pop_front().expect("it is still the first");
                let _ = to.send(answer[0]);
            }
        }
    }

    fn first(&self) -> Option<u64> {
        self.queue.lock().unwrap().front().map(|(request, _)| *request)
    }
}

/// Answers each number with the next one.
pub async fn server(at: SocketAddr) -> io::Result<()> {
    serve(at, |mut stream| async move {
        loop {
            let request = wire::receive(&mut stream).await?;
            wire::send(&mut stream, &[request[0] + 1]).await?;
        }
    })
    .await
}

/// Makes requests through an [`Outbox`], and checks that each is answered in time.
pub async fn client(bug: bool, server: SocketAddr) -> io::Result<()> {
    let outbox = Outbox { bug, queue: Mutex::default(), wake: Notify::new() };
    let requests = async {
        // The first connection is made before the first request.
        sleep(Duration::from_secs(1)).await;
        for request in 0..REQUESTS {
            let answer = timeout(LIMIT, outbox.push(request)).await;
            let answer = answer.unwrap_or_else(|_| panic!("request {request} isn't answered"));
            assert_eq!(answer, Ok(request + 1));
            sleep(PAUSE).await;
        }
    };
    tokio::select! {
        _ = requests => Ok(()),
        _ = outbox.run(server) => unreachable!(),
    }
}
