//! One run: a child process that builds a world, lets it run, and tells its parent the outcome.
//!
//! Invariant: a run starts from the state of its parent alone, and leaves no trace but its outcome. The child uses
//! nothing that lies on the stack of another thread than the one that forked it.

use std::fmt::Write;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use wakeful::sim::{Choice, End, Faults, Sim, What};

use crate::outcome::{Outcome, Reason};
use crate::panics::{self, catch};
use crate::story::{Story, LINES};
use crate::sys::{in_child, set_alarm, Exit, Shared, ALARM};
use crate::world::{of_panic, Director, World, STUCK};

/// The closure of a test, which sets up the world of a run.
///
/// It lies on the heap and borrows nothing: in a child, the C library gives the stacks of the parent's other threads to
/// new ones.
pub(crate) type Build = Arc<dyn Fn(&World) + Send + Sync>;

/// The room for the outcome of a run without details.
pub(crate) const ROOM: usize = 64 << 10;

/// The room for an outcome with a story, a page or a log: a hundred bytes for each of ten million records.
pub(crate) const DETAILED_ROOM: usize = 1 << 30;

/// How much longer than the world's own limit a child may live.
const GRACE: Duration = Duration::from_secs(2);

/// What a run tells beside its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    Nothing,
    /// The choices, and the story as lines and as a page.
    Story,
    Log,
}

/// What all runs of a test have in common.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) build: Build,
    pub(crate) faults: Faults,
    /// The limit of a run in real time.
    pub(crate) limit: Duration,
}

/// A run to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    /// The choices to repeat; drawn by the seed without.
    pub(crate) replay: Option<Vec<Choice>>,
    pub(crate) detail: Detail,
    /// Whether the addresses of its memory differ from those of the usual run.
    pub(crate) is_shifted: bool,
}

impl Run {
    /// Makes the run in a child, which tells its outcome through `shared`.
    pub(crate) fn make(&self, plan: &Plan, shared: &Arc<Shared>) -> io::Result<Exit> {
        in_child(plan.limit + GRACE, || self.live(plan, shared))
    }

    /// Returns the outcome of a run whose child has ended like that.
    pub(crate) fn outcome_of(exit: io::Result<Exit>, plan: &Plan, shared: &Shared) -> Outcome {
        let told = shared.take().and_then(|bytes| Outcome::decode(&bytes));
        match (exit, told) {
            (Ok(Exit::Code(0)), Some(outcome)) => outcome,
            (Ok(Exit::Signal(ALARM)), _) => {
                let text = format!(
                    "the run has not ended after {:?} of real time: the test's closure doesn't return, or the hosts \
                     take turns and none lets time pass",
                    plan.limit + GRACE
                );
                Outcome::failed(Reason::new(STUCK, text))
            }
            (Ok(exit), told) => {
                let (key, how) = match exit {
                    Exit::Signal(number) => (format!("signal {number}"), name_of(number)),
                    Exit::Code(code) => (format!("exit {code}"), format!("ended with the exit code {code}")),
                };
                let last = told.and_then(|told| told.reason).map_or(String::new(), |last| last.text);
                Outcome::failed(Reason::new(key, format!("the run's process was {how}{last}")))
            }
            (Err(e), _) => Outcome::failed(Reason::new("no child", format!("no process for a run: {e}"))),
        }
    }

    /// The life of the child.
    fn live(&self, plan: &Plan, shared: &Arc<Shared>) {
        let last_words = Arc::clone(shared);
        panics::keep(
            self.detail == Detail::Story && self.replay.is_none(),
            Box::new(move |panic| {
                let text = format!(", after a panic at {}: {}", panic.place, panic.message);
                last_words.publish(&Outcome::failed(Reason::new("", text)).encode());
            }),
        );
        IS_SHIFTED.store(self.is_shifted, Ordering::Relaxed);
        shift_addresses();
        let outcome = self.outcome(plan);
        panics::forget_listener();
        if !shared.publish(&outcome.encode()) {
            let short = Outcome { story: String::new(), page: String::new(), log: String::new(), ..outcome };
            if !shared.publish(&short.encode()) {
                shared.publish(&Outcome { choices: Vec::new(), ..short }.encode());
            }
        }
    }

    fn outcome(&self, plan: &Plan) -> Outcome {
        let (seed, faults) = (self.seed, plan.faults.clone());
        let sim = match (self.detail, self.replay.as_deref()) {
            (Detail::Story | Detail::Log, replay) => Sim::with_log(seed, faults, replay),
            (_, Some(replay)) => Sim::replayed(seed, faults, replay),
            (Detail::Nothing, None) => Sim::with_faults(seed, faults),
        };
        let world = World::new(sim);
        let sim = world.sim();
        let reason = match catch(|| (plan.build)(&world)) {
            Ok(()) => world.flaw().or_else(|| run(&world, plan.limit)),
            Err(panic) => Some(of_panic("the closure of the test", &panic)),
        };
        let mut outcome = Outcome {
            reason,
            hash: sim.log_hash(),
            turns: sim.turns(),
            time: sim.elapsed(),
            choices: sim.choices(),
            ..Outcome::default()
        };
        // What is left has no limit of its own, and is slow on a busy machine.
        set_alarm(GRACE * 100);
        match self.detail {
            Detail::Nothing => {}
            Detail::Story => {
                let (title, names, records) = (format!("seed {seed}"), world.host_names(), sim.log());
                let story = Story::new(&title, &names, &records);
                (outcome.story, outcome.page) = (story.text(LINES), story.html());
                outcome.stack = panics::take_stack();
            }
            Detail::Log => {
                let names = world.host_names();
                for record in sim.log() {
                    let host = names.get(record.host as usize).map_or("the world", |name| name);
                    let _ = writeln!(outcome.log, "{host}\t{:?}\t{:?}", record.time, record.what);
                }
            }
        }
        outcome
    }
}

/// Lets a world run. Returns why it fails.
fn run(world: &World, limit: Duration) -> Option<Reason> {
    world.sim().start(Some(Box::new(Director::new(world, limit))));
    match world.sim().wait_for_end(limit) {
        Some(End::Done) => None,
        Some(End::Deadlock) => {
            let reason = world.deadlock();
            world.sim().note(What::Failed(reason.text.clone()));
            Some(reason)
        }
        Some(End::Failed(text)) => Some(world.take_reason().unwrap_or_else(|| {
            let key = text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
            Reason::new(key, text)
        })),
        None => {
            let reason = world.stuck(limit);
            world.sim().note(What::Failed(reason.text.clone()));
            Some(reason)
        }
    }
}

fn name_of(signal: i32) -> String {
    let name = match signal {
        libc::SIGABRT => "SIGABRT",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGBUS => "SIGBUS",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGKILL => "SIGKILL",
        _ => return format!("killed by the signal {signal}"),
    };
    format!("killed by {name}")
}

/// Whether this process is the second run of a seed.
static IS_SHIFTED: AtomicBool = AtomicBool::new(false);

/// Moves, in the second run of a seed, what the calling thread allocates from now on: a program that depends on the
/// addresses of its values is another run then. An allocator can have a heap for each thread.
pub(crate) fn shift_addresses() {
    if !IS_SHIFTED.load(Ordering::Relaxed) {
        return;
    }
    let small = (1..64).map(|units| units * 16 + 8);
    for len in small.chain([5 << 12, 160 << 20]) {
        // Memory that isn't written takes none.
        std::mem::forget(std::hint::black_box(Vec::<u8>::with_capacity(len)));
    }
}
