//! The steps: first those of `--quick`, then those that take longest, so that what runs at a time ends together.

use super::runner::{strict, sums, Runner};
use super::{dependencies, examples, features, minimal, msrv, opt_in, package, patch};
use crate::prelude::*;

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
    Step { name: "dependencies", quick: true, run: dependencies::check },
    Step { name: "package", quick: true, run: package::check },
    Step { name: "test", quick: true, run: test },
    Step { name: "chaos", quick: true, run: chaos },
    // What a program that is tested with Miri reaches.
    Step { name: "miri", quick: false, run: |runner| task(runner, "miri --quick", "miri: ") },
    // One target of each other kind.
    Step { name: "targets", quick: false, run: |runner| task(runner, "targets --quick", "") },
    // A runtime of each preview.
    Step { name: "wasi", quick: false, run: |runner| task(runner, "wasi", "") },
    Step { name: "test-release", quick: false, run: test_release },
    // Windows, without the release build.
    Step { name: "wine", quick: false, run: |runner| task(runner, "wine --quick", "test result: ") },
    // The one that needs no standard library of its own.
    Step { name: "sanitize", quick: false, run: |runner| task(runner, "sanitize address", "== address: ") },
    // The crates that ask most of mio and of polling, on each backend.
    Step {
        name: "downstream",
        quick: false,
        run: |runner| {
            task(
                runner,
                "downstream tokio async-io --only-io --cached-baseline --backend epoll --backend posix_poll",
                "",
            )
        },
    },
    // The programs of the worlds: hundreds of seeds.
    Step { name: "worlds", quick: false, run: worlds },
    // Each target, shortly.
    Step { name: "fuzz", quick: false, run: |runner| task(runner, "fuzz --seconds 10", "") },
    Step { name: "msrv", quick: false, run: msrv::check },
    Step { name: "loom", quick: false, run: |runner| task(runner, "loom", "test result: ") },
    Step { name: "examples", quick: false, run: examples::check },
    Step { name: "mio-flags", quick: false, run: mio_flags },
    Step { name: "features", quick: false, run: features::check },
    Step { name: "minimal-versions", quick: false, run: minimal::check },
    // Random programs, shortly.
    Step { name: "model", quick: false, run: |runner| task(runner, "model --seconds 10", "model: ") },
    // What the hot operations cost, counted and not timed.
    Step { name: "guard", quick: false, run: |runner| task(runner, "bench --guard", "") },
    // Every system call made to fail, whenever it is made.
    Step { name: "faults", quick: false, run: |runner| task(runner, "faults", " faults, ") },
    Step { name: "opt-in", quick: false, run: opt_in::check },
    Step { name: "patch", quick: false, run: patch::check },
    // Few connections for some seconds.
    Step {
        name: "soak",
        quick: false,
        run: |runner| task(runner, "soak --connections 300 --minutes 0.05", "memory "),
    },
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

/// Programs that the release build adds nothing to: the two that read the repository, the two that are steps of their
/// own, in release too, and the one that takes longest to build, whose subject is the kernel's answers.
const NOT_IN_RELEASE: [&str; 5] = ["facts", "faults", "model", "soak", "tidy"];

/// Debug and release must do the same.
fn test_release(runner: &mut Runner) -> Result<String> {
    let mut command = cargo(["test", "--workspace", "--exclude", "xtask", "--all-features", "--release"])?;
    command.arg("--lib");
    for package in [".", "compat/mio", "compat/polling", "world"] {
        let programs = workspace::test_programs(package)?;
        let programs = programs.iter().filter(|name| !NOT_IN_RELEASE.contains(&name.as_str()));
        command.args(programs.map(|name| format!("--test={name}")));
    }
    sums(runner.run(strict(command)))
}

/// The programs in `world/cluster` and its examples, in worlds, on a lock file of their own.
fn worlds(runner: &mut Runner) -> Result<String> {
    let folder = workspace::root()?.join("world/cluster");
    let there = |args: &[&str]| -> Result<Command> {
        let mut command = cargo(args)?;
        command.current_dir(&folder).env("CARGO_TARGET_DIR", workspace::target("worlds")?);
        Ok(command)
    };
    runner.run(there(&["fmt", "--", "--check"])?)?;
    let mut output = sums(runner.run(strict(there(&["test", "--locked"])?)))?;
    for example in ["world_mio", "world_http"] {
        let shown = runner.read(there(&["run", "--locked", "--example", example])?)?;
        output += &format!("   {example}: {shown}");
    }
    Ok(output)
}

/// The flags that mio's users may build with, in one build: one is about the notifier of each backend, the other about
/// which backend is the default.
fn mio_flags(runner: &mut Runner) -> Result<String> {
    let mut command = cargo(["test", "--package", "wakeful-io", "--all-features", "--target-dir"])?;
    command.arg(workspace::target("mio-flags")?);
    command.args(["--lib", "--test", "conformance", "--test", "descriptors", "--", "wake", "built_with"]);
    rustflags(&mut command, "--cfg mio_unsupported_force_waker_pipe --cfg mio_unsupported_force_poll_poll");
    sums(runner.run(command))
}

/// What the contract promises must hold with all that it allows.
fn chaos(runner: &mut Runner) -> Result<String> {
    let suite = ["--all-features", "--test", "conformance"];
    let mut command = cargo(["test", "--package", "wakeful-io", "--package", "wakeful-world"])?;
    // The check of the worlds' list has seeds of its own, and is the same in the step `test`.
    command.args(suite).args(["--", "--skip", "every_skip_is_needed"]).env("WAKEFUL_CHAOS", "1");
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
