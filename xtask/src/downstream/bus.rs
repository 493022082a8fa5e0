//! A D-Bus session for tests that talk to one.
//!
//! Invariant: a session has one user, and ends with it.

use crate::prelude::*;
use std::io::{BufRead, BufReader};
use std::process::Child;

/// A daemon of the program's own, so that neither the desktop's session nor another test is disturbed.
pub struct Bus {
    daemon: Child,
    /// What `DBUS_SESSION_BUS_ADDRESS` is set to.
    pub address: String,
}

impl Bus {
    pub fn start() -> Result<Bus> {
        let mut daemon = Command::new("dbus-daemon");
        daemon.args(["--session", "--nofork", "--nopidfile", "--print-address"]);
        daemon.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let daemon = daemon.spawn().with_context(|| start_failed(&daemon))?;
        let mut bus = Bus { daemon, address: String::new() };
        let output = bus.daemon.stdout.take().context("no pipe")?;
        // The daemon prints its address once it listens.
        BufReader::new(output).read_line(&mut bus.address).context("can't read the address of the bus")?;
        bus.address.truncate(bus.address.trim_end().len());
        ensure!(!bus.address.is_empty(), "dbus-daemon ended before it listened");
        Ok(bus)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        // An error means that the daemon has ended by itself.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
