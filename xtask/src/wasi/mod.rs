//! `cargo xtask wasi`: the library as WebAssembly, in a runtime of each WASI preview.

mod bridge;
mod echo;
mod runtime;
mod suite;

use self::runtime::Runtime;
use crate::prelude::*;
use clap::ValueEnum;

/// Run the tests and the echo example as WebAssembly, in a runtime of each WASI preview
#[derive(clap::Args)]
pub struct Wasi {
    /// This preview only
    #[arg(long, value_enum)]
    preview: Option<Preview>,

    /// How often to drive the echo server
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: u32,

    /// Only the conformance tests whose names contain this, and no echo
    filter: Option<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Preview {
    #[value(name = "1")]
    One,
    #[value(name = "2")]
    Two,
}

impl Preview {
    fn target(self) -> &'static str {
        match self {
            Preview::One => "wasm32-wasip1",
            Preview::Two => "wasm32-wasip2",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Preview::One => "preview 1",
            Preview::Two => "preview 2",
        }
    }
}

/// The first preview with threads, which no runtime here has any more: it is type-checked.
const WITH_THREADS: &str = "wasm32-wasip1-threads";

impl Task for Wasi {
    fn run(self) -> Result<bool> {
        packages::need(&[
            ("python3", &["python3"]),
            ("pip3", &["python3-pip"]),
            ("nc", &["netcat-openbsd"]),
        ])?;
        let mut passed = true;
        for preview in [Preview::One, Preview::Two] {
            if self.preview.is_some_and(|only| only != preview) {
                continue;
            }
            println!("== {}", preview.name());
            rustup::need(preview.target())?;
            let runtime = Runtime::install(preview)?;
            passed &= suite::run(&runtime, self.filter.as_deref())?;
            if self.filter.is_none() {
                passed &= suite::run_others(&runtime)?;
                passed &= echo::run(&runtime, self.rounds)?;
            }
        }
        if self.preview.is_none() && self.filter.is_none() {
            println!("== clippy");
            for target in [Preview::One.target(), Preview::Two.target(), WITH_THREADS] {
                rustup::need(target)?;
                passed &= lint(target)?;
            }
        }
        Ok(passed)
    }
}

/// What the compiler and clippy say of a target.
fn lint(target: &str) -> Result<bool> {
    let mut command = cargo(["clippy"])?;
    command.args(["--package", "wakeful-io", "--all-targets", "--all-features"]);
    command.args(["--target", target, "--", "-D", "warnings"]);
    let ended = Job::new(command, logs(target)?.join("clippy")).run()?;
    match ended.success() {
        true => println!("   {target}: nothing to say"),
        false => println!("-- {target}\n{}", ended.output()?.trim_end()),
    }
    Ok(ended.success())
}

/// Runs cargo for `target`; what it printed, its messages for people apart.
fn build(name: &str, target: &str, args: &[&str]) -> Result<String> {
    let mut command = cargo(args)?;
    command.args(["--package", "wakeful-io", "--all-features", "--target", target]);
    let log = logs(target)?.join(name);
    let errors = log.with_extension("errors");
    let ended = Job::new(command, log).errors_to(&errors).run()?;
    if !ended.success() {
        bail!("{ended}\n{}", read_lossy(&errors)?.trim_end());
    }
    ended.output()
}

fn logs(target: &str) -> Result<PathBuf> {
    Ok(workspace::target("wasi")?.join(target))
}

/// Builds a program; where it is.
fn program(name: &str, target: &str, args: &[&str]) -> Result<String> {
    let printed = build(name, target, &[args, &["--message-format=json-render-diagnostics"]].concat())?;
    let mut programs = executables(&printed).map(|(_, _, path)| path.display().to_string());
    programs.next().with_context(|| format!("cargo has built no {name}"))
}
