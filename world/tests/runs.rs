//! Runs of worlds: how they end, and what is found in them.
//!
//! Invariant: each failure here is planted, and the same program without it passes.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

use std::io::ErrorKind;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use wakeful::net::UdpSocket;
use wakeful::sim::Task;
use wakeful::{Events, Interest, Poll, Timer, Token};
use wakeful_world::{ChoiceKind, Failure, Faults, Report, Runs, World};

const SECOND: Duration = Duration::from_secs(1);

fn task() -> Task {
    Task::current().expect("a task of the world")
}

fn sleep(length: Duration) {
    let until = task().time() + length;
    while task().time() < until {
        task().park(Some(until));
    }
}

fn wait_for_ever() {
    loop {
        task().park(None);
    }
}

fn failure(report: Report) -> Failure {
    report.failure.expect("a failure")
}

/// Returns the failure of a world of one seed without faults.
fn failure_of(build: impl Fn(&World) + Send + Sync + 'static) -> Failure {
    failure(World::seeds(0..1).faults(Faults::NONE).check(build))
}

/// Makes a world that must not fail.
fn passes(build: impl Fn(&World) + Send + Sync + 'static) -> Report {
    let report = World::seeds(0..10).twice_all().check(build);
    assert!(report.failure.is_none(), "{}", report.failure.unwrap());
    report
}

/// The clock moves to a timer's deadline, and to no other time.
#[test]
fn a_timer_moves_the_clock() {
    let report = passes(|world| {
        world.host("10.0.0.1", || {
            let mut poll = Poll::new().expect("a poll");
            let mut timer = Timer::new();
            poll.registry().register(&mut timer, Token(1), Interest::READABLE).expect("register");
            let deadline = Instant::now() + SECOND * 3600;
            timer.set(Some(deadline)).expect("set");
            let mut events = Events::with_capacity(8);
            while events.is_empty() {
                match poll.poll(&mut events, None) {
                    Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                    result => result.expect("poll"),
                }
            }
            let now = Instant::now();
            assert!(now >= deadline && now < deadline + SECOND / 100, "{:?} late", now - deadline);
        });
    });
    assert!(report.virtual_time >= SECOND * 3600 * 10);
}

#[test]
fn a_run_is_done_when_its_hosts_have_returned() {
    let report = passes(|world| {
        world.host("10.0.0.1", || sleep(SECOND * 5));
        world.host("10.0.0.2", || sleep(SECOND * 7));
        world.server("10.0.0.3", || sleep(SECOND * 60));
    });
    assert_eq!((report.runs, report.failures), (10, 0));
    assert_eq!(report.virtual_time, SECOND * 70);
    assert!(report.turns >= 5 * 10);
}

#[test]
fn a_world_that_waits_for_no_host_needs_an_end() {
    let report = World::seeds(7..9).check(|_| {});
    assert_eq!((report.runs, report.failures, report.turns), (2, 2, 0));
    let Failure { seed, reason, .. } = failure(report);
    assert_eq!(seed, 7);
    assert!(reason.contains("call `end_after`"), "{reason}");
    passes(|world| world.end_after(SECOND));
}

#[test]
fn a_panic_of_a_host_fails_the_run() {
    let report = World::seeds(3..10).check(|world| {
        world.host("10.0.0.1", || {
            sleep(SECOND);
            assert!(task().time() < SECOND, "too late");
        });
        world.host("10.0.0.2", || sleep(SECOND * 9));
    });
    assert_eq!((report.runs, report.failures), (7, 7));
    assert_eq!(report.virtual_time, SECOND * 7);
    let Failure { seed, reason, story, page, choices, is_minimal, .. } = failure(report);
    assert_eq!((seed, choices, is_minimal), (3, Vec::new(), true));
    assert!(reason.starts_with("host 10.0.0.1 panics at world/tests/runs.rs:"), "{reason}");
    assert!(reason.ends_with("too late"), "{reason}");
    assert!(story.trim_end().ends_with("10.0.0.1 panics: too late"), "{story}");
    let page = page.expect("a page");
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(page.ends_with("worlds/a_panic_of_a_host_fails_the_run-3.html"), "{page:?}");
    assert!(html.contains("too late") && html.contains("seed 3"), "{html}");
}

