//! Runs of worlds: how they end, and what is found in them.
//!
//! Invariant: the hosts here call the world themselves, so no symbol is shadowed.
#![cfg(unix)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wakeful::sim::Task;
use wakeful_world::{Faults, Report, World};

const SECOND: Duration = Duration::from_secs(1);

fn task() -> Task {
    Task::current().expect("a task of the world")
}

fn sleep(length: Duration) {
    let until = task().time() + length;
    while task().time() < until {
        task().park(Some(until));
    }
}

/// Returns the reason and the story of the first failure.
fn failure(report: &Report) -> (String, String) {
    let failure = report.failure.as_ref().expect("a failure");
    (failure.reason.clone(), failure.story.clone())
}

#[test]
fn a_run_is_done_when_its_hosts_have_returned() {
    let report = World::seeds(0..5).twice_all().check(|world| {
        world.host("10.0.0.1", || sleep(SECOND * 5));
        world.host("10.0.0.2", || sleep(SECOND * 7));
        world.server("10.0.0.3", || sleep(SECOND * 60));
    });
    assert_eq!((report.runs, report.failures), (5, 0), "{report:?}");
    assert_eq!(report.virtual_time, SECOND * 35);
    assert!(report.turns >= 5 * 5);
}

#[test]
fn a_panic_fails_the_run() {
    let report = World::seeds(3..10).check(|world| {
        world.host("10.0.0.1", || {
            sleep(SECOND);
            assert!(task().time() < SECOND, "too late");
        });
        world.host("10.0.0.2", || sleep(SECOND * 9));
    });
    assert_eq!((report.runs, report.failures), (7, 7));
    assert_eq!(report.virtual_time, SECOND * 7);
    assert_eq!(report.failure.as_ref().unwrap().seed, 3);
    let (reason, story) = failure(&report);
    assert!(reason.contains("host 10.0.0.1 panics at world/tests/runs.rs:"), "{reason}");
    assert!(reason.ends_with("too late"), "{reason}");
    assert!(story.trim_end().ends_with("10.0.0.1 panics: too late"), "{story}");
}

fn _unused(_: Arc<Mutex<AtomicU64>>, _: Ordering, _: Faults) {}
