//! The complete list of tests that a world makes impossible.
//!
//! Each is printed and counted. A listed test that doesn't exist, or that passes, fails the suite.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wakeful::Backend;

use crate::support::is_shaken;

struct Skip {
    file: &'static str,
    reason: &'static str,
    tests: &'static [&'static str],
}

const EPOLL: &str = "it compares with an epoll of the real kernel, which a host doesn't have";
const SIGNALS: &str = "a host has no signals";
const FIFOS: &str = "the named pipe is a file of the real system, which a world can't watch";
const TERMINALS: &str = "the terminal is one of the real system, which a world can't watch";
const ERROR_QUEUE: &str = "a world has no zero-copy transfers and no timestamps, and so no error queue";
const OUT_OF_BAND: &str = "a world's TCP has no out-of-band byte";

#[rustfmt::skip]
const SKIPS: &[Skip] = &[
    Skip {
        file: "linux_descriptors",
        reason: EPOLL,
        tests: &["each_kind_is_answered_as_by_epoll"],
    },
    Skip {
        file: "linux_lasting_flags",
        reason: EPOLL,
        tests: &[
            "a_file_that_can_be_watched",
            "a_process_that_has_ended",
            "a_shut_down_datagram_socket",
            "an_end_that_is_not_read",
            "an_error_queue_that_is_not_read",
            "an_overrun",
            "completions_that_are_not_read",
            "priority_data_that_is_not_read",
            "timestamps_that_are_not_read",
        ],
    },
    Skip {
        file: "linux_lasting_flags",
        reason: TERMINALS,
        tests: &["a_terminal_that_has_gone_and_is_full"],
    },
    Skip {
        file: "linux_lasting_flags",
        reason: ERROR_QUEUE,
        tests: &["an_error_queue_that_is_read", "data_beside_an_unread_completion"],
    },
    Skip { file: "linux_terminals", reason: TERMINALS, tests: &["keys_come_by_the_line", "the_terminal_has_gone"] },
    Skip {
        file: "priority",
        reason: OUT_OF_BAND,
        tests: &["an_out_of_band_byte", "beside_ordinary_data", "without_an_interest_in_it"],
    },
    Skip {
        file: "unix_pipes",
        reason: FIFOS,
        tests: &[
            "a_hasty_writer_and_a_raw_descriptor",
            "a_hasty_writer_of_a_fifo",
            "a_reader_of_a_fifo_comes_back",
            "a_writer_of_a_fifo_comes_back",
        ],
    },
    Skip {
        file: "unix_signals",
        reason: SIGNALS,
        tests: &[
            "a_loop_with_a_deadline",
            "a_signal_interrupts_a_sleep",
            "others_work_under_signals_without_end",
            "registrations_under_signals_without_end",
            "signals_without_end",
        ],
    },
    Skip { file: "zero_copy", reason: ERROR_QUEUE, tests: &["a_completion_closes_nothing"] },
];

const AT_ONCE: &str = "an event is there at once; it may come later";

/// The tests that rely on more than the contract where a world does more than chaos.
#[rustfmt::skip]
const BEYOND: &[Skip] = &[
    Skip { file: "modes", reason: AT_ONCE, tests: &["level_through_one_slot_serves_all"] },
    Skip {
        file: "unix_nesting",
        reason: AT_ONCE,
        tests: &["a_zero_timeout_finds_what_is_ready", "it_is_readable_when_a_source_is_ready"],
    },
];

/// Whether the test, `program::file::test` as the harness calls it, is on a list.
pub fn leaves_out(test: &str) -> bool {
    if std::env::var_os(ALL).is_some() {
        return false;
    }
    let shaken = if is_shaken() { BEYOND } else { &[] };
    let found = find(SKIPS, test).or_else(|| find(shaken, test));
    if let Some(found) = found {
        println!("skipped in a world: {}", found.reason);
    }
    found.is_some()
}

fn find(list: &'static [Skip], test: &str) -> Option<&'static Skip> {
    let mut parts = test.rsplit("::");
    let (name, file) = (parts.next()?, parts.next()?);
    list.iter().find(|skip| skip.file == file && skip.tests.contains(&name))
}

/// Set for a program that skips nothing.
const ALL: &str = "WAKEFUL_WORLD_SKIPS_NONE";

/// How many worlds a test beyond the contract has to fail in one of.
const SEEDS: u64 = 20;

/// Runs each listed test all the same, in a process of its own: it exists, and fails or hangs.
#[test]
fn every_skip_is_needed() {
    let mut log = std::io::stderr();
    let all = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let all = String::from_utf8(all.stdout).unwrap();
    let name_of = |file: &str, test: &str| {
        let suffix = format!("{file}::{test}::world: test");
        let line = all.lines().find(|line| line.ends_with(&suffix));
        line.unwrap_or_else(|| panic!("no test {suffix}")).trim_end_matches(": test").to_owned()
    };
    let mut count = 0;
    for skip in SKIPS {
        for test in skip.tests {
            let name = name_of(skip.file, test);
            assert!(!passes(&name, ""), "{name} passes");
            // Past the harness' capture: every log must show the skips.
            let _ = writeln!(log, "skip: world: {name}: {}", skip.reason);
            count += 1;
        }
    }
    for beyond in BEYOND {
        for test in beyond.tests {
            let name = name_of(beyond.file, test);
            let is_needed = (1..=SEEDS).any(|seed| !passes(&name, &seed.to_string()));
            assert!(is_needed, "{name} passes with {SEEDS} seeds of WAKEFUL_CHAOS");
        }
    }
    let _ = writeln!(log, "skips: {count}");
}

/// Runs a test in a process of its own, with a seed of chaos or without. Returns whether it passes within 3 s.
fn passes(name: &str, seed: &str) -> bool {
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", name]).env(ALL, "1").env("WAKEFUL_CHAOS", seed);
    let mut test = test.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(3);
    let passes = loop {
        match test.try_wait().unwrap() {
            Some(status) => break status.success(),
            None if Instant::now() > deadline => break false,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let _ = test.kill();
    let _ = test.wait();
    passes
}

/// A world makes sockets.
pub fn makes_sockets(_: Backend) -> bool {
    true
}

/// No test skips by itself here.
#[track_caller]
pub fn skip(backend: Backend, name: &'static str) {
    panic!("{backend} may not skip {name}");
}