#[test]
fn a_deadlock_fails_the_run() {
    let report = World::seeds(0..2).check(|world| {
        world.host("10.0.0.1", wait_for_ever);
        world.host("10.0.0.2", || sleep(SECOND));
        world.server("10.0.0.3", wait_for_ever);
        world.at(SECOND * 3, |world| world.note("the last thing that happens"));
    });
    assert_eq!((report.failures, report.virtual_time), (2, SECOND * 6));
    let Failure { reason, story, .. } = failure(report);
    assert_eq!(reason, "every host waits, and nothing is on its way (10.0.0.1)");
    assert!(story.contains("nothing is on its way"), "{story}");
}

#[test]
fn a_limit_of_time_fails_the_run() {
    let report = World::seeds(0..1).check(|world| {
        world.host("10.0.0.1", || loop {
            sleep(SECOND);
        });
        world.end_when_done(SECOND * 100 + SECOND / 2);
    });
    assert_eq!(report.virtual_time, SECOND * 100 + SECOND / 2);
    assert_eq!(failure(report).reason, "the limit of 100.5s is over, and 10.0.0.1 still runs");
    // The same time may also be a good end.
    let report = passes(|world| {
        world.host("10.0.0.1", wait_for_ever);
        world.end_after(SECOND * 100);
    });
    assert_eq!(report.virtual_time, SECOND * 1000);
}

#[test]
fn an_invariant_is_checked_whenever_time_has_moved() {
    let found = failure_of(|world| {
        let done = Arc::new(AtomicU64::new(0));
        let (host, check) = (Arc::clone(&done), Arc::clone(&done));
        world.host("10.0.0.1", move || {
            for _ in 0..100 {
                sleep(SECOND);
                host.fetch_add(1, Ordering::Relaxed);
            }
        });
        world.invariant("few", move |world| {
            // The host has done one more since this moment of the clock.
            match check.load(Ordering::Relaxed) {
                41 => Err(format!("41 at {:?}", world.now())),
                _ => Ok(()),
            }
        });
    });
    assert_eq!(found.reason, "invariant \"few\": 41 at 42s");
    assert!(found.story.trim_end().ends_with("invariant \"few\": 41 at 42s"), "{}", found.story);
    // At the very end, though time doesn't move, and by a panic.
    let found = failure_of(|world| {
        let done = Arc::new(AtomicU64::new(0));
        let (host, check) = (Arc::clone(&done), Arc::clone(&done));
        world.host("10.0.0.1", move || host.store(7, Ordering::Relaxed));
        world.invariant("none", move |_| {
            assert_eq!(check.load(Ordering::Relaxed), 0, "seven");
            Ok(())
        });
    });
    assert!(found.reason.starts_with("invariant \"none\" panics at "), "{}", found.reason);
}

#[test]
fn the_test_acts_at_its_times_in_order() {
    passes(|world| {
        let seen = Arc::new(AtomicU64::new(0));
        // A later one first; two at the same time, in the order of their calls; one that is made meanwhile.
        let expect = |before: u64, at: Duration| {
            let seen = Arc::clone(&seen);
            move |world: &World| {
                assert_eq!((seen.fetch_add(1, Ordering::Relaxed), world.now()), (before, at));
            }
        };
        world.at(SECOND * 3, expect(4, SECOND * 3));
        world.at(SECOND, expect(0, SECOND));
        world.at(SECOND, expect(1, SECOND));
        let (next, last) = (expect(2, SECOND), expect(3, SECOND * 2));
        world.at(SECOND, |world| {
            world.at(SECOND, next);
            world.at(SECOND * 2, last);
        });
        let host = Arc::clone(&seen);
        world.host("10.0.0.1", move || {
            sleep(SECOND * 3 + SECOND / 2);
            assert_eq!(host.load(Ordering::Relaxed), 5);
            sleep(SECOND * 3);
            assert_eq!(host.load(Ordering::Relaxed), 5 + 30);
        });
        world.at(SECOND * 3 + SECOND / 2, move |world| {
            let seen = Arc::clone(&seen);
            world.every(SECOND / 10, move |_| {
                seen.fetch_add(1, Ordering::Relaxed);
            });
        });
    });
    let found = failure_of(|world| {
        world.host("10.0.0.1", wait_for_ever);
        world.at(SECOND, |world| world.crash("10.0.0.9"));
    });
    assert!(found.reason.starts_with("the test, at 1s, panics at world/tests/runs.rs:"), "{}", found.reason);
    assert!(found.reason.ends_with("no host is \"10.0.0.9\": there are [\"10.0.0.1\"]"), "{}", found.reason);
}

