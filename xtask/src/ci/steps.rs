//! The steps, in the order in which they tell most for the time they take.

use std::env;
use std::process::Command;

use anyhow::{Context, Result};

use super::{dependencies, examples, features, minimal, msrv, opt_in, package, patch, Runner};
use crate::command::{cargo, rustflags};
use crate::workspace;

pub struct Step {
    pub name: &'static str,
    /// Whether `--quick` has it too.
    pub quick: bool,
    /// Gives what is worth showing when all is well.
    pub run: fn(&mut Runner) -> Result<String>,
}

pub const STEPS: &[Step] = &[
    Step { name: "format", quick: true, run: format },
    Step { name: "clippy", quick: true, run: clippy },
    Step { name: "doc", quick: true, run: doc },
    Step { name: "features", quick: true, run: features::check },
    Step { name: "dependencies", quick: true, run: dependencies::check },
    Step { name: "package", quick: true, run: package::check },
    Step { name: "opt-in", quick: true, run: opt_in::check },
    Step { name: "patch", quick: true, run: patch::check },
    Step { name: "test", quick: true, run: test },
    Step { name: "test-release", quick: false, run: test_release },
    Step { name: "mio-flags", quick: false, run: mio_flags },
    Step { name: "chaos", quick: true, run: chaos },
    Step { name: "examples", quick: true, run: examples::check },
    Step { name: "model", quick: false, run: model },
    Step { name: "faults", quick: false, run: faults },
    Step { name: "soak", quick: false, run: soak },
    Step { name: "guard", quick: true, run: guard },
    Step { name: "loom", quick: true, run: loom },
    Step { name: "miri", quick: false, run: miri },
    Step { name: "msrv", quick: false, run: msrv::check },
    Step { name: "minimal-versions", quick: false, run: minimal::check },
    Step { name: "fuzz", quick: false, run: fuzz },
    Step { name: "sanitize", quick: false, run: sanitize },
    Step { name: "targets", quick: false, run: targets },
    Step { name: "wasi", quick: false, run: wasi },
    Step { name: "wine", quick: false, run: wine },
    Step { name: "downstream", quick: false, run: downstream },
];

fn format(runner: &mut Runner) -> Result<String> {
    runner.run(cargo(["fmt", "--all", "--check"])?)?;
    quietly(runner.run(cargo(["fmt", "--all", "--check", "--manifest-path", "bench/Cargo.toml"])?))
}

fn clippy(runner: &mut Runner) -> Result<String> {
    let args = ["--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    let mut command = cargo(["clippy"])?;
    command.args(args);
    quietly(runner.run(command))
}

fn doc(runner: &mut Runner) -> Result<String> {
    let mut command = cargo(["doc", "--no-deps", "--workspace", "--all-features"])?;
    command.env("RUSTDOCFLAGS", "-D warnings");
    quietly(runner.run(command))
}

/// The README's command.
fn test(runner: &mut Runner) -> Result<String> {
    sums(runner.run(strict(cargo(["test", "--workspace", "--all-features"])?)))
}

/// Debug and release must do the same.
fn test_release(runner: &mut Runner) -> Result<String> {
    let args = ["test", "--workspace", "--exclude", "xtask", "--all-features", "--release"];
    sums(runner.run(strict(cargo(args)?)))
}

/// A test for which something is missing fails then, instead of being a skip.
pub fn strict(mut test: Command) -> Command {
    test.env("CI", "true");
    test
}

/// The flags that mio's users may build with.
fn mio_flags(runner: &mut Runner) -> Result<String> {
    let mut output = String::new();
    for flag in ["mio_unsupported_force_waker_pipe", "mio_unsupported_force_poll_poll"] {
        let mut command = cargo(["test", "--package", "wakeful-io", "--all-features", "--target-dir"])?;
        command.arg(workspace::target(flag)?);
        command.args(["--lib", "--test", "conformance", "--test", "descriptors", "--", "wake", "built_with"]);
        rustflags(&mut command, &format!("--cfg {flag}"));
        output += &runner.run(command)?;
    }
    sums(Ok(output))
}

/// What the contract promises must hold with all that it allows.
fn chaos(runner: &mut Runner) -> Result<String> {
    let mut command = cargo(["test", "--package", "wakeful-io", "--all-features", "--test", "conformance"])?;
    command.env("WAKEFUL_CHAOS", "1");
    sums(runner.run(command))
}

/// Random programs: the short form.
fn model(runner: &mut Runner) -> Result<String> {
    let output = runner.run(xtask(&["model", "--seconds", "10"])?)?;
    Ok(output.lines().filter(|line| line.starts_with("model: ")).map(|line| format!("   {line}\n")).collect())
}

/// Every system call made to fail, whenever it is made.
fn faults(runner: &mut Runner) -> Result<String> {
    let output = runner.run(xtask(&["faults"])?)?;
    Ok(output.lines().filter(|line| line.contains(" faults, ")).map(|line| format!("   {line}\n")).collect())
}

/// Few connections for some seconds.
fn soak(runner: &mut Runner) -> Result<String> {
    let output = runner.run(xtask(&["soak", "--connections", "300", "--minutes", "0.05"])?)?;
    Ok(output.lines().filter(|line| line.contains("memory ")).map(|line| format!("   {line}\n")).collect())
}

/// Each target, shortly.
fn fuzz(runner: &mut Runner) -> Result<String> {
    runner.run(xtask(&["fuzz", "--seconds", "10"])?)
}

/// The one that needs no standard library of its own.
fn sanitize(runner: &mut Runner) -> Result<String> {
    let output = runner.run(xtask(&["sanitize", "address"])?)?;
    Ok(output
        .lines()
        .filter(|line| line.starts_with("== address: "))
        .map(|line| format!("   {line}\n"))
        .collect())
}

fn loom(runner: &mut Runner) -> Result<String> {
    sums(runner.run(xtask(&["loom"])?))
}

/// What a program that is tested with Miri reaches.
fn miri(runner: &mut Runner) -> Result<String> {
    let output = runner.run(xtask(&["miri"])?)?;
    Ok(output.lines().filter(|line| line.starts_with("miri: ")).map(|line| format!("   {line}\n")).collect())
}

/// Windows.
fn wine(runner: &mut Runner) -> Result<String> {
    sums(runner.run(xtask(&["wine"])?))
}

/// A runtime of each preview.
fn wasi(runner: &mut Runner) -> Result<String> {
    runner.run(xtask(&["wasi"])?)
}

/// One target of each other kind.
fn targets(runner: &mut Runner) -> Result<String> {
    runner.run(xtask(&["targets", "--quick"])?)
}

/// What the hot operations cost, counted and not timed.
fn guard(runner: &mut Runner) -> Result<String> {
    runner.run(xtask(&["bench", "--guard"])?)
}

/// The crate that asks most of mio, on each backend.
fn downstream(runner: &mut Runner) -> Result<String> {
    let backends = ["--backend", "epoll", "--backend", "posix_poll"];
    let mut command = xtask(&["downstream", "tokio", "--only-io", "--cached-baseline"])?;
    command.args(backends);
    runner.run(command)
}

/// Another of our tasks, in a process of its own: its output is kept like any other's.
fn xtask(args: &[&str]) -> Result<Command> {
    let mut command = Command::new(env::current_exe().context("can't find the own executable")?);
    command.args(args);
    Ok(command)
}

/// Says nothing if all is well.
fn quietly(result: Result<String>) -> Result<String> {
    result.map(|_| String::new())
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
