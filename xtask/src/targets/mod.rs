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
            true => vec![String::new(), features::all()?.join(",")],
            false => features::every()?,
        };
        let mut rows = Vec::new();
        for target in TARGETS.iter().filter(|target| self.wants(target)) {
            let start = Instant::now();
            println!("== {}", target.triple);
            let mut row = Row { triple: target.triple, cells: Vec::new() };
            if let Err(error) = row.fill(target.proof, &combinations) {
                println!("{error:#}");
                row.cells.push(FAILED.to_owned());
            }
            println!("== {}: {} in {:.1?}", target.triple, row.cells.join(", "), start.elapsed());
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
    /// What has been proven, by the columns of the table, and then perhaps [`FAILED`].
    cells: Vec<String>,
}

const FAILED: &str = "FAILED";

impl Row {
    fn fill(&mut self, proof: Proof, combinations: &[String]) -> Result<()> {
        if let Proof::Run(runner) = proof {
            runner.need()?;
        }
        for features in combinations {
            let mut command = cargo_for(self.triple, "clippy")?;
            command.args(["--quiet", "--jobs", "2", "--package", "wakeful-io", "--no-default-features"]);
            command.args(["--features", features, "--", "-D", "warnings"]);
            run_one(command, self.triple, "check")?;
        }
        self.cells.push(format!("{} feature sets", combinations.len()));
        match proof {
            Proof::Checked => {}
            Proof::Linked(zig) => {
                let mut command = zig::build(zig, self.triple)?;
                command.args(["--jobs", "2", "--package", "wakeful-io", "--all-features"]);
                command.args(["--tests", "--examples"]);
                run_one(command, self.triple, "link")?;
                self.cells.push("linked".to_owned());
            }
            Proof::Run(runner) => {
                let mut command = conformance(self.triple, runner)?;
                command.args(["--", "--test-threads", "2"]);
                let output = Output::parse(&run_one(command, self.triple, "run")?);
                self.cells.push("linked".to_owned());
                if output.tests.values().any(|&outcome| outcome == Outcome::Failed) || output.passed() == 0 {
                    bail!("the conformance suite has failed");
                }
                let mut cell = format!("{} passed", output.passed());
                if runner.has_worlds() {
                    let test = test(self.triple, runner, &["wakeful-world", "--test", "everywhere"])?;
                    if Output::parse(&run_one(test, self.triple, "world")?).passed() == 0 {
                        bail!("no run of a world has passed");
                    }
                    cell += ", and a world";
                }
                self.cells.push(cell);
            }
        }
        Ok(())
    }

    fn has_failed(&self) -> bool {
        self.cells.last().is_some_and(|cell| cell == FAILED)
    }
}

/// `cargo test` of the conformance suite.
pub fn conformance(triple: &str, runner: Runner) -> Result<Command> {
    let args = ["wakeful-io", "--all-features", "--no-fail-fast", "--test", "conformance"];
    test(triple, runner, &args)
}

/// `cargo test` of a package, with further arguments.
fn test(triple: &str, runner: Runner, package: &[&str]) -> Result<Command> {
    let mut test = cargo_for(triple, "test")?;
    test.args(["--jobs", "2", "--package"]).args(package);
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
    for Row { triple, cells } in rows {
        let cell = |column: usize| cells.get(column).map_or("", String::as_str);
        println!("| {triple} | {} | {} | {} |", cell(0), cell(1), cell(2));
    }
    let failed = rows.iter().filter(|row| row.has_failed()).count();
    let proven = |row: &Row| row.cells.len() - usize::from(row.has_failed());
    let [checked, linked, run] =
        [1, 2, 3].map(|least| rows.iter().filter(|row| proven(row) >= least).count());
    println!("\n{checked} type-check, {linked} link, {run} run the conformance suite; {failed} failed");
    failed == 0
}
