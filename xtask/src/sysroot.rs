//! Cargo for targets that aren't this machine's. rustup has the standard library of many; cargo builds that of the
//! others from its sources.
//!
//! Invariant: one compiler serves every target, the one that runs this.

use crate::downstream::source::{mirror, write_if_new};
use crate::prelude::*;

/// What the library of Rust 1.95 and 1.96 has wrong for a target, so that it doesn't compile: the target, a file, what
/// stands there, and what a copy of the library has in its place.
const MENDS: &[(&str, &str, &str, &str)] = &[
    // libc calls these fields `st_atim` and so on.
    ("aix", "std/src/os/aix/fs.rs", "time.tv_", "tim.tv_"),
    ("aix", "std/src/sys/fs/unix.rs", "time.tv_", "tim.tv_"),
    // libc has `pollfd` with other integers than its flags.
    ("3ds", "std/src/sys/net/connection/socket/unix.rs", "libc::POLLOUT,", "libc::POLLOUT as _,"),
    (
        "3ds",
        "std/src/sys/net/connection/socket/unix.rs",
        "pollfd.revents &",
        "pollfd.revents as libc::c_short &",
    ),
    ("3ds", "std/src/sys/process/unix/common.rs", "= libc::POLLIN;", "= libc::POLLIN as _;"),
    // libc has no such constant; what follows takes -1 for "unknown".
    ("nuttx", "std/src/sys/net/hostname/unix.rs", "libc::sysconf(libc::_SC_HOST_NAME_MAX)", "-1"),
];

/// `cargo COMMAND --target TARGET`, which finds a standard library.
pub fn cargo_for(target: &str, command: &str) -> Result<Command> {
    let mut cargo = cargo([command])?;
    set_up(&mut cargo, target)?;
    Ok(cargo)
}

/// The same for any program that passes its arguments to cargo.
pub fn set_up(command: &mut Command, target: &str) -> Result<()> {
    command.args(["--target", target]).current_dir(workspace::root()?);
    command.env("CARGO_TARGET_DIR", build_folder()?);
    if rustup::has(target)? {
        return Ok(());
    }
    // A stable cargo builds the library too, if it is allowed to. Backtraces don't build for AIX.
    command.args(["-Zbuild-std", "-Zbuild-std-features=panic-unwind"]).env("RUSTC_BOOTSTRAP", "1");
    let library = rustup::library()?;
    if MENDS.iter().any(|(of, ..)| target.contains(of)) {
        // The name is cargo's own tests', and no other way leads to another library than the compiler's.
        command.env("__CARGO_TESTS_ONLY_SRC_ROOT", mended(&library, target)?);
    }
    Ok(())
}

/// Apart from what `cargo build` uses meanwhile.
pub fn build_folder() -> Result<PathBuf> {
    workspace::target("cross")
}

/// A copy of the library that compiles for the target.
fn mended(library: &Path, target: &str) -> Result<PathBuf> {
    let copy = workspace::cache("cross")?.join("mended").join(target);
    mirror(library, &copy)?;
    for manifest in ["Cargo.toml", "Cargo.lock"] {
        write_if_new(&copy.join(manifest), &fs::read(library.join(manifest))?)?;
    }
    for (_, file, from, to) in MENDS.iter().filter(|(of, ..)| target.contains(of)) {
        let path = copy.join(file);
        fs::write(&path, fs::read_to_string(&path)?.replace(from, to))?;
    }
    Ok(copy)
}

/// Makes a program of some lines of shell.
pub fn script(path: &Path, lines: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{lines}\n"))?;
    capture(Command::new("chmod").arg("755").arg(path)).map(drop)
}
