//! Linux: the number of system calls of each operation, as strace sees them; and the fallback for a call that is
//! refused.
//!
//! Each test runs a scenario of this program again under strace, and counts the calls between two marks. Where strace
//! doesn't work, each is a named skip.
#![cfg(target_os = "linux")]

use std::ffi::CString;
use std::process::Command;
use std::time::{Duration, Instant};

use wakeful::unix::SourceFd;
use wakeful::{Backend, Token, Waker};

mod support;
use support::strace::{self, needs_strace};
use support::*;

const SCENARIO: &str = "WAKEFUL_TEST_SCENARIO";

type Scenario = fn(Backend);

/// The scenarios, by name. Each calls [`mark`] before and after what is counted.
const SCENARIOS: &[(&str, Scenario)] = &[
    ("busy_poller", busy_poller),
    ("awake_poller", awake_poller),
    ("spinning_poller", spinning_poller),
    ("wake_then_poll", wake_then_poll),
    ("exposed_wakes", exposed_wakes),
    ("ready_sources", ready_sources),
    ("short_timeouts", short_timeouts),
    ("whole_timeouts", whole_timeouts),
    ("woken_for_nothing", woken_for_nothing),
    ("interrupted", interrupted),
    ("closed_number", closed_number),
    ("hung_up", hung_up),
    ("raw_modes", raw_modes),
    ("echo", echo),
    ("notified", notified),
    ("no_descriptors", no_descriptors),
];

/// The program that the tests run under strace; not a test itself.
#[test]
fn scenario() {
    let Ok(wanted) = std::env::var(SCENARIO) else { return };
    let (name, backend) = wanted.split_once(' ').expect("a name and a backend");
    let (_, run) = SCENARIOS.iter().find(|(known, _)| *known == name).expect("a scenario");
    run(backend.parse().expect("a backend"));
}

#[test]
fn without_strace_each_test_is_skipped_by_name() {
    strace::each_test_is_skipped_by_name("without_strace_each_test_is_skipped_by_name", &["scenario"]);
}

/// A system call without an effect, which marks the log.
fn mark() {
    let path = CString::new("/wakeful-mark").unwrap();
    // SAFETY: `path` is a C string.
    unsafe { libc::syscall(libc::SYS_faccessat, libc::AT_FDCWD, path.as_ptr(), 0, 0) };
}

/// Returns the calls between the marks of the thread that set them: its parent may still be starting it.
#[track_caller]
fn trace(scenario: &str, backend: Backend, extra: &[&str]) -> Vec<String> {
    let (marker, calls) = trace_all(scenario, backend, extra);
    calls.into_iter().filter(|(thread, _)| *thread == marker).map(|(_, call)| call).collect()
}

/// strace's text for a call that another thread's call interrupts.
const UNFINISHED: &str = " <unfinished ...>";

/// The calls between the marks, each with its thread, and the thread that set the marks.
#[track_caller]
fn trace_all(scenario: &str, backend: Backend, extra: &[&str]) -> (String, Vec<(String, String)>) {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .args(extra)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "scenario", "--test-threads=1"])
        .env(SCENARIO, format!("{scenario} {backend}"))
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("strace, as `needs_strace!` has found");
    assert!(
        output.status.success(),
        "{scenario} on {backend} under strace: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let log = std::fs::read_to_string(log).unwrap();
    let mut marks = 0;
    let mut marker = String::new();
    let mut calls: Vec<(String, String)> = Vec::new();
    for line in log.lines() {
        // "1234  write(4, ..." or "1234  +++ exited with 0 +++", or a call in two halves:
        // "1234  write(4,  <unfinished ...>" and "1234  <... write resumed>..."
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some((_, rest)) = call.split_once(" resumed>") {
            let begun = calls.iter_mut().rfind(|(other, call)| other == thread && call.ends_with(UNFINISHED));
            if let Some((_, begun)) = begun {
                begun.truncate(begun.len() - UNFINISHED.len());
                begun.push_str(rest);
            }
        } else if call.contains("/wakeful-mark") {
            marks += 1;
            marker = thread.to_owned();
        } else if marks == 1 && call.starts_with(|first: char| first.is_ascii_lowercase()) {
            calls.push((thread.to_owned(), call.to_owned()));
        }
    }
    assert_eq!(marks, 2, "{scenario} on {backend}: no marks in the log:\n{log}");
    (marker, calls)
}

