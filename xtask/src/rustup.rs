//! What rustup has to add: the standard library of targets that aren't this machine's, and another toolchain.

use crate::packages::alone;
use crate::prelude::*;

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
    alone(|| {
        capture(add).with_context(|| format!("no standard library for {target}, and rustup can't add it"))
    })
}

/// Makes sure that there is a nightly toolchain, which alone has the sanitizers.
pub fn need_nightly() -> Result<()> {
    need_toolchain("nightly", "nightly")
}

/// Makes sure that there is this toolchain, whose compiler's version has `word` in it.
pub fn need_toolchain(toolchain: &str, word: &str) -> Result<()> {
    let mut ask = rust("rustc")?;
    // What cargo tells us of its own toolchain isn't for that one.
    ask.arg("--version").env("RUSTUP_TOOLCHAIN", toolchain);
    if capture(ask).is_ok_and(|version| version.contains(word)) {
        return Ok(());
    }
    println!("   adding the toolchain {toolchain}");
    let mut add = rust("rustup")?;
    add.args(["toolchain", "install", toolchain, "--profile", "minimal"]);
    alone(|| capture(add).with_context(|| format!("no toolchain {toolchain}, and rustup can't add it")))
}

/// Makes sure that the nightly toolchain has Miri, and the sources of the standard library that it needs.
pub fn need_miri() -> Result<()> {
    need_nightly()?;
    let mut ask = rust("cargo")?;
    ask.args(["miri", "--version"])
        .env("RUSTUP_TOOLCHAIN", "nightly")
        .env_remove("CARGO")
        .env_remove("RUSTC");
    if capture(ask).is_err() {
        println!("   adding Miri");
        let mut add = rust("rustup")?;
        add.args(["component", "add", "miri", "--toolchain", "nightly"]);
        alone(|| capture(add).context("no Miri, and rustup can't add it"))?;
    }
    need_nightly_source()
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
    alone(|| capture(add).context("rustup can't add the sources of the nightly standard library"))
}
