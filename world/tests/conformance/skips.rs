//! The complete list of tests that a world makes impossible.
//!
//! Each is printed and counted. A listed test that doesn't exist, or that passes, fails the suite.

use wakeful::Backend;

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
    Skip { file: "priority", reason: OUT_OF_BAND, tests: &["an_out_of_band_byte", "beside_ordinary_data"] },
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

/// Whether the test, `program::file::test` as the harness calls it, is on the list.
pub fn leaves_out(test: &str) -> bool {
    let found = find(test);
    if let Some(found) = found {
        println!("skipped in a world: {}", found.reason);
    }
    found.is_some()
}

fn find(test: &str) -> Option<&'static Skip> {
    let mut parts = test.rsplit("::");
    let (name, file) = (parts.next()?, parts.next()?);
    SKIPS.iter().find(|skip| skip.file == file && skip.tests.contains(&name))
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
