//! The simulation itself: the same seed gives the same run, time advances only in `poll`, and faults do what they
//! document.
//!
//! It keeps the contract too. Random programs test all of it (`cargo xtask model sim`), and each promise has a test:
//!
//! | promise | test |
//! |---|---|
//! | 1. edges, none lost | `each_change_is_reported` |
//! | 2. present readiness | `a_registration_reports_the_present_state` |
//! | 3. nothing after deregistration | `nothing_comes_after_a_deregistration` |
//! | 4. every token | `every_token_is_legal` |
//! | 5. wrong use | `wrong_use_is_an_error`, `worlds_and_kernels_do_not_mix` |
//! | 6. what can't be watched | `worlds_and_kernels_do_not_mix`: sources have no descriptors |
//! | 7. directions | `only_the_interest_is_reported` |
//! | 8. room | `with_room_for_one_no_source_starves` |
//! | 9. time | `time_moves_in_poll_alone_and_costs_nothing`, `any_timeout_is_legal` |
//! | 10. `Interrupted` | `a_sleep_may_be_interrupted_and_loses_nothing` |
//! | 11. other threads | `another_thread_can_register` |
//! | 12. wakers | `another_thread_can_wake` |
//! | 13. dropping | `a_dropped_source_closes_and_is_forgotten`, `a_source_of_a_dropped_poll_is_free` |
//! | 14, 15. descriptors | there are none |
//! | 16. nesting | `its_descriptor_shows_a_wake` |
//! | 17. allocations | not promised: what is sent lies in memory |
//! | 18. level-triggered | `a_level_is_reported_until_it_is_used_up` |
//! | 19, 20. one-shot | `a_one_shot_registration_has_one_event` |
//! | 21. exclusive | `an_exclusive_interest_is_an_interest` |
//! | 22. the end | `an_interest_in_the_end_hears_of_nothing_else` |

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use wakeful::sim::{Choice, ChoiceKind, Faults, Sim};
use wakeful::Waker;
use wakeful::{Backend, Events, Interest, Poll, Token};

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// The number of seeds: Miri takes a thousand times as long for each, and the undefined behaviour that it looks for
/// depends on none. WebAssembly is interpreted too.
const fn worlds(usual: u64) -> u64 {
    if cfg!(miri) {
        1
    } else if cfg!(target_family = "wasm") {
        usual / 10
    } else {
        usual
    }
}

const ROUNDS: u64 = if cfg!(miri) { 3 } else { 100 };

/// Does a little of everything, and returns a log of it.
fn run(seed: u64) -> String {
    run_in(&Sim::new(seed))
}

