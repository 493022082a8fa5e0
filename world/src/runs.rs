//! The runs of many seeds, on all cores, and what becomes of a seed that fails.
//!
//! Invariant: each run is a process of its own, so no run depends on another one, nor on how many run at once.

use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use wakeful::sim::{Choice, Faults};

use crate::child::{Build, Detail, Plan, Run, DETAILED_ROOM, ROOM};
use crate::outcome::{Outcome, Reason};
use crate::report::{Failure, Report};
use crate::shrink::shrink;
use crate::sys::pin;
use crate::template::Template;
use crate::world::{World, STUCK};

/// How many runs the search for the smallest failing run takes at most.
const SEARCH: usize = 2_000;

/// How long the search takes at most.
const SEARCH_TIME: Duration = Duration::from_secs(60);

/// How often the runs of a seed that differ are repeated with their logs, until the logs differ.
const REPEATS: usize = 10;

/// The runs of a test, one for each seed of a range. [`World::seeds`] returns them.
#[derive(Clone, Debug)]
#[must_use = "`run` makes the runs"]
pub struct Runs {
    seeds: Range<u64>,
    faults: Faults,
    cores: usize,
    limit: Duration,
    twice: u64,
}

impl Runs {
    pub(crate) fn new(seeds: Range<u64>) -> Runs {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Runs { seeds, faults: Faults::TOKIO, cores, limit: Duration::from_secs(30), twice: 3 }
    }

    /// Sets the faults; [`Faults::TOKIO`] otherwise.
    pub fn faults(mut self, faults: Faults) -> Runs {
        self.faults = faults;
        self
    }

    /// Sets how many runs there are at once; otherwise as many as the process has cores.
    pub fn cores(mut self, cores: usize) -> Runs {
        self.cores = cores.max(1);
        self
    }

    /// Sets how long a run may take in real time; otherwise 30 s.
    pub fn limit(mut self, limit: Duration) -> Runs {
        self.limit = limit;
        self
    }

    /// Sets how many seeds are run twice; otherwise 3. A seed whose two runs differ fails: the program uses something
    /// that the seed doesn't decide.
    pub fn twice(mut self, seeds: u64) -> Runs {
        self.twice = seeds;
        self
    }

    /// Runs each seed twice.
    pub fn twice_all(self) -> Runs {
        self.twice(u64::MAX)
    }

    /// Makes the runs, until one fails. `build` is called in each to set up its world.
    ///
    /// The environment variable `WORLD_SEED` replaces the range with one seed, whose story is printed, and
    /// `WORLD_SEEDS` with another range: `WORLD_SEEDS=0..100000`. With `WORLD_TWICE=1` each seed is run twice.
    ///
    /// # Panics
    ///
    /// A run fails. The message has the seed, the reason, the smallest failing run, and how to repeat it.
    #[track_caller]
    pub fn run(mut self, build: impl Fn(&World) + Send + Sync + 'static) {
        let name = test_name();
        let one = self.read_environment();
        let build: Build = Arc::new(build);
        let report = self.all(&build, true);
        if let Some(failure) = &report.failure {
            let seed = failure.seed;
            panic!(
                "{failure}to repeat it: WORLD_SEED={seed} cargo test {name}\n({} of {} seeds were run)",
                report.runs,
                self.seeds.end.saturating_sub(self.seeds.start)
            );
        }
        if let Some(seed) = one {
            let told = alone(|| {
                let run = a_run(seed, None, Detail::Story);
                self.template(&build, DETAILED_ROOM).make(&run)
            });
            let page = write_page(&name, seed, &told.page);
            println!("seed {seed} does not fail:\n\n{}", told.story);
            page.iter().for_each(|page| println!("the page: {}", page.display()));
        }
    }

    /// Makes the runs, until one fails, and returns what they have come to. The environment changes nothing.
    pub fn search(self, build: impl Fn(&World) + Send + Sync + 'static) -> Report {
        let build: Build = Arc::new(build);
        self.all(&build, true)
    }

    /// Makes all runs, and returns what they have come to. The environment changes nothing.
    pub fn check(self, build: impl Fn(&World) + Send + Sync + 'static) -> Report {
        self.all(&(Arc::new(build) as Build), false)
    }

    /// Returns the seed if the environment wants a single one.
    fn read_environment(&mut self) -> Option<u64> {
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(value) = read("WORLD_SEED") {
            let seed = value.parse().unwrap_or_else(|_| panic!("WORLD_SEED is {value:?}, and no number"));
            self.seeds = seed..seed + 1;
            return Some(seed);
        }
        if let Some(value) = read("WORLD_SEEDS") {
            let ends = value.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            let (start, end) =
                ends.unwrap_or_else(|| panic!("WORLD_SEEDS is {value:?}, and not like 0..100"));
            self.seeds = start..end;
        }
        if read("WORLD_TWICE").is_some() {
            self.twice = u64::MAX;
        }
        None
    }

