//! A queue without a limit.
//!
//! The server queues updates for each subscriber, and writes them as fast as the subscriber reads. The bug: the queue
//! has no limit, so a slow reader costs the server all its memory. Needs [`Fault::Pause`] of the reader, or
//! [`Fault::Partition`]. The correct server ends the connection of a reader that is too slow.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::{connect, serve, Fault, Host, Scenario};
use crate::net::TcpStream;

pub const SCENARIO: Scenario = Scenario {
    name: "queue_without_limit",
    hosts: &[
        Host { name: "server", run: |bug, at| Box::pin(server(bug, at[0])), ends: false },
        Host { name: "reader", run: |_, at| Box::pin(reader(at[0])), ends: true },
    ],
    faults: &[Fault::Pause(1, Duration::from_secs(10)), Fault::Partition(0, 1, Duration::from_secs(10))],
    takes: Duration::from_millis(2000),
    limit: Duration::from_secs(120),
};

/// The number of bytes of an update.
pub const UPDATE: usize = 16 << 10;
/// The most updates that the server may keep for one reader.
const LIMIT: usize = 32;
/// The time between two updates.
const PERIOD: Duration = Duration::from_millis(20);
/// The updates that the reader reads.
const UPDATES: usize = 100;

/// Sends updates to each connection.
pub async fn server(bug: bool, at: SocketAddr) -> io::Result<()> {
    serve(at, |stream| publish(bug, stream)).await
}

/// Sends updates on one connection. Checks the length of the queue.
pub async fn publish(bug: bool, mut stream: TcpStream) -> io::Result<()> {
    let queue = Mutex::new(VecDeque::new());
    let wake = Notify::new();
    let make = async {
        for number in 0.. {
            sleep(PERIOD).await;
            let mut queue = queue.lock().unwrap();
            if queue.len() == LIMIT && !bug {
                return;
            }
            queue.push_back(number as u8);
            assert!(queue.len() <= LIMIT, "{} updates are queued", queue.len());
            wake.notify_one();
        }
    };
    let next = || queue.lock().unwrap().pop_front();
    let write = async {
        loop {
            wake.notified().await;
            while let Some(number) = next() {
                stream.write_all(&[number; UPDATE]).await?;
            }
        }
    };
    tokio::select! {
        _ = make => Ok(()),
        ended = write => ended,
    }
}

/// Reads updates. Connects again if it was too slow, or hears nothing.
pub async fn reader(server: SocketAddr) -> io::Result<()> {
    let mut stream = connect(server).await?;
    let mut update = vec![0; UPDATE];
    let mut left = UPDATES;
    while left > 0 {
        match timeout(Duration::from_secs(1), stream.read_exact(&mut update)).await {
            Ok(Ok(_)) => left -= 1,
            _ => stream = connect(server).await?,
        }
    }
    Ok(())
}
