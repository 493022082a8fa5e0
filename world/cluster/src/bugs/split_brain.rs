//! Split brain.
//!
//! A primary copies each value to a backup, which takes over when it hears nothing. The bug: each of the two decides
//! alone that the other one is gone, so during a partition both lead, and a client reads an old value from one after
//! the other has acknowledged a new one. Needs [`Fault::Partition`] between the two.
//!
//! Correctly, a node serves alone only with the leave of a witness, and the witness gives each epoch to one node. The
//! node that is left behind stays out: the program is too small to let it come back.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{request, serve, Fault, Host, Scenario};
use crate::net::TcpStream;
use crate::wire::{self, malformed};

pub const SCENARIO: Scenario = Scenario {
    name: "split_brain",
    hosts: &[
        Host { name: "primary", run: |bug, at| Box::pin(node(bug, 0, at)), ends: false },
        Host { name: "backup", run: |bug, at| Box::pin(node(bug, 1, at)), ends: false },
        Host { name: "witness", run: |_, at| Box::pin(witness(at[2])), ends: false },
        Host { name: "client", run: |_, at| Box::pin(client(at[0], at[1])), ends: true },
    ],
    faults: &[Fault::Partition(0, 1, Duration::from_secs(3))],
    takes: Duration::from_millis(4000),
    limit: Duration::from_secs(120),
};

/// A client's request: writes a value. Returns 1, or 0 if this node doesn't lead.
const WRITE: u64 = 0;
/// A client's request: returns 1 and the value, or 0 if this node doesn't lead.
const READ: u64 = 1;
/// The primary's request: keep its value of an epoch. Returns 1, or 0 if this node leads.
const COPY: u64 = 2;
/// A node's request to the witness: an epoch, to serve alone in it. Returns 1, or 0 if another node has it.
const CLAIM: u64 = 3;

const VALUES: u64 = 40;
const PERIOD: Duration = Duration::from_millis(100);
/// The longest that one node waits for another one, or the witness.
const PATIENCE: Duration = Duration::from_millis(300);
/// The time without a copy after which the backup takes over.
const SILENCE: Duration = Duration::from_millis(1000);

struct Node {
    bug: bool,
    id: u64,
    other: SocketAddr,
    witness: SocketAddr,
    state: Mutex<State>,
}

struct State {
    leads: bool,
    /// Whether it leads without the other node.
    alone: bool,
    epoch: u64,
    value: u64,
    /// When the primary's last copy came.
    heard: Instant,
}

/// Runs node `id`: 0 starts as the primary, 1 as the backup. `at` has both nodes and the witness.
pub async fn node(bug: bool, id: usize, at: Vec<SocketAddr>) -> io::Result<()> {
    let state = State { leads: id == 0, alone: false, epoch: 1, value: 0, heard: Instant::now() };
    let (other, witness, state) = (at[1 - id], at[2], Mutex::new(state));
    let node = Arc::new(Node { bug, id: id as u64, other, witness, state });
    tokio::select! {
        ended = serve(at[id], |stream| answer(node.clone(), stream)) => ended,
        _ = node.watch() => unreachable!(),
    }
}

async fn answer(node: Arc<Node>, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let request = wire::receive(&mut stream).await?;
        let answer = match request[..] {
            [WRITE, value] => node.write(value).await,
            [READ] => node.confirm().await.map_or(vec![0], |value| vec![1, value]),
            [COPY, epoch, value] => vec![node.keep(epoch, value).into()],
            _ => return Err(malformed()),
        };
        wire::send(&mut stream, &answer).await?;
    }
}

impl Node {
    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.lock().unwrap())
    }

    async fn write(&self, value: u64) -> Vec<u64> {
        self.state(|state| state.value = state.value.max(value));
        vec![self.confirm().await.is_some().into()]
    }

    fn keep(&self, epoch: u64, value: u64) -> bool {
        self.state(|state| {
            if !state.leads {
                (state.epoch, state.heard) = (epoch, Instant::now());
                state.value = state.value.max(value);
            }
            !state.leads
        })
    }

    /// Returns the value, if this node leads and it is safe to serve it: the other node has it too, or is out.
    async fn confirm(&self) -> Option<u64> {
        let (leads, alone, epoch, value) =
            self.state(|state| (state.leads, state.alone, state.epoch, state.value));
        if !leads {
            return None;
        }
        if alone {
            return Some(value);
        }
        match request(self.other, &[COPY, epoch, value], PATIENCE).await.as_deref() {
            Ok([1]) => Some(value),
            Ok(_) => {
                self.state(|state| state.leads = false);
                None
            }
            Err(_) => self.go_on_alone(epoch).await.then_some(value),
        }
    }

    /// Leads alone, if the witness gives leave. The bug doesn't ask for it.
    async fn go_on_alone(&self, epoch: u64) -> bool {
        let leave = match self.bug {
            true => Ok(vec![1]),
            false => request(self.witness, &[CLAIM, self.id, epoch + 1], PATIENCE).await,
        };
        let Ok(leave) = leave else { return false };
        let leads = leave == [1];
        self.state(|state| {
            (state.leads, state.alone) = (leads, leads);
            if leads {
                state.epoch = epoch + 1;
            }
        });
        leads
    }

    /// Keeps in touch with the other node.
    async fn watch(&self) {
        loop {
            sleep(PERIOD).await;
            let (leads, epoch, heard) = self.state(|state| (state.leads, state.epoch, state.heard));
            if leads {
                self.confirm().await;
            } else if heard.elapsed() > SILENCE {
                self.go_on_alone(epoch).await;
            }
        }
    }
}

/// Gives each epoch to the first node that claims it.
pub async fn witness(at: SocketAddr) -> io::Result<()> {
    let last = Arc::new(Mutex::new((1, 0)));
    serve(at, |mut stream| {
        let last = last.clone();
        async move {
            loop {
                let [CLAIM, id, epoch] = wire::receive(&mut stream).await?[..] else {
                    return Err(malformed());
                };
                let leave = {
                    let mut last = last.lock().unwrap();
                    if epoch == last.0 + 1 {
                        *last = (epoch, id);
                    }
                    *last == (epoch, id) // so a repeated claim gets the same answer
                };
                wire::send(&mut stream, &[leave.into()]).await?;
            }
        }
    })
    .await
}

/// Writes values, and checks after each that neither node still serves an older one.
pub async fn client(primary: SocketAddr, backup: SocketAddr) -> io::Result<()> {
    let nodes = [primary, backup];
    let mut leader = 0;
    for value in 1..=VALUES {
        while !matches!(request(nodes[leader], &[WRITE, value], 3 * PATIENCE).await.as_deref(), Ok([1])) {
            leader = 1 - leader;
            sleep(Duration::from_millis(20)).await;
        }
        for (id, node) in nodes.iter().enumerate() {
            if let Ok([1, read]) = request(*node, &[READ], 3 * PATIENCE).await.as_deref() {
                assert!(*read >= value, "node {id} serves {read} after {value} was acknowledged");
            }
        }
        sleep(PERIOD).await;
    }
    Ok(())
}
