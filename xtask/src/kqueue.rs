//! `cargo xtask kqueue`: the kqueue backend on Linux, on an installed libkqueue.

use std::env;
use std::process::{Command, Stdio};

use anyhow::{bail, Result};

use crate::command::{cargo, rustflags};
use crate::job::Job;
use crate::libtest::{Outcome, Output};
use crate::{workspace, Task};

/// Run the conformance suite on the kqueue backend over libkqueue
///
/// libkqueue must be installed, or WAKEFUL_LIBKQUEUE name the folder that it lies in.
#[derive(clap::Args)]
pub struct Kqueue {
    /// Run only the tests whose names contain this
    #[arg(default_value = "kqueue")]
    filter: String,
}

/// What libkqueue can't do, though every kernel with kqueues can. A test that fails for another reason isn't here, and a
/// test of these that passes is no fault: which of them fail depends on libkqueue's version and on timing.
const LIMITS: &[(&str, &[&str])] = &[
    (
        "it isn't told that a descriptor was closed, and takes the next one with its number for the same",
        &[
            "connecting::a_connection_is_writable",
            "dropping::",
            "threads::a_dropped_source_closes_at_once",
            "threads::a_registration_takes_effect_at_once",
            "threads::everything_at_once",
            "unix_source_fd::a_closed_number_does_not_spin",
            "unix_source_fd::closed_without_a_word",
            "waker::a_wake_then_a_registration",
        ],
    ),
    (
        "it takes a socket's error to report it, so that nobody else finds it",
        &["connecting::a_refused_connection_is_an_error", "udp::"],
    ),
    ("it has no filter for out-of-band data", &["linux_priority::"]),
    (
        "what it takes from the kernel and has no room to tell is lost",
        &["unix_source_fd::drained_and_refilled"],
    ),
    ("it guesses from epoll which half has ended", &["close_states::the_matrix"]),
    ("its descriptor isn't readable when an event is pending", &["unix_nesting::"]),
];

impl Task for Kqueue {
    fn run(self) -> Result<bool> {
        let folder = env::var_os("WAKEFUL_LIBKQUEUE");
        let mut flags = String::from("--cfg wakeful_libkqueue");
        let mut link = Command::new("sh");
        link.args(["-c", "echo 'int kqueue(void); int main(void) { return kqueue() < 0; }' | cc -x c - ${1:+-L\"$1\"} -lkqueue -o /dev/null", "sh"]);
        if let Some(folder) = &folder {
            link.arg(folder);
            flags += &format!(" -L native={}", folder.to_string_lossy());
        }
        if !link.stdin(Stdio::null()).stderr(Stdio::null()).status()?.success() {
            bail!("libkqueue is not installed: nothing was run (WAKEFUL_LIBKQUEUE can name the folder that it lies in)");
        }

        let target = workspace::target("libkqueue")?;
        let mut test = cargo(["test", "--package", "wakeful", "--all-features", "--no-fail-fast"])?;
        test.args(["--lib", "--test", "conformance", "--target-dir"]).arg(&target);
        test.args(["--", &self.filter]);
        rustflags(&mut test, &flags);
        if let Some(folder) = &folder {
            test.env("LD_LIBRARY_PATH", folder);
        }
        let ended = Job::new(test, target.join("kqueue.log")).echo().run()?;
        let output = Output::parse(&ended.output()?);
        if output.tests.is_empty() {
            bail!("no test ran: {ended}");
        }

        let failed: Vec<_> = output
            .tests
            .iter()
            .filter(|(_, &outcome)| outcome == Outcome::Failed || outcome == Outcome::Hung)
            .map(|(name, _)| name.as_str())
            .collect();
        println!("{} passed, {} failed", output.passed(), failed.len());
        let mut unknown = failed.clone();
        for (reason, names) in LIMITS {
            let limited = |test: &&str| names.iter().any(|name| test.starts_with(name));
            println!("{}: libkqueue's: {reason}", unknown.iter().filter(|test| limited(test)).count());
            unknown.retain(|test| !limited(test));
        }
        for test in &unknown {
            println!("FAILED: {test}");
        }
        Ok(unknown.is_empty() && (ended.success() || !failed.is_empty()))
    }
}
