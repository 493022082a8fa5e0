//! Worlds for programs that know of none: each thread that begins to poll becomes the only host of a world.
//!
//! Test suites of others run in worlds by it, without a change to their text: a feature of the packages in `compat` and
//! an environment variable are enough.
//!
//! A thread enters its world when it makes a `Poll` and the environment variable `WAKEFUL_WORLD_SEED` has a seed. The
//! host has the name `localhost` and the addresses 127.0.0.1 and ::1. Its faults are [`Faults::TOKIO`], or none with
//! `WAKEFUL_WORLD_FAULTS=none`. A line on the standard error tells the begin of each world, and another one its end,
//! with the hash of its log. A deadlock, a foreign thread that polls, and 30 seconds of real time in which no task
//! makes a call to the world end the process: a line with the seed and the reason, then abort(3).
//!
//! With `WAKEFUL_WORLD_THREADS=1` as well, each thread that a thread outside of all worlds starts has its world from
//! its beginning. A test harness starts such a thread for each test: what a test does before it polls, and on threads
//! that it starts before, is in its world then. Each `Poll` of a world is a further line on the standard error.
//!
//! Invariant: a thread that has entered its world stays there until it ends, and a thread outside of the world watches
//! it: a thread can't be unwound from outside, so a world that ends otherwise than by the end of its thread ends the
//! process.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use wakeful::sim::{End, Faults, Sim, Task};

use crate::shadows;

/// The environment variable with the seed.
pub const SEED: &str = "WAKEFUL_WORLD_SEED";

/// The environment variable with the faults: `none`, or, as without it, `tokio`.
pub const FAULTS: &str = "WAKEFUL_WORLD_FAULTS";

/// The environment variable for threads that have a world from their beginning: `1`.
pub const THREADS: &str = "WAKEFUL_WORLD_THREADS";

/// For how much real time a task may run without a call to its world.
const LIMIT: Duration = Duration::from_secs(30);

std::thread_local! {
    /// Reports the run at the end of the thread.
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };

    /// Whether the thread starts the watcher of a world, which belongs to none.
    static STARTS_WATCHER: Cell<bool> = const { Cell::new(false) };
}

/// The world of a thread.
pub(crate) struct Run {
    sim: Sim,
    thread: String,
}

impl Run {
    /// Reports the run at the end of the calling thread.
    pub(crate) fn keep(self) {
        RUN.with(|run| *run.borrow_mut() = Some(self));
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let report = || {
            let Run { sim, thread } = &*self;
            let (elapsed, hash) = (sim.elapsed(), sim.log_hash());
            say(sim.seed(), &format!("{thread} was in a world for {elapsed:?}, hash {hash:016x}"));
        };
        match Task::current() {
            Some(task) => task.outside(report),
            None => report(),
        }
    }
}

/// Runs before `main` in each program that links this package.
#[used]
#[link_section = ".init_array"]
static PREPARE: extern "C" fn() = prepare;

extern "C" fn prepare() {
    shadows::prepare();
    wakeful::sim::before_each_poll(enter);
}

/// Makes the calling thread, which makes a `Poll`, the main task of the only host of a new world, until the thread
/// ends. Does so only with a seed, and if the thread is no task already.
fn enter() {
    let Some(seed) = seed() else { return };
    if Task::current().is_none() {
        let (task, run) = world(seed, name());
        say(seed, &format!("{} enters a world", run.thread));
        run.keep();
        shadows::enter(task);
    }
    say(seed, "a thread in a world makes a Poll");
}

/// Makes the world of a thread that the calling one starts, if `WAKEFUL_WORLD_THREADS` asks for it.
pub(crate) fn of_new_thread() -> Option<(Task, Run)> {
    let starts_watcher = STARTS_WATCHER.try_with(Cell::get).unwrap_or(true);
    if starts_watcher || std::env::var_os(THREADS)? != "1" {
        return None;
    }
    // The thread has no name yet.
    Some(world(seed()?, "a thread".to_owned()))
}

/// Returns the seed, if there is one.
fn seed() -> Option<u64> {
    let seed = std::env::var(SEED).ok()?;
    Some(seed.parse().unwrap_or_else(|_| panic!("{SEED}={seed} is no number")))
}

/// Makes a world, and the main task of its host.
fn world(seed: u64, thread: String) -> (Task, Run) {
    let faults = match std::env::var(FAULTS).as_deref() {
        Err(_) | Ok("tokio") => Faults::TOKIO,
        Ok("none") => Faults::NONE,
        Ok(other) => panic!("{FAULTS}={other}: it is `tokio` or `none`"),
    };
    assert!(shadows::are_linked(), "the program's calls don't reach the functions of wakeful-world");

    let sim = Sim::with_faults(seed, faults);
    let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let task = sim.add_host("localhost", &addresses).map(|host| host.main_task());
    let task = task.unwrap_or_else(|e| unreachable!("the first host has each address: {e}"));
    watch(&sim, thread.clone());
    sim.start(None);
    (task, Run { sim, thread })
}

fn name() -> String {
    let thread = std::thread::current();
    format!("{:?}", thread.name().unwrap_or("a thread without a name"))
}

/// Starts the thread that ends the process if the world doesn't end well.
fn watch(sim: &Sim, thread: String) {
    let sim = sim.clone();
    let watcher = std::thread::Builder::new().name("wakeful-world".into());
    STARTS_WATCHER.with(|starts| starts.set(true));
    let watcher = watcher.spawn(move || {
        let why = match sim.wait_for_end(LIMIT) {
            Some(End::Done) => return,
            Some(End::Deadlock) => "deadlock: every task waits, and nothing is due".to_owned(),
            Some(End::Failed(reason)) => reason,
            None => format!("stuck: no task has made a call to the world for {LIMIT:?} of real time"),
        };
        say(sim.seed(), &format!("{thread} fails after {:?}: {why}", sim.elapsed()));
        std::process::abort();
    });
    STARTS_WATCHER.with(|starts| starts.set(false));
    watcher.expect("a thread for the watcher of a world");
}

fn say(seed: u64, line: &str) {
    // A process without a standard error has no other place for it.
    let _ = writeln!(io::stderr(), "wakeful-world: seed {seed}: {line}");
}
