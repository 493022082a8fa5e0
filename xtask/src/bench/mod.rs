//! `cargo xtask bench`: wakeful beside its peers, measured, compared with what is promised, and drawn.

mod cost;
mod goals;
mod guard;
mod html;
mod machine;
mod programs;
mod samples;
mod table;

use crate::prelude::*;
use machine::Machine;
use programs::Programs;
use samples::Samples;
use std::fs::{self, File};

/// Measure wakeful beside its peers: a table, and a report with charts below target/bench
#[derive(clap::Args)]
pub struct Bench {
    /// Only rows whose names begin so: w1 wake, w2 poll, w3 register and churn, w4 TCP, w5 UDP, w6 timeouts, w7
    /// memory and build, w8 modes, w9 polling's API, timers, tokio, smol
    #[arg(value_name = "W", value_parser = beginning)]
    rows: Vec<String>,

    /// A few rounds of each: about a minute, and rough
    #[arg(long)]
    quick: bool,

    /// Leave out libuv and libevent
    #[arg(long)]
    without_c: bool,

    /// Only make the table and the report anew, from the numbers of the last run
    #[arg(long)]
    report: bool,

    /// Time nothing: count instructions and system calls, and compare with the committed figures
    #[arg(long, conflicts_with_all = ["rows", "quick", "without_c", "report"])]
    guard: bool,

    /// Replace the committed figures
    #[arg(long, requires = "guard")]
    accept: bool,
}

const ROUNDS: usize = 150;
const QUICK_ROUNDS: usize = 15;

impl Task for Bench {
    fn run(self) -> Result<bool> {
        if self.guard {
            return guard::guard(self.accept);
        }
        let folder = workspace::target("bench")?;
        fs::create_dir_all(&folder)?;
        let (numbers, about) = (folder.join("numbers.csv"), folder.join("machine.txt"));
        if !self.report {
            let mut machine = Machine::look()?;
            self.measure(&numbers)?;
            machine.look_again();
            fs::write(&about, machine.to_string())?;
        }

        let samples = Samples::parse(&read_lossy(&numbers)?)?;
        if samples.rows.is_empty() {
            bail!("nothing was measured: no row's name begins with {}", self.rows.join(" or "));
        }
        let about = read_lossy(&about)?;
        let report = folder.join("report.html");
        fs::write(&report, html::page(&samples, &about))?;
        println!("{}\n{about}", table::Table(&samples));
        println!("numbers: {}\nreport:  {}", numbers.display(), report.display());
        Ok(true)
    }
}

/// The beginning of a row's name: refused here, before anything is built, if there is no such row.
fn beginning(word: &str) -> Result<String> {
    let word = word.to_lowercase();
    let mut rows = include_str!("../../../bench/rows.txt").lines().chain(cost::ROWS);
    match !word.is_empty() && rows.any(|row| row.starts_with(&word)) {
        true => Ok(word),
        false => bail!("no row's name begins so: bench/rows.txt and {} are all", cost::ROWS.join(", ")),
    }
}

impl Bench {
    fn measure(&self, numbers: &std::path::Path) -> Result<()> {
        let programs = Programs::build(!self.without_c)?;
        let rounds = if self.quick { QUICK_ROUNDS } else { ROUNDS };
        let out = File::create(numbers)?;
        let mut command = programs.bench();
        command.args(&self.rows).args(["--rounds", &rounds.to_string()]);
        command.stdin(Stdio::null()).stdout(out.try_clone().context("can't share the numbers")?);
        // Its progress goes to the terminal.
        let status = command.status().with_context(|| start_failed(&command))?;
        if !status.success() {
            bail!("the benchmark ended with {status}");
        }
        let wants = |id: &str| self.rows.is_empty() || self.rows.iter().any(|row| id.starts_with(&**row));
        cost::measure(wants, self.quick, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_beginnings_of_rows_are_taken() {
        for (word, row) in
            [("w2", "w2"), ("W4-drain", "w4-drain"), ("w7-build", "w7-build"), ("tokio", "tokio")]
        {
            assert_eq!(beginning(word).unwrap(), row);
        }
        for word in ["", "w10", "w2-x", "wake", "--"] {
            assert!(beginning(word).is_err(), "{word}");
        }
    }
}