fn run_in(sim: &Sim) -> String {
    let mut poll = sim.new_poll();
    let mut events = Events::with_capacity(3);
    let (mut one, mut other) = sim.stream_pair();
    let mut listener = sim.listener();
    let mut datagram = sim.datagram();
    poll.registry().register(&mut one, Token(1), BOTH).unwrap();
    poll.registry().register(&mut other, Token(2), BOTH).unwrap();
    poll.registry().register(&mut listener, Token(3), Interest::READABLE).unwrap();
    poll.registry().register(&mut datagram, Token(4), BOTH).unwrap();
    let _client = sim.connect(listener.address()).unwrap();

    let mut log = String::new();
    let mut buf = [0; 100];
    for round in 0..ROUNDS {
        let result = poll.poll(&mut events, Some(Duration::from_millis(round % 3)));
        log += &format!("{:?} {:?} {:?}\n", sim.elapsed(), result.map_err(|e| e.kind()), events);
        log += &format!("{:?}\n", one.write(&buf[..50]).map_err(|e| e.kind()));
        log += &format!("{:?}\n", other.read(&mut buf).map_err(|e| e.kind()));
        log += &format!("{:?}\n", listener.accept().map(|_| ()).map_err(|e| e.kind()));
        log += &format!("{:?}\n", datagram.send_to(b"x", datagram.address()).map_err(|e| e.kind()));
        log += &format!("{:?}\n", datagram.recv_from(&mut buf).map(|(n, _)| n).map_err(|e| e.kind()));
    }
    log
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..worlds(50) {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}

/// FNV-1a of the log of one seed: the same on every platform, and in every version that doesn't change it.
#[test]
#[cfg_attr(miri, ignore = "a hundred rounds take it minutes")]
fn a_seed_is_the_same_run_everywhere() {
    let hash = run(7).bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    assert_eq!(hash, HASH, "{hash:#x}");
}

/// The record of a run repeats the run, and a record of nothing is a run without faults.
#[test]
fn a_record_is_the_run() {
    for seed in 0..worlds(50) {
        let sim = Sim::recorded(seed, Faults::default());
        assert_eq!(run_in(&sim), run(seed), "seed {seed}: the record changes the run");
        let choices = sim.choices();
        assert!(!choices.is_empty());
        let again = Sim::replayed(seed, Faults::default(), &choices);
        assert_eq!(run_in(&again), run(seed), "seed {seed}");
        assert_eq!(again.choices(), choices, "seed {seed}");
    }
    let plain = run_in(&Sim::replayed(1, Faults::default(), &[]));
    assert_eq!(plain, run_in(&Sim::replayed(2, Faults::NONE, &[])));
    assert!(!plain.contains("Interrupted"), "{plain}");
    assert_eq!(Sim::new(1).choices(), []);
}

/// A failure needs few of the choices of its run, and without any it doesn't occur.
#[test]
fn a_failing_run_shrinks() {
    let fails = |sim: &Sim| {
        let mut poll = sim.new_poll();
        let (mut one, mut other) = sim.stream_pair();
        poll.registry().register(&mut other, Token(1), Interest::READABLE).unwrap();
        while one.write(b"hello").is_err() {}
        let mut buf = [0; 5];
        for _ in 0..10 {
            let _ = poll.poll(&mut Events::with_capacity(3), Some(Duration::from_secs(1)));
            if let Ok(n) = other.read(&mut buf) {
                return n < 5;
            }
        }
        false
    };
    let replay = |choices: &[Choice]| fails(&Sim::replayed(0, Faults::default(), choices));
    let sim =
        (0..1_000).map(|seed| Sim::recorded(seed, Faults::default())).find(fails).expect("a seed that fails");
    let mut choices = sim.choices();
    assert!(choices.len() > 1 && replay(&choices) && !replay(&[]), "{choices:?}");
    let mut at = 0;
    while at < choices.len() {
        let mut fewer = choices.clone();
        fewer.remove(at);
        match replay(&fewer) {
            true => choices = fewer,
            false => at += 1,
        }
    }
    assert!(matches!(choices[..], [Choice { kind: ChoiceKind::Short, value: 1..=4, .. }]), "{choices:?}");
}

const HASH: u64 = 0xf372_a960_ff89_3f28;

#[test]
fn time_moves_in_poll_alone_and_costs_nothing() {
    let sim = Sim::with_faults(1, Faults::NONE);
    let mut poll = sim.new_poll();
    let mut events = Events::with_capacity(3);
    let (start, real) = (sim.now(), Instant::now());
    poll.poll(&mut events, Some(Duration::from_secs(3600))).unwrap();
    let slept = sim.now() - start;
    assert!(slept >= Duration::from_secs(3600) && slept < Duration::from_secs(3601), "{slept:?}");
    poll.poll_until(&mut events, start + Duration::from_secs(7200)).unwrap();
    assert!(sim.now() - start >= Duration::from_secs(7200));
    let now = sim.now();
    thread::sleep(Duration::from_millis(1));
    assert_eq!(sim.now(), now);
    assert!(real.elapsed() < Duration::from_secs(60));
}

/// Also a timeout beyond the clock's range, which has no end.
#[test]
fn any_timeout_is_legal() {
    for timeout in [Duration::MAX, Duration::MAX / 2, Duration::from_secs(1 << 40)] {
        in_time(move || {
            let sim = Sim::with_faults(1, Faults::NONE);
            let mut poll = sim.new_poll();
            let mut events = Events::with_capacity(3);
            assert!(poll.poll(&mut events, Some(timeout)).unwrap_err().to_string().contains("for ever"));
            let waker = Waker::new(poll.registry(), Token(9)).unwrap();
            waker.wake().unwrap();
            poll.poll(&mut events, Some(timeout)).unwrap();
            assert_eq!(events.len(), 1);
            assert!(sim.now().elapsed() < Duration::from_secs(60));
        });
    }
}

#[test]
fn an_endless_sleep_is_an_error() {
    let sim = Sim::with_faults(1, Faults::NONE);
    let mut poll = sim.new_poll();
    let (mut one, _other) = sim.stream_pair();
    poll.registry().register(&mut one, Token(1), Interest::READABLE).unwrap();
    let error = in_time(move || poll.poll(&mut Events::with_capacity(3), None).unwrap_err());
    assert!(error.to_string().contains("for ever"), "{error}");
}

#[test]
#[cfg(not(target_family = "wasm"))] // no second thread
fn another_thread_can_wake() {
    let sim = Sim::with_faults(1, Faults::NONE);
    let mut poll = sim.new_poll();
    let waker = Waker::new(poll.registry(), Token(9)).unwrap();
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        waker.wake().map(|()| waker)
    });
    let events = in_time(move || {
        let mut events = Events::with_capacity(3);
        poll.poll(&mut events, None).map(|()| events)
    });
    assert_eq!(events.unwrap().iter().next().unwrap().token(), Token(9));
    thread.join().unwrap().unwrap();
}