fn count(calls: &[String], name: &str) -> usize {
    calls.iter().filter(|call| call.split('(').next() == Some(name)).count()
}

/// The writes that look like a notification: 8 bytes.
fn notifications(calls: &[String]) -> usize {
    calls.iter().filter(|call| call.starts_with("write(") && call.contains(", 8)")).count()
}

fn waits(calls: &[String]) -> usize {
    ["epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll"].map(|name| count(calls, name)).iter().sum()
}

#[track_caller]
fn for_each(check: impl Fn(Backend)) {
    Backend::available().iter().for_each(|&backend| check(backend));
}

const WAKES: usize = 100_000;

fn busy_poller(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let last = Waker::new(t.registry(), A).unwrap();
    mark();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..WAKES {
                waker.wake().unwrap();
            }
            last.wake().unwrap();
        });
        while !t.poll_for(PATIENCE).iter().any(|event| event.token() == A) {
            // Busy between the wakes.
            (0..10_000).for_each(|_| std::hint::spin_loop());
        }
    });
    mark();
}

#[test]
fn many_wakes_of_a_busy_poller_write_little() {
    needs_strace!();
    for_each(|backend| {
        let (_, calls) = trace_all("busy_poller", backend, &[]);
        let calls: Vec<_> = calls.into_iter().map(|(_, call)| call).collect();
        let writes = notifications(&calls);
        assert!(writes < 1000, "{backend}: {writes} writes for {WAKES} wakes");
    });
}

fn awake_poller(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    t.quiet();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            mark();
            for _ in 0..1000 {
                waker.wake().unwrap();
            }
            mark();
        });
    });
    assert_eq!(t.poll_now().len(), 1);
}

#[test]
fn a_wake_of_an_awake_poller_makes_no_call() {
    needs_strace!();
    for_each(|backend| assert_eq!(trace("awake_poller", backend, &[]), [""; 0], "{backend}"));
}

fn spinning_poller(backend: Backend) {
    let mut t = Tester::new(backend);
    t.poll.set_spin(Some(PATIENCE));
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    t.quiet();
    mark();
    std::thread::scope(|scope| {
        scope.spawn(|| waker.wake().unwrap());
        assert_eq!(t.poll_for(PATIENCE).len(), 1);
    });
    mark();
}

#[test]
fn a_wake_of_a_spinning_poller_is_not_written() {
    needs_strace!();
    for_each(|backend| assert_eq!(notifications(&trace("spinning_poller", backend, &[])), 0, "{backend}"));
}

fn wake_then_poll(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    mark();
    for timeout in [None, Some(Duration::ZERO), Some(PATIENCE), Some(Duration::from_micros(77))] {
        for _ in 0..25 {
            waker.wake().unwrap();
            t.poll.poll(&mut t.events, timeout).unwrap();
            assert_eq!(t.events.len(), 1);
        }
    }
    mark();
}

#[test]
fn a_wake_and_then_a_poll_make_one_call() {
    needs_strace!();
    for_each(|backend| {
        let calls = trace("wake_then_poll", backend, &[]);
        assert_eq!(notifications(&calls), 0, "{backend}");
        assert_eq!((calls.len(), waits(&calls)), (100, 100), "{backend}: {calls:#?}");
    });
}

fn exposed_wakes(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let _ = std::os::fd::AsRawFd::as_raw_fd(&t.poll);
    mark();
    for _ in 0..100 {
        waker.wake().unwrap();
        waker.wake().unwrap();
        assert_eq!(t.poll_now().len(), 1);
    }
    mark();
}

#[test]
fn once_the_descriptor_was_given_away_each_wake_is_written() {
    needs_strace!();
    for_each(|backend| assert_eq!(notifications(&trace("exposed_wakes", backend, &[])), 100, "{backend}"));
}

