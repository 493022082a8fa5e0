//! Tests of others that rely on more than the contract: they may fail where the list says so, and no others may.
//!
//! Each stands with its reason. One that has gone, or that passes where the list says that it fails, is a fault.

use super::crates::Published;
use super::results::Results;
use super::Backend::{self, PosixPoll};
use super::On;
use crate::prelude::*;
use Fails::{
    AtTimes, AtTimesOn, Chaos, ChaosHangs, On as Always, World, WorldAtTimes, WorldFaults, WorldFaultsHang,
    WorldHangs,
};

/// Tests of one executable that have the same reason.
struct Beyond {
    package: &'static str,
    executable: &'static str,
    tests: &'static [&'static str],
    /// What they rely on.
    reason: &'static str,
    fails: Fails,
}

/// Where tests fail that rely on more than the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fails {
    /// With chaos, by some seeds.
    Chaos,
    /// As `Chaos`, and then the test waits for ever: so it isn't run with chaos.
    ChaosHangs,
    /// On this backend, each time.
    On(Backend),
    /// On this backend, by chance.
    AtTimesOn(Backend),
    /// By chance, on the real package too.
    AtTimes,
    /// In a world, each time.
    World,
    /// In a world by chance: what it waits for is real.
    WorldAtTimes,
    /// In a world with faults, by some seeds.
    WorldFaults,
    /// As `WorldFaults`, and then the test waits for ever: so it isn't run with faults.
    WorldFaultsHang,
    /// In a world it waits for ever: so it isn't run there.
    WorldHangs,
}

const FIRST: &str =
    "the first operation succeeds and moves everything; it may answer WouldBlock, or move a part";
const WHOLE: &str = "one operation moves a message as a whole; it may move a part";
const READY: &str =
    "an operation succeeds as long as its source was called ready; it may answer WouldBlock again";
const SOON: &str = "an event comes with the next turn of the scheduler, and none without a reason";
const CHILD: &str = "a child process, and a pipe to it, are real: a world has only what its own tasks open";
const SIGNAL: &str = "a signal is for the process, and most often comes on a thread outside of the world";
const FIFO: &str = "a named pipe is a file, and files are real: a world has only pipes without a name";
const SPINS: &str =
    "another thread has a turn while one spins; in a world one that makes no call to the system keeps its turn";
const BUSY: &str = "time passes while a thread computes; in a world only waits take time";
const FULL: &str = "a write that would block means that there is no space; it may only pretend to block";
const CLOSING: &str =
    "the peer closes without a request on its way, so no write fails; one that is late finds the connection closed";
const END_COMES: &str =
    "the end of a stream is an event of its own; data that was not read until WouldBlock may stand for both";
const AT_ONCE: &str =
    "a dispatch that doesn't wait brings the events of all that was done before; any may be late";

/// Rows of a package, an executable, where, why, and the tests.
macro_rules! beyond {
    ($($package:literal $executable:literal $fails:expr, $reason:expr, [$($test:literal),+],)+) => {
        &[$(Beyond {
            package: $package,
            executable: $executable,
            tests: &[$($test),+],
            reason: $reason,
            fails: $fails,
        },)+]
    };
}

