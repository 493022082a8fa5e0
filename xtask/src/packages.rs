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

/// A package's program that cargo builds, with further arguments, in a folder of the cache where nothing else sees it.
pub fn cargo_install(package: &str, version: &str, program: &str, args: &[&str]) -> Result<PathBuf> {
    let folder = workspace::cache("tools")?.join(format!("{package}-{version}"));
    let path = folder.join("bin").join(format!("{program}{}", env::consts::EXE_SUFFIX));
    if !path.exists() {
        println!("   installing {package} {version} below {}", folder.display());
        let mut install = cargo(["install", package, "--version", version, "--locked"])?;
        install.args(args).arg("--root").arg(&folder).current_dir(env::temp_dir());
        let job = Job::new(install, folder.join("install.log"));
        job.succeed().with_context(|| format!("{package} can't be installed"))?;
    }
    Ok(path)
}

/// Waits until no other task installs something, and does so.
pub fn alone(install: impl FnOnce() -> Result<String>) -> Result<()> {
    workspace::locked(&workspace::cache("installing.lock")?, install).map(drop)
}

fn apt(args: &[&str]) -> Command {
    // Who isn't root asks to be, but not for a password.
    let script = r#"sudo=; [ "$(id -u)" -eq 0 ] || sudo="sudo --non-interactive"; exec $sudo apt-get "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "apt-get"]).args(args).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_there(program: &str) -> bool {
    let mut which = Command::new("sh");
    which.args(["-c", r#"command -v "$1""#, "sh", program]).stdout(Stdio::null()).stderr(Stdio::null());
    which.status().is_ok_and(|status| status.success())
}