fn ready_sources(backend: Backend) {
    let mut t = Tester::with_capacity(backend, 1);
    let mut pairs: Vec<_> = (0..100).map(|_| wakeful::net::UnixStream::pair().unwrap()).collect();
    for (index, (a, _)) in pairs.iter_mut().enumerate() {
        t.register(a, Token(index), WRITE);
    }
    mark();
    for round in 0..100 {
        let timeout =
            [None, Some(Duration::ZERO), Some(PATIENCE), Some(Duration::from_micros(77))][round % 4];
        t.poll.poll(&mut t.events, timeout).unwrap();
        assert_eq!(t.events.len(), 1);
    }
    mark();
}

#[test]
fn a_poll_of_a_ready_source_makes_one_call() {
    needs_strace!();
    for_each(|backend| {
        let calls = trace("ready_sources", backend, &[]);
        assert_eq!((calls.len(), waits(&calls)), (100, 100), "{backend}: {calls:#?}");
    });
}

fn echo(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = wakeful::net::UnixStream::pair().unwrap();
    t.register(&mut a, A, READ);
    mark();
    for _ in 0..50 {
        send(&b, b"x");
        assert_eq!(t.poll_for(PATIENCE).len(), 1);
        drain(&a);
    }
    mark();
}

/// A write, a poll, a read, and the read that blocks: re-arming costs none.
#[test]
fn an_echo_makes_four_calls() {
    needs_strace!();
    for_each(|backend| {
        let calls = trace("echo", backend, &[]);
        assert_eq!((calls.len(), waits(&calls)), (200, 50), "{backend}: {calls:#?}");
    });
}

fn short_timeouts(backend: Backend) {
    let mut t = Tester::new(backend);
    mark();
    for round in 0..40 {
        let timeout = Duration::from_micros(50 * (1 + round % 7));
        let start = Instant::now();
        assert!(t.poll_for(timeout).is_empty());
        assert!(start.elapsed() >= timeout, "{:?} of {timeout:?}", start.elapsed());
    }
    mark();
}

#[test]
fn exact_timeouts_make_one_call() {
    needs_strace!();
    let calls = trace("short_timeouts", Backend::Epoll, &[]);
    // Not exactly one each: a machine's timer may be early by the difference of two clocks.
    assert!((40..=60).contains(&count(&calls, "epoll_pwait2")), "{calls:#?}");
    assert_eq!(count(&calls, "epoll_pwait2"), calls.len(), "{calls:#?}");
}

fn whole_timeouts(backend: Backend) {
    let mut t = Tester::new(backend);
    mark();
    for round in 0..20 {
        let timeout = Duration::from_millis([1, 2, 5, 10][round % 4]);
        let start = Instant::now();
        assert!(t.poll_for(timeout).is_empty());
        assert!(start.elapsed() >= timeout, "{:?} of {timeout:?}", start.elapsed());
        assert!(t.poll_now().is_empty());
    }
    mark();
}

/// Each sleep is shortened by the kernel's slack, and so isn't a whole number of milliseconds. Calls that don't sleep
/// use the cheaper call.
#[test]
fn timeouts_of_whole_milliseconds_are_shortened_and_make_one_call() {
    needs_strace!();
    let calls = trace("whole_timeouts", Backend::Epoll, &[]);
    let sleeps: Vec<_> = calls.iter().filter(|call| call.starts_with("epoll_pwait2(")).collect();
    // As above: a sleep may end early, and be followed by one for the rest.
    assert!((20..=30).contains(&sleeps.len()), "{calls:#?}");
    assert_eq!(calls.len() - sleeps.len(), 20, "{calls:#?}");
    assert_eq!(waits(&calls), calls.len(), "{calls:#?}");
    let shortened = |ms: u32| format!("tv_nsec={}}}", ms * 1_000_000 - 50_000);
    for ms in [1, 2, 5, 10] {
        let count = sleeps.iter().filter(|call| call.contains(&shortened(ms))).count();
        assert_eq!(count, 5, "{ms} ms: {calls:#?}");
    }
}

