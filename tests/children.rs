//! `process::ChildExit`: the end of a child as an event, on each backend.
//!
//! In its own process: from fork to exec a child has all descriptors open, so that other tests would see the end of a
//! connection too late.
#![cfg(all(any(unix, windows), feature = "os-ext"))]

use std::env;
use std::io::{ErrorKind, Read, Write};
use std::num::NonZeroU32;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use wakeful::process::ChildExit;
use wakeful::{Backend, Interest, Poll, Token};

mod support;
use support::*;

/// Makes a module of each behaviour, with one test for each backend.
macro_rules! on_every_backend {
    ($($behaviour:ident),* $(,)?) => {$(
        mod $behaviour {
            use wakeful::Backend;

            fn run(backend: Backend) {
                if crate::can_watch(backend, stringify!($behaviour)) {
                    super::$behaviour(backend);
                }
            }

            #[cfg(any(target_os = "linux", target_os = "android", target_os = "illumos"))]
            #[test]
            fn epoll() {
                run(Backend::Epoll);
            }

            #[cfg(any(
                target_vendor = "apple",
                target_os = "freebsd",
                target_os = "netbsd",
                target_os = "openbsd",
                target_os = "dragonfly",
                wakeful_libkqueue
            ))]
            #[test]
            fn kqueue() {
                run(Backend::Kqueue);
            }

            #[cfg(unix)]
            #[test]
            fn posix_poll() {
                run(Backend::PosixPoll);
            }

            #[cfg(windows)]
            #[test]
            fn iocp() {
                run(Backend::Iocp);
            }
        }
    )*};
}

on_every_backend![
    a_child_that_ends,
    a_child_that_is_killed,
    a_child_that_has_ended_before,
    a_child_that_ends_before_it_is_registered,
    a_child_that_was_waited_for,
    a_child_that_is_waited_for_before_the_poll,
    a_child_that_ends_during_a_sleep,
    a_child_that_is_registered_during_a_sleep,
    each_of_many_children,
    with_room_for_one,
    each_source_of_one_child,
    another_token,
    a_number,
    the_modes,
    other_interests_are_refused,
    after_a_deregistration_it_is_silent,
    a_dropped_source_is_silent,
    one_poll_at_a_time,
    the_errors_of_the_contract,
    with_chaos_it_is_reported_once,
];

/// Whether the kernel can't do it, found without the library: Linux before 5.3, the Linux that qemu plays, a sandbox.
fn is_lacking(backend: Backend) -> bool {
    if cfg!(windows) || backend == Backend::Kqueue {
        return false;
    }
    #[cfg(all(any(target_os = "linux", target_os = "android"), not(wakeful_libkqueue)))]
    {
        use std::os::fd::FromRawFd;

        // SAFETY: no memory is passed.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) };
        // SAFETY: just opened, and owned by nothing else.
        drop((fd >= 0).then(|| unsafe { std::os::fd::OwnedFd::from_raw_fd(fd as i32) }));
        fd < 0
    }
    #[cfg(not(all(any(target_os = "linux", target_os = "android"), not(wakeful_libkqueue))))]
    true
}

