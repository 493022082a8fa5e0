//! The library stays as light as it promises.

use anyhow::{bail, Result};

use super::Runner;
use crate::command::cargo;

pub fn check(runner: &mut Runner) -> Result<String> {
    let default = ["libc", "socket2"];
    let logging = ["libc", "socket2", "log"];
    let mut shown = String::new();
    for (features, allowed) in [("default", &default[..]), ("log", &logging)] {
        // The promise is about Linux; cargo can tell on any machine.
        let mut tree = cargo(["tree", "--package", "wakeful", "--edges", "normal", "--prefix", "none"])?;
        tree.args(["--features", features, "--target", "x86_64-unknown-linux-gnu"]);
        let tree = runner.read(tree)?;
        let extra = extra(&tree, allowed);
        if !extra.is_empty() {
            bail!("{tree}\nwith the feature `{features}` wakeful depends also on {}", extra.join(", "));
        }
        shown.push_str(&format!("   {features}: at most {}\n", allowed.join(", ")));
    }
    Ok(shown)
}

/// The packages in cargo's tree that aren't allowed.
fn extra<'a>(tree: &'a str, allowed: &[&str]) -> Vec<&'a str> {
    let packages = tree.lines().filter_map(|line| {
        // `libc v0.2.183`; cargo's own messages begin with a space or have no version.
        let (name, rest) = line.split_once(' ')?;
        (rest.starts_with('v') && name != "wakeful").then_some(name)
    });
    let mut extra: Vec<&str> = packages.filter(|name| !allowed.contains(name)).collect();
    extra.sort_unstable();
    extra.dedup();
    extra
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_allowed_is_extra() {
        let tree = "wakeful v0.1.0 (/repo)\nlibc v0.2.183\nsocket2 v0.6.1\nlibc v0.2.183 (*)\n";
        assert!(extra(tree, &["libc", "socket2"]).is_empty());
        assert_eq!(extra(tree, &["socket2"]), ["libc"]);
    }
}
