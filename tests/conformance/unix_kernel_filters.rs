//! Unix: signals, processes and timers as sources, with the filters of a kqueue. Other backends refuse them.

use std::env;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use wakeful::unix::{KernelFilter, SourceFd};
use wakeful::{Backend, Interest};

use crate::support::*;

on_every_backend![
    refused_or_registered_once,
    other_interests_are_refused,
    a_timer_elapses_again_and_again,
    a_timer_elapses_once,
    a_timer_that_was_deregistered,
    a_timer_and_a_descriptor_with_one_number,
    a_process_that_ends,
    a_process_that_ends_once,
    a_process_that_has_ended,
    a_signal,
];

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(1000);
const ONCE: Interest = READ.one_shot();

/// Returns whether the backend has the filters. If not, it has to refuse them.
fn has_filters(backend: Backend) -> bool {
    let t = Tester::new(backend);
    let mut timer = KernelFilter::Timer { id: 1, interval: LONG };
    match backend {
        Backend::Kqueue => t.registry().register(&mut timer, A, READ).expect("a kqueue has timers"),
        _ => assert_kind(t.registry().register(&mut timer, A, READ), ErrorKind::Unsupported),
    }
    backend == Backend::Kqueue
}

/// A child that ends when its input does.
fn child() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat")
}

fn end(child: &mut Child) {
    drop(child.stdin.take());
}

fn refused_or_registered_once(backend: Backend) {
    let t = Tester::new(backend);
    let mut child = child();
    let timer = KernelFilter::Timer { id: 1, interval: LONG };
    for mut filter in [KernelFilter::Signal(libc::SIGWINCH), KernelFilter::ProcessExit(child.id()), timer] {
        if backend != Backend::Kqueue {
            assert_kind(t.registry().register(&mut filter, A, READ), ErrorKind::Unsupported);
            assert_kind(t.registry().reregister(&mut filter, A, READ), ErrorKind::Unsupported);
            assert_kind(t.registry().deregister(&mut filter), ErrorKind::Unsupported);
            continue;
        }
        assert_kind(t.registry().reregister(&mut filter, A, READ), ErrorKind::NotFound);
        assert_kind(t.registry().deregister(&mut filter), ErrorKind::NotFound);
        t.register(&mut filter, A, READ);
        assert_kind(t.registry().register(&mut { filter }, B, READ), ErrorKind::AlreadyExists);
        // Each `Poll` has its own.
        Tester::new(backend).register(&mut { filter }, B, READ);
        t.reregister(&mut filter, B, ONCE);
        t.deregister(&mut filter);
        assert_kind(t.registry().deregister(&mut filter), ErrorKind::NotFound);
    }
    end(&mut child);
    child.wait().unwrap();
}

fn other_interests_are_refused(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut timer = KernelFilter::Timer { id: 1, interval: Duration::ZERO };
    for interest in [READ.level(), WRITE, BOTH, Interest::END] {
        assert_kind(t.registry().register(&mut timer, A, interest), ErrorKind::Unsupported);
    }
    t.quiet();
}

fn a_timer_elapses_again_and_again(backend: Backend) {
    if !has_filters(backend) {
        return;
    }
    let mut t = Tester::new(backend);
    let start = Instant::now();
    let mut timer = KernelFilter::Timer { id: 7, interval: SHORT };
    t.register(&mut timer, A, READ);
    for _ in 0..5 {
        t.expect(&[want(A, READ)]);
    }
    assert!(is_shaken() || start.elapsed() >= 5 * SHORT, "early: {:?}", start.elapsed());
    t.deregister(&mut timer);
}

/// An interval is no whole number of milliseconds, and isn't rounded down.
fn a_timer_elapses_once(backend: Backend) {
    if !has_filters(backend) {
        return;
    }
    let mut t = Tester::new(backend);
    let interval = Duration::from_micros(1_900);
    let mut timer = KernelFilter::Timer { id: 7, interval };
    for (round, once) in [ONCE, READ.edge_one_shot()].into_iter().enumerate() {
        let start = Instant::now();
        match round {
            0 => t.register(&mut timer, A, once),
            _ => t.reregister(&mut timer, B, once),
        }
        let token = if round == 0 { A } else { B };
        t.expect(&[want(token, READ)]);
        assert!(start.elapsed() >= interval, "early: {:?}", start.elapsed());
        thread::sleep(4 * interval);
        assert!(t.poll_now().is_empty(), "twice");
    }
    t.deregister(&mut timer);
}

fn a_timer_that_was_deregistered(backend: Backend) {
    if !has_filters(backend) {
        return;
    }
    let mut t = Tester::new(backend);
    for once in [READ, ONCE] {
        let mut timer = KernelFilter::Timer { id: 7, interval: SHORT };
        t.register(&mut timer, A, once);
        thread::sleep(3 * SHORT);
        t.deregister(&mut timer);
        assert!(t.poll_now().is_empty());
    }
}

