//! A small Raft: leader election, log replication, commit, and a client that appends values.
//!
//! Membership is fixed, and the log is neither compacted nor read. `core` holds the rules and does no I/O, `node` is
//! a server on tokio, `client` appends, `history` checks safety. A crash loses all of a node but its [`Disk`].
//! The invariant: at most one leader a term, and committed entries never differ ([`History::check`]).

mod client;
mod core;
mod history;
mod message;
mod node;

pub use self::client::Client;
pub use self::core::{Broken, Core, Disk};
pub use self::history::History;
pub use self::message::{Entry, Position, Reply, Request};
pub use self::node::{run, Config};
