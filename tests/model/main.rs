//! Random programs, and the contract as a model that judges the events that they get.
//!
//! A sequence comes from a seed. A sequence that breaks the contract is shortened as far as possible, and printed
//! with its seed. `cargo xtask model` runs for a given time; the tests here are its short form.
//!
//! - `WAKEFUL_SEED`: the first sequence's seed; the others have the numbers after it.
//! - `WAKEFUL_MODEL_SECONDS`: how long each backend is tested, instead of a few hundred sequences.
#![cfg(any(unix, windows))]

mod contract;
mod ends;
mod grounds;
mod ops;
mod rescue;
mod shrink;
mod simulated;
#[path = "../support/mod.rs"]
mod support;
#[cfg(unix)]
mod unix_ends;
#[cfg(windows)]
mod windows_ends;
mod world;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use wakeful::Backend;

use fastrand::Rng;
use grounds::{Chaotic, Kernel};
use ops::Op;
use world::Ground;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn epoll() {
    check("epoll", |_| Kernel(Backend::Epoll));
}

// The model's readiness and buffer sizes are those of Linux.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn posix_poll() {
    check("posix_poll", |_| Kernel(Backend::PosixPoll));
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn chaos_on_epoll() {
    check("chaos_on_epoll", |seed| Chaotic(Kernel(Backend::Epoll), seed));
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn chaos_on_posix_poll() {
    check("chaos_on_posix_poll", |seed| Chaotic(Kernel(Backend::PosixPoll), seed));
}

#[cfg(windows)]
#[test]
fn iocp() {
    check("iocp", |_| Kernel(Backend::Iocp));
}

#[cfg(windows)]
#[test]
fn chaos_on_iocp() {
    check("chaos_on_iocp", |seed| Chaotic(Kernel(Backend::Iocp), seed));
}

#[test]
fn sim() {
    check("sim", simulated::Simulated::new);
}

/// Runs sequences until the time has elapsed, and fails with the shortest form of the first that breaks the contract.
fn check<G: Ground>(name: &str, ground: impl Fn(u64) -> G) {
    let seconds: Option<u64> =
        std::env::var("WAKEFUL_MODEL_SECONDS").ok().map(|text| text.parse().expect("a number of seconds"));
    let first = first_seed();
    println!("{name}: WAKEFUL_SEED={first}");
    let start = Instant::now();
    let (mut sequences, mut operations) = (0u64, 0);
    loop {
        let is_over = match seconds {
            Some(seconds) => start.elapsed() >= Duration::from_secs(seconds),
            None => sequences >= 200,
        };
        if is_over {
            break;
        }
        let seed = first.wrapping_add(sequences);
        rescue::SEED.with(|current| current.set(seed));
        let ops = Op::sequence(&mut Rng::with_seed(seed));
        if let Err(fault) = world::run(&ground(seed), &ops) {
            let took = start.elapsed();
            let (ops, fault) = shrink::shortest(ops, fault, |ops| world::run(&ground(seed), ops).err());
            let ops: String = ops.iter().map(|op| format!("    {op:?},\n")).collect();
            panic!(
                "{name}, after {operations} operations in {took:.1?}\nWAKEFUL_SEED={seed}\n{fault}\n{ops}"
            );
        }
        sequences += 1;
        operations += ops.len();
    }
    // Past the harness' capture: the number of sequences is part of the result.
    let _ = writeln!(
        io::stderr(),
        "model: {name}: {sequences} sequences, {operations} operations in {:.1?}, no disagreement",
        start.elapsed()
    );
}

fn first_seed() -> u64 {
    match std::env::var("WAKEFUL_SEED") {
        Ok(seed) => seed.parse().expect("WAKEFUL_SEED is a number"),
        Err(_) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            now.as_nanos() as u64
        }
    }
}
