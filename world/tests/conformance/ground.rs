//! A world with one host, on which a test is the main task.

use wakeful::sim::{Faults, Sim};
use wakeful::Backend;

use crate::host::on_a_host;

/// Runs a test, `program::file::test` as the harness calls it, or counts its skip.
pub fn run(name: &str, test: fn(Backend)) {
    if crate::skips::leaves_out(name) {
        return;
    }
    if let Err(fault) = end_of(test) {
        panic!("{name}: {fault}");
    }
}

/// Runs a test in a world of its own. Returns why it has failed.
fn end_of(test: fn(Backend)) -> Result<(), String> {
    let sim = match std::env::var("WAKEFUL_CHAOS").ok().filter(|seed| !seed.is_empty()) {
        // Without interrupted calls of `poll`, which chaos doesn't have either.
        Some(seed) => {
            let faults = Faults { interrupted: 0, ..Faults::TOKIO };
            Sim::with_faults(seed.parse().expect("WAKEFUL_CHAOS is a number"), faults)
        }
        // Plain choices alone: a world draws some even without faults.
        None => Sim::replayed(0, Faults::NONE, &[]),
    };
    on_a_host(&sim, move || test(Backend::Sim))
}
