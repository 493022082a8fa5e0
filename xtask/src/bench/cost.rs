//! W7: what a library costs before the program runs: time to build it, crates, bytes.

use crate::prelude::*;
use std::io::Write;

const LIBRARIES: [&str; 3] = ["mio", "wakeful", "polling"];

/// The rows.
pub const ROWS: [&str; 4] = ["w7-build-dev", "w7-build-release", "w7-size", "w7-crates"];

/// Writes rows as the benchmark does.
pub fn measure(wants: impl Fn(&str) -> bool, quick: bool, mut out: impl Write) -> Result<()> {
    let folder = workspace::target("bench")?.join("cold");
    for profile in ["dev", "release"] {
        let id = format!("w7-build-{profile}");
        let is_slow = profile == "release";
        if wants(&id) && !(quick && is_slow) {
            writeln!(out, "row,{id},s,Cold build of a small program; {profile}")?;
            for round in 0..if quick { 1 } else { 5 } {
                for library in LIBRARIES {
                    eprintln!("{id}: {library}");
                    let took = cold_build(&folder, library, profile)?;
                    writeln!(out, "{id},{library},{round},{took:.3}")?;
                }
            }
        }
    }
    if wants("w7-size") {
        writeln!(out, "row,w7-size,B,A small program; stripped and optimised")?;
        for library in LIBRARIES {
            cold_build(&folder, library, "small")?;
            let program = folder.join("small").join(format!("hello-{library}"));
            let size = fs::metadata(&program).with_context(|| format!("no {}", program.display()))?.len();
            writeln!(out, "w7-size,{library},0,{size}")?;
        }
    }
    if wants("w7-crates") {
        writeln!(out, "row,w7-crates,,Crates built; with the library itself")?;
        for library in LIBRARIES {
            writeln!(out, "w7-crates,{library},0,{}", crates(library)?)?;
        }
    }
    let _ = fs::remove_dir_all(&folder);
    Ok(())
}

fn cold_build(folder: &Path, library: &str, profile: &str) -> Result<f64> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let mut build = cargo(["build", "--locked", "--quiet", "--profile", profile, "--package"])?;
    build.arg(format!("hello-{library}")).arg("--target-dir").arg(folder);
    // Cargo builds what it has from a registry so, and this library from its folder otherwise: that takes half as long
    // again, which a user of the package never pays.
    build.env("CARGO_INCREMENTAL", "0");
    build.current_dir(workspace::root()?.join("bench"));
    let start = Instant::now();
    capture(&mut build)?;
    Ok(start.elapsed().as_secs_f64())
}

fn crates(library: &str) -> Result<usize> {
    let tree = capture(
        cargo(["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--package"])?
            .arg(format!("hello-{library}"))
            .current_dir(workspace::root()?.join("bench")),
    )?;
    let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    match names.len().checked_sub(1) {
        Some(count) if count > 0 => Ok(count),
        _ => bail!("cargo's tree of hello-{library} is empty"),
    }
}