#[test]
fn a_reset_is_reported_once_at_both_ends() {
    let sim = Sim::with_faults(1, Faults::NONE);
    let (mut one, mut other) = sim.stream_pair();
    one.write_all(b"lost").unwrap();
    one.reset();
    let mut buf = [0; 10];
    for end in [&mut one, &mut other] {
        assert_eq!(end.read(&mut buf).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(end.read(&mut buf).unwrap(), 0);
        assert_eq!(end.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}

#[test]
fn connections_break_if_the_faults_say_so() {
    let outcomes = |faults: Faults| {
        let outcome = |seed| {
            let sim = Sim::with_faults(seed, faults.clone());
            let (mut one, mut other) = sim.stream_pair();
            let sent = (0..20).all(|_| one.write(b"x").is_ok());
            let mut buf = [0; 20];
            (sent, other.read(&mut buf).map_err(|e| e.kind()))
        };
        (0..100).map(outcome).collect::<Vec<_>>()
    };
    assert!(outcomes(Faults::NONE).iter().all(|outcome| *outcome == (true, Ok(20))));
    let with_resets = outcomes(Faults { reset: 50, ..Faults::NONE });
    assert!(with_resets.contains(&(false, Err(ErrorKind::ConnectionReset))));
    let with_ends = outcomes(Faults { half_close: 50, ..Faults::NONE });
    assert!(with_ends.iter().any(|(sent, read)| !sent && read.is_ok_and(|n| n > 0 && n < 20)));
}

/// Not only during an operation.
#[test]
fn an_idle_connection_breaks_too() {
    for (faults, ends) in [
        (Faults { reset: 5, ..Faults::NONE }, Err(ErrorKind::ConnectionReset)),
        (Faults { half_close: 5, ..Faults::NONE }, Ok(0)),
    ] {
        let sim = Sim::with_faults(1, faults);
        let mut poll = sim.new_poll();
        let (mut one, other) = sim.stream_pair();
        poll.registry().register(&mut one, Token(1), Interest::READABLE).unwrap();
        poll_until(&mut poll, 3, |events| !events.is_empty());
        assert_eq!(one.read(&mut [0]).map_err(|e| e.kind()), ends);
        drop(other);
    }
}

#[test]
#[cfg(not(target_family = "wasm"))] // no second process
fn a_test_that_panics_prints_the_seed() {
    if std::env::var_os("WAKEFUL_SIM_CHILD").is_some() {
        let sim = Sim::new(4711);
        let _poll = sim.new_poll();
        panic!("as it should");
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_test_that_panics_prints_the_seed"])
        .env("WAKEFUL_SIM_CHILD", "1")
        .output()
        .unwrap();
    assert!(!child.status.success());
    assert!(String::from_utf8_lossy(&child.stderr).contains("4711"), "{child:?}");
}

#[test]
fn worlds_and_kernels_do_not_mix() {
    let (sim, elsewhere) = (Sim::new(1), Sim::new(1));
    let (mut one, _other) = sim.stream_pair();
    for poll in [elsewhere.new_poll(), Poll::new().unwrap()] {
        let result = poll.registry().register(&mut one, Token(1), BOTH);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(sim.new_poll().backend(), Backend::Sim);
    assert!(!Backend::available().contains(&Backend::Sim));
    assert_eq!(Poll::with_backend(Backend::Sim).unwrap_err().kind(), ErrorKind::Unsupported);
}

/// This process stands for a child, which only a kernel can watch.
#[cfg(all(any(unix, windows), feature = "os-ext", not(miri)))]
#[test]
fn a_simulated_poll_watches_no_process() {
    use wakeful::process::ChildExit;

    let poll = Sim::new(1).new_poll();
    let id = std::num::NonZeroU32::new(std::process::id()).unwrap();
    match ChildExit::from_pid(id) {
        Ok(mut exit) => {
            let refused = poll.registry().register(&mut exit, Token(1), Interest::READABLE);
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
        }
        Err(e) => assert_eq!(e.kind(), ErrorKind::Unsupported),
    }
}

/// Returns the result of `call`, or fails if it hangs.
#[cfg(not(target_family = "wasm"))]
fn in_time<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    let (answer, answered) = std::sync::mpsc::channel();
    thread::spawn(move || answer.send(call()));
    answered.recv_timeout(Duration::from_secs(20)).expect("it has panicked, or it hangs")
}

#[cfg(target_family = "wasm")] // no second thread
fn in_time<T>(call: impl FnOnce() -> T) -> T {
    call()
}

/// Runs a part of the contract in many worlds: in those that do everything, in those where each event has a reason (a
/// spurious event could hide a lost one), and in those without faults (delays let other events come first).
fn in_many_worlds(check: impl Fn(&Sim, &mut Poll)) {
    let all = Faults::default();
    for faults in [all.clone(), Faults { spurious: 0, ..all }, Faults::NONE] {
        for seed in 0..worlds(200) {
            let sim = Sim::with_faults(seed, faults.clone());
            check(&sim, &mut sim.new_poll());
        }
    }
}

/// Polls until `is_done`, for an hour of simulated time at most.
fn poll_until(poll: &mut Poll, capacity: usize, mut is_done: impl FnMut(&Events) -> bool) {
    let mut events = Events::with_capacity(capacity);
    for _ in 0..3600 {
        match poll.poll(&mut events, Some(Duration::from_secs(1))) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            result => result.unwrap(),
        }
        if is_done(&events) {
            return;
        }
    }
    panic!("it never comes");
}

/// Reads until the source would block, and returns the number of bytes.
fn drain(mut from: impl Read) -> usize {
    let (mut sum, mut buf) = (0, [0; 100]);
    loop {
        match from.read(&mut buf) {
            Ok(0) => return sum,
            Ok(n) => sum += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return sum,
            Err(e) => panic!("{e}"),
        }
    }
}

fn send(mut to: impl Write, bytes: &[u8]) {
    let mut left = bytes;
    while !left.is_empty() {
        match to.write(left) {
            Ok(n) => left = &left[n..],
            Err(e) => assert!(matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock), "{e}"),
        }
    }
}

#[test]
fn each_change_is_reported() {
    in_many_worlds(|sim, poll| {
        let (mut one, other) = sim.stream_pair();
        poll.registry().register(&mut one, Token(1), Interest::READABLE).unwrap();
        for _ in 0..10 {
            send(&other, b"news");
            let mut received = 0;
            poll_until(poll, 4, |events| {
                if !events.is_empty() {
                    received += drain(&one);
                }
                received == 4
            });
        }
    });
}

#[test]
fn a_level_is_reported_until_it_is_used_up() {
    in_many_worlds(|sim, poll| {
        let (mut one, other) = sim.stream_pair();
        poll.registry().register(&mut one, Token(1), Interest::READABLE.level()).unwrap();
        for _ in 0..3 {
            send(&other, b"news");
            // Unread, it comes again and again; read in part too.
            for _ in 0..3 {
                poll_until(poll, 4, |events| !events.is_empty());
            }
            let mut received = 0;
            poll_until(poll, 4, |events| {
                if !events.is_empty() {
                    received += (&one).read(&mut [0]).unwrap_or(0);
                }
                received == 4
            });
        }
    });
    // Without a fault there is no event without a reason.
    let sim = Sim::with_faults(1, Faults::NONE);
    let (mut poll, mut events) = (sim.new_poll(), Events::with_capacity(4));
    let (mut one, other) = sim.stream_pair();
    poll.registry().register(&mut one, Token(1), Interest::READABLE.level()).unwrap();
    for _ in 0..10 {
        send(&other, b"x");
        for _ in 0..3 {
            poll.poll(&mut events, None).unwrap();
            assert_eq!(events.len(), 1);
        }
        assert_eq!(drain(&one), 1);
        poll.poll(&mut events, Some(Duration::from_secs(1))).unwrap();
        assert!(events.is_empty(), "{events:?}");
    }
}

/// Whatever the program does meanwhile, and whatever the faults are.
#[test]
fn a_one_shot_registration_has_one_event() {
    let mut events = Events::with_capacity(4);
    let mut count = |poll: &mut Poll, polls: usize| {
        let mut count = 0;
        for _ in 0..polls {
            if poll.poll(&mut events, Some(Duration::from_millis(10))).is_ok() {
                count += events.iter().count();
            }
        }
        count
    };
    let count = std::cell::RefCell::new(&mut count);
    in_many_worlds(|sim, poll| {
        let (mut one, other) = sim.stream_pair();
        for interest in [BOTH.one_shot(), BOTH.edge_one_shot(), Interest::READABLE.one_shot()] {
            send(&other, b"news");
            poll.registry().register(&mut one, Token(1), interest).unwrap();
            for _ in 0..5 {
                poll_until(poll, 4, |events| {
                    assert!(events.len() <= 1, "{events:?}");
                    !events.is_empty()
                });
                drain(&one);
                send(&other, b"news");
                assert_eq!((count.borrow_mut())(poll, 5), 0);
                poll.registry().reregister(&mut one, Token(1), interest).unwrap();
            }
            poll.registry().deregister(&mut one).unwrap();
        }
    });
}

#[test]
fn an_exclusive_interest_is_an_interest() {
    in_many_worlds(|sim, poll| {
        let (mut one, other) = sim.stream_pair();
        poll.registry().register(&mut one, Token(1), BOTH.exclusive()).unwrap();
        send(&other, b"news");
        poll_until(poll, 4, |events| events.iter().any(|event| event.is_readable()));
        let refused = poll.registry().reregister(&mut one, Token(1), BOTH.one_shot().exclusive());
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn an_interest_in_the_end_hears_of_nothing_else() {
    in_many_worlds(|sim, poll| {
        for interest in [Interest::END, Interest::END.level(), Interest::END.one_shot()] {
            let (mut one, other) = sim.stream_pair();
            poll.registry().register(&mut one, Token(1), interest).unwrap();
            send(&other, b"news");
            let mut events = Events::with_capacity(4);
            for _ in 0..5 {
                let _ = poll.poll(&mut events, Some(Duration::from_millis(20)));
                // A fault may have ended the connection.
                let is_broken = events.iter().next().is_some() && drains_to_the_end(&one);
                assert!(events.is_empty() || is_broken, "{events:?}");
            }
            drop(other);
            if interest == Interest::END.level() {
                for _ in 0..3 {
                    poll_until(poll, 4, |events| events.iter().any(|event| event.is_readable()));
                }
            }
            poll.registry().deregister(&mut one).unwrap();
        }
    });
    // Each reports the end, also one that came before.
    for is_early in [false, true] {
        for interest in [Interest::END, Interest::END.level(), Interest::END.one_shot()] {
            let sim = Sim::with_faults(3, Faults::NONE);
            let (mut poll, mut events) = (sim.new_poll(), Events::with_capacity(4));
            let (mut one, other) = sim.stream_pair();
            if is_early {
                other.shutdown(std::net::Shutdown::Write).unwrap();
            }
            poll.registry().register(&mut one, Token(1), interest).unwrap();
            if !is_early {
                poll.poll(&mut events, Some(Duration::from_secs(1))).unwrap();
                assert!(events.is_empty());
                drop(other);
            }
            poll.poll(&mut events, None).unwrap();
            assert_eq!(events.iter().map(|event| event.is_readable()).collect::<Vec<_>>(), [true]);
        }
    }
}

/// Returns whether all was read, or the connection was reset.
fn drains_to_the_end(mut from: impl Read) -> bool {
    let mut buf = [0; 100];
    loop {
        match from.read(&mut buf) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(_) => return true,
        }
    }
}

#[test]
fn a_registration_reports_the_present_state() {
    in_many_worlds(|sim, poll| {
        let (mut one, other) = sim.stream_pair();
        send(&other, b"early");
        poll.registry().register(&mut one, Token(1), Interest::READABLE).unwrap();
        for token in 1..5 {
            poll_until(poll, 4, |events| events.iter().any(|event| event.token() == Token(token)));
            poll.registry().reregister(&mut one, Token(token + 1), Interest::READABLE).unwrap();
        }
    });
}

#[test]
fn nothing_comes_after_a_deregistration() {
    in_many_worlds(|sim, poll| {
        let (mut one, other) = sim.stream_pair();
        let mut events = Events::with_capacity(4);
        poll.registry().register(&mut one, Token(1), BOTH).unwrap();
        send(&other, b"on its way");
        poll.registry().deregister(&mut one).unwrap();
        for _ in 0..20 {
            let _ = poll.poll(&mut events, Some(Duration::from_millis(5)));
            assert!(events.is_empty(), "seed {}: {events:?}", sim.seed());
        }
    });
}

#[test]
fn every_token_is_legal() {
    in_many_worlds(|sim, poll| {
        let (mut one, _other) = sim.stream_pair();
        for token in [0, 1, usize::MAX, usize::MAX / 2, sim.seed() as usize] {
            poll.registry().register(&mut one, Token(token), Interest::WRITABLE).unwrap();
            poll_until(poll, 4, |events| {
                assert!(events.iter().all(|event| event.token() == Token(token)));
                !events.is_empty()
            });
            poll.registry().deregister(&mut one).unwrap();
        }
    });
}

#[test]
fn wrong_use_is_an_error() {
    let sim = Sim::new(1);
    let (poll, second) = (sim.new_poll(), sim.new_poll());
    let (mut one, _other) = sim.stream_pair();
    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(poll.registry().deregister(&mut one)), ErrorKind::NotFound);
    assert_eq!(kind(poll.registry().reregister(&mut one, Token(1), BOTH)), ErrorKind::NotFound);
    poll.registry().register(&mut one, Token(1), BOTH).unwrap();
    for registry in [poll.registry(), second.registry()] {
        assert_eq!(kind(registry.register(&mut one, Token(2), BOTH)), ErrorKind::AlreadyExists);
    }
    assert_eq!(kind(second.registry().reregister(&mut one, Token(2), BOTH)), ErrorKind::NotFound);
    assert_eq!(kind(second.registry().deregister(&mut one)), ErrorKind::NotFound);
    poll.registry().deregister(&mut one).unwrap();
}

#[test]
fn only_the_interest_is_reported() {
    in_many_worlds(|sim, poll| {
        let (mut one, mut other) = sim.stream_pair();
        poll.registry().register(&mut one, Token(1), Interest::READABLE).unwrap();
        poll.registry().register(&mut other, Token(2), Interest::WRITABLE).unwrap();
        let mut events = Events::with_capacity(4);
        for _ in 0..30 {
            send(&other, b"x");
            let _ = poll.poll(&mut events, Some(Duration::from_millis(1)));
            for event in &events {
                assert_eq!(event.is_readable(), event.token() == Token(1), "{event:?}");
                assert_eq!(event.is_writable(), event.token() == Token(2), "{event:?}");
            }
            drain(&one);
        }
    });
}

#[test]
fn with_room_for_one_no_source_starves() {
    in_many_worlds(|sim, poll| {
        let mut pairs: Vec<_> = (0..20).map(|_| sim.stream_pair()).collect();
        for (token, (one, other)) in pairs.iter_mut().enumerate() {
            poll.registry().register(one, Token(token), Interest::READABLE).unwrap();
            send(&*other, b"x");
        }
        let mut seen = [false; 20];
        poll_until(poll, 1, |events| {
            assert!(events.len() <= 1);
            for event in events {
                seen[event.token().0] = true;
                // The busy ones stay busy.
                drain(&pairs[event.token().0].0);
                send(&pairs[event.token().0].1, b"x");
            }
            seen == [true; 20]
        });
    });
}

#[test]
fn a_sleep_may_be_interrupted_and_loses_nothing() {
    let mut interrupted = 0;
    for seed in 0..100 {
        let sim = Sim::with_faults(seed, Faults { interrupted: 2, ..Faults::NONE });
        let mut poll = sim.new_poll();
        let mut events = Events::with_capacity(4);
        let (mut one, _other) = sim.stream_pair();
        poll.registry().register(&mut one, Token(1), Interest::WRITABLE).unwrap();
        while let Err(e) = poll.poll(&mut events, None) {
            assert!(e.kind() == ErrorKind::Interrupted && events.is_empty(), "{e}");
            interrupted += 1;
        }
        assert_eq!(events.len(), 1);
    }
    assert!(interrupted > 10);
}

#[test]
#[cfg(not(target_family = "wasm"))] // no threads
fn another_thread_can_register() {
    let sim = Sim::with_faults(1, Faults::NONE);
    let mut poll = sim.new_poll();
    // Another thread may wake the sleeper.
    let waker = Waker::new(poll.registry(), Token(9)).unwrap();
    let (mut one, _other) = sim.stream_pair();
    let registry = poll.registry().try_clone().unwrap();
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        registry.register(&mut one, Token(1), Interest::WRITABLE).unwrap();
        one
    });
    let events = in_time(move || {
        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, None).map(|()| events)
    });
    assert_eq!(events.unwrap().iter().next().unwrap().token(), Token(1));
    thread.join().unwrap();
    drop(waker);
}

