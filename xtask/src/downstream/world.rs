//! Each test of a crate in a process of its own, and in a world: without faults, and with those of many seeds.
//!
//! Invariant: a test counts as run in a world only if the world has said that it polls, on the standard error.

use super::build::Executable;
use super::checkout::Checkout;
use super::results::{Comparison, Results};
use super::{beyond, Backend, On, Report};
use crate::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// A world without faults.
const PLAIN: On = On { backend: Backend::World, chaos: None };
/// One with the faults of a seed. The results of all seeds are merged.
const FAULTS: On = On { backend: Backend::World, chaos: Some(0) };

/// Reads `0..20`.
pub fn seeds(text: &str) -> std::result::Result<Range<u64>, String> {
    let (start, end) = text.split_once("..").ok_or("it is a range, such as 0..20")?;
    let number = |text: &str| text.parse::<u64>().map_err(|e| format!("{text:?}: {e}"));
    match number(start)?..number(end)? {
        empty if empty.is_empty() => Err("the range is empty".to_owned()),
        seeds => Ok(seeds),
    }
}

/// One test of an executable.
struct Test<'a> {
    checkout: &'a Checkout,
    path: &'a Path,
    executable: &'a str,
    name: String,
}

/// What came of a test's runs.
struct Seen {
    /// Without faults; nothing if the test would hang.
    plain: Option<Outcome>,
    /// Whether it was in a world.
    had_world: bool,
    /// With the faults of all seeds: the worst.
    faulty: Option<Outcome>,
    failing: Vec<u64>,
    /// Whether two runs of the first seed were not the same to the world's log.
    differs: bool,
}

/// Runs all tests, and compares with the results on the real package.
pub fn test(
    checkout: &Checkout,
    executables: &BTreeSet<Executable>,
    seeds: &Range<u64>,
    limit: Duration,
    baseline: &Results,
    report: &mut Report,
) -> Result<()> {
    let published = checkout.published;
    let start = Instant::now();
    let mut tests = Vec::new();
    for Executable { name: executable, path } in executables {
        // Cargo starts the examples in the documentation.
        let Some(path) = path else { continue };
        let mut list = Command::new(path);
        list.args(["--list", "--format", "terse"]).current_dir(&checkout.folder);
        let names = listed(&capture(&mut list)?).into_iter();
        tests.extend(names.map(|name| Test { checkout, path, executable, name }));
    }
    eprintln!(
        "{} in worlds: {} tests, each {} times",
        published.id(),
        tests.len(),
        seeds.clone().count() + 2
    );
    let seen = all(&tests, seeds, limit)?;

    let (mut plain, mut faulty) = (Results::new(), Results::new());
    let (mut by_seed, mut without, mut differing) = (Vec::new(), Vec::new(), Vec::new());
    for (test, seen) in tests.iter().zip(seen) {
        let title = format!("{}: {}", test.executable, test.name);
        for (results, outcome) in [(&mut plain, seen.plain), (&mut faulty, seen.faulty)] {
            let binary = results.entry(test.executable.to_owned()).or_default();
            if let Some(outcome) = outcome {
                binary.tests.insert(test.name.clone(), outcome);
                binary.in_worlds += usize::from(seen.had_world);
            }
        }
        if !seen.failing.is_empty() {
            let shown: Vec<String> = seen.failing.iter().map(u64::to_string).collect();
            by_seed.push(format!("{title}: {}", shown.join(", ")));
        }
        if seen.differs {
            differing.push(title.clone());
        }
        if !seen.had_world && !matches!(seen.plain, None | Some(Outcome::Ignored)) {
            without.push(title);
        }
    }
    for (on, results) in [(PLAIN, &plain), (FAULTS, &faulty)] {
        report.ran(published, on, results, Some(start.elapsed()));
        let excuse = |executable: &str, test: &str| beyond::reason(published, on, executable, test);
        // Those of an executable that isn't run here have no results.
        let known = baseline.iter().filter(|(name, _)| results.contains_key(*name));
        let known: Results = known.map(|(name, binary)| (name.clone(), binary.clone())).collect();
        report.entered(published, on, &known, results);
        report.compared(published, on, Comparison::of(&known, results, excuse));
        report.stale(published, on, beyond::stale(published, on, &known, results));
    }
    report.note(format!("{} in worlds: fails with the seeds", published.name), by_seed);
    report.note(format!("{} in worlds: never polls, so it was in none", published.name), without);
    report.note(format!("{} in worlds: two runs of a seed differ", published.name), differing);
    Ok(())
}

