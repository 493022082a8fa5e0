//! Running one step's commands, and what of their output is worth showing.

use crate::prelude::*;

/// Runs one step's commands.
pub struct Runner {
    log: PathBuf,
    commands: usize,
    /// The commands so far.
    pub(super) shown: String,
}

impl Runner {
    pub(super) fn new(name: &str, log: PathBuf) -> Runner {
        Runner { log, commands: 0, shown: format!("== {name}\n") }
    }

    /// What the command printed, if it succeeds. If not, that is in the error.
    pub fn run(&mut self, command: Command) -> Result<String> {
        self.commands += 1;
        self.shown += &format!("   {}\n", Shown(&command));
        Job::new(command, self.log.with_extension(format!("{}.log", self.commands))).succeed()
    }

    /// The command's standard output alone, to be read by us.
    pub fn read(&mut self, mut command: Command) -> Result<String> {
        self.shown += &format!("   {}\n", Shown(&command));
        capture(&mut command)
    }
}

/// A test for which something is missing fails then, instead of being a skip.
pub fn strict(mut test: Command) -> Command {
    test.env("CI", "true");
    test
}

/// Shows only how many tests there were.
pub fn sums(result: Result<String>) -> Result<String> {
    let sums = |output: String| {
        let lines = output.lines().map(str::trim).filter(|line| {
            line.starts_with("Running ")
                || line.starts_with("Doc-tests ")
                || line.starts_with("test result: ")
        });
        lines.map(|line| format!("   {line}\n")).collect()
    };
    result.map(sums)
}
