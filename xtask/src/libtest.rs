//! Reading what Rust's test harness prints.

use std::collections::BTreeMap;

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

/// A test's name without what the harness says about the test.
fn without_notes(name: &str) -> &str {
    name.strip_suffix(" - should panic").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Failed, Ignored, Passed};

    const OUTPUT: &str = "
running 7 tests
test accept_many ... ok
test net::unbound - should panic ... ok
test reset_readable has been running for over 60 seconds
test refused ... FAILED
test slow ... ignored
test later ... ignored, needs a network
hello from a childtest spawned ... ok
test src/lib.rs - Poll (line 12) ... ok

failures:

---- refused stdout ----
thread 'refused' panicked at tests/tcp.rs:7:5: the test ... failed
this is not test output ... really

failures:
    refused

test result: FAILED. 4 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s
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
        ];
        let expected = expected.map(|(name, outcome)| (name.to_owned(), outcome)).into();
        assert_eq!(parsed.tests, expected);
        assert_eq!(parsed.passed(), 4);
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
