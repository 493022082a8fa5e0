//! Raft in worlds: the correct program is safe for each seed, and each broken line is found.
//!
//! Invariant: the set-up is the example's.

use wakeful_world::{Faults, World};
use world_cluster::raft::Broken;

#[path = "../examples/world_raft.rs"]
mod world_raft;

#[test]
fn the_correct_program_is_safe() {
    World::seeds(0..100).faults(Faults::TOKIO).run(|world| world_raft::set_up(world, 3, Broken::No));
}

#[test]
fn a_broken_line_is_found_and_told() {
    for broken in [Broken::VotesTwice, Broken::VotesForAnyLog] {
        let failure = world_raft::search(1_000, broken).failure.expect("a seed that fails");
        println!("{failure}");
        let lines = failure.story.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= 12, "{broken:?}: {lines} lines:\n{}", failure.story);
    }
}
