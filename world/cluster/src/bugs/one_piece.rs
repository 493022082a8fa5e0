//! A message taken for granted in one piece.
//!
//! The server answers each message with the sum of its bytes. The bug: it takes what one `read` returns for the whole
//! message. Needs [`Fault::Pieces`]; a loopback socket delivers small messages whole.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{connect, serve, Fault, Host, Scenario};
use crate::net::TcpStream;

pub const SCENARIO: Scenario = Scenario {
    name: "one_piece",
    hosts: &[
        Host { name: "server", run: |bug, at| Box::pin(server(bug, at[0])), ends: false },
        Host { name: "client", run: |_, at| Box::pin(client(at[0])), ends: true },
    ],
    faults: &[Fault::Pieces],
    takes: Duration::from_millis(100),
    limit: Duration::from_secs(60),
};

const MESSAGES: u64 = 20;
const LENGTH: usize = 200;

/// Serves sums. A message has [`LENGTH`] bytes, an answer eight.
pub async fn server(bug: bool, at: SocketAddr) -> io::Result<()> {
    serve(at, |stream| sums(bug, stream)).await
}

async fn sums(bug: bool, mut stream: TcpStream) -> io::Result<()> {
    let mut message = [0; LENGTH];
    loop {
        let length =
            if bug { stream.read(&mut message).await? } else { stream.read_exact(&mut message).await? };
        if length == 0 {
            return Ok(());
        }
        let sum = message[..length].iter().map(|byte| u64::from(*byte)).sum();
        stream.write_u64(sum).await?;
    }
}

/// Sends messages, and checks the answers.
pub async fn client(server: SocketAddr) -> io::Result<()> {
    let mut stream = connect(server).await?;
    for number in 1..=MESSAGES {
        stream.write_all(&[number as u8; LENGTH]).await?;
        let sum = stream.read_u64().await?;
        assert_eq!(sum, number * LENGTH as u64, "the sum of message {number}");
    }
    Ok(())
}
