//! Running test executables, of which any may hang or die half-way.

use super::build::Executable;
use super::bus::Bus;
use super::checkout::Checkout;
use super::results::{Binary, Results};
use super::{beyond, On};
use crate::prelude::*;
use std::fmt::Write;

/// Runs each executable in turn.
pub fn execute<'a>(
    checkout: &Checkout,
    executables: impl IntoIterator<Item = &'a Executable>,
    on: On,
    limit: Duration,
) -> Result<Results> {
    let mut results = Results::new();
    for executable in executables {
        let bus = if checkout.published.needs_bus { Some(Bus::start()?) } else { None };
        let runner = Runner { checkout, executable, on, limit, bus };
        let binary = runner.run()?;
        if let Some(fault) = &binary.fault {
            eprintln!("  {}: {fault}", executable.name);
        }
        results.insert(executable.name.clone(), binary);
    }
    Ok(results)
}

/// How many hung tests of one executable are waited for. Beyond that the exact list is of no use.
const MOST_HUNG: usize = 8;

struct Runner<'a> {
    checkout: &'a Checkout,
    executable: &'a Executable,
    on: On,
    limit: Duration,
    bus: Option<Bus>,
}

impl Runner<'_> {
    fn run(&self) -> Result<Binary> {
        let left_out = beyond::hanging(self.checkout.published, self.on, &self.executable.name);
        let mut names = listed(&self.job(&["--list", "--format", "terse"], "list")?.run()?.output()?);
        names.retain(|name| !left_out.contains(&&**name));
        let skips: Vec<&str> = left_out.iter().flat_map(|&name| ["--skip", name]).collect();
        let mut job = self.job(&skips, "all")?;
        if self.executable.path.is_some() {
            job = job.watch_epoll();
        }
        let ended = job.run()?;
        let output = Output::parse(&ended.output()?);
        let mut binary = Binary { tests: output.tests, used_epoll: ended.used_epoll, ..Binary::default() };

        let missing: Vec<&String> = names.iter().filter(|&name| !binary.tests.contains_key(name)).collect();
        let failed = binary.tests.values().any(|&outcome| outcome == Outcome::Failed);
        if ended.hung() || !missing.is_empty() || ended.success() == failed {
            let mut fault = match ended.hung() {
                true => format!("hung, {ended}"),
                false => format!("ended with {ended}"),
            };
            if !missing.is_empty() {
                // A `String` takes any text.
                let _ = write!(fault, " and without a result for {} tests", missing.len());
            }
            let slow: Vec<_> =
                output.slow.iter().filter(|name| missing.contains(name)).map(|name| &**name).collect();
            if !slow.is_empty() {
                let _ = write!(fault, ", running for long: {}", slow.join(", "));
            }
            binary.fault = Some(fault);
        }
        for (name, outcome) in self.one_by_one(&missing)? {
            binary.tests.insert(name, outcome);
        }
        Ok(binary)
    }

    /// Finds who is to blame: each test in a process of its own.
    fn one_by_one(&self, names: &[&String]) -> Result<Vec<(String, Outcome)>> {
        let mut outcomes = Vec::new();
        let mut hung = 0;
        for &name in names {
            let outcome = if hung < MOST_HUNG {
                let log = name.replace(|c: char| !c.is_alphanumeric(), "_");
                let job = self.job(&["--exact", name, "--test-threads=1"], &log)?;
                let ended = job.limit(self.limit / 4).run()?;
                match Output::parse(&ended.output()?).tests.get(name) {
                    Some(&outcome) => outcome,
                    None if ended.hung() => Outcome::Hung,
                    None => Outcome::Failed,
                }
            } else {
                Outcome::Hung
            };
            hung += usize::from(outcome == Outcome::Hung);
            outcomes.push((name.clone(), outcome));
        }
        Ok(outcomes)
    }

    fn job(&self, args: &[&str], log: &str) -> Result<Job> {
        let checkout = self.checkout;
        let mut command = match &self.executable.path {
            Some(path) => {
                let mut command = Command::new(path);
                checkout.as_cargo_test(&mut command);
                command
            }
            None => {
                let mut command = checkout.cargo_for_tests(&["test", "--doc"])?;
                command.arg("--");
                command
            }
        };
        command.args(args);
        if let Some(bus) = &self.bus {
            command.env("DBUS_SESSION_BUS_ADDRESS", &bus.address);
        }
        match self.on.backend.variable() {
            Some(value) => command.env("WAKEFUL_BACKEND", value),
            None => command.env_remove("WAKEFUL_BACKEND"),
        };
        match self.on.chaos {
            Some(seed) => command.env("WAKEFUL_CHAOS", seed.to_string()),
            None => command.env_remove("WAKEFUL_CHAOS"),
        };
        let logs = checkout.logs.join(self.on.to_string()).join(&self.executable.name);
        let errors = logs.join(format!("{log}.stderr"));
        Ok(Job::new(command, logs.join(log)).errors_to(errors).limit(self.limit))
    }
}
