//! What rustup has to add: the standard library of targets that aren't this machine's, and another toolchain.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::capture;
use crate::workspace;

/// Makes sure that the compiler that runs this can build for `target`.
pub fn need(target: &str) -> Result<()> {
    let mut ask = rust("rustc")?;
    ask.args(["--print", "target-libdir", "--target", target]);
    let folder = capture(ask)?;
    if Path::new(folder.trim()).is_dir() {
        return Ok(());
    }
    println!("   adding the standard library for {target}");
    let mut add = rust("rustup")?;
    add.args(["target", "add", target]);
    capture(add).with_context(|| format!("no standard library for {target}, and rustup can't add it"))?;
    Ok(())
}

/// Makes sure that there is a nightly toolchain, which alone has the sanitizers.
pub fn need_nightly() -> Result<()> {
    let mut ask = rust("rustc")?;
    // What cargo tells us of its own toolchain isn't for that one.
    ask.arg("--version").env("RUSTUP_TOOLCHAIN", "nightly");
    if capture(ask).is_ok_and(|version| version.contains("nightly")) {
        return Ok(());
    }
    println!("   adding a nightly toolchain");
    let mut add = rust("rustup")?;
    add.args(["toolchain", "install", "nightly", "--profile", "minimal"]);
    capture(add).context("no nightly toolchain, and rustup can't add one")?;
    Ok(())
}

/// In the repository, whose toolchain may be another than elsewhere.
fn rust(program: &str) -> Result<Command> {
    let mut command = Command::new(program);
    command.current_dir(workspace::root()?);
    Ok(command)
}

/// Makes sure that the nightly toolchain can build its own standard library.
pub fn need_nightly_source() -> Result<()> {
    let mut add = rust("rustup")?;
    add.args(["component", "add", "rust-src", "--toolchain", "nightly"]);
    capture(add).context("rustup can't add the sources of the nightly standard library")?;
    Ok(())
}
