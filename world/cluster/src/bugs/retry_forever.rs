//! A retry without backoff that never ends.
//!
//! The client makes a connection anew when it ends. The bug: it does so in a loop without a pause and without a limit
//! of attempts. Needs [`Fault::Crash`] of the server: connections are refused after one round trip.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{serve, Fault, Host, Scenario};
use crate::net::TcpStream;
use crate::wire;

pub const SCENARIO: Scenario = Scenario {
    name: "retry_forever",
    hosts: &[
        Host { name: "server", run: |_, at| Box::pin(server(at[0])), ends: false },
        Host { name: "client", run: |bug, at| Box::pin(client(bug, at[0])), ends: true },
    ],
    faults: &[Fault::Crash(0, Duration::from_secs(5))],
    takes: Duration::from_millis(5000),
    limit: Duration::from_secs(120),
};

const REQUESTS: u64 = 50;
/// The longest that a connection or an answer takes.
const PATIENCE: Duration = Duration::from_millis(500);
/// The attempts in a row that a server can bear. Those of the correct client end before.
const BEARABLE: u32 = 50;
/// The attempts after which the correct client gives up: 34 s if each is refused at once.
const ATTEMPTS: u32 = 40;

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

/// Makes requests on one connection, which it makes anew after an error.
pub async fn client(bug: bool, server: SocketAddr) -> io::Result<()> {
    let mut stream = connect(bug, server).await?;
    for request in 0..REQUESTS {
        loop {
            match timeout(PATIENCE, wire::ask(&mut stream, &[request])).await {
                Ok(Ok(answer)) => break assert_eq!(answer, [request + 1]),
                _ => stream = connect(bug, server).await?,
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn connect(bug: bool, server: SocketAddr) -> io::Result<TcpStream> {
    let mut pause = Duration::from_millis(10);
    for attempt in 1.. {
        assert!(attempt <= BEARABLE, "{attempt} attempts to connect in a row");
        match timeout(PATIENCE, TcpStream::connect(server)).await {
            Ok(Ok(stream)) => return Ok(stream),
            _ if bug => {}
            _ if attempt == ATTEMPTS => break,
            _ => {
                sleep(pause).await;
                pause = (2 * pause).min(Duration::from_secs(1));
            }
        }
    }
    Err(io::ErrorKind::ConnectionRefused.into())
}
