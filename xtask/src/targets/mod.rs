//! `cargo xtask targets`: what one Linux machine can prove of other platforms.

pub mod list;
mod zig;

use crate::ci::features;
use crate::prelude::*;
use crate::sysroot::{build_folder, cargo_for};
use list::{Proof, Runner, Target, TARGETS};

/// Type-check the library for every target, link what can be linked, run what can be run
#[derive(clap::Args)]
pub struct Targets {
    /// One target of each kind, with all features together
    #[arg(long)]
    quick: bool,

    /// These targets only: any part of their names
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

impl Task for Targets {
    fn run(self) -> Result<bool> {
        let known = |part: &String| TARGETS.iter().any(|target| target.triple.contains(part.as_str()));
        if let Some(unknown) = self.targets.iter().find(|part| !known(part)) {
            bail!("no target has {unknown:?} in its name: xtask/src/targets/list.rs has them");
        }
        let combinations = match self.quick {
            true => vec![Vec::new(), vec!["os-poll,net,os-ext,log".to_owned()]],
            false => features::every()?,
        };
        let mut rows = Vec::new();
        for target in TARGETS.iter().filter(|target| self.wants(target)) {
            let start = Instant::now();
            println!("== {}", target.triple);
            let row = Row::of(target, &combinations);
            if let Some(error) = &row.error {
                println!("{error:#}");
            }
            println!("== {}: {} in {:.1?}", target.triple, row.word(), start.elapsed());
            rows.push(row);
        }
        if rows.is_empty() {
            bail!("no target has such a name");
        }
        Ok(sum_up(&rows))
    }
}

impl Targets {
    fn wants(&self, target: &Target) -> bool {
        match &self.targets[..] {
            [] => target.quick || !self.quick,
            asked => asked.iter().any(|part| target.triple.contains(part.as_str())),
        }
    }
}

/// What was found out about a target.
struct Row {
    triple: &'static str,
    checked: Option<usize>,
    linked: bool,
    passed: Option<usize>,
    error: Option<anyhow::Error>,
}

impl Row {
    fn of(target: &Target, combinations: &[Vec<String>]) -> Row {
        let mut row = Row { triple: target.triple, checked: None, linked: false, passed: None, error: None };
        row.error = row.fill(target, combinations).err();
        row
    }

    fn fill(&mut self, target: &Target, combinations: &[Vec<String>]) -> Result<()> {
        if let Proof::Run(runner) = target.proof {
            runner.need()?;
        }
        for features in combinations {
            let mut command = cargo_for(target.triple, "clippy")?;
            command.args(["--quiet", "--jobs", "2", "--package", "wakeful-io", "--no-default-features"]);
            command.args(["--features", &features.join(","), "--", "-D", "warnings"]);
            run_one(command, target.triple, "check")?;
        }
        self.checked = Some(combinations.len());
        match target.proof {
            Proof::Checked => {}
            Proof::Linked(zig) => {
                let mut command = zig::build(zig, target.triple)?;
                command.args(["--jobs", "2", "--package", "wakeful-io", "--all-features"]);
                command.args(["--tests", "--examples"]);
                run_one(command, target.triple, "link")?;
                self.linked = true;
            }
            Proof::Run(runner) => {
                let mut command = conformance(target.triple, runner)?;
                command.args(["--", "--test-threads", "2"]);
                let output = Output::parse(&run_one(command, target.triple, "run")?);
                self.linked = true;
                if output.tests.values().any(|&outcome| outcome == Outcome::Failed) || output.passed() == 0 {
                    bail!("the conformance suite has failed");
                }
                self.passed = Some(output.passed());
            }
        }
        Ok(())
    }

    fn word(&self) -> String {
        match (&self.error, self.passed) {
            (Some(_), _) => "FAILED".into(),
            (None, Some(passed)) => format!("run, {passed} tests passed"),
            (None, None) if self.linked => "linked".into(),
            (None, None) => "checked".into(),
        }
    }
}

/// `cargo test` of the conformance suite.
pub fn conformance(triple: &str, runner: Runner) -> Result<Command> {
    let mut test = cargo_for(triple, "test")?;
    test.args(["--jobs", "2", "--package", "wakeful-io", "--all-features", "--no-fail-fast"]);
    test.args(["--test", "conformance"]);
    if let Some((linker, runner)) = runner.programs() {
        let variable = triple.to_uppercase().replace('-', "_");
        test.env(format!("CARGO_TARGET_{variable}_LINKER"), linker);
        test.env(format!("CARGO_TARGET_{variable}_RUNNER"), runner);
    }
    Ok(test)
}

fn run_one(command: Command, triple: &str, what: &str) -> Result<String> {
    let log = build_folder()?.join("logs").join(format!("{triple}.{what}.log"));
    Job::new(command, log).limit(Duration::from_secs(30 * 60)).succeed()
}

fn sum_up(rows: &[Row]) -> bool {
    println!("\n| target | type-checks | links | conformance suite |\n|---|---|---|---|");
    for row in rows {
        let failed = row.error.is_some();
        let checked = match row.checked {
            Some(count) => format!("{count} feature sets"),
            None => "FAILED".into(),
        };
        let linked = match row.linked {
            true => "yes",
            false if failed && row.checked.is_some() => "FAILED",
            false => "",
        };
        let run = match row.passed {
            Some(passed) => format!("{passed} passed"),
            None if failed && row.linked => "FAILED".into(),
            None => String::new(),
        };
        println!("| {} | {checked} | {linked} | {run} |", row.triple);
    }
    let count = |what: fn(&Row) -> bool| rows.iter().filter(|row| what(row)).count();
    println!(
        "\n{} type-check, {} link, {} run the conformance suite; {} failed",
        count(|row| row.checked.is_some()),
        count(|row| row.linked),
        count(|row| row.passed.is_some()),
        count(|row| row.error.is_some()),
    );
    rows.iter().all(|row| row.error.is_none())
}
