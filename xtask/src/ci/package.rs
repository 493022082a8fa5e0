//! What would be published has what its users need, and no more.

use super::runner::Runner;
use crate::prelude::*;

pub fn check(runner: &mut Runner) -> Result<String> {
    let list = runner.read(cargo(["package", "--list", "--package", "wakeful-io", "--allow-dirty"])?)?;
    let mut git = Command::new("git");
    git.args(["ls-files", "src", "examples", "docs/decisions"]);
    // cargo leaves out a package within the package.
    git.args([":!examples/calloop", ":!examples/five_sources"]);
    git.current_dir(workspace::root()?);
    let sources = runner.read(git)?;

    let faults = faults(&list, &sources);
    if !faults.is_empty() {
        bail!("{list}\n{}", faults.join("\n"));
    }
    Ok(format!("   {} files\n", list.lines().count()))
}

const NEEDED: &[&str] = &[
    "Cargo.toml",
    "README.md",
    "ARCHITECTURE.md",
    "PLATFORMS.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
];

/// Cargo's own additions to every package.
const ADDED: &[&str] = &[".cargo_vcs_info.json", "Cargo.lock", "Cargo.toml.orig"];

fn faults(list: &str, sources: &str) -> Vec<String> {
    let listed: BTreeSet<&str> = list.lines().collect();
    let wanted: BTreeSet<&str> = NEEDED.iter().copied().chain(sources.lines()).collect();
    let missing = wanted.difference(&listed).map(|file| format!("not in the package: {file}"));
    let extra = listed.difference(&wanted).filter(|file| !ADDED.contains(file));
    missing.chain(extra.map(|file| format!("in the package for no reason: {file}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_extra_files_are_faults() {
        let list = format!("{}\n{}\nsrc/lib.rs\n", NEEDED.join("\n"), ADDED.join("\n"));
        assert!(faults(&list, "src/lib.rs\n").is_empty());
        assert_eq!(faults(&list, "src/lib.rs\nsrc/new.rs\n"), ["not in the package: src/new.rs"]);
        assert_eq!(faults(&list, ""), ["in the package for no reason: src/lib.rs"]);
    }
}
