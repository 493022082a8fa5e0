//! `cargo xtask kqueue`: the kqueue backend on Linux, on an installed libkqueue.

use crate::prelude::*;

/// What every test has in its name that is for the kqueue backend.
const ALL: &str = "kqueue";

/// Run the conformance suite on the kqueue backend over libkqueue
///
/// libkqueue must be installed, or WAKEFUL_LIBKQUEUE must name the folder with its libkqueue.so. The list of what it
/// can't do is that of its newest version, built from its repository with cmake.
#[derive(clap::Args)]
pub struct Kqueue {
    /// Run only the tests whose names contain this
    #[arg(default_value = ALL)]
    filter: String,
}

const CLOSED: &str =
    "it isn't told that a descriptor was closed, and takes the next one with its number for the same";
const ERROR: &str =
    "it takes a socket's error to report it (`getsockopt` with `SO_ERROR`), so that the program doesn't find it";
const EXCEPT: &str = "it has no filter for out-of-band data";
const ROOM: &str = "what it takes from the kernel and has no room to report is lost";
const HALVES: &str = "it guesses from epoll which half has ended";
const EPOLL: &str = "it waits by epoll, which makes an event of each attempt to write that fails";
const FILES: &str = "it takes a file of /proc for a regular one, which is readable before its end alone";
const NESTED: &str = "its descriptor isn't readable when an event is pending, nor does it know its own";

/// What libkqueue can't do, though every kernel with kqueues can: each test that fails, and why. One that fails for
/// another reason isn't here.
const LIMITS: &[(&str, &str)] = &[
    ("connecting::a_connection_is_writable", CLOSED),
    ("dropping::a_queued_event_of_a_dropped_source_is_forgotten", CLOSED),
    ("dropping::the_next_one_with_its_number", CLOSED),
    ("dropping::the_peer_sees_the_end_at_once", CLOSED),
    ("threads::a_dropped_source_closes_at_once", CLOSED),
    ("threads::a_registration_takes_effect_at_once", CLOSED),
    ("threads::everything_at_once", CLOSED),
    ("unix_source_fd::a_closed_number_does_not_spin", CLOSED),
    ("unix_source_fd::closed_without_deregister", CLOSED),
    ("waker::a_wake_then_a_registration", CLOSED),
    ("close_states::data_before_a_reset_is_reported", ERROR),
    ("connecting::a_refused_connection_is_an_error", ERROR),
    ("udp::a_refused_datagram_is_an_error", ERROR),
    ("udp::after_an_error_the_next_arrival_is_an_event", ERROR),
    ("udp::an_error_does_not_silence_the_reader", ERROR),
    ("udp::errors_one_after_another", ERROR),
    ("linux_descriptors::each_kind_is_answered_as_by_epoll", EXCEPT),
    ("linux_lasting_flags::priority_data_that_is_not_read", EXCEPT),
    ("linux_lasting_flags::timestamps_that_are_not_read", EXCEPT),
    ("priority::an_out_of_band_byte", EXCEPT),
    ("priority::beside_ordinary_data", EXCEPT),
    ("unix_source_fd::drained_and_refilled_in_any_rhythm", ROOM),
    ("close_states::the_matrix", HALVES),
    ("close_states::zero_copy::a_completion_closes_nothing", HALVES),
    ("linux_lasting_flags::a_full_queue_of_another", EPOLL),
    ("linux_lasting_flags::a_terminal_that_has_gone_and_is_full", EPOLL),
    ("linux_lasting_flags::a_file_that_can_be_watched", FILES),
    ("unix_nesting::a_poll_cannot_watch_itself", NESTED),
    ("unix_nesting::a_sleeper_outside_is_woken", NESTED),
    ("unix_nesting::a_wake_before_its_descriptor_is_used", NESTED),
    ("unix_nesting::a_wake_within_a_poll_within_a_poll", NESTED),
    ("unix_nesting::a_zero_timeout_finds_what_is_ready", NESTED),
    ("unix_nesting::it_is_readable_when_a_source_is_ready", NESTED),
    ("unix_nesting::it_is_readable_when_a_wake_is_pending", NESTED),
    ("unix_nesting::the_registrys_is_the_same", NESTED),
    ("unix_nesting::what_found_no_room_keeps_it_readable", NESTED),
];

