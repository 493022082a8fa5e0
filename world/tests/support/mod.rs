//! A thread as the main task of a world's only host.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{mpsc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use wakeful::sim::{End, Sim};
use wakeful_world::shadows;

/// How long a thread may run in real time without a turn of any: then it waits for a real kernel.
const STALL: Duration = Duration::from_secs(60);

/// How long it may run in real time.
const LIMIT: Duration = Duration::from_secs(300);

/// One world at a time: a lock of the process that a task of another world holds is one that this world can't wait for.
static ONE: Mutex<()> = Mutex::new(());

/// Calls `act` in the world. Returns its result, or why it has none.
pub fn on_a_host<R: Send + 'static>(
    sim: &Sim,
    act: impl FnOnce() -> R + Send + 'static,
) -> Result<R, String> {
    assert!(shadows::are_linked(), "the program calls libc past the shadows");
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let host = sim.add_host("localhost", &[IpAddr::from(Ipv4Addr::new(10, 0, 0, 1))]).unwrap();
    let task = host.main_task();
    let (sender, result) = mpsc::channel();
    let body = move || {
        shadows::enter(task);
        let result = catch_unwind(AssertUnwindSafe(act));
        // The channel's lock is the world's: nothing else runs.
        let _ = sender.send(result);
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
                Ok(Ok(result)) => Ok(result),
                _ => Err("it has panicked".to_owned()),
            }
        }
        // Its threads wait for ever.
        Some(other) => Err(format!("{other:?} after {:?} of the world's time", sim.elapsed())),
        None => Err("no thread of the world has had a turn for a minute".to_owned()),
    }
}
