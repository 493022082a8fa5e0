//! The programs that run in worlds: a small Raft, and eight client/server programs with a planted bug
//! each.
//!
//! They know nothing of a world. They are what a user writes: tokio's sockets and timers, a `current_thread` runtime
//! for each host, addresses as parameters. The same functions run on loopback sockets in this package's tests.

pub mod bugs;
pub mod raft;
pub mod wire;

/// The network that the programs name. `bench/worlds` compiles the Raft with another simulator's types here.
pub mod net {
    pub use tokio::net::{TcpListener, TcpStream};
}