#[rustfmt::skip]
const LIST: &[Beyond] = beyond! {
    "async-io" "block_on" AtTimes,
        "a thread that sleeps for a second wakes the test no sooner than a second after the test has read the clock; \
         but the test reads it once that thread has started, and the wake-up takes less time than that may have",
        ["first_cannot_wake_second", "inner_cannot_wake_outer", "outer_cannot_wake_inner"],
    "async-io" "async" WorldFaults, WHOLE, ["duplicate_socket_insert", "tcp_peek_read", "udp_connect"],
    "calloop" "lib" Chaos, AT_ONCE,
        ["loop_logic::tests::change_interests", "loop_logic::tests::disarm_rearm",
         "loop_logic::tests::kill_source", "loop_logic::tests::multiple_tokens",
         "macros::tests::test_batch_operations", "sources::channel::tests::basic_channel",
         "sources::channel::tests::basic_sync_channel", "sources::channel::tests::test_more_than_1024",
         "sources::futures::tests::more_than_1024", "sources::futures::tests::ready",
         "sources::generic::tests::dispatch_unix", "sources::generic::tests::register_deregister_unix",
         "sources::ping::tests::ping", "sources::ping::tests::ping_fired_and_removed",
         "sources::ping::tests::ping_multiple_senders", "sources::ping::tests::ping_removed",
         "sources::tests::test_boxed_source", "sources::tests::test_mut_ref_source",
         "sources::timer::tests::timeout_future", "sources::transient::tests::test_transient_disable",
         "sources::transient::tests::test_transient_drop", "sources::transient::tests::test_transient_map",
         "sources::transient::tests::test_transient_passthrough",
         "sources::transient::tests::test_transient_remove"],
    "calloop" "lib" Chaos,
        "the event that ends a source comes with the first dispatch; with the second, it shortens that one's wait",
        ["sources::ping::tests::ping_closed"],
    "calloop" "lib" ChaosHangs,
        "a dispatch that doesn't wait brings the event of a ping; if it is late, the test waits for ever",
        ["loop_logic::tests::non_static_data"],
    "hyper" "client" WorldFaults, WHOLE,
        ["conn::connect_method", "conn::dropped_conn_sends_incomplete_body_error", "conn::get",
         "conn::get_custom_reason_phrase", "conn::http1_conn_coerces_http2_request", "conn::incoming_content_length",
         "conn::upgrade", "conn::uri_absolute_form"],
    "hyper" "integration" WorldFaults, CLOSING, ["get_2", "get_body_2_keeps_alive", "http2_parallel_10"],
    "hyper" "server" WorldFaults, WHOLE,
        ["header_name_too_long", "http1_allow_half_close", "http1_graceful_shutdown_after_upgrade",
         "http2_keep_alive_count_server_pings", "http_10_request_receives_http_10_response", "http_11_uri_too_long",
         "http_connect", "http_connect_new", "pipeline_enabled", "post_with_chunked_missing_final_digit",
         "post_with_chunked_overflow", "post_with_invalid_prefix_content_length", "upgrades", "upgrades_new"],
    "hyper" "server" WorldFaults, CLOSING,
        ["h2_connect_backpressure_respected", "h2_connect_large_body", "h2_connect_zero_window_then_release"],
    "hyper" "server" WorldFaults, "a stream's reset is read before its task reads; it may come later",
        ["h2_connect_multiplex"],
    "mini-redis" "server" AtTimes,
        "the clock is paused, and tokio moves it whenever every task waits: the key may expire while an answer is on \
         its way",
        ["key_value_timeout"],
    "mio-pidfd" "lib" Chaos,
        "once the end of one child was an event, the next is the other's; the first may be late, or come again",
        ["tests::multi_process"],
    "mio-serial" "test_serialstream" AtTimesOn(PosixPoll),
        "three polls bring the event of data on its way; the event of a raw descriptor that stays writable is \
         repeated, and may be the answer to all three",
        ["test_read_write_pair"],
    "mio-serial" "test_serialstream" Chaos,
        "three polls bring the event of data on its way; it may be late, or others come again before it",
        ["test_read_write_pair"],
    "quinn" "lib" AtTimes,
        "100 ms are enough for a debug build, which for the first shakes hands by TLS; on a loaded machine they aren't",
        ["tests::stream_stopped", "tests::stream_stopped_2"],
    "signal-hook-mio" "mio_1_0" Always(PosixPoll),
        "signal-hook reads a registered UnixStream by its raw descriptor, so the source doesn't see WouldBlock; \
         mio's own poll(2) fails it likewise",
        ["mio_parallel_multiple"],
    "signal-hook-mio" "mio_1_0" Chaos, "with each event there is a signal; it may come again without one",
        ["mio_parallel_multiple"],
    "tokio" "coop_budget" Chaos, "a task runs on until its budget is used up; an operation may pretend to block before",
        ["coop_budget_udp_send_recv"],
    "tokio" "io_async_fd" Chaos, "readable and writable are expected in one event; they may come in two",
        ["clear_ready_matching_clears_ready", "clear_ready_matching_clears_ready_mut"],
    "tokio" "io_async_fd" Chaos, SOON, ["try_io_readable", "try_io_writable"],
    "tokio" "lib" Chaos,
        "the events of five sources come with the next two polls, one of each; any may be late, or come again",
        ["runtime::io::driver::tests::busy_turn_takes_busy_batch"],
    "tokio" "net_unix_pipe" Chaos,
        "once a child has ended, its pipe's end is known; the event may come later, or a read pretend to block",
        ["anon_pipe_spawn_echo"],
    "tokio" "net_unix_pipe" Chaos, WHOLE, ["anon_pipe_simple_send", "fifo_simple_send"],
    "tokio" "net_unix_pipe" Chaos, SOON, ["try_io_readable", "try_io_writable"],
    "tokio" "rt_common" ChaosHangs,
        "a connection's event comes within ten turns of the scheduler; if not, the test doesn't end the tasks that \
         its own runtime waits for",
        ["current_thread_scheduler::coop_yield_defers_until_park",
         "current_thread_scheduler::yield_defers_until_park",
         "threaded_scheduler_1_thread::coop_yield_defers_until_park",
         "threaded_scheduler_1_thread::yield_defers_until_park",
         "threaded_scheduler_4_threads::coop_yield_defers_until_park",
         "threaded_scheduler_4_threads::yield_defers_until_park"],
    "tokio" "io_async_fd" World, "the error queue of a socket (IP_RECVERR) is not simulated",
        ["await_error_readiness_invalid_address"],
    "tokio" "io_async_fd" World, "out-of-band data is not simulated", ["priority_event_on_oob_data"],
    "tokio" "io_async_fd" WorldFaults, SOON, ["guard_try_io", "initially_writable", "reset_readable"],
    "tokio" "rt_metrics" WorldFaults, SOON, ["worker_park_unpark_count"],
    "tokio" "rt_threaded" WorldHangs, SPINS, ["test_tuning"],
    "tokio" "time_pause" WorldFaults, SOON,
        ["paused_time_join_unix_datagram_and_sleep", "paused_time_spawn_unix_datagram_and_sleep"],
    "tokio" "io_async_fd" WorldFaults, FULL, ["poll_fns", "reset_writable"],
    "tokio" "net_unix_pipe" World, FIFO,
        ["fifo_multiple_writes", "fifo_resilient_reader", "fifo_simple_send", "fifo_simple_send_sender_first",
         "from_file", "from_file_detects_wrong_access_mode", "from_file_sets_nonblock", "try_read_buf",
         "try_read_write", "try_read_write_vectored"],
    "tokio" "net_unix_pipe" World, CHILD, ["anon_pipe_spawn_echo"],
    "tokio" "process_arg0" World, CHILD, ["arg0"],
    "tokio" "process_change_of_runtime" World, CHILD, ["process_spawned_and_wait_in_different_runtime"],
    "tokio" "process_issue_2174" World, CHILD, ["issue_2174"],
    "tokio" "process_issue_8042" World, CHILD,
        ["child_stderr_receives_second_chunk_before_exit", "child_stdin_rearms_after_pipe_is_full",
         "child_stdout_receives_second_chunk_before_exit"],
    "tokio" "process_kill_after_wait" World, CHILD, ["kill_after_wait"],
    "tokio" "process_kill_on_drop" World, CHILD, ["kill_on_drop"],
    "tokio" "process_smoke" World, CHILD, ["simple"],
    "tokio" "rt_common" WorldHangs, SPINS,
        ["threaded_scheduler_4_threads::complete_block_on_under_load",
         "threaded_scheduler_4_threads::complete_task_under_load"],
    "tokio" "rt_metrics" World, BUSY, ["worker_total_busy_duration"],
    "tokio" "signal_ctrl_c" WorldAtTimes, SIGNAL, ["ctrl_c"],
    "tokio" "signal_drop_recv" WorldAtTimes, SIGNAL, ["drop_then_get_a_signal"],
    "tokio" "signal_drop_rt" WorldAtTimes, SIGNAL, ["dropping_loops_does_not_cause_starvation"],
    "tokio" "signal_drop_signal" WorldAtTimes, SIGNAL, ["dropping_signal_does_not_deregister_any_other_instances"],
    "tokio" "signal_multi_rt" WorldAtTimes, SIGNAL, ["multi_loop"],
    "tokio" "signal_notify_both" WorldAtTimes, SIGNAL, ["notify_both"],
    "tokio" "signal_realtime" WorldAtTimes, SIGNAL, ["signal_realtime"],
    "tokio" "signal_twice" WorldAtTimes, SIGNAL, ["twice"],
    "tokio" "signal_usr1" WorldAtTimes, SIGNAL, ["signal_usr1"],
    "tokio" "tcp_accept_ready" WorldFaults, FIRST,
        ["async_io_wouldblock_falls_back_to_wait", "later_reads_after_runtime_drop_report_shutdown"],
    "tokio" "tcp_stream" WorldFaults, SOON, ["read_closed"],
    "tokio" "tcp_stream" WorldFaultsHang, END_COMES, ["try_read_buf", "try_read_write"],
    "tokio" "time_rt" WorldHangs, SPINS, ["starving"],
    "tokio" "uds_stream" WorldFaultsHang, END_COMES, ["try_read_buf", "try_read_write"],
    "tokio" "tcp_accept" Chaos, "a task is polled exactly three times; an event without a reason polls it once more",
        ["no_extra_poll"],
    "tokio" "tcp_accept_ready" Chaos, FIRST,
        ["accepted_stream_reads_without_waiting_for_an_event", "accepted_stream_with_no_data_still_waits",
         "first_poll_read_and_write_are_ready", "full_first_read_keeps_draining", "peek_first_poll_ready",
         "unix_accepted_stream_reads_without_an_event", "write_vectored_first_poll_ready"],
    "tokio" "tcp_into_split" Chaos, WHOLE, ["drop_write", "split"],
    "tokio" "tcp_peek" Chaos, WHOLE, ["peek"],
    "tokio" "tcp_split" Chaos, WHOLE, ["split"],
    "tokio" "tcp_stream" Chaos, READY, ["try_read_buf", "try_read_write"],
    "tokio" "udp" Chaos, READY, ["try_peek_sender", "try_send_spawn"],
    "tokio" "uds_datagram" Chaos, READY, ["try_recv_buf_never_block", "try_send_recv_never_block"],
    "tokio" "uds_datagram" Chaos, FIRST, ["pair_starts_writable"],
    "tokio" "uds_stream" Chaos, FIRST, ["pair_starts_writable"],
    "tokio" "uds_stream" Chaos, READY, ["try_read_buf", "try_read_write"],
};

