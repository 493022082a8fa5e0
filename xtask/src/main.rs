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
mod model;
mod packages;
mod rustup;
mod sanitize;
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
use model::Model;
use sanitize::Sanitize;
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

tasks! { Bench, Ci, Downstream, Faults, Fuzz, Kernels, Kqueue, Loom, Model, Sanitize, Soak, Targets, Wasi, Wine }

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
