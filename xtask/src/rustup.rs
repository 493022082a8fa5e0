//! What rustup has to add: the standard library of targets that aren't this machine's, its sources, and another
//! toolchain.
//!
//! Invariant: nothing that is there already is downloaded again.

use crate::packages::alone;
use crate::prelude::*;

/// Makes sure that the compiler that runs this can build for `target`.
pub fn need(target: &str) -> Result<()> {
    if is_there(target)? {
        return Ok(());
    }
    add(&format!("the standard library for {target}"), &["target", "add", target])
}

/// Whether rustup has the standard library of `target`, which is there then. A mirror may lack one that rustup lists.
pub fn has(target: &str) -> Result<bool> {
    if is_there(target)? {
        return Ok(true);
    }
    let list = capture(rust("rustup")?.args(["target", "list"]))?;
    Ok(list.lines().any(|line| line.split(' ').next() == Some(target)) && need(target).is_ok())
}

fn is_there(target: &str) -> Result<bool> {
    let folder = capture(rust("rustc")?.args(["--print", "target-libdir", "--target", target]))?;
    Ok(Path::new(folder.trim()).is_dir())
}

/// The sources of the standard library of the compiler that runs this.
pub fn library() -> Result<PathBuf> {
    let sysroot = capture(rust("rustc")?.args(["--print", "sysroot"]))?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
    if !library.is_dir() {
        add("the sources of the standard library", &["component", "add", "rust-src"])?;
    }
    Ok(library)
}

/// Makes sure that there is a nightly toolchain, which alone has the sanitizers.
pub fn need_nightly() -> Result<()> {
    need_toolchain("nightly", "nightly")
}

/// Makes sure that there is this toolchain, whose compiler's version has `word` in it.
pub fn need_toolchain(toolchain: &str, word: &str) -> Result<()> {
    // What cargo tells us of its own toolchain isn't for that one.
    let version = capture(rust("rustc")?.arg("--version").env("RUSTUP_TOOLCHAIN", toolchain));
    if version.is_ok_and(|version| version.contains(word)) {
        return Ok(());
    }
    add(&format!("the toolchain {toolchain}"), &["toolchain", "install", toolchain, "--profile", "minimal"])
}

/// Makes sure that the nightly toolchain has Miri, and the sources of the standard library that it needs.
pub fn need_miri() -> Result<()> {
    need_nightly()?;
    if capture(&mut cargo_of("nightly", ["miri", "--version"])?).is_err() {
        add("Miri", &["component", "add", "miri", "--toolchain", "nightly"])?;
    }
    need_nightly_source()
}

/// Makes sure that the nightly toolchain can build its own standard library.
pub fn need_nightly_source() -> Result<()> {
    let sources = ["component", "add", "rust-src", "--toolchain", "nightly"];
    add("the sources of the nightly standard library, if they aren't there", &sources)
}

fn add(what: &str, args: &[&str]) -> Result<()> {
    println!("   adding {what}");
    alone(|| capture(rust("rustup")?.args(args)).with_context(|| format!("rustup can't add {what}")))
}

/// In the repository, whose toolchain may be another than elsewhere.
fn rust(program: &str) -> Result<Command> {
    let mut command = Command::new(program);
    command.current_dir(workspace::root()?);
    Ok(command)
}
