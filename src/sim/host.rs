//! The hosts of a world, and what a test does to them and to their links.
//!
//! Invariant: every method leaves the decision to `backend::sim`.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Sim, Task};
use crate::backend::{Current, Director, End, HostNumber, Link, Record, What, World};

/// A simulated host: addresses, a clock and sockets of its own, for the programs that run on it as tasks.
#[derive(Clone)]
pub struct Host {
    world: Arc<World>,
    number: HostNumber,
}

impl Sim {
    /// Adds a host with a name and its addresses. Loopback addresses are each host's own.
    ///
    /// # Errors
    ///
    /// `AddrInUse`: another host has one of the addresses.
    pub fn add_host(&self, name: &str, addresses: &[IpAddr]) -> io::Result<Host> {
        let number = self.world.add_host(name, addresses).ok_or(io::ErrorKind::AddrInUse)?;
        Ok(Host { world: Arc::clone(&self.world), number })
    }

    /// Sets the link between all pairs of hosts that have none of their own.
    pub fn set_usual_link(&self, link: Link) {
        self.world.set_usual_link(link);
    }

    /// Lets the tasks begin. `director` acts whenever the clock has moved.
    pub fn start(&self, director: Option<Box<dyn Director>>) {
        self.world.start(director);
    }

    /// Blocks the calling thread, which must be no task, until the run ends. Returns `None` if no task has had a turn
    /// for `limit` of real time: one of them blocks or runs without a call to the world.
    #[must_use]
    pub fn wait_for_end(&self, limit: Duration) -> Option<End> {
        self.world.wait_for_end(limit)
    }

    /// Returns how many turns the tasks have had.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.world.turns()
    }

    /// Returns the number of the host whose task has its turn.
    #[must_use]
    pub fn running(&self) -> Option<u32> {
        self.world.running()
    }

    /// Draws one of `0..limit`, as a choice of the test. 0 is the plain one.
    #[must_use]
    pub fn choose(&self, limit: usize) -> usize {
        self.world.choose(limit)
    }

    /// Ends the run: no task gets a further turn, and the log is complete.
    pub fn end(&self, end: End) {
        self.world.end(end);
    }

    /// Returns the hash of the log: equal for runs that did the same, on every platform.
    #[must_use]
    pub fn log_hash(&self) -> u64 {
        self.world.log_hash()
    }

    /// Returns the log. It is empty unless the world was made to [keep](Sim::with_log) it.
    #[must_use]
    pub fn log(&self) -> Vec<Record> {
        self.world.log_records()
    }

    /// Writes a line of the test into the log.
    pub fn note(&self, what: What) {
        self.world.log(Record::WORLD, what);
    }
}

impl Host {
    /// Returns the number of the host in its world: the hosts are numbered as they are added, from 0.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Adds a main task: the run ends as [`End::Done`] when all main tasks have ended.
    #[must_use]
    pub fn main_task(&self) -> Task {
        Task::of(Current::new(&self.world, self.world.add_task(self.number, true), self.number))
    }

    /// Adds a task whose end no run waits for.
    #[must_use]
    pub fn other_task(&self) -> Task {
        Task::of(Current::new(&self.world, self.world.add_task(self.number, false), self.number))
    }

    /// Stops the host's programs at once, and closes their sockets as a kernel does with those of a killed process.
    /// With `is_power_lost` the peers get no message.
    pub fn crash(&self, is_power_lost: bool) {
        self.world.crash(self.number, is_power_lost);
    }

    /// Gives the host's tasks no turn, or turns again.
    pub fn pause(&self, is_paused: bool) {
        self.world.pause(self.number, is_paused);
    }

    /// Sets by how much the host's clock is ahead of the world's, and behind.
    pub fn set_skew(&self, ahead: Duration, behind: Duration) {
        self.world.set_skew(self.number, ahead, behind);
    }

    /// Sets the link to another host.
    pub fn set_link(&self, other: &Host, link: Link) {
        self.world.set_link(self.number, other.number, link);
    }

    /// Resets all connections to another host, as a device on the way does.
    pub fn reset_connections(&self, other: &Host) {
        self.world.reset_between(self.number, other.number);
    }

    /// Cuts the direction from this host to the other one, or mends it.
    pub fn cut(&self, other: &Host, is_cut: bool) {
        self.world.cut(self.number, other.number, is_cut);
    }

    /// Writes into the log.
    pub fn log(&self, what: What) {
        self.world.log(self.number, what);
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Host").field(&self.number).finish()
    }
}
