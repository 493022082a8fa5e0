//! The table at the end, and under it each test that needs a look.

use super::crates::Published;
use super::results::{Comparison, Results, Totals};
use super::{Backend, On};
use crate::prelude::*;

#[derive(Default)]
pub struct Report {
    /// What each run comes to, as the table's cells.
    rows: Vec<Vec<String>>,
    /// Titles, and what stands under them.
    notes: Vec<(String, Vec<String>)>,
    faults: usize,
}

impl Report {
    /// Whether all that passes on the real package passes here.
    pub fn is_good(&self) -> bool {
        self.faults == 0
    }

    pub fn ran(&mut self, published: &'static Published, on: On, results: &Results, took: Option<Duration>) {
        let shown = match on.backend {
            Backend::Real => format!("real {}", published.stands_on.name),
            Backend::Epoll | Backend::PosixPoll | Backend::World => on.to_string(),
        };
        let totals = Totals::of(results);
        if totals.passed == 0 {
            let title = format!("{} on {shown}: no test passed", published.name);
            self.fault(title, Vec::new());
        }
        // All other numbers would look the same if the environment variable weren't heeded.
        let users = results.iter().filter(|(_, binary)| binary.used_epoll).map(|(name, _)| &**name);
        let names: Vec<&str> = users.filter(|name| !published.epoll_beside.contains(name)).collect();
        if on.backend == Backend::PosixPoll && !names.is_empty() {
            let title = format!("{} on posix_poll: the backend was not posix_poll", published.name);
            self.fault(title, vec![format!("with an epoll descriptor: {}", names.join(", "))]);
        }
        let backend = match took {
            Some(_) => shown,
            None => format!("{shown}, measured earlier"),
        };
        let counts = [
            totals.binaries,
            totals.used_epoll,
            totals.in_worlds,
            totals.passed,
            totals.failed,
            totals.ignored,
            totals.hung,
        ];
        let took = took.map_or("-".to_owned(), |took| format!("{:.1} s", took.as_secs_f64()));
        let mut row = vec![published.name.to_owned(), published.version.to_owned(), backend];
        row.extend(counts.map(|count| count.to_string()));
        row.push(took);
        self.rows.push(row);
    }

    /// All other numbers would look the same if no test entered a world. One that doesn't poll enters none.
    pub fn entered(&mut self, published: &Published, on: On, real: &Results, ours: &Results) {
        let polls =
            real.iter().any(|(name, binary)| binary.used_epoll && !published.epoll_beside.contains(&&**name));
        if polls && Totals::of(ours).in_worlds == 0 {
            self.fault(format!("{} on {on}: no test was in a world", published.name), Vec::new());
        }
    }

    /// Test targets that don't compile, but for those of which that is known.
    pub fn broken(&mut self, published: &Published, subject: &str, broken: &[(String, String)]) {
        for (name, message) in broken.iter().filter(|(name, _)| !published.incomplete.contains(&&**name)) {
            let title = format!("{} with {subject}: {name} doesn't compile", published.name);
            self.fault(title, message.lines().map(str::to_owned).collect());
        }
        for known in published.incomplete {
            if !broken.iter().any(|(name, _)| name == known) {
                self.fault(format!("{} with {subject}: {known} compiles by now", published.name), Vec::new());
            }
        }
    }

    /// A crate of which nothing can be said.
    pub fn unknown(&mut self, published: &Published, error: &anyhow::Error) {
        let lines = format!("{error:#}").lines().map(str::to_owned).collect();
        self.fault(format!("{} could not be tested", published.id()), lines);
    }

    pub fn compared(&mut self, published: &Published, on: On, comparison: Comparison) {
        let real = published.stands_on.name;
        let on = format!("{} on {on}", published.name);
        if !comparison.lost.is_empty() {
            self.fault(format!("{on}: passes on the real {real} only"), comparison.lost);
        }
        self.note(format!("{on}: relies on more than the contract"), comparison.excused);
        self.note(format!("{on}: fails on the real {real} too"), comparison.fails_on_both);
        self.note(format!("{on}: fails on the real {real} only"), comparison.gained);
    }

    /// What the list of tests that may fail has for nothing.
    pub fn stale(&mut self, published: &Published, on: On, stale: Vec<String>) {
        if !stale.is_empty() {
            self.fault(format!("{} on {on}: listed in beyond.rs for nothing", published.name), stale);
        }
    }

