//! A world with one host, on which a test is the main task.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{mpsc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use wakeful::sim::{End, Faults, Sim};
use wakeful::Backend;
use wakeful_world::shadows;

/// How long a test may run in real time without a turn of any thread: then it waits for a real kernel.
const STALL: Duration = Duration::from_secs(60);

/// How long it may run in real time.
const LIMIT: Duration = Duration::from_secs(300);

/// One world at a time: a lock of the process that a task of another world holds is one that this world can't wait for.
static ONE: Mutex<()> = Mutex::new(());

/// Runs a test, `program::file::test` as the harness calls it, or counts its skip.
pub fn run(name: &str, test: fn(Backend)) {
    if crate::skips::leaves_out(name) {
        return;
    }
    assert!(shadows::are_linked(), "the program calls libc past the shadows");
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
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
    let host = sim.add_host("localhost", &[IpAddr::from(Ipv4Addr::new(10, 0, 0, 1))]).unwrap();
    let task = host.main_task();
    let (sender, result) = mpsc::channel();
    let body = move || {
        shadows::enter(task);
        let result = std::panic::catch_unwind(|| test(Backend::Sim));
        // The channel's lock is the world's: nothing else runs.
        let _ = sender.send(result.is_ok());
    };
    let thread = thread::Builder::new().spawn(body).expect("a thread");
    // Ends with the sender, or when time is over.
    let (_ended, waits) = mpsc::channel::<()>();
    let watched = sim.clone();
    thread::spawn(move || {
        if waits.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            watched.end(End::Failed(format!("it runs for longer than {LIMIT:?}")));
        }
    });
    sim.start(None);
    match sim.wait_for_end(STALL) {
        Some(End::Done) => {
            thread.join().expect("the panic was caught");
            match result.recv() {
                Ok(true) => Ok(()),
                _ => Err("it has panicked".to_owned()),
            }
        }
        // Its threads wait for ever.
        Some(other) => Err(format!("{other:?} after {:?} of the world's time", sim.elapsed())),
        None => Err("no thread of the world has had a turn for a minute".to_owned()),
    }
}