/// Why a test may fail, if it may.
pub fn reason(published: &Published, on: On, executable: &str, test: &str) -> Option<&'static str> {
    let mut found = of(published).filter(|found| found.executable == executable && found.fails.may(on));
    found.find(|found| found.tests.contains(&test)).map(|found| found.reason)
}

/// The tests that must not be run.
pub fn hanging(published: &Published, on: On, executable: &str) -> Vec<&'static str> {
    let hangs = |found: &&Beyond| {
        found.executable == executable
            && matches!(found.fails, ChaosHangs | WorldFaultsHang | WorldHangs)
            && found.fails.may(on)
    };
    of(published).filter(hangs).flat_map(|found| found.tests).copied().collect()
}

/// What is listed for nothing, by the results on the real package, which has all tests, and on a backend.
pub fn stale(published: &Published, on: On, real: &Results, ours: &Results) -> Vec<String> {
    let mut stale = Vec::new();
    for found in of(published) {
        // One that wasn't built says nothing.
        let Some(real) = real.get(found.executable) else { continue };
        let passes = |test: &str| {
            ours.get(found.executable).and_then(|ours| ours.tests.get(test)) == Some(&Outcome::Passed)
        };
        for &test in found.tests {
            if !real.tests.contains_key(test) {
                stale.push(format!("{}: {test}: has gone", found.executable));
            } else if found.fails.always(on) && passes(test) {
                stale.push(format!("{}: {test}: passes", found.executable));
            }
        }
    }
    stale
}