/// Sends a number each 100 ms, `count` altogether.
fn send_numbers(to: &str, count: u32) {
    let socket = UdpSocket::bind("0.0.0.0:0".parse().unwrap()).unwrap();
    for number in 0..count {
        socket.send_to(&number.to_le_bytes(), to.parse().unwrap()).unwrap();
        sleep(SECOND / 10);
    }
}

/// Receives numbers until none comes for 20 s.
fn receive_numbers(at: &str) -> Vec<u32> {
    let mut socket = UdpSocket::bind(at.parse().unwrap()).unwrap();
    let (mut poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(8));
    poll.registry().register(&mut socket, Token(0), Interest::READABLE).unwrap();
    let (mut numbers, mut last) = (Vec::new(), task().time());
    while task().time() < last + SECOND * 20 {
        let _ = poll.poll(&mut events, Some(SECOND));
        let mut number = [0; 4];
        while let Ok((4, _)) = socket.recv_from(&mut number) {
            numbers.push(u32::from_le_bytes(number));
            last = task().time();
        }
    }
    numbers
}

/// Returns what arrives of 100 numbers if the test does `act` after 2 s, and `undo` after 5 s.
fn arrives(act: fn(&World), undo: fn(&World), expected: Vec<u32>) {
    passes(move |world| {
        let expected = expected.clone();
        world.host("10.0.0.1", || send_numbers("10.0.0.2:9", 100));
        world.host("10.0.0.2", move || assert_eq!(receive_numbers("10.0.0.2:9"), expected));
        world.host("10.0.0.3", || ());
        world.at(Duration::from_millis(1_950), act);
        world.at(Duration::from_millis(4_950), undo);
    });
}

#[test]
fn a_partition_stops_the_messages_until_it_is_healed() {
    let all: Vec<u32> = (0..100).collect();
    let hole: Vec<u32> = (0..20).chain(50..100).collect();
    arrives(|world| world.partition(&["10.0.0.1"], &["10.0.0.2", "10.0.0.3"]), World::heal, hole.clone());
    arrives(
        |world| world.partition(&["10.0.0.2"], &["10.0.0.1"]),
        |world| world.heal_between(&["10.0.0.2"], &["10.0.0.1"]),
        hole.clone(),
    );
    arrives(|world| world.cut("10.0.0.1", "10.0.0.2"), World::heal, hole.clone());
    // Not the direction that matters, nor the host, nor the whole of it.
    arrives(|world| world.cut("10.0.0.2", "10.0.0.1"), World::heal, all.clone());
    arrives(|world| world.partition(&["10.0.0.3"], &["10.0.0.1", "10.0.0.2"]), World::heal, all);
    let undone = |world: &World| world.heal_between(&["10.0.0.3"], &["10.0.0.1"]);
    arrives(|world| world.partition(&["10.0.0.1"], &["10.0.0.2"]), undone, (0..20).collect());
}