    /// The results on the real package when there is nothing to compare them with.
    pub fn alone(&mut self, published: &Published, results: &Results) {
        // Compared with itself, all that fails does so on both.
        let failed = Comparison::of(results, results, |_, _| None).fails_on_both;
        self.note(format!("{} on the real {}: fails", published.name, published.stands_on.name), failed);
    }

    /// A note that is no failure.
    pub fn note(&mut self, title: String, lines: Vec<String>) {
        if !lines.is_empty() {
            self.notes.push((title, lines));
        }
    }

    pub fn fault(&mut self, title: String, lines: Vec<String>) {
        self.faults += 1;
        self.notes.push((format!("FAULT {title}"), lines));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = HEAD.map(str::to_owned).to_vec();
        f.write_str(&table(&[&[head], &self.rows[..]].concat(), 3))?;
        for (title, lines) in &self.notes {
            writeln!(f, "\n{title}:")?;
            lines.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        Ok(())
    }
}

/// `with epoll`: executables that were seen with an epoll descriptor, which tells the backends apart.
const HEAD: [&str; 11] = [
    "crate",
    "version",
    "backend",
    "binaries",
    "with epoll",
    "in worlds",
    "passed",
    "failed",
    "ignored",
    "hung",
    "time",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::downstream::crates::ALL;
    use crate::downstream::results::Binary;
    use crate::libtest::Outcome;

    fn run(outcome: Outcome, used_epoll: bool) -> Results {
        let tests = [("accept".to_owned(), outcome)].into();
        [("tcp".to_owned(), Binary { tests, used_epoll, ..Binary::default() })].into()
    }

    fn is_good(backend: Backend, real: &Results, ours: &Results) -> bool {
        let mut report = Report::default();
        let on = On { backend, chaos: None };
        report.ran(&ALL[0], On::REAL, real, None);
        report.ran(&ALL[0], on, ours, Some(Duration::from_secs(1)));
        report.compared(&ALL[0], on, Comparison::of(real, ours, |_, _| None));
        assert!(report.to_string().contains("measured earlier"));
        report.is_good()
    }

    #[test]
    fn only_a_run_that_loses_nothing_is_good() {
        let passes = run(Outcome::Passed, true);
        assert!(is_good(Backend::Epoll, &passes, &passes));
        assert!(!is_good(Backend::Epoll, &passes, &run(Outcome::Failed, true)));
        let nothing_runs = run(Outcome::Ignored, true);
        assert!(!is_good(Backend::Epoll, &nothing_runs, &nothing_runs));
    }

    #[test]
    fn a_backend_that_was_not_used_is_a_fault() {
        let passes = run(Outcome::Passed, true);
        assert!(!is_good(Backend::PosixPoll, &passes, &passes));
        assert!(is_good(Backend::PosixPoll, &passes, &run(Outcome::Passed, false)));
    }

    #[test]
    fn a_run_in_no_world_is_a_fault_if_the_real_one_polls() {
        let on = On { backend: Backend::World, chaos: None };
        let is_good = |real: &Results, in_worlds| {
            let mut ours = run(Outcome::Passed, false);
            ours.values_mut().for_each(|binary| binary.in_worlds = in_worlds);
            let mut report = Report::default();
            report.entered(&ALL[0], on, real, &ours);
            report.is_good()
        };
        let (polls, never_polls) = (run(Outcome::Passed, true), run(Outcome::Passed, false));
        assert!(is_good(&polls, 1));
        assert!(!is_good(&polls, 0));
        assert!(is_good(&never_polls, 0));
    }

    #[test]
    fn only_what_the_table_knows_is_no_fault() {
        let zbus = ALL.iter().find(|published| published.name == "zbus").unwrap();
        let on = On { backend: Backend::PosixPoll, chaos: None };
        let mut report = Report::default();
        let [(_, tokios)] = run(Outcome::Passed, true).into_iter().collect::<Vec<_>>().try_into().unwrap();
        report.ran(zbus, on, &[("basic".to_owned(), tokios.clone())].into(), None);
        report.broken(zbus, "wakeful", &[("e2e".to_owned(), "error".to_owned())]);
        assert!(report.is_good());

        report.ran(zbus, on, &[("issues".to_owned(), tokios)].into(), None);
        assert_eq!(report.faults, 1);
        report.broken(zbus, "wakeful", &[("basic".to_owned(), "error".to_owned())]);
        assert_eq!(report.faults, 3, "one doesn't compile, and one does by now");
    }
}
