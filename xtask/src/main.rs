//! wakeful's own tasks. A new one is a file with a public type of clap's `Args` that implements `Task`, its `mod`
//! line, and its word in `tasks!`.

mod bench;
mod ci;
mod command;
mod downstream;
mod faults;
mod fuzz;
mod job;
mod kernels;
mod kqueue;
mod libtest;
mod loom;
mod miri;
mod model;
mod packages;
mod prelude;
mod rustup;
mod sanitize;
mod shake;
mod soak;
mod sysroot;
mod targets;
mod wasi;
mod wine;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

use bench::Bench;
use ci::Ci;
use downstream::Downstream;
use faults::Faults;
use fuzz::Fuzz;
use kernels::Kernels;
use kqueue::Kqueue;
use loom::Loom;
use miri::Miri;
use model::Model;
use sanitize::Sanitize;
use shake::Shake;
use soak::Soak;
use targets::Targets;
use wasi::Wasi;
use wine::Wine;

macro_rules! tasks {
    ($($name:ident),* $(,)?) => {
        #[derive(clap::Subcommand)]
        enum Tasks {
            $($name($name),)*
        }

        impl Task for Tasks {
            fn run(self) -> anyhow::Result<bool> {
                match self {
                    $(Tasks::$name(task) => task.run(),)*
                }
            }
        }
    };
}

tasks! {
    Bench, Ci, Downstream, Faults, Fuzz, Kernels, Kqueue, Loom, Miri, Model, Sanitize, Shake, Soak, Targets, Wasi, Wine
}

/// What a subcommand does once its arguments are read.
trait Task {
    /// `Ok(false)` says that the task ran and found a fault, which it has printed; `Err` that it couldn't do its work.
    fn run(self) -> anyhow::Result<bool>;
}

fn main() -> ExitCode {
    match Cli::parse().task.run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// wakeful's own tasks
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Tasks,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody runs the workflow here, so that a task or step that is renamed would be missed there.
    #[test]
    fn the_workflow_calls_what_there_is() {
        let workflow = include_str!("../../.github/workflows/ci.yml");
        let lines = workflow.lines().filter(|line| !line.trim_start().starts_with('#'));
        let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        let mut calls = 0;
        for (at, &word) in words.iter().enumerate() {
            let task: &[&str] = match word {
                ".ci/run" => &["ci"],
                "xtask" => &[],
                _ => continue,
            };
            let arguments = words[at + 1..].iter().copied();
            let arguments = arguments.take_while(|word| *word != "-" && !word.ends_with(':'));
            let call: Vec<&str> = ["cargo xtask"].iter().chain(task).copied().chain(arguments).collect();
            if let Err(error) = Cli::try_parse_from(&call) {
                panic!("{call:?}: {error}");
            }
            calls += 1;
        }
        assert_eq!(calls, 5, "a command that is written otherwise isn't looked at");
    }
}
