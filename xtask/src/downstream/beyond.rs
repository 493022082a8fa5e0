//! Tests of others that rely on more than the contract: with chaos they may fail, and no others may.

use super::crates::Published;

/// Tests of one executable that have the same reason.
struct Beyond {
    package: &'static str,
    executable: &'static str,
    tests: &'static [&'static str],
    /// What they rely on.
    reason: &'static str,
    /// A failure leaves the test waiting for ever, so it isn't run at all.
    hangs: bool,
}

const FIRST: &str =
    "the first operation succeeds and moves everything; it may answer WouldBlock, or move a part";
const WHOLE: &str = "one operation moves a message as a whole; it may move a part";
const READY: &str =
    "an operation succeeds as long as its source was called ready; it may answer WouldBlock again";
const SOON: &str = "an event comes with the next turn of the scheduler, and none without a reason";

const LIST: &[Beyond] = &[
    Beyond {
        package: "tokio",
        executable: "coop_budget",
        tests: &["coop_budget_udp_send_recv"],
        reason: "a task runs on until its budget is used up; an operation may pretend to block before",
        hangs: false,
    },
    Beyond {
        package: "tokio",
        executable: "io_async_fd",
        tests: &["clear_ready_matching_clears_ready", "clear_ready_matching_clears_ready_mut"],
        reason: "what is readable and writable is told in one event; it may take two",
        hangs: false,
    },
    Beyond {
        package: "tokio",
        executable: "io_async_fd",
        tests: &["try_io_readable", "try_io_writable"],
        reason: SOON,
        hangs: false,
    },
    Beyond {
        package: "tokio",
        executable: "lib",
        tests: &["runtime::io::driver::tests::busy_turn_takes_busy_batch"],
        reason: "the events of five sources come with the next two polls, one of each; any may be late, or come again",
        hangs: false,
    },
    Beyond {
        package: "tokio",
        executable: "net_unix_pipe",
        tests: &["anon_pipe_spawn_echo"],
        reason: "once a child has ended, its pipe's end is known; the event may come later, or a read pretend to block",
        hangs: false,
    },
    Beyond {
        package: "tokio",
        executable: "net_unix_pipe",
        tests: &["anon_pipe_simple_send", "fifo_simple_send"],
        reason: WHOLE,
        hangs: false,
    },
    Beyond {
        package: "tokio",
        executable: "net_unix_pipe",
        tests: &["try_io_readable", "try_io_writable"],
        reason: SOON,
        hangs: false,
    },
    Beyond {
        package: "tokio",
        executable: "rt_common",
        tests: &[
            "current_thread_scheduler::coop_yield_defers_until_park",
            "current_thread_scheduler::yield_defers_until_park",
            "threaded_scheduler_1_thread::coop_yield_defers_until_park",
            "threaded_scheduler_1_thread::yield_defers_until_park",
            "threaded_scheduler_4_threads::coop_yield_defers_until_park",
            "threaded_scheduler_4_threads::yield_defers_until_park",
        ],
        reason: "a connection's event comes within ten turns of the scheduler; if not, the test doesn't end the tasks \
                 that its own runtime waits for",
        hangs: true,
    },
    Beyond {
        package: "tokio",
        executable: "tcp_accept",
        tests: &["no_extra_poll"],
        reason: "a task is polled exactly three times; an event without a reason polls it once more",
        hangs: false,
    },
    Beyond {
        package: "tokio",
        executable: "tcp_accept_ready",
        tests: &[
            "accepted_stream_reads_without_waiting_for_an_event",
            "accepted_stream_with_no_data_still_waits",
            "first_poll_read_and_write_are_ready",
            "full_first_read_keeps_draining",
            "peek_first_poll_ready",
            "unix_accepted_stream_reads_without_an_event",
            "write_vectored_first_poll_ready",
        ],
        reason: FIRST,
        hangs: false,
    },
    Beyond { package: "tokio", executable: "tcp_into_split", tests: &["drop_write", "split"], reason: WHOLE, hangs: false },
    Beyond { package: "tokio", executable: "tcp_peek", tests: &["peek"], reason: WHOLE, hangs: false },
    Beyond { package: "tokio", executable: "tcp_split", tests: &["split"], reason: WHOLE, hangs: false },
    Beyond {
        package: "tokio",
        executable: "tcp_stream",
        tests: &["try_read_buf", "try_read_write"],
        reason: READY,
        hangs: false,
    },
    Beyond { package: "tokio", executable: "udp", tests: &["try_peek_sender", "try_send_spawn"], reason: READY, hangs: false },
    Beyond {
        package: "tokio",
        executable: "uds_datagram",
        tests: &["try_recv_buf_never_block", "try_send_recv_never_block"],
        reason: READY,
        hangs: false,
    },
    Beyond {
        package: "tokio",
        executable: "uds_datagram",
        tests: &["pair_starts_writable"],
        reason: FIRST,
        hangs: false,
    },
    Beyond {
        package: "tokio",
        executable: "uds_stream",
        tests: &["pair_starts_writable"],
        reason: FIRST,
        hangs: false,
    },
    Beyond {
        package: "tokio",
        executable: "uds_stream",
        tests: &["try_read_buf", "try_read_write"],
        reason: READY,
        hangs: false,
    },
];

fn of<'a>(published: &'a Published, executable: &'a str) -> impl Iterator<Item = &'static Beyond> + 'a {
    LIST.iter().filter(move |found| found.package == published.name && found.executable == executable)
}

/// Why a test may fail with chaos, if it may.
pub fn reason(published: &Published, executable: &str, test: &str) -> Option<&'static str> {
    of(published, executable).find(|found| found.tests.contains(&test)).map(|found| found.reason)
}

/// The tests that must not be run with chaos.
pub fn hanging(published: &Published, executable: &str) -> Vec<&'static str> {
    of(published, executable).filter(|found| found.hangs).flat_map(|found| found.tests).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::downstream::crates::ALL;

    #[test]
    fn each_is_listed_once_and_of_a_crate_that_is_tested() {
        let mut seen = Vec::new();
        for found in LIST {
            assert!(ALL.iter().any(|published| published.name == found.package));
            for &test in found.tests {
                assert!(!seen.contains(&(found.package, found.executable, test)), "{test}");
                seen.push((found.package, found.executable, test));
            }
        }
    }

    #[test]
    fn only_what_is_listed_is_excused() {
        let tokio = ALL.iter().find(|published| published.name == "tokio").unwrap();
        assert_eq!(reason(tokio, "tcp_peek", "peek"), Some(WHOLE));
        assert_eq!(reason(tokio, "tcp_peek", "poke"), None);
        assert_eq!(reason(tokio, "udp", "peek"), None);
        assert_eq!(hanging(tokio, "rt_common").len(), 6);
        assert!(hanging(tokio, "udp").is_empty());
    }
}
