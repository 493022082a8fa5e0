//! Reading what Rust's test harness prints, and what that comes to beside a list of tests that can't pass.
//!
//! Invariant: an excuse is for one test, has a reason, and fails once the test passes or has gone.

use std::collections::BTreeMap;
use std::fmt;

/// What became of one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Outcome {
    Passed,
    Failed,
    Ignored,
    /// Gave no result before it was killed.
    Hung,
}

/// The results in the output of a test executable, or of several one after another.
#[derive(Debug, Default)]
pub struct Output {
    pub tests: BTreeMap<String, Outcome>,
    /// Tests that the harness called slow. One that has no result as well is the one that hangs.
    pub slow: Vec<String>,
}

impl Output {
    pub fn parse(output: &str) -> Output {
        let mut parsed = Output::default();
        for line in output.lines() {
            if let Some((name, outcome)) = result(line) {
                parsed.tests.insert(name.to_owned(), outcome);
            } else if let Some(name) = slow(line) {
                parsed.slow.push(name.to_owned());
            }
        }
        parsed
    }

    pub fn passed(&self) -> usize {
        self.tests.values().filter(|&&outcome| outcome == Outcome::Passed).count()
    }
}

/// What results come to beside a list of excuses.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Failed as listed, and why.
    pub excused: Vec<(String, &'static str)>,
    pub failed: Vec<String>,
    /// Listed, and passed.
    pub needless: Vec<String>,
    /// Listed, and not run though every test was.
    pub missing: Vec<String>,
}

impl Verdict {
    /// `excuses` are tests with their reasons. Neither a hang nor a test that is ignored has an excuse.
    pub fn of(
        tests: &BTreeMap<String, Outcome>,
        excuses: impl IntoIterator<Item = (String, &'static str)>,
        is_complete: bool,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        let excuses: BTreeMap<String, &'static str> = excuses.into_iter().collect();
        for (test, outcome) in tests {
            match (outcome, excuses.get(test)) {
                (Outcome::Passed, None) => {}
                (Outcome::Passed, Some(_)) => verdict.needless.push(test.clone()),
                (Outcome::Failed, Some(reason)) => verdict.excused.push((test.clone(), reason)),
                _ => verdict.failed.push(test.clone()),
            }
        }
        verdict.missing =
            excuses.into_keys().filter(|test| is_complete && !tests.contains_key(test)).collect();
        verdict
    }

    pub fn is_well(&self) -> bool {
        self.failed.is_empty() && self.needless.is_empty() && self.missing.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.excused.iter().try_for_each(|(test, reason)| writeln!(f, "excused: {test}: {reason}"))?;
        self.failed.iter().try_for_each(|test| writeln!(f, "FAILED: {test}"))?;
        self.needless.iter().try_for_each(|test| writeln!(f, "FAILED: {test} has an excuse, and passes"))?;
        self.missing.iter().try_for_each(|test| writeln!(f, "FAILED: {test} has an excuse, and no result"))
    }
}

/// The names that `--list --format terse` prints.
pub fn listed(output: &str) -> Vec<String> {
    output.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// Reads `test NAME ... ok` and its relatives. A program that the test started may have printed before it on the line.
fn result(line: &str) -> Option<(&str, Outcome)> {
    let (left, right) = line.split_once(" ... ")?;
    let outcome = match right.trim_end() {
        "ok" => Outcome::Passed,
        "FAILED" => Outcome::Failed,
        "ignored" => Outcome::Ignored,
        right if right.starts_with("ignored,") => Outcome::Ignored,
        _ => return None,
    };
    let name = match left.strip_prefix("test ") {
        Some(name) => name,
        None => left.rsplit_once("test ")?.1,
    };
    Some((without_notes(name), outcome))
}

fn slow(line: &str) -> Option<&str> {
    let (left, _) = line.split_once(" has been running for over ")?;
    Some(without_notes(left.strip_prefix("test ")?))
}

/// A test's name without what the harness says about the test, of an example in the documentation also that it is only
/// compiled. `--list` has the name alone.
fn without_notes(name: &str) -> &str {
    let notes = [" - should panic", " - compile", " - compile fail"];
    notes.iter().find_map(|note| name.strip_suffix(note)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Failed, Hung, Ignored, Passed};

    fn verdict(tests: &[(&str, Outcome)], is_complete: bool) -> Verdict {
        let tests = tests.iter().map(|&(name, outcome)| (name.to_owned(), outcome)).collect();
        Verdict::of(&tests, [("a::excused".to_owned(), "why")], is_complete)
    }

    #[test]
    fn an_excuse_is_for_a_failure_of_one_test() {
        let excused = verdict(&[("a::excused", Failed), ("b", Passed)], true);
        assert_eq!(excused.excused, [("a::excused".to_owned(), "why")]);
        assert!(excused.is_well());
        for test in ["excused", "a::excused::too"] {
            assert_eq!(verdict(&[("a::excused", Failed), (test, Failed)], true).failed, [test]);
        }
        for outcome in [Hung, Ignored] {
            assert_eq!(verdict(&[("a::excused", outcome)], true).failed, ["a::excused"]);
        }
    }

    #[test]
    fn a_stale_excuse_fails() {
        assert_eq!(verdict(&[("a::excused", Passed)], true).needless, ["a::excused"]);
        assert_eq!(verdict(&[("b", Passed)], true).missing, ["a::excused"]);
        assert!(verdict(&[("b", Passed)], false).is_well(), "not all were run");
    }

    const OUTPUT: &str = "
running 9 tests
test accept_many ... ok
test net::unbound - should panic ... ok
test reset_readable has been running for over 60 seconds
test refused ... FAILED
test slow ... ignored
test later ... ignored, needs a network
hello from a childtest spawned ... ok
test src/lib.rs - Poll (line 12) ... ok
test src/lib.rs - Poll (line 34) - compile ... ok
test src/lib.rs - Poll (line 56) - compile fail ... ok

failures:

---- refused stdout ----
thread 'refused' panicked at tests/tcp.rs:7:5: the test ... failed
this is not test output ... really

failures:
    refused

test result: FAILED. 6 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

    #[test]
    fn every_outcome_is_read() {
        let parsed = Output::parse(OUTPUT);
        let expected = [
            ("accept_many", Passed),
            ("net::unbound", Passed),
            ("refused", Failed),
            ("slow", Ignored),
            ("later", Ignored),
            ("spawned", Passed),
            ("src/lib.rs - Poll (line 12)", Passed),
            ("src/lib.rs - Poll (line 34)", Passed),
            ("src/lib.rs - Poll (line 56)", Passed),
        ];
        let expected = expected.map(|(name, outcome)| (name.to_owned(), outcome)).into();
        assert_eq!(parsed.tests, expected);
        assert_eq!(parsed.passed(), 6);
    }

    #[test]
    fn a_slow_test_is_named() {
        assert_eq!(Output::parse(OUTPUT).slow, ["reset_readable"]);
    }

    #[test]
    fn a_line_that_was_cut_is_no_result() {
        assert!(Output::parse("test cut ... ").tests.is_empty());
        assert!(Output::parse("test cut").tests.is_empty());
    }

    #[test]
    fn listed_names_leave_out_benchmarks_and_the_sum() {
        assert_eq!(listed("a::b: test\nfast: benchmark\n\n1 test, 1 benchmark\n"), ["a::b"]);
    }
}
