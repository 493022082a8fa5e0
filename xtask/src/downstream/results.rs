//! What a crate's tests gave, and how two runs of them differ.

use crate::prelude::*;

/// The results of one run, by test executable.
pub type Results = BTreeMap<String, Binary>;

/// The results of one test executable.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Binary {
    pub tests: BTreeMap<String, Outcome>,
    /// Why the executable as a whole didn't come to its end, if so. Its tests were then run one by one.
    pub fault: Option<String>,
    /// Whether it was seen with an epoll descriptor.
    pub used_epoll: bool,
    /// How many of its tests were run in a world.
    #[serde(default)]
    pub in_worlds: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub binaries: usize,
    pub passed: usize,
    pub failed: usize,
    pub ignored: usize,
    pub hung: usize,
    /// Executables that were seen with an epoll descriptor.
    pub used_epoll: usize,
    /// Tests that were run in a world.
    pub in_worlds: usize,
}

impl Totals {
    pub fn of(results: &Results) -> Totals {
        let mut totals = Totals {
            binaries: results.len(),
            used_epoll: results.values().filter(|binary| binary.used_epoll).count(),
            in_worlds: results.values().map(|binary| binary.in_worlds).sum(),
            ..Totals::default()
        };
        for outcome in results.values().flat_map(|binary| binary.tests.values()) {
            match outcome {
                Outcome::Passed => totals.passed += 1,
                Outcome::Failed => totals.failed += 1,
                Outcome::Ignored => totals.ignored += 1,
                Outcome::Hung => totals.hung += 1,
            }
        }
        totals
    }
}

/// How the results on wakeful differ from those on the real package.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Passes on the real package and not here.
    pub lost: Vec<String>,
    /// Passes on the real package and not here, for a reason that is known, and told.
    pub excused: Vec<String>,
    /// Passes on neither.
    pub fails_on_both: Vec<String>,
    /// Passes here and not on the real package.
    pub gained: Vec<String>,
}

impl Comparison {
    /// `excuse` gives the reason why a test of an executable may fail here, if there is one. None excuses a hang.
    pub fn of(
        real: &Results,
        ours: &Results,
        excuse: impl Fn(&str, &str) -> Option<&'static str>,
    ) -> Comparison {
        let mut comparison = Comparison::default();
        for (name, binary) in real {
            let Some(our_binary) = ours.get(name) else {
                comparison.lost.push(format!("{name}: has no results"));
                continue;
            };
            match (&binary.fault, &our_binary.fault) {
                (None, Some(fault)) => comparison.lost.push(format!("{name}: {fault}")),
                (Some(_), Some(fault)) => comparison.fails_on_both.push(format!("{name}: {fault}")),
                _ => {}
            }
            for (test, &outcome) in &binary.tests {
                let ours = our_binary.tests.get(test).copied();
                match excuse(name, test).filter(|_| matches!(ours, Some(Outcome::Failed) | None)) {
                    Some(reason) => comparison.excused.push(format!("{name}: {test}: {reason}")),
                    None => comparison.add(name, test, Some(outcome), ours),
                }
            }
        }
        for (name, binary) in ours {
            for (test, &outcome) in &binary.tests {
                let known = real.get(name).is_some_and(|real| real.tests.contains_key(test));
                if !known {
                    comparison.add(name, test, None, Some(outcome));
                }
            }
        }
        comparison
    }

