//! An answer counted twice.
//!
//! The client adds amounts to the server's total, and repeats a request whose answer doesn't come. The bug: the server
//! doesn't look at the request's number, and adds the amount of a repeated request again. Needs a lost answer:
//! [`Fault::Partition`] or [`Fault::Reset`].

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;

use super::{request, serve, Fault, Host, Scenario};
use crate::net::TcpStream;
use crate::wire::{self, malformed};

pub const SCENARIO: Scenario = Scenario {
    name: "counted_twice",
    hosts: &[
        Host { name: "server", run: |bug, at| Box::pin(server(bug, at[0])), ends: false },
        Host { name: "client", run: |_, at| Box::pin(client(at[0])), ends: true },
    ],
    faults: &[Fault::Reset(0, 1), Fault::Partition(0, 1, Duration::from_secs(1))],
    takes: Duration::from_millis(1000),
    limit: Duration::from_secs(120),
};

/// A request: adds an amount to the total, unless the number was handled before.
pub const ADD: u64 = 0;
/// A request: returns the total.
pub const TOTAL: u64 = 1;

const AMOUNTS: u64 = 40;
const PATIENCE: Duration = Duration::from_millis(500);
/// What the server takes to keep an amount for good.
const WORK: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Account {
    total: u64,
    /// The highest number that was handled: the client sends them in order.
    last: u64,
}

/// Keeps the total.
pub async fn server(bug: bool, at: SocketAddr) -> io::Result<()> {
    let account = Arc::new(Mutex::new(Account::default()));
    serve(at, |stream| count(bug, stream, account.clone())).await
}

async fn count(bug: bool, mut stream: TcpStream, account: Arc<Mutex<Account>>) -> io::Result<()> {
    loop {
        match wire::receive(&mut stream).await?[..] {
            [ADD, number, amount] => {
                {
                    let mut account = account.lock().unwrap();
                    if bug || number > account.last {
                        account.total += amount;
                        account.last = number;
                    }
                }
                sleep(WORK).await;
            }
            [TOTAL] => {}
            _ => return Err(malformed()),
        }
        let total = account.lock().unwrap().total;
        wire::send(&mut stream, &[total]).await?;
    }
}

/// Adds amounts, each until there is an answer, and checks the total.
pub async fn client(server: SocketAddr) -> io::Result<()> {
    for number in 1..=AMOUNTS {
        ask(server, &[ADD, number, 10 * number]).await;
    }
    let total = ask(server, &[TOTAL]).await;
    assert_eq!(total, 5 * AMOUNTS * (AMOUNTS + 1), "the total of {AMOUNTS} amounts");
    Ok(())
}

async fn ask(server: SocketAddr, words: &[u64]) -> u64 {
    loop {
        match request(server, words, PATIENCE).await {
            Ok(answer) => return answer[0],
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}
