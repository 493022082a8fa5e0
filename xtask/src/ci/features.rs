//! The library builds without a warning with each combination of any four features. `cargo xtask targets` has all.

use super::runner::Runner;
use crate::prelude::*;
use serde_json::Value;

pub fn check(runner: &mut Runner) -> Result<String> {
    let mut sets = every()?;
    let all = all()?.len();
    sets.retain(|set| is_chosen(set, all));
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

/// Whether it is one of half of the sets, in which any four features stand together, and apart, in each way: those
/// whose number of features is even, beside the smallest and the one of all.
fn is_chosen(set: &str, all: usize) -> bool {
    let count = set.split(',').filter(|name| !name.is_empty()).count();
    count % 2 == 0 || count == 1 || count == all
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

    #[test]
    fn any_four_features_are_chosen_in_each_way() {
        let five = ["a", "b", "c", "d", "e"];
        let mut features = serde_json::json!({ "base": [] });
        five.iter().for_each(|name| features[name] = serde_json::json!(["base"]));
        let mut sets = combinations(&features);
        assert_eq!(sets.len(), 33);
        sets.retain(|set| is_chosen(set, 6));
        assert_eq!(sets.len(), 18);
        for left_out in five {
            let four =
                |set: &String| five.map(|name| name != left_out && set.split(',').any(|on| on == name));
            assert_eq!(sets.iter().map(four).collect::<BTreeSet<_>>().len(), 16, "without {left_out}");
        }
    }
}
