//! The tests that rely on more than the contract, which are left out with `WAKEFUL_CHAOS`. All others hold with any
//! seed. Chaos itself is tested in `tests/chaos.rs` and `tests/model`.

use crate::support;

const QUIET: &str = "nothing comes while nothing changes; an event may come without a reason";
const ONCE: &str = "each change is reported by one event, or in one; it may take two, or be repeated";
const BLOCKS: &str = "an operation blocks only if it must; it may only pretend to, and an event follows";
const WHOLE: &str = "whole messages: an operation may move a part";
const AT_ONCE: &str = "an event is there at once; it may come later, and others first";

struct Beyond {
    file: &'static str,
    /// Why these tests rely on more.
    reason: &'static str,
    tests: &'static [&'static str],
}

#[rustfmt::skip]
const BEYOND: &[Beyond] = &[
    Beyond {
        file: "capacity",
        reason: ONCE,
        tests: &[
            "a_large_batch",
            "a_thousand_through_one",
            "never_more_than_the_capacity",
        ],
    },
    Beyond {
        file: "capacity",
        reason: AT_ONCE,
        tests: &[
            "busy_sources_are_served_in_turn",
            "wakers_and_busy_sources_are_served_in_turn",
        ],
    },
    Beyond {
        file: "connecting",
        reason: BLOCKS,
        tests: &[
            "a_connection_is_writable",
            "a_refused_connection_is_an_error",
        ],
    },
    Beyond { file: "deregistration", reason: AT_ONCE, tests: &["the_rest_of_a_batch_is_forgotten"] },
    Beyond { file: "edges", reason: BLOCKS, tests: &["a_peek_that_blocks_arms"] },
    Beyond { file: "edges", reason: WHOLE, tests: &["vectored_operations_arm"] },
    Beyond {
        file: "linux_lasting_flags",
        reason: ONCE,
        tests: &[
            "a_file_that_can_be_watched",
            "a_full_queue_of_another",
            "a_process_that_has_ended",
            "a_shut_down_datagram_socket",
            "a_terminal_that_has_gone_and_is_full",
            "an_end_that_is_not_read",
            "an_error_queue_that_is_not_read",
            "an_overrun",
            "completions_that_are_not_read",
            "priority_data_that_is_not_read",
            "timestamps_that_are_not_read",
        ],
    },
    Beyond { file: "spinning", reason: QUIET, tests: &["timeouts_are_kept"] },
    Beyond {
        file: "threads",
        reason: QUIET,
        tests: &[
            "a_deregistration_takes_effect_at_once",
            "a_dropped_source_closes_at_once",
            "a_reregistration_takes_effect_at_once",
            "epolls_mark_as_a_token_under_wakes",
            "registrations_do_not_restart_a_timeout",
        ],
    },
    Beyond { file: "timeouts", reason: QUIET, tests: &["never_early", "never_early_after_events"] },
    Beyond { file: "timeouts", reason: AT_ONCE, tests: &["zero_does_not_sleep"] },
    Beyond {
        file: "udp",
        reason: BLOCKS,
        tests: &[
            "a_connected_pair",
            "after_an_error_the_next_arrival_is_an_event",
        ],
    },
    Beyond { file: "unix_pipes", reason: QUIET, tests: &["the_writer_has_gone"] },
    Beyond {
        file: "unix_pipes",
        reason: BLOCKS,
        tests: &[
            "a_reader_of_a_fifo_comes_back",
            "the_reader_has_gone",
            "the_reader_of_a_full_pipe_has_gone",
        ],
    },
    Beyond { file: "unix_signals", reason: AT_ONCE, tests: &["a_signal_loses_no_event"] },
    Beyond { file: "unix_signals", reason: QUIET, tests: &["signals_without_end"] },
    Beyond { file: "unix_source_fd", reason: AT_ONCE, tests: &["little_room_hides_nothing_from_the_next_poll"] },
    Beyond { file: "unix_source_fd", reason: ONCE, tests: &["a_ready_crowd_starves_no_source"] },
    Beyond { file: "unix_streams", reason: ONCE, tests: &["one_event_for_one_change"] },
    Beyond {
        file: "unix_streams",
        reason: BLOCKS,
        tests: &[
            "a_listener_of_the_file_system",
            "an_unnamed_peer",
            "datagrams",
            "datagrams_of_the_file_system",
        ],
    },
];

/// Whether chaos is on and the test, `program::file::test::backend` as the harness calls it, relies on more.
pub fn leaves_out(test: &str) -> bool {
    let found = support::is_shaken().then(|| find(test)).flatten();
    if let Some(found) = found {
        println!("left out with chaos: {}", found.reason);
    }
    found.is_some()
}

fn find(test: &str) -> Option<&'static Beyond> {
    let mut parts = test.rsplit("::");
    let (name, file) = (parts.next()?, parts.next()?);
    BEYOND.iter().find(|beyond| beyond.file == file && beyond.tests.contains(&name))
}

#[test]
fn each_that_is_listed_exists() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance");
    for beyond in BEYOND {
        // The suite may run without its sources.
        let Ok(source) = std::fs::read_to_string(format!("{folder}/{}.rs", beyond.file)) else { continue };
        for test in beyond.tests {
            assert!(source.contains(&format!("fn {test}(backend: Backend)")), "{}: {test}", beyond.file);
            assert!(find(&format!("conformance::{}::{test}", beyond.file)).is_some());
        }
    }
}