/// A test of [`LIMITS`] that passes may have been lucky. Run alone this often and never failing, it needs no excuse.
const TRIES: usize = 5;

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
        let run = |filter: &[&str], log: &str| -> Result<Output> {
            let mut test = cargo(["test", "--package", "wakeful-io", "--all-features", "--no-fail-fast"])?;
            test.args(["--lib", "--test", "conformance", "--target-dir"]).arg(&target);
            test.arg("--").args(filter);
            rustflags(&mut test, &flags);
            if let Some(folder) = &folder {
                test.env("LD_LIBRARY_PATH", folder);
            }
            let ended = Job::new(test, target.join(log)).echo().run()?;
            let text = ended.output()?;
            // The library's own tests, and the conformance suite.
            let programs = text.lines().filter(|line| line.starts_with("test result: ")).count();
            let output = Output::parse(&text);
            if programs != 2 || output.tests.is_empty() {
                bail!("not every test has run: {ended}");
            }
            Ok(output)
        };
        let output = run(&[&self.filter], "kqueue.log")?;
        let mut verdict = Verdict::of(&output.tests, self.filter == ALL);
        for _ in 0..TRIES {
            let mut again = vec!["--exact"];
            again.extend(verdict.needless.iter().map(String::as_str));
            if verdict.needless.is_empty() {
                break;
            }
            let output = run(&again, "again.log")?;
            verdict.needless.retain(|test| output.tests.get(test) == Some(&Outcome::Passed));
        }

        println!("{} passed", output.passed());
        for (test, reason) in &verdict.excused {
            println!("libkqueue's: {test}: {reason}");
        }
        for test in &verdict.failed {
            println!("FAILED: {test}");
        }
        for test in &verdict.needless {
            println!("FAILED: {test} is listed in xtask/src/kqueue.rs, and passes");
        }
        for test in &verdict.missing {
            println!("FAILED: {test} is listed in xtask/src/kqueue.rs, and there is no such test");
        }
        Ok(verdict.is_well())
    }
}

/// What the results come to beside the list.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// Failed as listed, and why.
    excused: Vec<(String, &'static str)>,
    failed: Vec<String>,
    /// Listed, and passed.
    needless: Vec<String>,
    /// Listed, and not run though every test was.
    missing: Vec<&'static str>,
}

impl Verdict {
    fn of(tests: &BTreeMap<String, Outcome>, is_complete: bool) -> Verdict {
        let mut verdict = Verdict::default();
        for (test, outcome) in tests {
            let limit = LIMITS.iter().find(|(name, _)| test.strip_suffix("::kqueue") == Some(name));
            match (outcome, limit) {
                (Outcome::Failed, Some((_, reason))) => verdict.excused.push((test.clone(), reason)),
                (Outcome::Failed | Outcome::Hung, _) => verdict.failed.push(test.clone()),
                (Outcome::Passed, Some(_)) => verdict.needless.push(test.clone()),
                _ => {}
            }
        }
        let is_missing = |name: &&str| is_complete && !tests.contains_key(&format!("{name}::kqueue"));
        verdict.missing = LIMITS.iter().map(|&(name, _)| name).filter(is_missing).collect();
        verdict
    }

    fn is_well(&self) -> bool {
        self.failed.is_empty() && self.needless.is_empty() && self.missing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Failed, Hung, Passed};

    fn verdict(changed: &[(&str, Outcome)], is_complete: bool) -> Verdict {
        let mut tests: BTreeMap<String, Outcome> =
            LIMITS.iter().map(|(name, _)| (format!("{name}::kqueue"), Failed)).collect();
        tests.extend(changed.iter().map(|&(name, outcome)| (name.to_owned(), outcome)));
        Verdict::of(&tests, is_complete)
    }

    #[test]
    fn an_excuse_is_for_one_test() {
        assert!(verdict(&[], true).is_well());
        for test in ["udp::another::kqueue", "close_states::the_matrix_of_mine::kqueue", "udp::epoll"] {
            assert_eq!(verdict(&[(test, Failed)], true).failed, [test]);
        }
    }

    #[test]
    fn no_excuse_is_for_a_test_that_hangs() {
        let test = "close_states::the_matrix::kqueue";
        assert_eq!(verdict(&[(test, Hung)], true).failed, [test]);
    }

    #[test]
    fn a_stale_excuse_fails() {
        let test = "close_states::the_matrix::kqueue";
        assert_eq!(verdict(&[(test, Passed)], true).needless, [test]);
        let none = BTreeMap::from([("udp::epoll".to_owned(), Passed)]);
        assert_eq!(Verdict::of(&none, true).missing.len(), LIMITS.len());
        assert!(Verdict::of(&none, false).is_well(), "not all were run");
    }

    #[test]
    fn each_test_is_listed_once() {
        for (at, (name, _)) in LIMITS.iter().enumerate() {
            assert!(LIMITS[at + 1..].iter().all(|(other, _)| other != name), "{name}");
        }
    }
}
