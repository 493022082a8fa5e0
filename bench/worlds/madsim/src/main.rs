//! The echo, the gossip and the Raft on madsim. Needs `--cfg madsim`.
//!
//! A runtime is built, run and dropped for each seed, with madsim's defaults but for the latency.

#[path = "../../../../world/cluster/src/raft/mod.rs"]
#[allow(dead_code, unused_imports)] // its tests use more of it
mod raft;
#[path = "../../shared/report.rs"]
mod report;
#[path = "../../../../world/cluster/src/wire.rs"]
mod wire;
#[path = "../../shared/work.rs"]
mod work;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use madsim::net::NetSim;
use madsim::runtime::{Handle, NodeHandle, Runtime};
use report::{Run, Work};
use tokio::time::{sleep, Instant};

/// The network of the programs.
mod net {
    pub use tokio::net::{TcpListener, TcpStream};
}

fn main() {
    report::main(|what, seeds| report::each(seeds, |seed| run(what, seed)));
}

fn host(number: u64) -> SocketAddr {
    (IpAddr::from([10, 0, 0, number as u8 + 1]), 7000).into()
}

fn node(number: u64) -> NodeHandle {
    Handle::current().create_node().ip(host(number).ip()).build()
}

fn run(what: Work, seed: u64) -> Run {
    let mut config = madsim::Config::default();
    config.net.send_latency = work::LATENCY.0..work::LATENCY.1;
    Runtime::with_seed_and_config(seed, config).block_on(async move {
        let begin = Instant::now();
        let done = match what {
            Work::Echo => node(0).spawn(work::echo(host(0))).await.unwrap().unwrap(),
            Work::Gossip => gossip(seed).await,
            Work::Raft => raft().await,
        };
        Run { done, virtual_time: begin.elapsed() }
    })
}

async fn gossip(seed: u64) -> u64 {
    let hosts: Vec<_> = (0..work::HOSTS).map(host).collect();
    let nodes: Vec<_> = (0..work::HOSTS).map(node).collect();
    let gossips: Vec<_> =
        (0..).zip(&nodes).map(|(me, node)| node.spawn(work::gossip(me, hosts.clone(), seed))).collect();
    let mut done = 0;
    for gossip in gossips {
        done += gossip.await.unwrap().unwrap();
    }
    done
}

async fn raft() -> u64 {
    let addresses: Vec<_> = (0..work::HOSTS).map(host).collect();
    let history = Arc::new(Mutex::new(raft::History::default()));
    let nodes: Vec<_> = (0..work::HOSTS).map(node).collect();
    for (id, node) in (0..).zip(&nodes) {
        let config = raft::Config { id, nodes: addresses.clone(), broken: raft::Broken::No };
        node.spawn(raft::run(config, Arc::default(), history.clone()));
    }
    let client = node(work::HOSTS).spawn(work::appends(addresses, history));
    partition(&nodes).await;
    client.await.unwrap()
}

/// Cuts the smaller side off, and brings it back.
async fn partition(nodes: &[NodeHandle]) {
    let (from, until) = work::PARTITION;
    let net = madsim::plugin::simulator::<NetSim>();
    let pairs = || {
        let (cut, others): (Vec<_>, Vec<_>) =
            (0..).zip(nodes).partition(|(id, _)| work::CUT_OFF.contains(id));
        cut.into_iter()
            .flat_map(move |(_, a)| others.clone().into_iter().map(move |(_, b)| (a.id(), b.id())))
            .flat_map(|(a, b)| [(a, b), (b, a)])
    };
    sleep(from).await;
    pairs().for_each(|(from, to)| net.clog_link(from, to));
    sleep(until - from).await;
    pairs().for_each(|(from, to)| net.unclog_link(from, to));
}