#[test]
fn a_crashed_host_can_be_restarted() {
    let report = passes(|world| {
        let lives = Arc::new(AtomicU64::new(0));
        let host = world.host("10.0.0.1", move || {
            let life = lives.fetch_add(1, Ordering::Relaxed);
            // The address is free again.
            let _socket = UdpSocket::bind("10.0.0.1:9".parse().unwrap()).unwrap();
            match life {
                // Once it crashes, once it loses its power, and once it is restarted while it runs.
                0..=2 => wait_for_ever(),
                _ => assert_eq!((life, task().time()), (3, SECOND * 5)),
            }
        });
        let (one, two, three, four, five) = (host.clone(), host.clone(), host.clone(), host.clone(), host);
        world.at(SECOND, move |world| world.crash(one));
        world.at(SECOND * 2, move |world| world.restart(two));
        world.at(SECOND * 3, move |world| world.cut_power(three));
        world.at(SECOND * 4, move |world| world.restart(four));
        world.at(SECOND * 5, move |world| world.restart(five));
    });
    assert_eq!(report.virtual_time, SECOND * 50);
    // A run doesn't wait for a host that nothing restarts.
    let report = passes(|world| {
        world.host("10.0.0.1", wait_for_ever);
        world.host("10.0.0.2", || sleep(SECOND * 2));
        world.at(SECOND, |world| world.crash("10.0.0.1"));
    });
    assert_eq!(report.virtual_time, SECOND * 20);
}

#[test]
fn a_paused_host_has_no_turn() {
    passes(|world| {
        world.host("10.0.0.1", || {
            sleep(SECOND * 2);
            assert_eq!(task().time(), SECOND * 7);
        });
        world.host("10.0.0.2", || {
            sleep(SECOND * 2);
            assert_eq!(task().time(), SECOND * 2);
        });
        world.at(SECOND, |world| world.pause("10.0.0.1"));
        world.at(SECOND * 7, |world| world.resume("10.0.0.1"));
    });
}

#[test]
fn each_host_has_its_own_clock() {
    passes(|world| {
        let hour = SECOND * 3600;
        world.host("10.0.0.1", move || {
            assert_eq!(task().time(), hour);
            sleep(SECOND);
            assert_eq!(task().time(), hour + SECOND);
        });
        world.host("10.0.0.2", move || {
            sleep(SECOND * 2);
            assert_eq!(task().time(), SECOND * 2);
        });
        world.clock_ahead("10.0.0.1", hour);
        world.at(SECOND * 5, |world| world.clock_behind("10.0.0.2", SECOND));
        world.host("10.0.0.3", || sleep(SECOND * 6));
    });
}

#[test]
fn a_name_is_resolved() {
    passes(|world| {
        world.server_named("db", "10.0.0.7", wait_for_ever);
        world.host("10.0.0.1", || assert_eq!(task().resolve("db"), Some(vec!["10.0.0.7".parse().unwrap()])));
    });
}

/// Three hosts that send each other numbers, under all faults.
fn busy(runs: Runs) -> Report {
    runs.check(|world| {
        world.host("10.0.0.1", || send_numbers("10.0.0.2:9", 50));
        world.host("10.0.0.2", || drop(receive_numbers("10.0.0.2:9")));
        world.host("10.0.0.3", || send_numbers("10.0.0.2:9", 50));
        let when = Duration::from_millis(world.choose(5_000) as u64);
        world.at(when, |world| world.partition(&["10.0.0.1"], &["10.0.0.2"]));
        world.at(when + SECOND, World::heal);
    })
}

#[test]
fn runs_are_the_same_one_by_one_and_side_by_side() {
    let one = busy(World::seeds(0..40).cores(1).twice_all());
    let many = busy(World::seeds(0..40).cores(4));
    assert_eq!((one.failures, one.runs, one.hash), (0, 40, many.hash));
    assert_eq!((one.turns, one.virtual_time), (many.turns, many.virtual_time));
    assert_ne!(busy(World::seeds(1..41)).hash, one.hash);
}

#[test]
fn other_threads_of_the_test_change_no_run() {
    // Starting a thread takes locks of the standard library, which a fork of this process would keep.
    let is_over = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..3)
        .map(|_| {
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    thread::Builder::new()
                        .name("another".into())
                        .spawn(thread::yield_now)
                        .unwrap()
                        .join()
                        .unwrap();
                }
            })
        })
        .collect();
    let report = World::seeds(0..500).limit(SECOND * 5).twice_all().check(|world| {
        world.host("10.0.0.1", || sleep(SECOND));
        world.host("10.0.0.2", || sleep(SECOND));
    });
    is_over.store(true, Ordering::Relaxed);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert!(report.failure.is_none(), "{}", report.failure.unwrap());
}

