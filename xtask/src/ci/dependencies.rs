//! The library stays as light as it promises: in what it is built with, and in the lock file of a program that uses it.

use super::consumer::{mio, ours, polling, Consumer};
use super::features;
use super::runner::Runner;
use crate::prelude::*;

pub fn check(runner: &mut Runner) -> Result<String> {
    Ok(built(runner)? + &locked(runner)?)
}

fn built(runner: &mut Runner) -> Result<String> {
    let default = ["libc", "socket2"];
    let logging = ["libc", "socket2", "log"];
    let mut shown = String::new();
    for (features, allowed) in [("default", &default[..]), ("log", &logging)] {
        // The promise is about Linux; cargo can tell on any machine.
        let mut tree = cargo(["tree", "--package", "wakeful-io", "--edges", "normal", "--prefix", "none"])?;
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
        (rest.starts_with('v') && name != "wakeful-io").then_some(name)
    });
    let mut extra: Vec<&str> = packages.filter(|name| !allowed.contains(name)).collect();
    extra.sort_unstable();
    extra.dedup();
    extra
}

/// What a lock file may have beside the trees of libc, socket2 and log: the packages themselves, and the one through
/// which the first preview of WASI is called, which depends on nothing.
const OWN: [&str; 4] = ["wakeful-io", "mio", "polling", "wasi"];

/// cargo locks what any target, any cfg and any feature that was asked for needs: on every platform the same.
fn locked(runner: &mut Runner) -> Result<String> {
    let bare = ["libc = \"0.2\"", "socket2 = \"0.6\"", "log = \"0.4\""];
    let wakeful = |features: &[String]| -> Result<String> {
        Ok(format!("wakeful = {}", ours("wakeful-io", ".", features)?))
    };
    let (mio, polling) = (format!("mio = {}", mio()?), format!("polling = {}", polling()?));
    let mut shown = String::new();
    for (what, dependency, bare) in [
        ("wakeful", wakeful(&[])?, &bare[..2]),
        ("wakeful with every feature", wakeful(&features::all()?)?, &bare[..]),
        ("compat/mio", mio, &bare[..]),
        ("compat/polling", polling, &bare[..2]),
    ] {
        let lock = |dependencies: &str, runner: &mut Runner| -> Result<BTreeSet<String>> {
            let project =
                Consumer::new("lock", &format!("[dependencies]\n{dependencies}\n"), "fn main() {}\n")?;
            runner.run(project.cargo(&["generate-lockfile"])?)?;
            project.locked()
        };
        let allowed = lock(&bare.join("\n"), runner)?;
        let found = lock(&dependency, runner)?;
        let extra = too_many(&found, &allowed);
        if !extra.is_empty() {
            bail!(
                "{what}: {} packages in a user's lock file, of which {} have no business there: {}",
                found.len(),
                extra.len(),
                extra.join(", ")
            );
        }
        let names = found.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        shown.push_str(&format!("   {what}: {} packages in a user's lock file: {names}\n", found.len()));
    }
    Ok(shown)
}

fn too_many<'a>(found: &'a BTreeSet<String>, allowed: &'a BTreeSet<String>) -> Vec<&'a str> {
    found.difference(allowed).map(String::as_str).filter(|name| !OWN.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_allowed_is_extra() {
        let tree = "wakeful-io v0.1.0 (/repo)\nlibc v0.2.183\nsocket2 v0.6.1\nlibc v0.2.183 (*)\n";
        assert!(extra(tree, &["libc", "socket2"]).is_empty());
        assert_eq!(extra(tree, &["socket2"]), ["libc"]);
    }

    #[test]
    fn a_lock_may_have_what_the_dependencies_need_and_ourselves() {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        let allowed = set(&["libc", "socket2", "windows-sys"]);
        assert!(too_many(&set(&["libc", "wakeful-io", "wasi"]), &allowed).is_empty());
        assert_eq!(too_many(&set(&["libc", "loom", "wakeful-io"]), &allowed), ["loom"]);
    }
}