#[test]
fn a_dropped_source_closes_and_is_forgotten() {
    in_many_worlds(|sim, poll| {
        let (mut one, mut other) = sim.stream_pair();
        poll.registry().register(&mut one, Token(1), BOTH).unwrap();
        poll.registry().register(&mut other, Token(2), Interest::READABLE).unwrap();
        send(&one, b"last words");
        drop(one);
        let (mut received, mut has_ended) = (0, false);
        poll_until(poll, 4, |events| {
            assert!(events.iter().all(|event| event.token() == Token(2)), "{events:?}");
            if events.is_empty() {
                return false;
            }
            let mut buf = [0; 20];
            loop {
                match other.read(&mut buf) {
                    Ok(0) => {
                        has_ended = true;
                        break;
                    }
                    Ok(n) => received += n,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => panic!("{e}"),
                }
            }
            has_ended
        });
        assert_eq!(received, 10);
    });
}

#[cfg(unix)]
#[test]
fn its_descriptor_shows_a_wake() {
    use std::os::fd::AsRawFd;

    let sim = Sim::with_faults(1, Faults::NONE);
    let mut poll = sim.new_poll();
    let waker = Waker::new(poll.registry(), Token(9)).unwrap();
    let mut outer = Poll::new().unwrap();
    let mut events = Events::with_capacity(4);
    let fd = poll.as_raw_fd();
    let mut source = wakeful::unix::SourceFd(&fd);
    outer.registry().register(&mut source, Token(1), Interest::READABLE).unwrap();
    outer.poll(&mut events, Some(Duration::ZERO)).unwrap();
    assert!(events.is_empty());
    waker.wake().unwrap();
    outer.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
    assert_eq!(events.len(), 1);

    // And no longer than that.
    poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
    assert_eq!(events.len(), 1);
    outer.registry().reregister(&mut source, Token(1), Interest::READABLE).unwrap();
    outer.poll(&mut events, Some(Duration::ZERO)).unwrap();
    assert!(events.is_empty());
}

#[test]
fn a_source_of_a_dropped_poll_is_free() {
    for seed in 0..50 {
        let sim = Sim::new(seed);
        let (mut one, mut other) = sim.stream_pair();
        let gone = sim.new_poll();
        let waker = Waker::new(gone.registry(), Token(0)).unwrap();
        let registry = gone.registry().try_clone().unwrap();
        gone.registry().register(&mut one, Token(1), BOTH).unwrap();
        drop(gone);

        let mut poll = sim.new_poll();
        let again = poll.registry().register(&mut one, Token(2), BOTH).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        drop(registry);
        waker.wake().unwrap();
        let unknown = poll.registry().reregister(&mut one, Token(2), BOTH).unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
        poll.registry().register(&mut one, Token(2), Interest::READABLE).unwrap();
        drop(waker);

        while other.write(b"x").is_err() {}
        let mut events = Events::with_capacity(8);
        while !events.iter().any(|event| event.is_readable()) {
            let _ = poll.poll(&mut events, Some(Duration::from_millis(20)));
            assert!(events.iter().all(|event| event.token() == Token(2)));
        }
        poll.registry().deregister(&mut one).unwrap();
    }
}
