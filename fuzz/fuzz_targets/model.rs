//! Programs that the fuzzer makes, against the model of the contract: on epoll, poll(2), epoll with
//! chaos and the simulation.
#![no_main]
#![allow(dead_code)]

#[path = "../../tests/model/contract.rs"]
mod contract;
#[path = "../../tests/model/ends.rs"]
mod ends;
#[path = "../../tests/model/grounds.rs"]
mod grounds;
#[path = "../../tests/model/ops.rs"]
mod ops;
#[path = "../../tests/model/rescue.rs"]
mod rescue;
#[path = "../../tests/model/simulated.rs"]
mod simulated;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../../tests/model/timers.rs"]
mod timers;
#[path = "../../tests/model/unix_ends.rs"]
mod unix_ends;
#[path = "../../tests/model/world/mod.rs"]
mod world;

use wakeful::Backend;

// A program of Rust's ignores the signal, but libFuzzer has a `main` of its own.
// SAFETY: no handler is installed.
libfuzzer_sys::fuzz_target!(init: unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN); }, |bytes: &[u8]| {
    // Eight bytes are the seed of one operation: what the fuzzer cuts out or repeats is a whole one.
    let ops: Vec<ops::Op> = bytes
        .chunks_exact(8)
        .take(200)
        .map(|seed| {
            let seed = u64::from_le_bytes(seed.try_into().expect("eight bytes"));
            ops::Op::random(&mut fastrand::Rng::with_seed(seed))
        })
        .collect();
    let seed = bytes.first().copied().unwrap_or(0).into();
    for result in [
        world::run(&grounds::Kernel(Backend::Epoll), &ops),
        world::run(&grounds::Kernel(Backend::PosixPoll), &ops),
        world::run(&grounds::Chaotic(grounds::Kernel(Backend::Epoll), seed), &ops),
        world::run(&simulated::Simulated::new(seed), &ops),
    ] {
        result.unwrap_or_else(|fault| panic!("{fault}\n{ops:#?}"));
    }
});
