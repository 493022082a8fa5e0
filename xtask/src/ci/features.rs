//! Each combination of features builds without a warning.

use super::runner::Runner;
use crate::prelude::*;
use serde_json::Value;

pub fn check(runner: &mut Runner) -> Result<String> {
    let sets = every()?;
    // A flag rebuilds everything: not in the folder that other builds use.
    let target = workspace::target("features")?;
    for features in &sets {
        let mut command = cargo(["check", "--package", "wakeful-io", "--no-default-features"])?;
        command.arg("--features").arg(features).arg("--target-dir").arg(&target);
        rustflags(&mut command, "-D warnings");
        runner.run(command)?;
    }
    Ok(format!("   {} combinations\n", sets.len()))
}

/// The feature that adds no item: it is combined with no other feature and with all.
const TRACES: &str = "log";

/// Each combination of the library's features that builds something of its own, as cargo takes it.
pub fn every() -> Result<Vec<String>> {
    Ok(combinations(&package()?["features"]))
}

/// The library's features, as the manifest has them: a new one can't be forgotten here.
pub fn all() -> Result<Vec<String>> {
    Ok(names(&package()?["features"]).map(str::to_owned).collect())
}

/// What cargo knows of the library.
pub fn package() -> Result<Value> {
    let packages = packages_of(cargo(["metadata", "--no-deps"])?)?;
    let package = packages.into_iter().find(|package| package["name"] == "wakeful-io");
    package.context("cargo doesn't know the package wakeful-io")
}

fn names(features: &Value) -> impl Iterator<Item = &str> {
    let names = features.as_object().into_iter().flat_map(|features| features.keys());
    names.map(String::as_str).filter(|&name| name != "default")
}

/// A feature stands with those that it turns on, so two sets that are built alike are one.
fn combinations(features: &Value) -> Vec<String> {
    let mut sets = BTreeSet::from([BTreeSet::new()]);
    for feature in names(features) {
        let turns_on = features[feature].as_array().into_iter().flatten().filter_map(Value::as_str);
        let on: BTreeSet<&str> = turns_on.filter(|on| names(features).any(|name| name == *on)).collect();
        let with: Vec<_> = sets.iter().map(|set| &(set | &on) | &BTreeSet::from([feature])).collect();
        sets.extend(with);
    }
    let all = names(features).count();
    sets.retain(|set| !set.contains(TRACES) || set.len() == 1 || set.len() == all);
    sets.iter().map(|set| set.iter().copied().collect::<Vec<_>>().join(",")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_there_once() {
        let features = serde_json::json!({
            "default": ["a"], "a": ["dep:a"], "b": ["a", "a?/x"], "c": [], "log": ["dep:log"]
        });
        assert_eq!(combinations(&features), ["", "a", "a,b", "a,b,c", "a,b,c,log", "a,c", "c", "log"]);
    }
}
