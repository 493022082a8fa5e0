//! The steps, in the order in which they tell most for the time they take.

use super::{dependencies, examples, features, minimal, msrv, opt_in, package, patch, Runner};
use crate::prelude::*;

pub struct Step {
    pub name: &'static str,
    /// Whether `--quick` has it too.
    pub quick: bool,
    /// Gives what is worth showing when all is well.
    pub run: fn(&mut Runner) -> Result<String>,
}

const fn step(name: &'static str, run: fn(&mut Runner) -> Result<String>) -> Step {
    Step { name, quick: false, run }
}

const fn quick(name: &'static str, run: fn(&mut Runner) -> Result<String>) -> Step {
    Step { name, quick: true, run }
}

pub const STEPS: &[Step] = &[
    quick("format", format),
    quick("clippy", clippy),
    quick("doc", doc),
    step("features", features::check),
    quick("dependencies", dependencies::check),
    quick("package", package::check),
    step("opt-in", opt_in::check),
    step("patch", patch::check),
    quick("test", test),
    step("test-release", test_release),
    step("mio-flags", mio_flags),
    quick("chaos", chaos),
    step("examples", examples::check),
    // Random programs, shortly.
    step("model", |runner| task(runner, "model --seconds 10", "model: ")),
    // Every system call made to fail, whenever it is made.
    step("faults", |runner| task(runner, "faults", " faults, ")),
    // Few connections for some seconds.
    step("soak", |runner| task(runner, "soak --connections 300 --minutes 0.05", "memory ")),
    // What the hot operations cost, counted and not timed.
    step("guard", |runner| task(runner, "bench --guard", "")),
    step("loom", |runner| task(runner, "loom", "test result: ")),
    // What a program that is tested with Miri reaches.
    step("miri", |runner| task(runner, "miri", "miri: ")),
    step("msrv", msrv::check),
    step("minimal-versions", minimal::check),
    // Each target, shortly.
    step("fuzz", |runner| task(runner, "fuzz --seconds 10", "")),
    // The one that needs no standard library of its own.
    step("sanitize", |runner| task(runner, "sanitize address", "== address: ")),
    // One target of each other kind.
    step("targets", |runner| task(runner, "targets --quick", "")),
    // A runtime of each preview.
    step("wasi", |runner| task(runner, "wasi", "")),
    // Windows.
    step("wine", |runner| task(runner, "wine", "test result: ")),
    // The crate that asks most of mio, on each backend.
    step("downstream", |runner| {
        task(runner, "downstream tokio --only-io --cached-baseline --backend epoll --backend posix_poll", "")
    }),
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

/// Another of our tasks, in a process of its own, and the lines of its output that have `shown` in them.
fn task(runner: &mut Runner, args: &str, shown: &str) -> Result<String> {
    let mut command = Command::new(env::current_exe().context("can't find the own executable")?);
    command.args(args.split(' '));
    let output = runner.run(command)?;
    Ok(output
        .lines()
        .filter(|line| line.contains(shown))
        .map(|line| format!("   {}\n", line.trim()))
        .collect())
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
