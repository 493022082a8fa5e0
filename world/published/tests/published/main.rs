//! Published clients and servers, unmodified, as clusters in worlds: axum and reqwest, redis, tokio-postgres, and
//! mini-redis.
//!
//! Invariant: a module sets up its hosts alone; `main.rs` alone says what they have to bear.

mod http;
mod mini;
mod postgres;
mod redis_client;

use std::future::Future;
use std::time::Duration;

use wakeful_world::{Faults, Link, World};

wakeful_world::interpose!();

const SEEDS: u64 = 200;

/// What a cluster has to bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    /// Events and operations behave as a kernel may let them, and each message has its own latency.
    Faults,
    /// In addition, the link is cut for a while.
    Partition,
    /// In addition, the server's host crashes, and restarts.
    Crash,
}

/// Runs a cluster, which names its server `server`, with all seeds.
fn run(trouble: Trouble, set_up: fn(&World, Trouble)) {
    let faults = if trouble == Trouble::None { Faults::NONE } else { Faults::TOKIO };
    World::seeds(0..SEEDS).faults(faults).run(move |world| {
        set_up(world, trouble);
        if trouble != Trouble::None {
            world.links(Link { spread: Duration::from_millis(20), ..Link::default() });
        }
        let some =
            |least: usize, most: usize| Duration::from_millis((least + world.choose(most - least)) as u64);
        // By then the client is connected, and it isn't done.
        let (start, length) = (some(300, 600), some(100, 5_000));
        match trouble {
            Trouble::None | Trouble::Faults => {}
            Trouble::Partition => {
                world.at(start, |world| world.partition(&["server"], &["client"]));
                world.at(start + length, World::heal);
            }
            Trouble::Crash => {
                world.at(start, |world| world.crash("server"));
                world.at(start + length, |world| world.restart("server"));
            }
        }
    });
}

fn block_on<F: Future>(program: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(program)
}

/// Returns `length` letters and other signs, with a period that divides no buffer.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| b'!' + (at % 89) as u8).collect()
}
