//! Other crates' own tests on Windows, on the packages in compat. All must pass but those that fail on the real package
//! under the same Wine.

use super::{Prefix, TARGET};
use crate::downstream::checkout::{Checkout, Subject};
use crate::downstream::crates::{Published, ALL};
use crate::downstream::results::{Binary, Comparison, Results};
use crate::downstream::source;
use crate::prelude::*;

/// The test files of each crate that wait for I/O on Windows, or all its tests. Those of async-signal hang under Wine,
/// on the real package too.
const TESTED: &[(&str, Option<&[&str]>)] = &[
    (
        "tokio",
        Some(&[
            "net_named_pipe",
            "net_panic",
            "tcp_accept",
            "tcp_connect",
            "tcp_echo",
            "tcp_into_split",
            "tcp_into_std",
            "tcp_peek",
            "tcp_shutdown",
            "tcp_socket",
            "tcp_split",
            "tcp_stream",
            "udp",
        ]),
    ),
    ("async-io", None),
    ("async-process", None),
];

pub(super) fn run(prefix: &Prefix) -> Result<bool> {
    let mut is_well = true;
    for &(name, files) in TESTED {
        let published = ALL.iter().find(|published| published.name == name);
        let published = published.with_context(|| format!("{name} isn't in the table"))?;
        let home = workspace::cache("downstream")?.join(published.id());
        is_well &= workspace::locked(&home.join("lock"), || run_in(&home, published, files, prefix))?;
    }
    Ok(is_well)
}

fn run_in(
    home: &Path,
    published: &'static Published,
    files: Option<&[&str]>,
    prefix: &Prefix,
) -> Result<bool> {
    let source = source::locate(published, &home.join("scratch"))?;
    // The copy with the real package makes the lock file that both share.
    let [real, ours] = [Subject::Real, Subject::Wakeful].map(|subject| -> Result<Results> {
        let checkout = Checkout::make(published, subject, &source, home, false)?;
        let runs: Vec<(&str, Vec<&str>)> = match files {
            Some(files) => files.iter().map(|&file| (file, vec!["--test", file])).collect(),
            None => vec![("tests", vec!["--tests"])],
        };
        runs.iter()
            .map(|(name, chosen)| Ok((name.to_string(), test(prefix, &checkout, name, chosen)?)))
            .collect()
    });
    let (real, ours) = (real?, ours?);
    let comparison = Comparison::of(&real, &ours, |_, _| None);
    for (what, tests) in [
        ("passes on the real package only", &comparison.lost),
        ("fails on the real package too", &comparison.fails_on_both),
        ("fails on the real package only", &comparison.gained),
    ] {
        tests.iter().for_each(|test| println!("{} under Wine: {what}: {test}", published.name));
    }
    let passed = |results: &Results| {
        let outcomes = results.values().flat_map(|binary| binary.tests.values());
        outcomes.filter(|&&outcome| outcome == Outcome::Passed).count()
    };
    if passed(&real) == 0 {
        bail!("no test of {} passes on the real package", published.name);
    }
    println!("== {}: {} tests passed, {} on the real package", published.id(), passed(&ours), passed(&real));
    Ok(comparison.lost.is_empty())
}

/// Builds and runs the chosen tests of a copy.
fn test(prefix: &Prefix, checkout: &Checkout, name: &str, chosen: &[&str]) -> Result<Binary> {
    let mut test = checkout.cargo_for_tests(&["test", "--target", TARGET, "--no-fail-fast"])?;
    test.args(chosen);
    prefix.configure(&mut test);
    let log = checkout.logs.join("wine").join(checkout.subject()).join(name);
    let errors = log.with_extension("stderr");
    let ended = Job::new(test, &log).errors_to(&errors).limit(Duration::from_secs(15 * 60)).run()?;
    let output = ended.output()?;
    if !output.contains("test result: ") && !ended.hung() {
        bail!("{name}: {ended}; see {}", errors.display());
    }
    let fault = ended.hung().then(|| ended.to_string());
    Ok(Binary { tests: Output::parse(&output).tests, fault, ..Binary::default() })
}
