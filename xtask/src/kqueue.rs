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
const STATUS: &str = "it asks for the status of a child that has ended, and reports none that was waited for";
const NESTED: &str = "its descriptor isn't readable when an event is pending, nor does it know its own";

/// What libkqueue can't do, though every kernel with kqueues can: each test that fails, and why. One that fails for
/// another reason isn't here.
const LIMITS: &[(&str, &str)] = &[
    ("connecting::a_connection_is_writable", CLOSED),
    ("dropping::a_queued_event_of_a_dropped_source_is_forgotten", CLOSED),
    ("dropping::the_next_one_with_its_number", CLOSED),
    ("dropping::the_peer_sees_the_end_at_once", CLOSED),
    ("threads::a_closed_listener_frees_its_address_at_once", CLOSED),
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
    ("a_child_that_is_waited_for_before_the_poll", STATUS),
    ("unix_nesting::a_poll_cannot_watch_itself", NESTED),
    ("unix_nesting::a_refused_exclusive_changes_nothing", NESTED),
    ("unix_nesting::a_sleeper_outside_is_woken", NESTED),
    ("unix_nesting::a_wake_before_its_descriptor_is_used", NESTED),
    ("unix_nesting::a_wake_within_a_poll_within_a_poll", NESTED),
    ("unix_nesting::a_zero_timeout_finds_what_is_ready", NESTED),
    ("unix_nesting::it_is_readable_when_a_source_is_ready", NESTED),
    ("unix_nesting::it_is_readable_when_a_wake_is_pending", NESTED),
    ("unix_nesting::level_triggered_sources_within_a_poll", NESTED),
    ("unix_nesting::level_triggered_within_a_poll", NESTED),
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
        let script = "echo 'int kqueue(void); int main(void) { return kqueue() < 0; }' |
            cc -x c - ${1:+-L\"$1\"} -lkqueue -o /dev/null";
        link.args(["-c", script, "sh"]);
        if let Some(folder) = &folder {
            link.arg(folder);
            flags += &format!(" -L native={}", folder.to_string_lossy());
        }
        if !link.stdin(Stdio::null()).stderr(Stdio::null()).status()?.success() {
            bail!("libkqueue is not installed: nothing was run (WAKEFUL_LIBKQUEUE can name its folder)");
        }

        let target = workspace::target("libkqueue")?;
        let run = |filter: &[&str], log: &str| -> Result<Output> {
            let mut test = cargo(["test", "--package", "wakeful-io", "--package", "polling"])?;
            test.args([
                "--all-features",
                "--no-fail-fast",
                "--lib",
                "--test",
                "children",
                "--test",
                "conformance",
            ]);
            // For compat/polling, which chooses no backend itself.
            test.arg("--target-dir").arg(&target).env("WAKEFUL_BACKEND", "kqueue");
            test.arg("--").args(filter);
            rustflags(&mut test, &flags);
            if let Some(folder) = &folder {
                test.env("LD_LIBRARY_PATH", folder);
            }
            let ended = Job::new(test, target.join(log)).echo().run()?;
            let text = ended.output()?;
            // The library's own tests, those of children, the conformance suite, and the tests of compat/polling.
            let programs = text.lines().filter(|line| line.starts_with("test result: ")).count();
            let output = Output::parse(&text);
            if programs != 4 || output.tests.is_empty() {
                bail!("not every test has run: {ended}");
            }
            Ok(output)
        };
        let output = run(&[&self.filter], "kqueue.log")?;
        let mut verdict = Verdict::of(&output.tests, excuses(), self.filter == ALL);
        for _ in 0..TRIES {
            let mut again = vec!["--exact"];
            again.extend(verdict.needless.iter().map(String::as_str));
            if verdict.needless.is_empty() {
                break;
            }
            let output = run(&again, "again.log")?;
            verdict.needless.retain(|test| output.tests.get(test) == Some(&Outcome::Passed));
        }
        println!("{} passed\n{verdict}", output.passed());
        Ok(verdict.is_well())
    }
}

fn excuses() -> impl Iterator<Item = (String, &'static str)> {
    LIMITS.iter().map(|(test, reason)| (format!("{test}::{ALL}"), *reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_test_is_listed_once() {
        let tests: BTreeSet<String> = excuses().map(|(test, _)| test).collect();
        assert_eq!(tests.len(), LIMITS.len());
    }
}