/// Runs the tests, as many at a time as there are processors.
fn all(tests: &[Test], seeds: &Range<u64>, limit: Duration) -> Result<Vec<Seen>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Result<Seen>)>> = Mutex::default();
    let work = || loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(test) = tests.get(at) else { return };
        let seen = test.run(seeds, limit);
        results.lock().unwrap_or_else(PoisonError::into_inner).push((at, seen));
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|&(at, _)| at);
    results.into_iter().map(|(_, seen)| seen).collect()
}

impl Test<'_> {
    fn run(&self, seeds: &Range<u64>, limit: Duration) -> Result<Seen> {
        let hangs = |on| beyond::hanging(self.checkout.published, on, self.executable).contains(&&*self.name);
        let mut seen =
            Seen { plain: None, had_world: false, faulty: None, failing: Vec::new(), differs: false };
        if hangs(PLAIN) {
            return Ok(seen);
        }
        let (plain, worlds) = self.once(None, limit)?;
        seen.plain = Some(plain);
        seen.had_world = worlds.iter().any(|line| line.ends_with("makes a Poll"));
        // Faults and seeds are the world's. One that hangs would hang for each of them.
        if !seen.had_world || matches!(plain, Outcome::Ignored | Outcome::Hung) {
            seen.faulty = seen.plain;
            return Ok(seen);
        }
        if hangs(FAULTS) {
            return Ok(seen);
        }
        let mut worst = Outcome::Passed;
        for seed in seeds.clone() {
            let (outcome, worlds) = self.once(Some(seed), limit)?;
            if seed == seeds.start {
                seen.differs = self.once(Some(seed), limit)? != (outcome, worlds);
            }
            if outcome != Outcome::Passed {
                seen.failing.push(seed);
                worst = worst.max(outcome);
            }
            if outcome == Outcome::Hung {
                break;
            }
        }
        seen.faulty = Some(worst);
        Ok(seen)
    }

    /// Returns the outcome, and what the worlds have said.
    fn once(&self, seed: Option<u64>, limit: Duration) -> Result<(Outcome, Vec<String>)> {
        let mut command = Command::new(self.path);
        command.args(["--exact", &self.name, "--test-threads=1"]);
        self.checkout.as_cargo_test(&mut command);
        command.env("WAKEFUL_WORLD_SEED", seed.unwrap_or(0).to_string());
        // The harness starts a thread for the test, which is in the world from its beginning.
        command.env("WAKEFUL_WORLD_THREADS", "1");
        command.env("WAKEFUL_WORLD_FAULTS", if seed.is_some() { "tokio" } else { "none" });
        let name = self.name.replace(|c: char| !c.is_alphanumeric(), "_");
        let log = seed.map_or("plain".to_owned(), |seed| seed.to_string());
        let log = self.checkout.logs.join("world").join(self.executable).join(format!("{name}-{log}"));
        let errors = log.with_extension("stderr");
        let ended = Job::new(command, &log).errors_to(&errors).limit(limit).run()?;
        // Not by the test's own line, into which the test may print.
        let sum = ended.output()?;
        let outcome = match ended.success() {
            _ if ended.hung() => Outcome::Hung,
            true if sum.contains("test result: ok. 1 passed; 0 failed;") => Outcome::Passed,
            true if sum.contains("test result: ok. 0 passed; 0 failed; 1 ignored;") => Outcome::Ignored,
            _ => Outcome::Failed,
        };
        let printed = read_lossy(&errors)?;
        let worlds = printed.lines().filter(|line| line.starts_with("wakeful-world: ")).map(str::to_owned);
        let worlds = worlds.collect();
        if matches!(outcome, Outcome::Passed | Outcome::Ignored) {
            // There would be tens of thousands of them.
            fs::remove_file(&log)?;
            fs::remove_file(&errors)?;
        }
        Ok((outcome, worlds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_seeds_is_read() {
        assert_eq!(seeds("3..20"), Ok(3..20));
        for wrong in ["", "3", "3..", "3..3", "4..3", "a..b"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }
}
