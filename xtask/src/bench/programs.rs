//! Building what measures.

use crate::prelude::*;
use std::io::Write;

pub struct Programs {
    target: PathBuf,
}

/// Each is a program of its own.
const RUNTIMES: [(&str, &str); 4] =
    [("tokio", "mio"), ("tokio", "wakeful"), ("smol", "polling"), ("smol", "wakeful")];

impl Programs {
    pub fn build(with_c: bool) -> Result<Programs> {
        if with_c {
            check_headers()?;
        }
        let target = workspace::target("bench")?;
        let features: &[&str] = if with_c { &[] } else { &["--no-default-features"] };
        let runtimes =
            RUNTIMES.map(|(runtime, library)| (format!("{runtime}/on-{library}/Cargo.toml"), &[][..]));
        for (manifest, features) in [("Cargo.toml".to_owned(), features)].into_iter().chain(runtimes) {
            let mut build = cargo(["build", "--release", "--locked", "--manifest-path"])?;
            build.arg(workspace::root()?.join("bench").join(manifest)).args(features);
            build.arg("--target-dir").arg(&target);
            run(build)?;
        }
        Ok(Programs { target })
    }

    /// The benchmark, knowing where the runtimes are.
    pub fn bench(&self) -> Command {
        let release = self.target.join("release");
        let mut command = Command::new(release.join("wakeful-bench"));
        for (runtime, library) in RUNTIMES {
            command.arg("--program").arg(format!("{runtime} on {library}"));
            command.arg(release.join(format!("{runtime}-on-{library}")));
        }
        command
    }
}

/// Runs what prints its own progress.
pub fn run(mut command: Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| start_failed(&command))?;
    if !status.success() {
        bail!("`{}` ended with {status}", Shown(&command));
    }
    Ok(())
}

/// Better a word now than a compiler's error later.
fn check_headers() -> Result<()> {
    let mut missing = Vec::new();
    for (header, package) in [("uv.h", "libuv1-dev"), ("event2/event.h", "libevent-dev")] {
        let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        compiler.args(["-E", "-x", "c", "-"]);
        compiler.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = compiler.spawn().with_context(|| start_failed(&compiler))?;
        if let Some(mut stdin) = child.stdin.take() {
            writeln!(stdin, "#include <{header}>").context("can't write to the C compiler")?;
        }
        if !child.wait().context("can't wait for the C compiler")?.success() {
            missing.push((header, package));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let (headers, packages): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
    bail!(
        "{} is missing. On Debian: `apt-get install {}`. Or leave out libuv and libevent: `--without-c`",
        headers.join(" and "),
        packages.join(" ")
    )
}