    fn add(&mut self, binary: &str, test: &str, real: Option<Outcome>, ours: Option<Outcome>) {
        use Outcome::{Failed, Hung, Passed};
        let named = match ours {
            Some(Hung) => format!("{binary}: {test} (hung)"),
            None => format!("{binary}: {test} (no result)"),
            Some(_) => format!("{binary}: {test}"),
        };
        match (real, ours) {
            (Some(Passed), Some(Passed)) => {}
            (Some(Passed), _) => self.lost.push(named),
            (_, Some(Passed)) => self.gained.push(named),
            (Some(Failed | Hung), Some(Failed | Hung)) => self.fails_on_both.push(named),
            // The real package's run doesn't know it, so nothing excuses it.
            (None, Some(Failed | Hung)) => self.lost.push(named),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Failed, Hung, Ignored, Passed};

    fn run(tests: &[(&str, Outcome)], fault: Option<&str>) -> Results {
        let tests = tests.iter().map(|&(name, outcome)| (name.to_owned(), outcome)).collect();
        [("tcp".to_owned(), Binary { tests, fault: fault.map(str::to_owned), ..Binary::default() })].into()
    }

    fn of(real: &Results, ours: &Results) -> Comparison {
        Comparison::of(real, ours, |_, _| None)
    }

    #[test]
    fn an_excuse_is_for_a_failure_of_that_test_alone() {
        let real = run(&[("a", Passed), ("b", Passed), ("c", Passed)], None);
        let excuse = |executable: &str, test: &str| (executable == "tcp" && test != "b").then_some("why");
        let ours = run(&[("a", Failed), ("b", Failed), ("c", Hung)], None);
        let comparison = Comparison::of(&real, &ours, excuse);
        assert_eq!(comparison.excused, ["tcp: a: why"]);
        assert_eq!(comparison.lost, ["tcp: b", "tcp: c (hung)"]);
        let fine = Comparison::of(&real, &real, excuse);
        assert_eq!(fine, Comparison::default());
    }

    #[test]
    fn equal_runs_do_not_differ() {
        let run = run(&[("a", Passed), ("b", Ignored)], None);
        assert_eq!(of(&run, &run), Comparison::default());
    }

    #[test]
    fn what_passes_on_the_real_mio_only_is_lost() {
        let real = run(&[("a", Passed), ("b", Passed), ("c", Passed), ("d", Passed)], None);
        let ours = run(&[("a", Failed), ("b", Ignored), ("c", Hung)], None);
        let lost = of(&real, &ours).lost;
        assert_eq!(lost, ["tcp: a", "tcp: b", "tcp: c (hung)", "tcp: d (no result)"]);
    }

    #[test]
    fn what_fails_on_both_is_no_loss() {
        let real = run(&[("a", Failed), ("b", Hung), ("c", Failed)], None);
        let ours = run(&[("a", Hung), ("b", Failed), ("c", Passed)], None);
        let comparison = of(&real, &ours);
        assert!(comparison.lost.is_empty());
        assert_eq!(comparison.fails_on_both, ["tcp: a (hung)", "tcp: b"]);
        assert_eq!(comparison.gained, ["tcp: c"]);
    }

    #[test]
    fn an_executable_that_hangs_is_lost_though_its_tests_pass_alone() {
        let real = run(&[("a", Passed)], None);
        let ours = run(&[("a", Passed)], Some("hung"));
        assert_eq!(of(&real, &ours).lost, ["tcp: hung"]);
        assert_eq!(of(&ours, &ours).fails_on_both, ["tcp: hung"]);
        assert_eq!(of(&real, &Results::new()).lost, ["tcp: has no results"]);
    }

    #[test]
    fn a_failure_that_the_real_mio_does_not_know_is_lost() {
        let ours = run(&[("new", Failed), ("fine", Passed)], None);
        let comparison = of(&Results::new(), &ours);
        assert_eq!((comparison.lost, comparison.gained), (vec!["tcp: new".into()], vec!["tcp: fine".into()]));
    }

    #[test]
    fn totals_count_each_outcome() {
        let run = run(&[("a", Passed), ("b", Failed), ("c", Ignored), ("d", Hung), ("e", Passed)], None);
        let expected = Totals { binaries: 1, passed: 2, failed: 1, ignored: 1, hung: 1, ..Totals::default() };
        assert_eq!(Totals::of(&run), expected);
    }
}
