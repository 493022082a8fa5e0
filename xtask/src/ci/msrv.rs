//! The library, its tests and its examples are built and run by the oldest Rust that the manifest promises.

use super::consumer::Consumer;
use super::features;
use super::runner::{strict, sums, Runner};
use crate::prelude::*;

pub fn check(runner: &mut Runner) -> Result<String> {
    let toolchain =
        features::package()?["rust_version"].as_str().context("no rust-version")?.to_owned() + ".0";
    rustup::need_toolchain(&toolchain, &toolchain)?;

    // A program that locks its packages with that cargo.
    let user = Consumer::of_all("msrv", "fn main() {}\n")?;
    runner.run(user.cargo_of(&toolchain, &["metadata", "--format-version", "1"])?)?;
    runner.run(user.cargo_of(&toolchain, &["build"])?)?;

    // Our own lock file has versions that it can read and build, loom's too: it may not be written anew.
    let mut test =
        cargo_of(&toolchain, ["test", "--workspace", "--exclude", "xtask", "--all-features", "--locked"])?;
    test.args(["--lib", "--bins", "--tests", "--examples", "--target-dir"]).arg(workspace::target("msrv")?);
    sums(runner.run(strict(test)))
}
