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

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

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

/// The tasks by what they are for. Each stands in one group.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Daily (`ci --quick` takes about two minutes)", &["ci"]),
    ("Proof", &["model", "loom", "fuzz", "faults", "soak", "shake", "sanitize", "miri"]),
    ("Platforms", &["targets", "wine", "wasi", "kqueue", "kernels"]),
    ("Other people's code", &["downstream"]),
    ("Speed", &["bench"]),
];

/// What a subcommand does once its arguments are read.
trait Task {
    /// `Ok(false)` says that the task ran and found a fault, which it has printed; `Err` that it couldn't do its work.
    fn run(self) -> anyhow::Result<bool>;
}

fn main() -> ExitCode {
    let result = match Cli::try_parse() {
        Ok(cli) => cli.task.run(),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            print!("{}", wrapped(&error.to_string()));
            return ExitCode::SUCCESS;
        }
        Err(error) => error.exit(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// wakeful's own tasks: before a change is sent, `cargo xtask ci --quick`
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
#[command(help_template = "{about}\n\n{usage-heading} {usage}{after-help}", after_help = groups())]
struct Cli {
    #[command(subcommand)]
    task: Tasks,
}

fn groups() -> String {
    let tasks = Tasks::augment_subcommands(clap::Command::new("tasks"));
    let about = |name: &str| {
        tasks.find_subcommand(name).and_then(|task| task.get_about().cloned()).unwrap_or_default()
    };
    let mut text = String::new();
    for (group, names) in GROUPS {
        text += &format!("{group}\n");
        names.iter().for_each(|name| text += &format!("  {name:12}{}\n", about(name)));
        text.push('\n');
    }
    text + "`cargo xtask TASK --help` has a task's options.\n"
}

/// No line has more than 100 columns. What is broken goes on two columns further in, or below where its column began.
fn wrapped(help: &str) -> String {
    let wrap = |line: &str| {
        let text = line.trim_start();
        let own = line.len() - text.len();
        let column =
            text.find("  ").map_or(0, |end| end + text[end..].len() - text[end..].trim_start().len());
        let indent = " ".repeat(own + column);
        textwrap::fill(line, textwrap::Options::new(100).subsequent_indent(&indent)) + "\n"
    };
    help.lines().map(wrap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_task_stands_in_one_group_of_the_help() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        grouped.sort_unstable();
        let cli = Cli::command();
        let mut tasks: Vec<&str> = cli.get_subcommands().map(|task| task.get_name()).collect();
        tasks.sort_unstable();
        assert_eq!(grouped, tasks);
    }

    #[test]
    fn help_has_a_hundred_columns() {
        let mut cli = Cli::command();
        let mut help = vec![cli.render_long_help()];
        help.extend(cli.get_subcommands_mut().map(|task| task.render_long_help()));
        for help in help.iter().map(|help| wrapped(&help.to_string())) {
            let long = help.lines().find(|line| line.chars().count() > 100);
            assert_eq!(long, None, "{help}");
        }
        assert!(wrapped(&cli.render_help().to_string()).contains("ci --quick"));
    }

    /// The workflow never runs here, so a task or step that is renamed would be missed there.
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
        assert_eq!(calls, 11, "a command that is written otherwise isn't looked at");
    }
}
