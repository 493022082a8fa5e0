//! Half-close ignored.
//!
//! The client sends a request, shuts its writing half down, and reads the answer. The bug: while the server works, it
//! takes the end of the client's half for the end of the connection, and drops the answer. Needs [`Fault::Latency`]:
//! the client shuts down only when the answer should be there, so the request has to be late.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::{connect, serve, Fault, Host, Scenario};
use crate::net::TcpStream;
use crate::wire;

pub const SCENARIO: Scenario = Scenario {
    name: "half_close",
    hosts: &[
        Host { name: "server", run: |bug, at| Box::pin(server(bug, at[0])), ends: false },
        Host { name: "client", run: |_, at| Box::pin(client(at[0])), ends: true },
    ],
    faults: &[Fault::Latency(Duration::from_millis(200))],
    takes: Duration::from_millis(2000),
    limit: Duration::from_secs(60),
};

const REQUESTS: u64 = 20;
/// What the server takes for an answer.
const WORK: Duration = Duration::from_millis(10);
/// When the client shuts its half down.
const SHUTDOWN: Duration = Duration::from_millis(100);

/// Answers each number with the next one, one after the other.
pub async fn server(bug: bool, at: SocketAddr) -> io::Result<()> {
    serve(at, |stream| answer(bug, stream)).await
}

async fn answer(bug: bool, mut stream: TcpStream) -> io::Result<()> {
    let (mut from, mut to) = stream.split();
    loop {
        let request = wire::receive(&mut from).await?;
        tokio::select! {
            _ = sleep(WORK) => wire::send(&mut to, &[request[0] + 1]).await?,
            // The client is gone, so nothing waits for the answer.
            _ = from.read_u8(), if bug => return Ok(()),
        }
    }
}

/// Makes requests, each on a connection of its own, and checks the answers.
pub async fn client(server: SocketAddr) -> io::Result<()> {
    for number in 0..REQUESTS {
        let mut stream = connect(server).await?;
        wire::send(&mut stream, &[number]).await?;
        sleep(SHUTDOWN).await;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        assert_eq!(answer.len(), 12, "the bytes of answer {number}");
    }
    Ok(())
}
