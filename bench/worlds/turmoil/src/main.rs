//! The echo, the gossip and the Raft on turmoil.
//!
//! A simulation is built, run and dropped for each seed, with turmoil's defaults but for the latency and the limit.

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

use report::{Run, Work};
use tokio::time::sleep;

/// The network of the programs.
mod net {
    use std::io;
    use std::net::{Ipv4Addr, SocketAddr};

    pub use turmoil::net::TcpStream;

    /// A host listens on all its addresses: turmoil refuses to bind the host's own one.
    pub struct TcpListener(turmoil::net::TcpListener);

    impl TcpListener {
        pub async fn bind(at: SocketAddr) -> io::Result<TcpListener> {
            turmoil::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, at.port())).await.map(TcpListener)
        }

        pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
            self.0.accept().await
        }
    }
}

fn main() {
    report::main(|what, seeds| report::each(seeds, |seed| run(what, seed)));
}

fn host(number: u64) -> SocketAddr {
    (IpAddr::from([192, 168, 0, number as u8 + 1]), 7000).into()
}

fn run(what: Work, seed: u64) -> Run {
    let (least, most) = work::LATENCY;
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .min_message_latency(least)
        .max_message_latency(most)
        .simulation_duration(2 * work::SPAN)
        .build();
    let hosts: Vec<_> = (0..work::HOSTS).map(host).collect();
    let done = Arc::new(Mutex::new(0));
    match what {
        Work::Echo => {
            let done = done.clone();
            sim.client(host(0).ip(), async move {
                *done.lock().unwrap() += work::echo(host(0)).await?;
                Ok(())
            });
        }
        Work::Gossip => {
            for me in 0..work::HOSTS {
                let (hosts, done) = (hosts.clone(), done.clone());
                sim.client(host(me).ip(), async move {
                    *done.lock().unwrap() += work::gossip(me, hosts, seed).await?;
                    Ok(())
                });
            }
        }
        Work::Raft => {
            let history = Arc::new(Mutex::new(raft::History::default()));
            for id in 0..work::HOSTS {
                let (nodes, disk, history) = (hosts.clone(), Arc::default(), history.clone());
                let config = raft::Config { id, nodes, broken: raft::Broken::No };
                sim.host(host(id).ip(), move || {
                    let node = raft::run(config.clone(), Arc::clone(&disk), history.clone());
                    async { Ok(node.await?) }
                });
            }
            let (done, history) = (done.clone(), history.clone());
            sim.client(host(work::HOSTS).ip(), async move {
                tokio::spawn(partition());
                *done.lock().unwrap() += work::appends(hosts, history).await;
                Ok(())
            });
        }
    }
    sim.run().unwrap();
    let done = *done.lock().unwrap();
    Run { done, virtual_time: sim.elapsed() }
}

/// Cuts the smaller side off, and brings it back.
async fn partition() {
    let (from, until) = work::PARTITION;
    let pairs = || {
        let others = (0..work::HOSTS).filter(|id| !work::CUT_OFF.contains(id));
        others.flat_map(|other| work::CUT_OFF.map(|id| (host(id).ip(), host(other).ip())))
    };
    sleep(from).await;
    pairs().for_each(|(a, b)| turmoil::partition(a, b));
    sleep(until - from).await;
    pairs().for_each(|(a, b)| turmoil::repair(a, b));
}
