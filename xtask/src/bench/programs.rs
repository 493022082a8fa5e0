//! Building what measures.

use crate::prelude::*;
use std::io::Write;

pub struct Programs {
    target: PathBuf,
}

impl Programs {
    pub fn build(with_c: bool) -> Result<Programs> {
        if with_c {
            check_headers()?;
        }
        let target = workspace::target("bench")?;
        let features: &[&str] = if with_c { &[] } else { &["--no-default-features"] };
        for (manifest, features) in
            [("Cargo.toml", features), ("tokio/on-mio/Cargo.toml", &[]), ("tokio/on-wakeful/Cargo.toml", &[])]
        {
            let mut build = cargo(["build", "--release", "--locked", "--manifest-path"])?;
            build.arg(workspace::root()?.join("bench").join(manifest)).args(features);
            build.arg("--target-dir").arg(&target);
            run(build)?;
        }
        Ok(Programs { target })
    }

    /// The benchmark, knowing where tokio is.
    pub fn bench(&self) -> Command {
        let release = self.target.join("release");
        let mut command = Command::new(release.join("wakeful-bench"));
        for library in ["mio", "wakeful"] {
            command.arg("--tokio").arg(format!("tokio on {library}"));
            command.arg(release.join(format!("tokio-on-{library}")));
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
