//! Keeping the real mio's results, which change only with the crate, its dependencies and the compiler.

use std::collections::hash_map::DefaultHasher;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{json, Map, Value};

use super::checkout::{lock_file, REAL_MIO};
use super::crates::Published;
use super::results::{Binary, Results};
use super::source::write_if_new;
use crate::command::capture;
use crate::libtest::Outcome;

/// The file with a crate's results on the real mio.
pub struct Baseline {
    file: PathBuf,
    key: String,
}

impl Baseline {
    pub fn of(published: &Published, home: &Path) -> Result<Baseline> {
        let mut rustc = Command::new("rustc");
        rustc.arg("-V");
        let lock_file = lock_file(home);
        let lock = fs::read(&lock_file);
        let lock = lock.with_context(|| format!("can't read {}", lock_file.display()))?;
        let mut hasher = DefaultHasher::new();
        lock.hash(&mut hasher);
        let key = format!(
            "{} with [{}], mio {REAL_MIO}, dependencies {:016x}, {} {}",
            published.id(),
            published.features.join(","),
            hasher.finish(),
            capture(rustc)?.trim(),
            env::var("RUSTFLAGS").unwrap_or_default(),
        );
        Ok(Baseline { file: home.join("baseline.json"), key })
    }

    /// What is kept, or nothing if it was measured with anything else.
    pub fn load(&self) -> Results {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        from_json(&serde_json::from_str(&text).unwrap_or(Value::Null), &self.key)
    }

    /// Keeps new results beside those of other executables.
    pub fn store(&self, results: &Results) -> Result<()> {
        let mut kept = self.load();
        kept.extend(results.iter().map(|(name, binary)| (name.clone(), binary.clone())));
        let text = format!("{:#}\n", to_json(&kept, &self.key));
        write_if_new(&self.file, text.as_bytes())
    }
}

fn to_json(results: &Results, key: &str) -> Value {
    let binaries = results.iter().map(|(name, binary)| {
        let tests = binary.tests.iter();
        let tests: Map<_, _> = tests.map(|(name, &outcome)| (name.clone(), word(outcome).into())).collect();
        (name.clone(), json!({ "fault": binary.fault, "used_epoll": binary.used_epoll, "tests": tests }))
    });
    json!({ "key": key, "binaries": binaries.collect::<Map<_, _>>() })
}

/// Anything unexpected is left out: it will be measured again.
fn from_json(kept: &Value, key: &str) -> Results {
    let binaries = match (kept["key"] == key, kept["binaries"].as_object()) {
        (true, Some(binaries)) => binaries,
        _ => return Results::new(),
    };
    let binary = |kept: &Value| {
        let tests: Option<BTreeMap<_, _>> = kept["tests"].as_object()?.iter().map(outcome).collect();
        Some(Binary {
            tests: tests?,
            fault: kept["fault"].as_str().map(str::to_owned),
            used_epoll: kept["used_epoll"] == true,
        })
    };
    binaries.iter().filter_map(|(name, kept)| Some((name.clone(), binary(kept)?))).collect()
}

fn outcome((name, kept): (&String, &Value)) -> Option<(String, Outcome)> {
    let outcomes = [Outcome::Passed, Outcome::Failed, Outcome::Ignored, Outcome::Hung];
    let outcome = outcomes.into_iter().find(|&outcome| kept == word(outcome))?;
    Some((name.clone(), outcome))
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Ignored => "ignored",
        Outcome::Hung => "hung",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_back_for_the_same_key_only() {
        let outcomes = [Outcome::Passed, Outcome::Failed, Outcome::Ignored, Outcome::Hung];
        let tests = outcomes.into_iter().map(|outcome| (format!("{outcome:?}"), outcome)).collect();
        let fault = Some("hung".to_owned());
        let results = [
            ("tcp".to_owned(), Binary { tests, fault, used_epoll: true }),
            ("udp".to_owned(), Binary::default()),
        ];
        let results = Results::from(results);
        let kept = to_json(&results, "key");
        assert_eq!(from_json(&kept, "key"), results);
        assert_eq!(from_json(&kept, "another key"), Results::new());
        assert_eq!(from_json(&Value::Null, "key"), Results::new());
    }
}