fn of(published: &Published) -> impl Iterator<Item = &'static Beyond> + '_ {
    LIST.iter().filter(|found| found.package == published.name)
}

impl Fails {
    /// Whether the test fails each time, so that it is listed for nothing if it passes.
    fn always(self, on: On) -> bool {
        self == Fails::On(on.backend) || self == Fails::World && on.backend == Backend::World
    }

    fn may(self, on: On) -> bool {
        match self {
            Fails::Chaos | Fails::ChaosHangs => on.chaos.is_some(),
            Fails::On(backend) | Fails::AtTimesOn(backend) => on.backend == backend,
            Fails::AtTimes => true,
            Fails::World | Fails::WorldAtTimes | Fails::WorldHangs => on.backend == Backend::World,
            Fails::WorldFaults | Fails::WorldFaultsHang => on.backend == Backend::World && on.chaos.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::downstream::crates::ALL;
    use crate::downstream::results::Binary;

    #[test]
    fn each_is_listed_once_and_of_a_crate_that_is_tested() {
        let mut seen = Vec::new();
        for found in LIST {
            assert!(ALL.iter().any(|published| published.name == found.package));
            for &test in found.tests {
                let entry = (found.package, found.executable, test, found.fails);
                assert!(!seen.contains(&entry), "{test}");
                seen.push(entry);
            }
        }
    }

    fn find(name: &str) -> &'static Published {
        ALL.iter().find(|published| published.name == name).unwrap()
    }

    const PLAIN: On = On { backend: Backend::PosixPoll, chaos: None };
    const CHAOS: On = On { backend: Backend::Epoll, chaos: Some(1) };

    #[test]
    fn only_what_is_listed_is_excused() {
        let tokio = find("tokio");
        assert_eq!(reason(tokio, CHAOS, "tcp_peek", "peek"), Some(WHOLE));
        assert_eq!(reason(tokio, PLAIN, "tcp_peek", "peek"), None);
        assert_eq!(reason(tokio, CHAOS, "tcp_peek", "poke"), None);
        assert_eq!(reason(tokio, CHAOS, "udp", "peek"), None);
        assert_eq!(hanging(tokio, CHAOS, "rt_common").len(), 6);
        assert!(hanging(tokio, PLAIN, "rt_common").is_empty());
        assert!(hanging(tokio, CHAOS, "udp").is_empty());
    }

    #[test]
    fn what_is_listed_for_a_backend_is_excused_there_and_stale_when_it_passes() {
        let signals = find("signal-hook-mio");
        let (executable, test) = ("mio_1_0", "mio_parallel_multiple");
        let epoll = On { backend: Backend::Epoll, chaos: None };
        assert!(reason(signals, PLAIN, executable, test).is_some());
        assert!(reason(signals, epoll, executable, test).is_none());
        assert!(reason(signals, CHAOS, executable, test).is_some());

        let run = |test: &str, outcome| {
            let tests = [(test.to_owned(), outcome)].into();
            Results::from([(executable.to_owned(), Binary { tests, ..Binary::default() })])
        };
        let (passed, failed) = (run(test, Outcome::Passed), run(test, Outcome::Failed));
        assert!(stale(signals, PLAIN, &passed, &failed).is_empty());
        assert_eq!(stale(signals, PLAIN, &passed, &passed), ["mio_1_0: mio_parallel_multiple: passes"]);
        assert!(stale(signals, CHAOS, &passed, &passed).is_empty());
        let another = run("another", Outcome::Passed);
        // One for each of the two entries.
        assert_eq!(
            stale(signals, CHAOS, &another, &another),
            ["mio_1_0: mio_parallel_multiple: has gone"; 2]
        );
        assert!(stale(signals, PLAIN, &Results::new(), &Results::new()).is_empty());
    }
}
