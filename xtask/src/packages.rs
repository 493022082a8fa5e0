//! Programs of the system that a task needs.
//!
//! Invariant: one process installs at a time, or `apt-get` fails and rustup may.

use crate::prelude::*;

/// Installs the Debian packages of those programs that are missing.
pub fn need(programs: &[(&str, &[&str])]) -> Result<()> {
    let missing: Vec<&str> = programs
        .iter()
        .filter(|(program, _)| !is_there(program))
        .flat_map(|(_, packages)| packages.iter().copied())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    install(&missing)?;
    match programs.iter().find(|(program, _)| !is_there(program)) {
        Some((program, _)) => bail!("{program} is still missing"),
        None => Ok(()),
    }
}

/// Installs these Debian packages.
pub fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if !is_there("apt-get") {
        bail!("install by hand, as there is no apt-get: {names}");
    }
    println!("installing {names}");
    alone(|| {
        capture(&mut apt(&["update"])).context("apt-get can't update its lists")?;
        capture(apt(&["install", "--yes", "--no-install-recommends"]).args(packages))
            .with_context(|| format!("apt-get can't install {names}"))
    })
}

/// Waits until no other task installs something, and does so.
pub fn alone(install: impl FnOnce() -> Result<String>) -> Result<()> {
    workspace::locked(&workspace::cache("installing.lock")?, install).map(drop)
}

fn apt(args: &[&str]) -> Command {
    // Who isn't root asks to be, but not for a password.
    let script = r#"if [ "$(id -u)" -eq 0 ]; then exec apt-get "$@"; else exec sudo --non-interactive apt-get "$@"; fi"#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "apt-get"]).args(args).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_there(program: &str) -> bool {
    let mut which = Command::new("sh");
    which.args(["-c", r#"command -v "$1""#, "sh", program]).stdout(Stdio::null()).stderr(Stdio::null());
    which.status().is_ok_and(|status| status.success())
}
