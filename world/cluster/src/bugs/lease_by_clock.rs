//! A lease by the clock.
//!
//! Two workers increment a value in a store: each takes a lease, reads the value, works, and writes it. The bug: the
//! store takes every write, since a worker's own clock ends its work before the lease. A worker that is paused
//! meanwhile writes under a lease that the other one has by now. Needs [`Fault::Pause`], or a worker's clock that goes
//! at a fifth of the store's speed. The correct store refuses a write under another lease than the last one.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{request, serve, Fault, Host, Scenario};
use crate::net::TcpStream;
use crate::wire::{self, malformed};

pub const SCENARIO: Scenario = Scenario {
    name: "lease_by_clock",
    hosts: &[
        Host { name: "store", run: |bug, at| Box::pin(store(bug, at[0])), ends: false },
        Host { name: "worker 1", run: |_, at| Box::pin(worker(at[0])), ends: true },
        Host { name: "worker 2", run: |_, at| Box::pin(worker(at[0])), ends: true },
    ],
    faults: &[Fault::Pause(1, Duration::from_secs(3)), Fault::Pause(2, Duration::from_secs(3))],
    takes: Duration::from_millis(3500),
    limit: Duration::from_secs(120),
};

/// A request: returns the number of a new lease, or 0 while another one lasts.
pub const LEASE: u64 = 0;
/// A request: ends a lease before its time.
pub const RELEASE: u64 = 1;
/// A request: returns the value.
pub const READ: u64 = 2;
/// A request: writes the value under a lease. Returns 1, or 0 if that lease is over.
pub const WRITE: u64 = 3;

/// How long a lease lasts.
pub const TERM: Duration = Duration::from_secs(1);
/// How long a worker works under it.
const WORK: Duration = Duration::from_millis(200);
const ROUNDS: u64 = 8;

struct Store {
    lease: u64,
    end: Instant,
    value: u64,
    writes: u64,
}

/// Grants leases, and keeps the value. Checks that each write has counted.
pub async fn store(bug: bool, at: SocketAddr) -> io::Result<()> {
    let store = Store { lease: 0, end: Instant::now(), value: 0, writes: 0 };
    let store = Arc::new(Mutex::new(store));
    serve(at, |stream| answer(bug, stream, store.clone())).await
}

async fn answer(bug: bool, mut stream: TcpStream, store: Arc<Mutex<Store>>) -> io::Result<()> {
    loop {
        let request = wire::receive(&mut stream).await?;
        let answer = store.lock().unwrap().handle(bug, &request)?;
        wire::send(&mut stream, &[answer]).await?;
    }
}

impl Store {
    fn handle(&mut self, bug: bool, request: &[u64]) -> io::Result<u64> {
        let now = Instant::now();
        Ok(match *request {
            [LEASE] if now < self.end => 0,
            [LEASE] => {
                self.lease += 1;
                self.end = now + TERM;
                self.lease
            }
            [RELEASE, lease] => {
                if lease == self.lease {
                    self.end = now;
                }
                1
            }
            [READ] => self.value,
            [WRITE, lease, value] if bug || lease == self.lease => {
                self.value = value;
                self.writes += 1;
                assert_eq!(self.value, self.writes, "a write under lease {lease} undoes another one");
                1
            }
            [WRITE, ..] => 0,
            _ => return Err(malformed()),
        })
    }
}

/// Increments the value, each time under a lease.
pub async fn worker(store: SocketAddr) -> io::Result<()> {
    for _ in 0..ROUNDS {
        // An error of the network costs the round, and the lease ends by itself.
        let _ = increment(store).await;
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn increment(store: SocketAddr) -> io::Result<()> {
    let lease = loop {
        match request(store, &[LEASE], TERM).await?[..] {
            [0] => sleep(Duration::from_millis(50)).await,
            [lease] => break lease,
            _ => return Err(malformed()),
        }
    };
    let value = request(store, &[READ], TERM / 4).await?[0];
    sleep(WORK).await;
    request(store, &[WRITE, lease, value + 1], TERM / 4).await?;
    request(store, &[RELEASE, lease], TERM / 4).await?;
    Ok(())
}