#[test]
fn a_program_that_escapes_is_found_and_its_host_named() {
    // The number of the process, which no seed decides.
    let found = failure_of(|world| {
        world.host("10.0.0.1", || sleep(SECOND));
        world.host("10.0.0.2", move || {
            sleep(SECOND * 2);
            sleep(SECOND + Duration::from_micros(std::process::id().into()));
        });
    });
    assert!(found.reason.contains("\nhost 10.0.0.2 diverged at 3."), "{}", found.reason);
    assert!(found.reason.contains("\n  second run: 10.0.0.2 at 3."), "{}", found.reason);
    assert!(found.reason.contains("time stamp counter"), "{}", found.reason);
    // The address of a value, which another process has elsewhere.
    let report = World::seeds(0..6).twice_all().check(|world| {
        world.host("10.0.0.1", || {
            let value = Box::new(1);
            task().note(format!("{:p}", &*value));
        });
    });
    assert_eq!(report.failures, 6, "a second run has the same addresses");
    let found = failure(report);
    assert!(found.reason.contains("\nhost 10.0.0.1 diverged at 0ns, step 2:"), "{}", found.reason);
    // Unless it runs once.
    let report = World::seeds(0..3).twice(0).check(|world| {
        world.host("10.0.0.1", || sleep(Duration::from_micros(std::process::id().into())));
    });
    assert_eq!(report.failures, 0);
}

#[test]
fn the_smallest_failing_run_is_found() {
    let report = World::seeds(0..20).check(|world| {
        let chosen: Vec<usize> = (0..40).map(|_| world.choose(3)).collect();
        for address in 1..5 {
            let chosen = chosen.clone();
            world.host(format!("10.0.0.{address}"), move || {
                sleep(SECOND);
                assert!(address != 2 || chosen[7] == 0 || chosen[31] != 2, "the planted bug");
            });
        }
    });
    // Two thirds of a third.
    assert!((1..=10).contains(&report.failures), "{}", report.failures);
    let found = failure(report);
    let kept: Vec<_> = found.choices.iter().map(|choice| (choice.kind, choice.index)).collect();
    assert_eq!(kept, [(ChoiceKind::Test, 7), (ChoiceKind::Test, 31)]);
    assert!(found.is_minimal && found.all_choices > 20, "{found:?}");
}

#[test]
fn a_race_is_one_turn() {
    let report = World::seeds(0..20).check(|world| {
        let last = Arc::new(AtomicU64::new(0));
        for address in 1..5 {
            let last = Arc::clone(&last);
            world.host(format!("10.0.0.{address}"), move || {
                for _ in 0..10 {
                    sleep(SECOND);
                }
                assert!(last.swap(address, Ordering::Relaxed) < address, "out of order");
            });
        }
    });
    assert!(report.failures > 10);
    let found = failure(report);
    assert_eq!(found.choices.len(), 1, "{found}");
    assert_eq!(found.choices[0].kind, ChoiceKind::Turn);
}

#[test]
fn a_process_that_dies_is_a_failure() {
    let found = failure_of(|world| {
        world.host("10.0.0.1", || std::process::abort());
    });
    assert_eq!(found.reason, "the run's process was killed by SIGABRT");
    let found = failure_of(|world| {
        world.host("10.0.0.1", || std::process::exit(3));
    });
    assert_eq!(found.reason, "the run's process was ended with the exit code 3");
    // A panic while a panic unwinds.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the second");
        }
    }
    let found = failure_of(|world| {
        world.host("10.0.0.1", || {
            let _bomb = Bomb;
            panic!("the first");
        });
    });
    assert!(
        found.reason.starts_with("the run's process was killed by SIGABRT, after a panic at "),
        "{found}"
    );
}

