//! Runtimes and addresses for hosts on loopback sockets.
//!
//! Each host has an IP address of its own in 127.0.0.0/8, all of which is Linux's loopback, and a port that no kernel
//! gives to an outgoing connection. So no other program takes an address before its host binds it, or while it's down.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};

const PORT: u16 = 7000;

static USED: AtomicU8 = AtomicU8::new(0);

/// Runs a host's program on a runtime of its own.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Returns addresses of this process that no other call returns.
pub fn addresses(count: usize) -> Vec<SocketAddr> {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let address = |_| {
        let number = USED.fetch_add(1, Ordering::Relaxed);
        assert!(number < 250, "too many hosts");
        (Ipv4Addr::new(127, 128 | high, low, number + 1), PORT).into()
    };
    (0..count).map(address).collect()
}