    /// Starts the process of which the calling thread's runs are forks.
    fn template(&self, build: &Build, room: usize) -> Template {
        let plan = Plan { build: Arc::clone(build), faults: self.faults.clone(), limit: self.limit };
        match Template::new(&plan, room) {
            Ok(template) => template,
            Err(e) => panic!("no process for the runs: {e}"),
        }
    }

    fn all(&self, build: &Build, stops: bool) -> Report {
        let name = test_name();
        let work = Work {
            next: AtomicU64::new(self.seeds.start),
            end: AtomicU64::new(self.seeds.end),
            totals: Mutex::default(),
            changed: Condvar::new(),
        };
        thread::scope(|scope| {
            let workers = self.cores.min(self.seeds.end.saturating_sub(self.seeds.start) as usize);
            for _ in 0..workers {
                scope.spawn(|| self.work(&work, build, stops));
            }
            if io::stderr().is_terminal() {
                work.show(&name, &self.seeds, workers);
            }
        });
        let Totals { mut report, lowest, .. } =
            work.totals.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.failure = lowest.map(|(seed, reason)| alone(|| self.explain(&name, seed, reason, build)));
        report
    }

    /// Makes runs on one core until none are left.
    fn work(&self, work: &Work, build: &Build, stops: bool) {
        pin_next();
        let mut template = self.template(build, ROOM);
        loop {
            let seed = work.next.fetch_add(1, Ordering::Relaxed);
            if seed >= work.end.load(Ordering::Relaxed) {
                break;
            }
            let run = a_run(seed, None, Detail::Nothing);
            let mut outcome = template.make(&run);
            let is_stuck = outcome.reason.as_ref().is_some_and(|reason| reason.key == STUCK);
            if seed - self.seeds.start < self.twice && !is_stuck {
                let second = template.make(&Run { is_shifted: true, ..run });
                if second != outcome {
                    let text = format!("  first run:  {}\n  second run: {}", outcome.brief(), second.brief());
                    outcome.reason = Some(Reason::new(DIVERGED, text));
                }
            }
            if stops && outcome.reason.is_some() {
                // Lower seeds are under way already.
                work.end.fetch_min(seed, Ordering::Relaxed);
            }
            work.note(seed, outcome);
        }
        work.lock().finished += 1;
        work.changed.notify_all();
    }

    /// Finds the smallest failing run of a seed, and its story.
    fn explain(&self, name: &str, seed: u64, reason: Reason, build: &Build) -> Failure {
        let mut failure = Failure {
            seed,
            reason: reason.text,
            stack: String::new(),
            all_choices: 0,
            choices: Vec::new(),
            is_minimal: false,
            searched: 0,
            story: String::new(),
            page: None,
        };
        let mut template = self.template(build, DETAILED_ROOM);
        if reason.key == DIVERGED {
            failure.reason = difference(seed, &failure.reason, &mut template);
            return failure;
        }
        let whole = template.make(&a_run(seed, None, Detail::Story));
        let key = match whole.reason {
            Some(again) if again.key == reason.key => {
                (failure.reason, failure.stack) = (again.text, whole.stack);
                again.key
            }
            again => {
                let again = again.map_or_else(|| "doesn't fail".to_owned(), |again| again.text);
                let first = &failure.reason;
                failure.reason = format!("{first}\nBut a second run of the seed differs: {again}\n{CAUSES}");
                return failure;
            }
        };
        failure.all_choices = whole.choices.len();
        failure.choices = whole.choices;
        let (mut story, mut page) = (whole.story, whole.page);
        // Each run that gets stuck takes the whole limit.
        if key != STUCK && !failure.choices.is_empty() {
            let end = Instant::now() + SEARCH_TIME;
            let mut is_late = false;
            let shrunk = shrink(&failure.choices, SEARCH, |choices| {
                is_late |= Instant::now() >= end;
                !is_late && {
                    let outcome = template.make(&a_run(seed, Some(choices), Detail::Nothing));
                    outcome.reason.is_some_and(|reason| reason.key == key)
                }
            });
            if let Some(shrunk) = shrunk {
                (failure.searched, failure.is_minimal) = (shrunk.runs, shrunk.is_minimal && !is_late);
                let small = template.make(&a_run(seed, Some(&shrunk.choices), Detail::Story));
                (story, page) = (small.story, small.page);
                failure.choices = shrunk.choices;
            }
        } else {
            // A killed process has told no choices, and no story.
            failure.is_minimal = failure.choices.is_empty() && !story.is_empty();
        }
        failure.page = write_page(name, seed, &page);
        failure.story = story;
        failure
    }
}

fn a_run(seed: u64, replay: Option<&[Choice]>, detail: Detail) -> Run {
    Run { seed, replay: replay.map(<[Choice]>::to_vec), detail, is_shifted: false }
}

/// Returns where two runs of a seed differ, whose results were seen to do so.
fn difference(seed: u64, seen: &str, template: &mut Template) -> String {
    for _ in 0..REPEATS {
        let run = a_run(seed, None, Detail::Log);
        let first = template.make(&run);
        let second = template.make(&Run { is_shifted: true, ..run });
        if first != second {
            return format!("two runs of the seed differ\n{}\n{CAUSES}", first_difference(&first, &second));
        }
    }
    format!("two runs of the seed have differed, and {REPEATS} later pairs have not\n{seen}\n{CAUSES}")
}

