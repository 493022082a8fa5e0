//! The echo, the gossip and the Raft in worlds, on tokio as it is.
//!
//! Each run is a child process, on one core. `Faults::NONE`: the other simulators have no faults of operations either.

#[path = "../../../../world/cluster/src/raft/mod.rs"]
#[allow(dead_code, unused_imports)] // its tests use more of it
mod raft;
#[path = "../../shared/report.rs"]
mod report;
#[path = "../../../../world/cluster/src/wire.rs"]
mod wire;
#[path = "../../shared/work.rs"]
mod work;

/// The network of the programs: tokio's.
mod net {
    pub use tokio::net::{TcpListener, TcpStream};
}

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use report::{Run, Work};
use wakeful_world::{Faults, Link, World};

wakeful_world::interpose!();

fn main() {
    report::main(run);
}

fn host(number: u64) -> SocketAddr {
    (IpAddr::from([192, 168, 0, number as u8 + 1]), 7000).into()
}

fn block_on<F: std::future::Future>(program: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(program)
}

/// Returns a number that the children count in too.
fn shared() -> &'static AtomicU64 {
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: new memory of its own, zeroed and aligned to a page.
    unsafe {
        let place = libc::mmap(std::ptr::null_mut(), 4096, access, flags, -1, 0);
        assert_ne!(place, libc::MAP_FAILED);
        &*place.cast()
    }
}

fn run(what: Work, seeds: Range<u64>) -> Run {
    let done = shared();
    let runs = World::seeds(seeds).faults(Faults::NONE).twice(0).cores(1);
    let report = runs.check(move |world| set_up(world, what, world.seed(), done));
    if let Some(failure) = report.failure {
        panic!("{failure}");
    }
    Run { done: done.load(Ordering::Relaxed), virtual_time: report.virtual_time }
}

fn set_up(world: &World, what: Work, seed: u64, done: &'static AtomicU64) {
    let (least, most) = work::LATENCY;
    world.links(Link { latency: least, spread: most - least, ..Link::default() });
    let hosts: Vec<_> = (0..work::HOSTS).map(host).collect();
    let count = move |more: u64| done.fetch_add(more, Ordering::Relaxed);
    match what {
        Work::Echo => {
            world.host(host(0).ip(), move || {
                count(block_on(work::echo(host(0))).unwrap());
            });
        }
        Work::Gossip => {
            for me in 0..work::HOSTS {
                let hosts = hosts.clone();
                world.host(host(me).ip(), move || {
                    count(block_on(work::gossip(me, hosts.clone(), seed)).unwrap());
                });
            }
        }
        Work::Raft => {
            let history = Arc::new(Mutex::new(raft::History::default()));
            for id in 0..work::HOSTS {
                let (nodes, disk, history) = (hosts.clone(), Arc::default(), history.clone());
                let config = raft::Config { id, nodes, broken: raft::Broken::No };
                world.server(host(id).ip(), move || {
                    block_on(raft::run(config.clone(), Arc::clone(&disk), history.clone())).unwrap();
                });
            }
            let nodes = hosts.clone();
            world.host(host(work::HOSTS).ip(), move || {
                count(block_on(work::appends(nodes.clone(), history.clone())));
            });
            let name = |id: u64| host(id).ip().to_string();
            let (one, other): (Vec<_>, Vec<_>) = (0..work::HOSTS).partition(|id| work::CUT_OFF.contains(id));
            let sides = (
                one.into_iter().map(name).collect::<Vec<_>>(),
                other.into_iter().map(name).collect::<Vec<_>>(),
            );
            let (from, until) = work::PARTITION;
            world.at(from, move |world| world.partition(&sides.0, &sides.1));
            world.at(until, |world| world.heal());
        }
    }
}
