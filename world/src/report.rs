//! What many runs have come to.
//!
//! Invariant: the same program and seeds give the same report, but for its real times.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use wakeful::sim::Choice;

/// The result of [`Runs::check`](crate::Runs::check).
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many seeds were run.
    pub runs: u64,
    /// How many of them failed.
    pub failures: u64,
    /// The failure of the lowest seed.
    pub failure: Option<Failure>,
    /// The lengths of all runs, by the clocks of their worlds.
    pub virtual_time: Duration,
    /// The turns of all hosts.
    pub turns: u64,
    /// A hash of the logs of all runs: equal for runs that did the same, in whatever order.
    pub hash: u64,
}

/// Why a seed fails, in its smallest run.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Why the seed's own run fails.
    pub reason: String,
    /// The stack of a panic, if RUST_BACKTRACE asks for it.
    pub stack: String,
    /// How many choices of the seed's own run weren't plain.
    pub all_choices: usize,
    /// The choices of the smallest run that fails in the same way. All others are plain.
    pub choices: Vec<Choice>,
    /// Whether each of the choices was proved to be needed.
    pub is_minimal: bool,
    /// How many runs the search took.
    pub searched: usize,
    /// What happened in the smallest run, in lines.
    pub story: String,
    /// The same as an HTML page.
    pub page: Option<PathBuf>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} fails: {}", self.seed, self.reason)?;
        if !self.stack.is_empty() {
            writeln!(f, "{}", self.stack)?;
        }
        if !self.story.is_empty() {
            let count = self.choices.len();
            let smallest = if self.is_minimal { "the smallest" } else { "a small" };
            writeln!(
                f,
                "\n{smallest} failing run has {count} of {} choices ({} runs):\n",
                self.all_choices, self.searched
            )?;
            for line in self.story.lines() {
                writeln!(f, "  {line}")?;
            }
            writeln!(f)?;
        }
        if let Some(page) = &self.page {
            writeln!(f, "the page: {}", page.display())?;
        }
        Ok(())
    }
}