const DIVERGED: &str = "diverged";

const CAUSES: &str = "\
The seed doesn't decide everything that the program uses. To look for: a system call that isn't made through libc, \
the processor's time stamp counter, a map whose keys were drawn before the world, an order by addresses of memory, a \
file, or a thread from before the world.";

/// Returns the first records of two runs that differ, in words.
fn first_difference(first: &Outcome, second: &Outcome) -> String {
    let (mut one, mut other) = (first.log.lines(), second.log.lines());
    let mut step = 0;
    loop {
        let pair = (one.next(), other.next());
        match pair {
            (None, None) => return "their logs are the same, but not their ends".to_owned(),
            (one, other) if one == other => step += 1,
            (one, other) => {
                let mut of = one.or(other).unwrap_or_default().split('\t');
                let (host, time) = (of.next().unwrap_or_default(), of.next().unwrap_or_default());
                let what = |line: Option<&str>| match line.and_then(|line| line.split_once('\t')) {
                    Some((host, rest)) => format!("{host} at {}", rest.replace('\t', ": ")),
                    None => "the end".to_owned(),
                };
                return format!(
                    "host {host} diverged at {time}, step {step}:\n  first run:  {}\n  second run: {}",
                    what(one),
                    what(other)
                );
            }
        }
    }
}

/// What the workers share.
struct Work {
    next: AtomicU64,
    /// The seed at which they stop.
    end: AtomicU64,
    totals: Mutex<Totals>,
    changed: Condvar,
}

#[derive(Default)]
struct Totals {
    report: Report,
    lowest: Option<(u64, Reason)>,
    /// How many workers have finished.
    finished: usize,
}

impl Work {
    fn lock(&self) -> std::sync::MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, seed: u64, outcome: Outcome) {
        let mut totals = self.lock();
        let report = &mut totals.report;
        report.runs += 1;
        report.virtual_time += outcome.time;
        report.turns += outcome.turns;
        // The order of the runs doesn't matter to a sum.
        let hash = (outcome.hash ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        report.hash = report.hash.wrapping_add(hash ^ (hash >> 32));
        if let Some(reason) = outcome.reason {
            report.failures += 1;
            if totals.lowest.as_ref().map_or(true, |(lowest, _)| seed < *lowest) {
                totals.lowest = Some((seed, reason));
            }
        }
    }

    /// Shows the progress until all workers have finished.
    fn show(&self, name: &str, seeds: &Range<u64>, workers: usize) {
        let start = Instant::now();
        let all = seeds.end.saturating_sub(seeds.start);
        let mut is_shown = false;
        let mut totals = self.lock();
        while totals.finished < workers {
            let waited = self.changed.wait_timeout(totals, Duration::from_millis(250));
            totals = waited.unwrap_or_else(PoisonError::into_inner).0;
            if start.elapsed() >= Duration::from_secs(1) {
                is_shown = true;
                let Report { runs, virtual_time, .. } = &totals.report;
                let (done, hours) = (runs * 20 / all.max(1), virtual_time.as_secs_f64() / 3600.0);
                let (bar, rest) = ("=".repeat(done as usize), " ".repeat(20 - done as usize));
                let _ = write!(
                    io::stderr(),
                    "\r{name} [{bar}{rest}] {runs}/{all} seeds, {hours:.1} h of worlds "
                );
            }
        }
        if is_shown {
            let _ = writeln!(io::stderr());
        }
    }
}

/// Runs `act` on a new thread that stays on one core, as the workers do: its thread-local values are new.
fn alone<R: Send>(act: impl FnOnce() -> R + Send) -> R {
    let act = || {
        pin_next();
        act()
    };
    thread::scope(|scope| match scope.spawn(act).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Binds the calling thread to the next core. Several processes of tests begin at different ones.
fn pin_next() {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    pin(NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id() as usize));
}

/// Returns the name of the test, which is that of its thread.
fn test_name() -> String {
    let thread = thread::current();
    thread.name().filter(|name| *name != "main").unwrap_or("world").to_owned()
}

/// Writes the page of a run beside the test's binary, in `worlds` of the target folder. Without a place for it there is
/// no page.
fn write_page(name: &str, seed: u64, page: &str) -> Option<PathBuf> {
    if page.is_empty() {
        return None;
    }
    let binary = std::env::current_exe().ok();
    // `target/debug/deps/test-0123`
    let target = binary.as_deref().and_then(|binary| {
        let deps = binary.parent().filter(|deps| deps.ends_with("deps"))?;
        deps.parent()?.parent()
    });
    let folder = target.map_or_else(std::env::temp_dir, PathBuf::from).join("worlds");
    std::fs::create_dir_all(&folder).ok()?;
    let file = folder.join(format!("{}-{seed}.html", name.replace("::", "-")));
    std::fs::write(&file, page).ok()?;
    Some(file)
}
