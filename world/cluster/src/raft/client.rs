//! A client that appends values to the cluster's log.
//!
//! A value is acknowledged once it is committed. A lost reply makes the client send it again, so the log can hold it
//! twice; the first one counts.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::super::net::TcpStream;
use super::super::wire;
use super::message::{Reply, Request};

/// The longest that the client waits for a reply, before it asks another node.
const PATIENCE: Duration = Duration::from_millis(500);
/// The pause before the next node is asked.
const PAUSE: Duration = Duration::from_millis(20);

pub struct Client {
    nodes: Vec<SocketAddr>,
    /// The node to ask, and the connection to it.
    at: usize,
    stream: Option<TcpStream>,
}

impl Client {
    pub fn new(nodes: Vec<SocketAddr>) -> Client {
        Client { nodes, at: 0, stream: None }
    }

    /// Appends `value`. Returns when it is committed, however long the cluster has no leader.
    pub async fn append(&mut self, value: u64) {
        loop {
            let leader = match timeout(PATIENCE, self.ask(value)).await {
                Ok(Ok(reply)) if reply.ok => return,
                Ok(Ok(reply)) => reply.index as usize,
                _ => usize::MAX, // refused, ended, or too late
            };
            self.stream = None;
            self.at = if leader < self.nodes.len() { leader } else { (self.at + 1) % self.nodes.len() };
            sleep(PAUSE).await;
        }
    }

    async fn ask(&mut self, value: u64) -> io::Result<Reply> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(TcpStream::connect(self.nodes[self.at]).await?),
        };
        Reply::parse(&wire::ask(stream, &Request::Put { value }.words()).await?)
    }
}
