//! Each combination of features builds without a warning.

use super::Runner;
use crate::prelude::*;
use serde_json::Value;

pub fn check(runner: &mut Runner) -> Result<String> {
    let combinations = every()?;
    // A flag rebuilds everything: not in the folder that other builds use.
    let target = workspace::target("features")?;
    for features in &combinations {
        let mut command = cargo(["check", "--package", "wakeful", "--no-default-features"])?;
        command.arg("--features").arg(features.join(",")).arg("--target-dir").arg(&target);
        rustflags(&mut command, "-D warnings");
        runner.run(command)?;
    }
    Ok(format!("   {} combinations\n", combinations.len()))
}

/// Each combination of the library's features.
pub fn every() -> Result<Vec<Vec<String>>> {
    Ok(combinations(&all()?))
}

/// The library's features, as the manifest has them: a new one can't be forgotten here.
pub fn all() -> Result<Vec<String>> {
    let package = package()?;
    let names = package["features"].as_object().context("wakeful has no features")?.keys();
    Ok(names.filter(|&name| name != "default").cloned().collect())
}

/// What cargo knows of the library.
pub fn package() -> Result<Value> {
    let packages = packages_of(cargo(["metadata", "--no-deps"])?)?;
    let package = packages.into_iter().find(|package| package["name"] == "wakeful");
    package.context("cargo doesn't know the package wakeful")
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
