//! The eight programs in worlds: no seed fails the correct ones, and a seed among 1,000 shows each bug, in a story of a
//! dozen lines at most.
//!
//! Invariant: a scenario alone says which faults its program meets.

use std::net::SocketAddr;
use std::time::Duration;

use wakeful_world::{Faults, Link, Runs, World};
use world_cluster::bugs::{Fault, Scenario};

wakeful_world::interpose!();

fn address(host: usize) -> String {
    format!("10.0.0.{}", host + 1)
}

/// Sets up a scenario. How often each fault happens, and when, is the seed's choice.
fn set_up(world: &World, scenario: &'static Scenario, bug: bool) {
    let all: Vec<SocketAddr> =
        (0..scenario.hosts.len()).map(|host| format!("{}:80", address(host)).parse().unwrap()).collect();
    for (number, host) in scenario.hosts.iter().enumerate() {
        let (run, all) = (host.run, all.clone());
        let program = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(bug, all.clone())).unwrap();
        };
        match host.ends {
            true => drop(world.host_named(host.name, address(number), program)),
            false => drop(world.server_named(host.name, address(number), program)),
        }
    }
    for &fault in scenario.faults {
        plan(world, scenario, fault);
    }
    world.end_when_done(scenario.limit);
}

fn plan(world: &World, scenario: &Scenario, fault: Fault) {
    if let Fault::Latency(most) = fault {
        world.links(Link { spread: most, ..Link::default() });
        return;
    }
    for _ in 0..world.choose(3) {
        let time = Duration::from_millis(world.choose(scenario.takes.as_millis() as usize) as u64);
        match fault {
            Fault::Pieces | Fault::Latency(_) => {}
            Fault::Reset(one, other) => {
                world.at(time, move |world| world.reset(address(one), address(other)))
            }
            Fault::Partition(one, other, length) => {
                world.at(time, move |world| world.partition(&[address(one)], &[address(other)]));
                world.at(time + length, move |world| world.heal_between(&[address(one)], &[address(other)]));
            }
            Fault::Crash(host, length) => {
                world.at(time, move |world| world.crash(address(host)));
                world.at(time + length, move |world| world.restart(address(host)));
            }
            Fault::Pause(host, length) => {
                world.at(time, move |world| world.pause(address(host)));
                world.at(time + length, move |world| world.resume(address(host)));
            }
        }
    }
}

fn runs(scenario: &Scenario, seeds: u64) -> Runs {
    // The pieces are the only fault of an operation that these programs are made for.
    let pieces = scenario.faults.contains(&Fault::Pieces);
    World::seeds(0..seeds).faults(if pieces { Faults::TOKIO } else { Faults { short: 0, ..Faults::TOKIO } })
}

macro_rules! scenarios {
    ($($name:ident),*) => {$(
        mod $name {
            #[test]
            fn no_seed_fails_the_correct_program() {
                let scenario = &world_cluster::bugs::$name::SCENARIO;
                super::runs(scenario, 200).run(|world| super::set_up(world, scenario, false));
            }

            #[test]
            fn the_bug_is_found_and_told_in_a_dozen_lines() {
                let scenario = &world_cluster::bugs::$name::SCENARIO;
                let report = super::runs(scenario, 1000).search(|world| super::set_up(world, scenario, true));
                let failure = report.failure.expect("a seed that fails");
                println!("{failure}");
                let lines = failure.story.lines().filter(|line| !line.trim().is_empty()).count();
                assert!(lines <= 12, "{lines} lines:\n{}", failure.story);
            }
        }
    )*};
}

scenarios!(
    counted_twice,
    half_close,
    lease_by_clock,
    lost_wake,
    one_piece,
    queue_without_limit,
    retry_forever,
    split_brain
);
