//! Each combination of features builds without a warning.

use super::runner::Runner;
use crate::prelude::*;
use serde_json::Value;

pub fn check(runner: &mut Runner) -> Result<String> {
    let combinations = every()?;
    // A flag rebuilds everything: not in the folder that other builds use.
    let target = workspace::target("features")?;
    for features in &combinations {
        let mut command = cargo(["check", "--package", "wakeful-io", "--no-default-features"])?;
        command.arg("--features").arg(features.join(",")).arg("--target-dir").arg(&target);
        rustflags(&mut command, "-D warnings");
        runner.run(command)?;
    }
    Ok(format!("   {} combinations\n", combinations.len()))
}

/// The feature that adds no item: it is combined with no other feature and with all.
const TRACES: &str = "log";

/// Each combination of the library's features, but one of those that differ in what another feature turns on anyway.
pub fn every() -> Result<Vec<Vec<String>>> {
    let package = package()?;
    let turns_on = |feature: &String, other: &String| {
        let values = package["features"][feature].as_array().map_or(&[][..], Vec::as_slice);
        values.iter().any(|value| value.as_str() == Some(other))
    };
    let all = all()?;
    let mut combinations = combinations(&all);
    combinations.retain(|features| {
        if features.iter().any(|feature| feature == TRACES) {
            return features.len() == 1 || features.len() == all.len();
        }
        let is_left_out = |other: &String| features.iter().any(|feature| turns_on(feature, other));
        !all.iter().any(|other| !features.contains(other) && is_left_out(other))
    });
    Ok(combinations)
}

/// The library's features, as the manifest has them: a new one can't be forgotten here.
pub fn all() -> Result<Vec<String>> {
    let package = package()?;
    let names = package["features"].as_object().context("wakeful-io has no features")?.keys();
    Ok(names.filter(|&name| name != "default").cloned().collect())
}

/// What cargo knows of the library.
pub fn package() -> Result<Value> {
    let packages = packages_of(cargo(["metadata", "--no-deps"])?)?;
    let package = packages.into_iter().find(|package| package["name"] == "wakeful-io");
    package.context("cargo doesn't know the package wakeful-io")
}

fn combinations(features: &[String]) -> Vec<Vec<String>> {
    let mut combinations = vec![Vec::new()];
    for feature in features {
        let with = combinations.clone().into_iter().map(|mut combination| {
            combination.push(feature.clone());
            combination
        });
        combinations.extend(with.collect::<Vec<_>>());
    }
    combinations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_there_once() {
        let features = ["a", "b", "c"].map(str::to_owned);
        let mut joined: Vec<String> =
            combinations(&features).iter().map(|features| features.concat()).collect();
        joined.sort();
        assert_eq!(joined, ["", "a", "ab", "abc", "ac", "b", "bc", "c"]);
    }
}
