//! Raft in a world: crashes, restarts and partitions by the seed, and the invariant of Raft at each step of time.
//!
//! `cargo run --example world_raft` runs 300 seeds of the correct program. `cargo run --example world_raft -- LINE`
//! breaks one line of it, and prints the smallest run that loses safety. LINE is `votes-twice`, `forgets-vote`,
//! `votes-for-any-log` or `commits-old-term`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wakeful_world::{Faults, Report, World};
use world_cluster::raft::{run, Broken, Client, Config, Disk, History};

wakeful_world::interpose!();

/// How long the seed's faults last. After that every cluster has to agree.
const TROUBLE: u64 = 3_000;
const VALUES: u64 = 12;

/// Sets up a cluster whose nodes' safety is broken, or not, in one line.
pub fn set_up(world: &World, nodes: usize, broken: Broken) {
    let address = |node: usize| format!("10.0.0.{}", node + 1);
    let all: Vec<SocketAddr> =
        (0..nodes).map(|node| format!("{}:7000", address(node)).parse().unwrap()).collect();
    // What the test observes. The nodes never see it.
    let history = Arc::new(Mutex::new(History::default()));

    for id in 0..nodes {
        // A restarted node finds its disk again.
        let disk = Arc::new(Mutex::new(Disk::default()));
        let (all, history) = (all.clone(), history.clone());
        world.server(address(id), move || {
            let config = Config { id: id as u64, nodes: all.clone(), broken };
            block_on(run(config, disk.clone(), history.clone())).unwrap();
        });
    }
    let appended = history.clone();
    world.host_named("client", "10.0.0.100", move || {
        block_on(async {
            let mut client = Client::new(all.clone());
            for value in 0..VALUES {
                client.append(value).await;
                appended.lock().unwrap().acknowledged(value);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    });

    for _ in 0..world.choose(6) {
        let time = Duration::from_millis(world.choose(TROUBLE as usize) as u64);
        let length = Duration::from_millis(1 + world.choose(1_000) as u64);
        let node = address(world.choose(nodes));
        match world.choose(2) {
            0 => {
                let again = node.clone();
                world.at(time, move |world| world.crash(node));
                world.at(time + length, move |world| world.restart(again));
            }
            _ => {
                let others: Vec<String> = (0..nodes).map(address).filter(|other| *other != node).collect();
                world.at(time, move |world| world.partition(&[node], &others));
                world.at(time + length, |world| world.heal());
            }
        }
    }
    world.invariant("safety", move |_| history.lock().unwrap().check());
    world.end_when_done(Duration::from_secs(120));
}

fn block_on<F: std::future::Future>(program: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(program)
}

/// Runs seeds until one fails.
pub fn search(seeds: u64, broken: Broken) -> Report {
    // Figure 8 needs five nodes: one that has the entry, and a majority that outvotes it.
    let nodes = if broken == Broken::CommitsOldTerm { 5 } else { 3 };
    World::seeds(0..seeds).faults(Faults::TOKIO).search(move |world| set_up(world, nodes, broken))
}

#[allow(dead_code)] // the tests have another
fn main() {
    let (seeds, broken) = match std::env::args().nth(1).as_deref() {
        None => (300, Broken::No),
        Some("votes-twice") => (1_000, Broken::VotesTwice),
        Some("forgets-vote") => (10_000, Broken::ForgetsVote),
        Some("votes-for-any-log") => (1_000, Broken::VotesForAnyLog),
        Some("commits-old-term") => (100_000, Broken::CommitsOldTerm),
        Some(other) => panic!("no line is {other:?}"),
    };
    let report = search(seeds, broken);
    match &report.failure {
        Some(failure) => print!("{failure}"),
        None => println!("{} seeds, {:?} of virtual time, no failure", report.runs, report.virtual_time),
    }
    assert_eq!(report.failure.is_some(), broken != Broken::No);
}
