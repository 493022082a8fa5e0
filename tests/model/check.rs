//! Sequences on one ground, until one breaks the contract or enough have not.
//!
//! - `WAKEFUL_SEED`: the first sequence's seed; the others have the numbers after it.
//! - `WAKEFUL_MODEL_SECONDS`: how long each backend is tested, instead of a few hundred sequences.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::ops::Op;
use crate::{rescue, shrink};

/// Runs sequences until the time has elapsed, and fails with the shortest form of the first that breaks the contract.
pub fn check(name: &str, run: impl Fn(u64, &[Op]) -> Result<(), String>) {
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
        if let Err(fault) = run(seed, &ops) {
            let took = start.elapsed();
            let (ops, fault) = shrink::shortest(ops, fault, |ops| run(seed, ops).err());
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
