//! The library, its tests and its examples compile with the oldest Rust that the manifest promises, and the tests of
//! the contract pass with its standard library.

use super::consumer::Consumer;
use super::features;
use super::runner::{strict, sums, Runner};
use crate::prelude::*;

/// The tests of the contract, and those of the packages in compat.
const TESTS: [&str; 7] = ["--lib", "--test", "api", "--test", "conformance", "--test", "poller"];

pub fn check(runner: &mut Runner) -> Result<String> {
    let toolchain =
        features::package()?["rust_version"].as_str().context("no rust-version")?.to_owned() + ".0";
    rustup::need_toolchain(&toolchain, &toolchain)?;

    // A program that locks its packages with that cargo.
    let user = Consumer::of_all("msrv", "fn main() {}\n")?;
    runner.run(user.cargo_of(&toolchain, &["metadata", "--format-version", "1"])?)?;
    runner.run(user.cargo_of(&toolchain, &["build"])?)?;

    // Our own lock file has versions that it can read and build, loom's too: it may not be written anew.
    let ours = |command: &str, targets: &[&str]| -> Result<Command> {
        let mut command = cargo_of(&toolchain, [command, "--workspace", "--exclude", "xtask"])?;
        command.args(["--all-features", "--locked"]).args(targets);
        command.arg("--target-dir").arg(workspace::target("msrv")?);
        Ok(command)
    };
    runner.run(ours("check", &["--all-targets"])?)?;
    sums(runner.run(strict(ours("test", &TESTS)?)))
}