fn a_timer_and_a_descriptor_with_one_number(backend: Backend) {
    if !has_filters(backend) {
        return;
    }
    let mut t = Tester::new(backend);
    let (a, b) = UnixDatagram::pair().unwrap();
    let fd = a.as_raw_fd();
    let mut source = SourceFd(&fd);
    let mut timer = KernelFilter::Timer { id: fd as usize, interval: SHORT };
    for (first, second) in [(READ.level(), READ), (READ, ONCE), (ONCE, ONCE)] {
        t.register(&mut source, A, first);
        t.register(&mut timer, B, second);
        t.expect(&[want(B, READ)]);
        b.send(b"x").unwrap();
        t.reregister(&mut timer, B, second);
        t.expect(&[want(A, READ), want(B, READ)]);
        assert_eq!(a.recv(&mut [0; 8]).unwrap(), 1);
        t.deregister(&mut source);
        t.reregister(&mut timer, C, second);
        t.expect(&[want(C, READ)]);
        t.deregister(&mut timer);
    }
}

fn a_process_that_ends(backend: Backend) {
    if !has_filters(backend) {
        return;
    }
    let mut t = Tester::new(backend);
    let mut child = child();
    let mut exit = KernelFilter::ProcessExit(child.id());
    t.register(&mut exit, A, READ);
    assert_kind(
        t.registry().register(&mut KernelFilter::ProcessFork(child.id()), B, READ),
        ErrorKind::AlreadyExists,
    );
    t.quiet();
    end(&mut child);
    let events = t.expect(&[want(A, READ)]);
    assert!(events.iter().all(|event| !event.is_read_closed() && !event.is_error()), "{events:?}");
    // The event has left it to its parent.
    assert!(child.try_wait().unwrap().expect("it has ended").success());
    assert!(t.poll_now().is_empty());
    t.deregister(&mut exit);
    assert_kind(t.registry().deregister(&mut exit), ErrorKind::NotFound);
}

/// With several at once, none of which is deregistered.
fn a_process_that_ends_once(backend: Backend) {
    if !has_filters(backend) {
        return;
    }
    let mut t = Tester::new(backend);
    let mut children: Vec<Child> = (0..5).map(|_| child()).collect();
    let mut exits: Vec<_> = children.iter().map(|child| KernelFilter::ProcessExit(child.id())).collect();
    for exit in &mut exits {
        t.register(exit, A, ONCE);
    }
    children.iter_mut().for_each(end);
    let mut seen = 0;
    let deadline = Instant::now() + PATIENCE;
    while seen < children.len() {
        assert!(Instant::now() < deadline, "{seen} events");
        seen += t.poll_for(PATIENCE).len();
    }
    for child in &mut children {
        child.wait().unwrap();
    }
    assert!(t.poll_now().is_empty(), "more events than processes");
    // Nothing has been left of the registration: the kernel is asked about the process.
    for exit in &mut exits {
        let result = t.registry().register(exit, B, READ);
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}

/// Its parent hasn't waited for it: the kernel reports it, or has no such process any more.
fn a_process_that_has_ended(backend: Backend) {
    if !has_filters(backend) {
        return;
    }
    let mut t = Tester::new(backend);
    let mut child = child();
    end(&mut child);
    wait_until("the end", || has_ended(&child));
    let mut exit = KernelFilter::ProcessExit(child.id());
    match t.registry().register(&mut exit, A, READ) {
        Ok(()) => drop(t.expect(&[want(A, READ)])),
        Err(e) => assert_eq!(e.raw_os_error(), Some(libc::ESRCH)),
    }
    child.wait().unwrap();
}

/// Returns whether a child has ended, and leaves it as it is.
fn has_ended(child: &Child) -> bool {
    // SAFETY: all zeros is a legal siginfo_t, which `waitid` writes.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        assert_eq!(libc::waitid(libc::P_PID, child.id() as libc::id_t, &mut info, flags), 0);
        info.si_signo != 0
    }
}

/// In a process of its own, which ignores the signal. libkqueue reports only a signal that each thread has blocked, so
/// there `env` blocks it before the first one begins.
fn a_signal(backend: Backend) {
    const CHILD: &str = "WAKEFUL_TEST_SIGNAL";
    if env::var_os(CHILD).is_some() {
        return signals(backend);
    }
    if !has_filters(backend) {
        return;
    }
    let mut command = Command::new("env");
    if cfg!(wakeful_libkqueue) {
        command.arg("--block-signal=USR2");
    }
    command
        .arg(env::current_exe().unwrap())
        .args(["--exact", &format!("unix_kernel_filters::a_signal::{backend}")]);
    let output = command.env(CHILD, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
}

fn raise() {
    // SAFETY: no memory is passed, and the signal is ignored.
    assert_eq!(unsafe { libc::kill(process::id() as libc::pid_t, libc::SIGUSR2) }, 0);
}

fn signals(backend: Backend) {
    // SAFETY: no function is called for an ignored signal.
    unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
    let mut t = Tester::new(backend);
    let mut signal = KernelFilter::Signal(libc::SIGUSR2);
    t.register(&mut signal, A, READ);
    t.quiet();
    for _ in 0..3 {
        raise();
        t.expect(&[want(A, READ)]);
    }
    t.reregister(&mut signal, B, ONCE);
    for _ in 0..3 {
        raise();
        t.expect(&[want(B, READ)]);
        // One that arrives between the event and `reregister` is reported by that.
        raise();
        thread::sleep(SHORT);
        assert!(t.poll_now().is_empty(), "twice");
        t.reregister(&mut signal, B, ONCE);
        t.expect(&[want(B, READ)]);
        t.reregister(&mut signal, B, ONCE);
        t.quiet();
    }
    t.deregister(&mut signal);
    raise();
    thread::sleep(SHORT);
    assert!(t.poll_now().is_empty());
}