/// An older kernel, and a sandbox without the newer call.
#[test]
fn without_epoll_pwait2_timeouts_are_not_early_and_it_is_tried_once() {
    needs_strace!();
    for error in ["ENOSYS", "EPERM"] {
        let inject = format!("inject=epoll_pwait2:error={error}");
        let calls = trace("short_timeouts", Backend::Epoll, &["-e", &inject]);
        assert_eq!(count(&calls, "epoll_pwait2"), 1, "{error}: {calls:#?}");
        assert!(count(&calls, "epoll_pwait") + count(&calls, "epoll_wait") >= 40, "{error}: {calls:#?}");
    }
}

/// Not in whole milliseconds, which epoll has another call for.
const WOKEN_TIMEOUT: Duration = Duration::from_nanos(100_100_000);

/// The wake of a waker that is dropped before the `poll` ends the kernel's sleep, and `poll` sleeps on.
fn woken_for_nothing(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    std::os::fd::AsRawFd::as_raw_fd(&t.poll);
    waker.wake().unwrap();
    drop(waker);
    mark();
    assert!(t.poll_for(WOKEN_TIMEOUT).is_empty());
    mark();
}

/// This checks that the kernel's timeouts get shorter, since a clock would need a limit for lateness.
#[test]
fn a_sleep_that_ends_early_goes_on_for_the_rest_of_its_timeout() {
    needs_strace!();
    for_each(|backend| {
        let calls = trace("woken_for_nothing", backend, &[]);
        let timeout = |call: &String| -> Option<u64> {
            let (_, nanoseconds) = call.split_once("{tv_sec=0, tv_nsec=")?;
            nanoseconds.split_once('}')?.0.parse().ok()
        };
        let timeouts: Vec<u64> = calls.iter().filter_map(timeout).collect();
        assert!(timeouts.len() > 1, "{backend}: {calls:#?}");
        let whole = WOKEN_TIMEOUT.as_nanos() as u64;
        assert!(timeouts.iter().all(|&timeout| timeout < whole), "{backend}: {calls:#?}");
    });
}

fn interrupted(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    mark();
    waker.wake().unwrap();
    assert_kind(t.poll.poll(&mut t.events, Some(PATIENCE)), std::io::ErrorKind::Interrupted);
    t.expect(&[want(WAKE, READ)]);
    mark();
}

/// A wake that was pending when the kernel's call was interrupted is not lost with it.
#[test]
fn an_interrupted_poll_keeps_the_wake() {
    needs_strace!();
    // Architectures differ in which of them they have.
    for (backend, calls) in
        [(Backend::Epoll, "?epoll_wait,?epoll_pwait"), (Backend::PosixPoll, "?ppoll,?ppoll_time64")]
    {
        let inject = format!("inject={calls}:error=EINTR:when=1");
        trace("interrupted", backend, &["-e", &inject]);
    }
}

fn closed_number(backend: Backend) {
    let mut t = Tester::new(backend);
    let (a, _b) = tcp_pair();
    let fd = std::os::fd::IntoRawFd::into_raw_fd(a);
    t.register(&mut SourceFd(&fd), A, READ);
    t.quiet();
    support::unix::close(fd);
    mark();
    for _ in 0..3 {
        assert!(t.poll_for(Duration::from_millis(50)).is_empty());
    }
    mark();
}

#[test]
fn a_closed_number_does_not_spin() {
    needs_strace!();
    for_each(|backend| {
        let calls = trace("closed_number", backend, &[]);
        assert!(waits(&calls) <= 8, "{backend}: {calls:#?}");
    });
}

fn hung_up(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    let (sender, mut receiver) = wakeful::unix::pipe::new().unwrap();
    let (mut lonely, peer) = wakeful::unix::pipe::new().unwrap();
    t.register(&mut a, A, BOTH);
    t.register(&mut receiver, B, READ);
    t.register(&mut lonely, C, WRITE);
    drop((b, sender, peer));
    t.expect(&[want(A, BOTH), want(B, READ), want(C, WRITE)]);
    a.shutdown(std::net::Shutdown::Both).unwrap();
    let _ = t.poll_now();
    mark();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(300) {
        t.poll_for(Duration::from_millis(100));
    }
    mark();
}