#[test]
fn a_run_that_is_stuck_is_ended() {
    let half = SECOND / 2;
    let found = failure(World::seeds(0..1).limit(half).check(|world| {
        world.host("10.0.0.1", || sleep(SECOND));
        world.host("10.0.0.2", || loop {
            std::hint::spin_loop();
        });
    }));
    assert!(found.reason.starts_with("host 10.0.0.2 has run for 500ms without waiting"), "{found}");
    assert!(found.story.contains("host 10.0.0.2 has run for 500ms"), "{found}");
    let found = failure(World::seeds(0..1).limit(half).check(|_| loop {
        thread::park();
    }));
    assert!(found.reason.contains("the test's closure doesn't return"), "{found}");
}

#[test]
fn a_run_that_takes_too_long_is_ended_at_a_time_of_the_story() {
    let found = failure(World::seeds(0..1).limit(SECOND / 2).check(|world| {
        world.host("10.0.0.1", || loop {
            sleep(Duration::from_nanos(1));
        });
    }));
    assert_eq!(found.reason, "the run has taken 500ms of real time, and 10.0.0.1 still runs", "{found}");
    assert!(found.story.contains("the run fails"), "{found}");
}

/// Makes runs, in the process that a test has started for that. Returns what it prints.
fn in_another_process(name: &str, environment: (&str, &str), runs: fn()) -> String {
    if std::env::var_os("WORLD_TEST_INNER").is_some() {
        runs();
        return String::new();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture"]).env("WORLD_TEST_INNER", "1");
    let output = command.env(environment.0, environment.1).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_environment_repeats_a_seed() {
    let runs = || {
        World::seeds(0..50).run(|world| {
            let chosen = world.choose(10);
            world.host("10.0.0.1", move || assert_ne!(chosen, 3, "the planted bug"));
        });
    };
    let fail =
        |name: &str, value: &str| in_another_process("the_environment_repeats_a_seed", (name, value), runs);
    let first = fail("WORLD_SEED", "");
    if first.is_empty() {
        return;
    }
    let failing = |output: &str| {
        let start = output.find("\nseed ").map(|at| at + 1);
        let end = output.find("\nto repeat it: ");
        start.zip(end).map(|(start, end)| output[start..end].to_owned())
    };
    let failure = failing(&first).unwrap_or_else(|| panic!("no failure: {first}"));
    assert!(failure.contains("10.0.0.1 panics: ") && failure.contains("the planted bug"), "{failure}");
    let (_, repeat) = first.split_once("WORLD_SEED=").unwrap();
    let (seed, _) = repeat.split_once(" cargo test the_environment_repeats_a_seed\n").expect(&first);
    // The lowest one.
    let seeds = format!("0..{seed}");
    let before = fail("WORLD_SEEDS", &seeds);
    assert!(failing(&before).is_none() && before.contains("1 passed"), "{before}");
    // The same failure, shrunk to the same run.
    assert_eq!(failing(&fail("WORLD_SEED", seed)).as_deref(), Some(&*failure));
    // A seed that doesn't fail has a story too.
    let well = fail("WORLD_SEED", if seed == "0" { "1" } else { "0" });
    assert!(well.contains("10.0.0.1 ends") || well.contains("10.0.0.1 returns"), "{well}");
}

#[test]
fn the_environment_runs_each_seed_twice() {
    let runs = || {
        World::seeds(0..50).twice(0).run(|world| {
            let escapes = world.seed() == 40;
            let id = if escapes { std::process::id() } else { 0 };
            world.host("10.0.0.1", move || sleep(SECOND + Duration::from_micros(id.into())));
        });
    };
    let printed = |value: &str| {
        in_another_process("the_environment_runs_each_seed_twice", ("WORLD_TWICE", value), runs)
    };
    let twice = printed("1");
    if twice.is_empty() {
        return;
    }
    assert!(twice.contains("seed 40 ") && twice.contains("host 10.0.0.1 diverged"), "{twice}");
    let once = printed("");
    assert!(once.contains("1 passed"), "{once}");
}
