//! Eight small client/server programs, each correct, and with one bug if a parameter asks for it.
//!
//! A correct program ends under the faults of its [`Scenario`], whatever their instants, also if each happens three
//! times. With the bug, a check in one of its hosts panics for some instants. Without the faults a program fails
//! seldom or never: a test on a loopback socket doesn't see these bugs.

pub mod counted_twice;
pub mod half_close;
pub mod lease_by_clock;
pub mod lost_wake;
pub mod one_piece;
pub mod queue_without_limit;
pub mod retry_forever;
pub mod split_brain;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::net::{TcpListener, TcpStream};
use crate::wire;

/// All scenarios.
pub const SCENARIOS: [Scenario; 8] = [
    counted_twice::SCENARIO,
    half_close::SCENARIO,
    lease_by_clock::SCENARIO,
    lost_wake::SCENARIO,
    one_piece::SCENARIO,
    queue_without_limit::SCENARIO,
    retry_forever::SCENARIO,
    split_brain::SCENARIO,
];

/// A program and what finds its bug.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub hosts: &'static [Host],
    /// The faults that make the bug show. Each may happen several times, but not twice at once.
    pub faults: &'static [Fault],
    /// About how long the program takes without a fault. A fault that begins later finds nothing.
    pub takes: Duration,
    /// The correct program ends within this time. A run that takes longer has failed.
    pub limit: Duration,
}

/// One host of a scenario: a program for a `current_thread` runtime of its own.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    pub name: &'static str,
    /// The program, with the bug or without, and the addresses of all hosts in the scenario's order.
    pub run: fn(bool, Vec<SocketAddr>) -> Program,
    /// Whether the program ends. A run is over when all that end have ended.
    pub ends: bool,
}

/// A failed check panics. An error is one of the network that the program isn't made for.
pub type Program = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// A fault. Hosts are indices into [`Scenario::hosts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes of one write arrive in several pieces, so `read` returns fewer than there will be.
    Pieces,
    /// A segment between any two hosts takes up to this long, and those behind it wait.
    Latency(Duration),
    /// Every connection between the two hosts is reset, and new ones can be made at once.
    Reset(usize, usize),
    /// No segment passes between the two hosts for this long.
    Partition(usize, usize, Duration),
    /// The host's process ends, and starts anew after this long. Meanwhile the host refuses connections.
    Crash(usize, Duration),
    /// The host's process doesn't run for this long, while its kernel and its clock do.
    Pause(usize, Duration),
}

/// Serves each connection at `at` by a task. A panic of a task is the host's; the network's errors end a connection.
async fn serve<F>(at: SocketAddr, connection: impl Fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind(at).await?;
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    tasks.spawn(connection(stream));
                }
            }
            Some(ended) = tasks.join_next() => {
                if let Err(panic) = ended {
                    std::panic::resume_unwind(panic.into_panic());
                }
            }
        }
    }
}

/// Connects to a host that may start later.
async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    for _ in 0..20 {
        if let Ok(Ok(stream)) = timeout(Duration::from_secs(1), TcpStream::connect(to)).await {
            return Ok(stream);
        }
        sleep(Duration::from_millis(50)).await;
    }
    TcpStream::connect(to).await
}

/// Makes one request on a connection of its own. Fails with `TimedOut` after `patience`; the host may have handled
/// the request nevertheless.
async fn request(to: SocketAddr, words: &[u64], patience: Duration) -> io::Result<Vec<u64>> {
    let ask = async { wire::ask(&mut TcpStream::connect(to).await?, words).await };
    timeout(patience, ask).await?
}