#[test]
fn what_has_hung_up_does_not_spin() {
    needs_strace!();
    for_each(|backend| {
        let calls = trace("hung_up", backend, &[]);
        assert!(waits(&calls) <= 60, "{backend}: {} {calls:#?}", waits(&calls));
    });
}

/// A raw descriptor that is never read: level-triggered in ten polls, and then one-shot.
fn raw_modes(backend: Backend) {
    let mut t = Tester::new(backend);
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    std::io::Write::write_all(&mut theirs, b"x").unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&ours);
    t.register(&mut SourceFd(&fd), A, READ.level());
    mark();
    for _ in 0..10 {
        t.poll.poll(&mut t.events, None).unwrap();
        assert_eq!(t.events.len(), 1);
    }
    t.reregister(&mut SourceFd(&fd), A, READ.one_shot());
    t.poll.poll(&mut t.events, None).unwrap();
    assert_eq!(t.events.len(), 1);
    t.poll.poll(&mut t.events, Some(Duration::from_millis(30))).unwrap();
    assert!(t.events.is_empty());
    mark();
}

#[test]
fn a_level_triggered_or_one_shot_raw_descriptor_is_never_rechecked() {
    needs_strace!();
    for_each(|backend| {
        let calls = trace("raw_modes", backend, &[]);
        // The sleep may end early, for a rest of it.
        assert!((12..=13).contains(&waits(&calls)), "{backend}: {calls:?}");
    });
}

/// Every use of a notifier: a wake and a registration end another thread's sleep, a wake before a poll is kept, and
/// thousands of unread wakes fill nothing.
fn notified(backend: Backend) {
    mark();
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    // From now on each wake is written.
    let _ = std::os::fd::AsRawFd::as_raw_fd(&t.poll);
    for _ in 0..3 {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(10));
                waker.wake().unwrap();
            });
            t.poll.poll(&mut t.events, None).unwrap();
        });
        assert_eq!(t.events.iter().map(|event| event.token()).collect::<Vec<_>>(), [WAKE]);
        waker.wake().unwrap();
        assert_eq!(t.poll_for(PATIENCE).len(), 1);
        assert!(t.poll_now().is_empty(), "one event for one wake");
    }
    let registry = t.registry().try_clone().unwrap();
    let (mut a, b) = tcp_pair();
    send(&b, b"x");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(10));
            registry.register(&mut a, A, READ).unwrap();
        });
        t.poll.poll(&mut t.events, None).unwrap();
    });
    assert_eq!(t.events.iter().map(|event| event.token()).collect::<Vec<_>>(), [A]);
    (0..10_000).for_each(|_| waker.wake().unwrap());
    assert!(t.poll_for(PATIENCE).iter().any(|event| event.token() == WAKE));
    mark();
}

/// The notifier is chosen at run time: a sandbox may hide what the kernel has.
#[test]
fn without_an_eventfd_a_pipe_notifies_and_without_both_a_socket() {
    needs_strace!();
    for_each(|backend| {
        let made = |extra: &[&str]| {
            let calls = trace("notified", backend, extra);
            ["eventfd2", "pipe2"].map(|name| count(&calls, name))
        };
        assert_eq!(made(&[]), [1, 0], "{backend}");
        for error in ["ENOSYS", "EINVAL", "EPERM"] {
            let eventfd = format!("inject=eventfd2:error={error}");
            assert_eq!(made(&["-e", &eventfd]), [1, 1], "{backend} {error}");
            let both = format!("inject=eventfd2,pipe2:error={error}");
            assert_eq!(made(&["-e", &both]), [1, 1], "{backend} {error}");
        }
    });
}

fn no_descriptors(backend: Backend) {
    mark();
    let error = wakeful::Poll::with_backend(backend)
        .and_then(|poll| Waker::new(poll.registry(), WAKE).map(|_| ()))
        .unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    mark();
}

/// A pipe would need two where there isn't one.
#[test]
fn without_descriptors_no_other_notifier_is_tried() {
    needs_strace!();
    for_each(|backend| {
        let calls = trace("no_descriptors", backend, &["-e", "inject=eventfd2:error=EMFILE"]);
        assert_eq!((count(&calls, "pipe2"), count(&calls, "socket")), (0, 0), "{backend}: {calls:#?}");
    });
}
