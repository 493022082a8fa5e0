//! The tests. Those of the conformance suite have a program run of their own each: where a panic ends the program, it
//! ends one test.

use super::bridge::Bridge;
use super::runtime::{free_addr, list, Runtime};
use super::{logs, program, Preview};
use crate::prelude::*;
use std::sync::Mutex;

/// Longer than a test's own patience, and than a whole program of tests that a busy machine interprets: `sim` took
/// more than 150 s at a load of 8.
const LIMIT: Duration = Duration::from_secs(400);

/// The other test programs that a preview can run, by cargo's name for them.
const fn others(preview: Preview) -> &'static [&'static [&'static str]] {
    const LIB: &[&str] = &["--lib"];
    const SIM: &[&str] = &["--test", "sim"];
    const API: &[&str] = &["--test", "api"];
    match preview {
        // Without sockets there is nothing to shake.
        Preview::One => &[LIB, SIM, API, &["--test", "allocations"]],
        // Its calls allocate what they answer.
        Preview::Two => &[LIB, SIM, API, &["--test", "chaos"]],
    }
}

/// Runs the other test programs, each as a whole.
pub fn run_others(runtime: &Runtime) -> Result<bool> {
    let target = runtime.preview.target();
    let mut is_well = true;
    for of_program in others(runtime.preview) {
        let name = of_program[of_program.len() - 1].trim_start_matches("--");
        let program = program(name, target, &[&["test", "--no-run"], *of_program].concat())?;
        match start(runtime, &program, &[], logs(target)?.join(format!("all-of-{name}")))? {
            Ok(output) if Output::parse(&output).passed() > 0 => {
                println!("   {name}: {} passed", Output::parse(&output).passed());
            }
            Ok(output) | Err(output) => {
                println!("-- {name}\n{output}");
                is_well = false;
            }
        }
    }
    Ok(is_well)
}

/// Runs the conformance suite.
pub fn run(runtime: &Runtime, filter: Option<&str>) -> Result<bool> {
    let target = runtime.preview.target();
    let program = program("conformance", target, &["test", "--test", "conformance", "--no-run"])?;
    let mut tests = list(runtime, &program)?;
    tests.retain(|test| filter.map_or(true, |filter| test.contains(filter)));
    if tests.is_empty() {
        bail!("there is no such test");
    }
    let logs = logs(target)?;
    let next = Mutex::new(tests.iter());
    let done = Mutex::new(Done::default());
    // Most of a test's time goes into starting the runtime.
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| -> Result<()> {
        let work = || -> Result<()> {
            loop {
                let Some(test) = next.lock().unwrap().next() else { return Ok(()) };
                let output = one(runtime, &program, test, logs.join(test.replace("::", ".")))?;
                done.lock().unwrap().add(test, output);
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker panicked"))
    })?;

    let done = done.into_inner().unwrap();
    for (name, tests) in &done.skips {
        println!("   skipped: {name} ({tests} tests)");
    }
    println!("   conformance: {} passed, {} failed", done.passed, done.failed);
    Ok(done.failed == 0)
}

fn one(runtime: &Runtime, program: &str, test: &str, log: PathBuf) -> Result<Result<String, String>> {
    let output = start(runtime, program, &["--exact", test], log)?;
    Ok(output.and_then(|output| if output.contains("1 passed") { Ok(output) } else { Err(output) }))
}

/// What a test program says that succeeds, or that doesn't.
fn start(runtime: &Runtime, program: &str, args: &[&str], log: PathBuf) -> Result<Result<String, String>> {
    let addr = free_addr()?;
    let _bridge = (runtime.preview == Preview::One).then(|| Bridge::new(addr));
    let mut command = runtime.command(program, addr);
    command.args(args).args(["--nocapture", "--test-threads=1"]);
    let ended = Job::new(command, log).limit(LIMIT).run()?;
    let output = ended.output()?;
    Ok(if ended.success() { Ok(output) } else { Err(format!("{}\n{ended}", output.trim_end())) })
}

#[derive(Default)]
struct Done {
    passed: usize,
    failed: usize,
    /// How many tests say that they skip something, by what and why. `skips.rs` fails for what isn't on its list.
    skips: BTreeMap<String, usize>,
}

impl Done {
    fn add(&mut self, test: &str, result: Result<String, String>) {
        match result {
            Ok(output) => {
                self.passed += 1;
                // `skips.rs` runs others' tests to see whether they skip.
                let own = output.lines().filter(|_| !test.starts_with("skips::"));
                for skip in own.filter_map(|line| line.split_once("skipped on ").map(|(_, skip)| skip)) {
                    *self.skips.entry(skip.to_owned()).or_insert(0) += 1;
                }
            }
            Err(output) => {
                self.failed += 1;
                println!("-- {test}\n{output}");
            }
        }
    }
}
