//! `cargo xtask ci`: all that must hold before a change is taken, as .ci/run calls it and as a person can.

mod consumer;
mod dependencies;
mod examples;
pub mod features;
mod minimal;
mod msrv;
mod opt_in;
mod package;
mod patch;
mod runner;
mod steps;

use crate::prelude::*;
use runner::Runner;
use std::sync::Mutex;
use steps::{Step, STEPS};

/// Run all checks, and sum them up
#[derive(clap::Args)]
pub struct Ci {
    /// Leave out what takes long: about two minutes once everything is built (`--quick --list` names the steps)
    #[arg(long)]
    quick: bool,

    /// Only print the names of the steps
    #[arg(long)]
    list: bool,

    /// How many steps to run at a time: one alone leaves processors idle while it links, and while its tests wait
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,

    /// Run these steps only
    #[arg(value_name = "STEP", value_parser = names())]
    steps: Vec<String>,
}

impl Task for Ci {
    fn run(self) -> Result<bool> {
        if self.list {
            STEPS.iter().filter(|step| self.wants(step)).for_each(|step| println!("{}", step.name));
            return Ok(true);
        }
        let logs = workspace::target("ci")?;
        let steps = Mutex::new(STEPS.iter().filter(|step| self.wants(step)));
        let done = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| loop {
                    let Some(step) = steps.lock().unwrap().next() else { return };
                    let (one, shown) = step.take(&logs);
                    let mut done = done.lock().unwrap();
                    print!("{shown}");
                    done.push(one);
                });
            }
        });
        let done = done.into_inner().unwrap();
        if done.is_empty() {
            bail!("no step is left to run");
        }
        Ok(sum_up(&done))
    }
}

impl Ci {
    fn wants(&self, step: &Step) -> bool {
        match &self.steps[..] {
            [] => !self.quick || step.quick,
            asked => asked.iter().any(|name| name == step.name),
        }
    }
}

impl Step {
    /// Runs it; how it ended, and what to print of it: in one piece, as another runs beside it.
    fn take(&self, logs: &Path) -> (Done, String) {
        let start = Instant::now();
        let mut runner = Runner::new(self.name, logs.join(self.name));
        let result = (self.run)(&mut runner);
        let took = start.elapsed();
        let mut shown = runner.shown;
        match &result {
            Ok(output) => shown += output,
            Err(error) => shown += &format!("{error:#}\n"),
        }
        shown += &format!("== {}: {} in {:.1?}\n", self.name, word(result.is_ok()), took);
        let failure = result.err().map(|error| format!("{error:#}"));
        (Done { name: self.name, failure, took }, shown)
    }
}

struct Done {
    name: &'static str,
    failure: Option<String>,
    took: Duration,
}

fn sum_up(done: &[Done]) -> bool {
    println!("\n{:24} {:8} {:>9}", "step", "result", "time");
    for step in done {
        let seconds = format!("{:.1} s", step.took.as_secs_f64());
        println!("{:24} {:8} {seconds:>9}", step.name, word(step.failure.is_none()));
    }
    let failed = done.iter().filter_map(|step| Some((step.name, step.failure.as_deref()?)));
    let failed: Vec<_> = failed.collect();
    println!("\n{} passed, {} failed", done.len() - failed.len(), failed.len());
    // Where only the end of the output is kept, the reason is in it.
    for (name, failure) in &failed {
        println!("\n{name} failed:\n{}", last_lines(failure, 40));
    }
    failed.is_empty()
}

/// Returns the last lines of a text, at most `count`.
fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn word(passed: bool) -> &'static str {
    match passed {
        true => "passed",
        false => "FAILED",
    }
}

fn names() -> clap::builder::PossibleValuesParser {
    STEPS.iter().map(|step| step.name).collect::<Vec<_>>().into()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// What `.ci/run` calls on a machine without rustfmt, and whether it succeeds.
    fn calls_of(argument: &str) -> (String, bool) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        let log = folder.join("log");
        let stub = |name: &str, script: &str| {
            let path = folder.join(name);
            fs::write(&path, format!("#!/bin/sh\necho \"{name} $*\" >>\"$LOG\"\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        stub("cargo", r#"case "$*" in *nonsense*) exit 2 ;; esac"#);
        stub("cargo-fmt", "exit 1");
        for name in ["rustc", "cc"] {
            stub(name, "");
        }
        for name in ["rustup", "apt-get", "sudo"] {
            stub(name, r#"case "$*" in --version) ;; *) exit 1 ;; esac"#);
        }
        let mut run = Command::new(workspace::root().unwrap().join(".ci/run"));
        run.arg(argument).env("LOG", &log).env("HOME", folder);
        run.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
        let is_success = run.output().unwrap().status.success();
        let calls = fs::read_to_string(&log).unwrap_or_default();
        (calls, is_success)
    }

    #[test]
    fn help_and_wrong_arguments_install_nothing() {
        let installs = |calls: &str| calls.contains("rustup component add") || calls.contains("apt-get ");
        for argument in ["--help", "-h", "--list"] {
            let (calls, is_success) = calls_of(argument);
            assert!(is_success && !installs(&calls), "{calls}");
            assert!(calls.ends_with(&format!("cargo xtask ci {argument}\n")), "{calls}");
        }
        let (calls, is_success) = calls_of("nonsense");
        assert!(!is_success && !installs(&calls), "{calls}");
        let (calls, _) = calls_of("format");
        assert!(installs(&calls), "the stubs see it: {calls}");
    }
}