/// If not, the test is a skip, which each log shows, and the refusal is what the documentation says.
fn can_watch(backend: Backend, test: &str) -> bool {
    if !is_lacking(backend) {
        return true;
    }
    let mut child = short_child();
    match ChildExit::new(&child) {
        Ok(mut exit) => {
            let refused = Tester::new(backend).registry().register(&mut exit, A, READ);
            assert_kind(refused, ErrorKind::Unsupported);
        }
        Err(e) => assert_eq!(e.kind(), ErrorKind::Unsupported),
    }
    child.wait().unwrap();
    let line = format!("skip: children: {test}: {backend} has no way to watch a process here\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    false
}

/// Promises 13 and 15. The kernel shows the process of a descriptor.
#[cfg(target_os = "linux")]
#[test]
fn its_descriptor_is_close_on_exec_and_closed_with_it() {
    if !can_watch(Backend::Epoll, "its_descriptor_is_close_on_exec_and_closed_with_it") {
        return;
    }
    let mut child = waiting_child();
    let own = || -> Vec<i32> {
        let line = format!("Pid:\t{}", child.id());
        let open = std::fs::read_dir("/proc/self/fdinfo").unwrap();
        let numbers = open.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let is_own = |number: &String| {
            // Another test may have closed it.
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
            info.lines().any(|found| found == line)
        };
        numbers.filter(is_own).map(|number| number.parse().unwrap()).collect()
    };
    for &backend in Backend::available() {
        let mut t = Tester::new(backend);
        let mut exit = exit_of(&child);
        t.register(&mut exit, A, READ);
        t.quiet();
        let found = own();
        assert_eq!(found.len(), 1, "{backend}: {found:?}");
        assert!(unix::is_close_on_exec(found[0]), "{backend}");
        drop(exit);
        assert_eq!(own(), [], "{backend}");
    }
    end(&mut child);
    child.wait().unwrap();
}

const CHILD: &str = "WAKEFUL_TEST_CHILD";

/// The child of the other tests, where there is no `cat`; not a test itself.
#[test]
fn child() {
    if env::var_os(CHILD).is_some() {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    }
}

/// A child that ends when its input does.
fn waiting_child() -> Child {
    let mut command = match cfg!(unix) {
        true => Command::new("cat"),
        false => Command::new(env::current_exe().unwrap()),
    };
    if cfg!(windows) {
        command.args(["--exact", "child"]).env(CHILD, "1");
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

fn end(child: &mut Child) {
    drop(child.stdin.take());
}

/// A child that ends at once, with 7.
fn short_child() -> Child {
    let mut command = if cfg!(unix) { Command::new("sh") } else { Command::new("cmd") };
    command.args([if cfg!(unix) { "-c" } else { "/C" }, "exit 7"]).spawn().unwrap()
}

/// Waits until the child has ended, and leaves its status to `wait`.
fn until_ended(child: &Child) {
    wait_until("the end", || has_ended(child));
}

#[cfg(unix)]
fn has_ended(child: &Child) -> bool {
    let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: all zeros is a legal siginfo_t, which `waitid` writes.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        assert_eq!(libc::waitid(libc::P_PID, child.id() as libc::id_t, &mut info, look), 0);
        info.si_signo != 0
    }
}

#[cfg(windows)]
fn has_ended(child: &Child) -> bool {
    use std::os::windows::io::AsRawHandle;
    use windows_sys::Win32::{Foundation::WAIT_OBJECT_0, System::Threading::WaitForSingleObject};

    // SAFETY: no memory is passed.
    unsafe { WaitForSingleObject(child.as_raw_handle(), 0) == WAIT_OBJECT_0 }
}

/// The child is the program's to wait for, and `try_wait` finds the end, on a kqueue within a moment.
#[track_caller]
fn reap(child: &mut Child) -> Option<i32> {
    let status = match cfg!(any(target_os = "linux", target_os = "android", windows)) {
        true => child.try_wait().unwrap().expect("the event comes before the end"),
        false => child.wait().unwrap(),
    };
    status.code()
}

fn exit_of(child: &Child) -> ChildExit {
    ChildExit::new(child).unwrap()
}

/// Expects one event that is readable, and nothing else.
#[track_caller]
fn expect_end(t: &mut Tester, token: Token) {
    let events = t.expect(&[want(token, READ)]);
    assert_eq!(events.len(), 1, "{events:?}");
    let event = &events[0];
    assert!(event.is_readable() && !event.is_writable(), "{event:?}");
    assert!(!event.is_read_closed() && !event.is_write_closed() && !event.is_error(), "{event:?}");
}

/// As [`expect_end`], where the child may have been waited for: Linux 6.9 and later then reports a closed source.
#[track_caller]
fn expect_late_end(t: &mut Tester, token: Token) {
    let events = t.expect(&[want(token, READ)]);
    assert!(events.len() == 1 && events[0].is_readable() && !events[0].is_error(), "{events:?}");
}

fn a_child_that_ends(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut child = waiting_child();
    let mut exit = exit_of(&child);
    t.register(&mut exit, A, READ);
    t.quiet();
    end(&mut child);
    expect_end(&mut t, A);
    t.quiet();
    // Promise 2: it is ended for ever.
    until_ended(&child);
    t.reregister(&mut exit, B, READ);
    expect_end(&mut t, B);
    t.quiet();
    assert_eq!(reap(&mut child), Some(0));
    // Since Linux 6.9 a pidfd has an edge for this too.
    t.quiet();
    t.reregister(&mut exit, C, READ);
    expect_late_end(&mut t, C);
    t.quiet();
    t.deregister(&mut exit);
    t.quiet();
}

fn a_child_that_is_killed(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut child = waiting_child();
    let mut exit = exit_of(&child);
    t.register(&mut exit, A, READ);
    child.kill().unwrap();
    expect_end(&mut t, A);
    assert_ne!(reap(&mut child), Some(0));
    t.quiet();
}

fn a_child_that_has_ended_before(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut child = short_child();
    until_ended(&child);
    let mut exit = exit_of(&child);
    t.register(&mut exit, A, READ);
    expect_end(&mut t, A);
    t.quiet();
    t.reregister(&mut exit, B, READ.one_shot());
    expect_end(&mut t, B);
    t.deregister(&mut exit);
    t.register(&mut exit, C, READ);
    expect_end(&mut t, C);
    drop(exit);
    t.quiet();
    assert_eq!(reap(&mut child), Some(7));
}

fn a_child_that_ends_before_it_is_registered(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut child = waiting_child();
    let mut exit = exit_of(&child);
    end(&mut child);
    until_ended(&child);
    t.register(&mut exit, A, READ);
    expect_end(&mut t, A);
    t.quiet();
    assert_eq!(reap(&mut child), Some(0));
}

fn a_child_that_was_waited_for(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut child = waiting_child();
    let mut exit = exit_of(&child);
    end(&mut child);
    child.wait().unwrap();
    t.register(&mut exit, A, READ);
    expect_late_end(&mut t, A);
    t.reregister(&mut exit, B, READ);
    expect_late_end(&mut t, B);
    t.quiet();
    t.deregister(&mut exit);
    t.quiet();
}

fn a_child_that_is_waited_for_before_the_poll(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut child = waiting_child();
    let mut exit = exit_of(&child);
    t.register(&mut exit, A, READ);
    end(&mut child);
    child.wait().unwrap();
    expect_late_end(&mut t, A);
    t.quiet();
}

fn a_child_that_ends_during_a_sleep(backend: Backend) {
    let mut t = Tester::new(backend);
    for _ in 0..rounds(10) {
        let mut child = waiting_child();
        let mut exit = exit_of(&child);
        t.register(&mut exit, A, READ);
        let input = child.stdin.take();
        thread::scope(|scope| {
            scope.spawn(move || {
                thread::sleep(Duration::from_millis(5));
                drop(input);
            });
            expect_end(&mut t, A);
        });
        assert_eq!(reap(&mut child), Some(0));
        t.deregister(&mut exit);
    }
}

fn a_child_that_is_registered_during_a_sleep(backend: Backend) {
    let mut t = Tester::new(backend);
    for _ in 0..rounds(10) {
        let mut child = short_child();
        until_ended(&child);
        let mut exit = exit_of(&child);
        let registry = t.registry().try_clone().unwrap();
        thread::scope(|scope| {
            let exit = &mut exit;
            scope.spawn(move || {
                thread::sleep(Duration::from_millis(5));
                registry.register(exit, A, READ).unwrap();
            });
            expect_end(&mut t, A);
        });
        t.deregister(&mut exit);
        assert_eq!(reap(&mut child), Some(7));
    }
}

/// In batches: some systems allow 256 descriptors. Wine takes 0.1 s to start each, so there are fewer on Windows.
fn each_of_many_children(backend: Backend) {
    const BATCH: usize = 100;
    let mut t = Tester::new(backend);
    for _ in 0..if cfg!(windows) { 2 } else { 10 } {
        let mut children = Vec::new();
        for number in 0..BATCH {
            let child = short_child();
            let mut exit = exit_of(&child);
            t.register(&mut exit, Token(number), [READ, READ.one_shot()][number % 2]);
            children.push((child, exit));
        }
        let mut seen = [0; BATCH];
        let deadline = Instant::now() + PATIENCE * 3;
        while seen.contains(&0) {
            assert!(Instant::now() < deadline, "{seen:?}");
            t.poll_until(deadline);
            t.events.iter().for_each(|event| seen[event.token().0] += 1);
        }
        assert_eq!(seen, [1; BATCH]);
        t.quiet();
        for (child, _) in &mut children {
            assert_eq!(reap(child), Some(7));
        }
        t.quiet();
        for (_, exit) in &mut children {
            t.deregister(exit);
        }
    }
}

fn with_room_for_one(backend: Backend) {
    const CHILDREN: usize = 10;
    let mut t = Tester::with_capacity(backend, 1);
    let mut children: Vec<_> = (0..CHILDREN).map(|_| short_child()).collect();
    children.iter().for_each(until_ended);
    let mut exits: Vec<_> = children.iter().map(exit_of).collect();
    for (number, exit) in exits.iter_mut().enumerate() {
        t.register(exit, Token(number), READ);
    }
    let mut seen = [0; CHILDREN];
    while seen.contains(&0) {
        t.poll_for(PATIENCE).iter().for_each(|event| seen[event.token().0] += 1);
    }
    t.quiet();
    assert_eq!(seen, [1; CHILDREN]);
    assert!(children.iter_mut().all(|child| reap(child) == Some(7)));
}

/// A kqueue watches each number once.
fn each_source_of_one_child(backend: Backend) {
    let (mut one, mut other) = (Tester::new(backend), Tester::new(backend));
    let mut child = waiting_child();
    let [mut first, mut second, mut third] = [(); 3].map(|()| exit_of(&child));
    one.register(&mut first, A, READ);
    other.register(&mut second, B, READ);
    match backend {
        Backend::Kqueue => {
            assert_kind(one.registry().register(&mut third, C, READ), ErrorKind::AlreadyExists)
        }
        _ => one.register(&mut third, C, READ),
    }
    end(&mut child);
    match backend {
        Backend::Kqueue => expect_end(&mut one, A),
        _ => assert_eq!(one.expect(&[want(A, READ), want(C, READ)]).len(), 2),
    }
    expect_end(&mut other, B);
    one.quiet();
    other.quiet();
    // A kqueue watches it no more, so there is nothing to end.
    drop(first);
    if backend == Backend::Kqueue {
        one.register(&mut third, C, READ);
        expect_end(&mut one, C);
    }
    one.deregister(&mut third);
    assert_eq!(reap(&mut child), Some(0));
}

fn another_token(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut child = waiting_child();
    let mut exit = exit_of(&child);
    t.register(&mut exit, A, READ);
    t.reregister(&mut exit, B, READ.one_shot());
    t.quiet();
    end(&mut child);
    until_ended(&child);
    // Found, and not yet reported.
    t.reregister(&mut exit, Token(usize::MAX), READ);
    expect_end(&mut t, Token(usize::MAX));
    t.quiet();
    assert_eq!(reap(&mut child), Some(0));
}

fn a_number(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut child = waiting_child();
    let mut exit = ChildExit::from_pid(NonZeroU32::new(child.id()).unwrap()).unwrap();
    t.register(&mut exit, A, READ);
    t.quiet();
    end(&mut child);
    expect_end(&mut t, A);
    assert_eq!(reap(&mut child), Some(0));
    // No process has these: they are too large for a Unix, and odd for Windows.
    for unused in [u32::MAX, u32::MAX - 4, i32::MAX as u32] {
        assert_kind(ChildExit::from_pid(NonZeroU32::new(unused).unwrap()), ErrorKind::NotFound);
    }
    // Windows keeps a process for as long as it has a handle.
    if cfg!(unix) {
        assert_kind(ChildExit::new(&child), ErrorKind::NotFound);
    }
}

fn the_modes(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut child = waiting_child();
    let mut exit = exit_of(&child);
    for once in [READ, READ.one_shot(), READ.edge_one_shot()] {
        t.register(&mut exit, A, once);
        t.quiet();
        t.deregister(&mut exit);
    }
    if backend == Backend::Kqueue {
        assert_kind(t.registry().register(&mut exit, A, READ.level()), ErrorKind::Unsupported);
        t.register(&mut exit, A, READ);
        assert_kind(t.registry().reregister(&mut exit, B, READ.level()), ErrorKind::Unsupported);
    } else {
        t.register(&mut exit, A, READ.level());
    }
    t.quiet();
    end(&mut child);
    until_ended(&child);
    if backend != Backend::Kqueue {
        for _ in 0..5 {
            // Chaos repeats a level, but no event that is to come once.
            let events = t.expect(&[want(A, READ)]);
            assert!(events.len() == 1 || is_shaken(), "{events:?}");
        }
    }
    for once in [READ, READ.one_shot(), READ.edge_one_shot()] {
        t.reregister(&mut exit, B, once);
        expect_end(&mut t, B);
        t.quiet();
    }
    assert_eq!(reap(&mut child), Some(0));
}

fn other_interests_are_refused(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut child = short_child();
    let mut exit = exit_of(&child);
    let refused = [WRITE, BOTH, Interest::END, READ | Interest::END, READ.exclusive(), WRITE.level()];
    for interest in refused {
        assert_kind(t.registry().register(&mut exit, A, interest), ErrorKind::Unsupported);
    }
    t.register(&mut exit, B, READ);
    for interest in refused {
        assert_kind(t.registry().reregister(&mut exit, A, interest), ErrorKind::Unsupported);
    }
    expect_end(&mut t, B);
    assert_eq!(reap(&mut child), Some(7));
}

/// Promise 3, though the kernel has queued the event.
fn after_a_deregistration_it_is_silent(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut child = waiting_child();
    let mut exit = exit_of(&child);
    t.register(&mut exit, A, READ);
    end(&mut child);
    until_ended(&child);
    t.deregister(&mut exit);
    t.quiet();
    assert_kind(t.registry().deregister(&mut exit), ErrorKind::NotFound);
    t.register(&mut exit, B, READ);
    expect_end(&mut t, B);
    t.deregister(&mut exit);
    assert_eq!(reap(&mut child), Some(0));
    t.quiet();
}

fn a_dropped_source_is_silent(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut child = waiting_child();
    let mut exit = exit_of(&child);
    t.register(&mut exit, A, READ);
    drop(exit);
    let mut next = exit_of(&child);
    t.register(&mut next, B, READ);
    end(&mut child);
    expect_end(&mut t, B);
    drop(next);
    t.quiet();
    // Also if it was dropped between the end and the poll.
    let mut second = waiting_child();
    let mut exit = exit_of(&second);
    t.register(&mut exit, C, READ);
    end(&mut second);
    until_ended(&second);
    drop(exit);
    t.quiet();
    assert_eq!((reap(&mut child), reap(&mut second)), (Some(0), Some(0)));
}

fn one_poll_at_a_time(backend: Backend) {
    let (mut one, other) = (Tester::new(backend), Tester::new(backend));
    let mut child = waiting_child();
    let mut exit = exit_of(&child);
    one.register(&mut exit, A, READ);
    assert_kind(other.registry().register(&mut exit, B, READ), ErrorKind::AlreadyExists);
    assert_kind(other.registry().reregister(&mut exit, B, READ), ErrorKind::NotFound);
    assert_kind(other.registry().deregister(&mut exit), ErrorKind::NotFound);
    one.deregister(&mut exit);
    other.register(&mut exit, B, READ);
    // After its `Poll` it is free.
    drop(other);
    one.register(&mut exit, C, READ);
    end(&mut child);
    expect_end(&mut one, C);
    // And so it is after the event.
    drop(one);
    let mut last = Tester::new(backend);
    last.register(&mut exit, A, READ);
    expect_end(&mut last, A);
    assert_eq!(reap(&mut child), Some(0));
}

fn the_errors_of_the_contract(backend: Backend) {
    let mut t = Tester::new(backend);
    let mut child = waiting_child();
    let mut exit = exit_of(&child);
    for is_ended in [false, true] {
        assert_kind(t.registry().reregister(&mut exit, A, READ), ErrorKind::NotFound);
        assert_kind(t.registry().deregister(&mut exit), ErrorKind::NotFound);
        t.register(&mut exit, A, READ);
        assert_kind(t.registry().register(&mut exit, B, READ), ErrorKind::AlreadyExists);
        if is_ended {
            expect_end(&mut t, A);
        }
        assert_kind(t.registry().register(&mut exit, B, READ), ErrorKind::AlreadyExists);
        t.deregister(&mut exit);
        end(&mut child);
        until_ended(&child);
    }
    assert_eq!(reap(&mut child), Some(0));
}

/// With every seed, also in a program that has set none.
fn with_chaos_it_is_reported_once(backend: Backend) {
    for seed in 1..=rounds(10) as u64 {
        let mut t = Tester::new(backend);
        t.poll = Poll::with_chaos(backend, seed).unwrap();
        let mut child = waiting_child();
        let mut exit = exit_of(&child);
        t.register(&mut exit, A, READ);
        assert!(t.poll_now().is_empty(), "seed {seed}: an event of a child that lives");
        end(&mut child);
        t.poll_for(PATIENCE);
        assert_eq!(t.events.len(), 1, "seed {seed}");
        assert_eq!(reap(&mut child), Some(0), "seed {seed}");
        assert!(t.poll_for(Duration::from_millis(30)).is_empty(), "seed {seed}: twice");
    }
}
