//! Timers on the simulation's clock, beside a list of deadlines: never early, never lost, and late by nothing where the
//! simulation injects nothing.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use wakeful::sim::{Faults, Sim};
use wakeful::{Events, Interest, Timer, Token};

const TIMERS: usize = 50;

/// As many deadlines as all runs together have.
const DEADLINES: usize = if cfg!(miri) { 100 } else { 10_000 };

/// Two waits, each with up to 20 microseconds of work and 80 of slack.
const LATEST: Duration = Duration::from_micros(200);

#[test]
fn random_deadlines_agree_with_a_list() {
    let all = Faults::default();
    let terse = Faults { spurious: 0, ..all.clone() };
    let mut seeds = 0..;
    let mut set = 0;
    while set < DEADLINES {
        for faults in [Faults::NONE, terse.clone(), all.clone()] {
            set += run(seeds.next().unwrap(), faults);
        }
    }
}

/// Sets, cancels and polls at random. Returns how many deadlines were set.
fn run(seed: u64, faults: Faults) -> usize {
    let mut random = fastrand::Rng::with_seed(seed);
    let is_exact = faults == Faults::NONE;
    let sim = Sim::with_faults(seed, faults);
    let mut poll = sim.new_poll();
    let timers: Vec<Timer> = (0..TIMERS)
        .map(|n| {
            let mut timer = Timer::new();
            poll.registry().register(&mut timer, Token(n), Interest::READABLE).unwrap();
            timer
        })
        .collect();
    let mut list = vec![None; TIMERS];
    let mut set = 0;
    for _ in 0..500 {
        let n = random.usize(..TIMERS);
        match random.u8(..10) {
            0 => {
                timers[n].set(None).unwrap();
                list[n] = None;
            }
            1..=6 => {
                // Some have passed, and many are equal.
                let ahead = Duration::from_micros(random.u64(..50) * 100);
                let deadline = sim.now() + ahead - Duration::from_micros(500);
                timers[n].set(Some(deadline)).unwrap();
                list[n] = Some(deadline);
                set += 1;
            }
            _ => {
                let first: Option<Instant> = list.iter().flatten().min().copied();
                let timeout = match random.u8(..3) {
                    0 if first.is_some() => None,
                    1 => Some(Duration::ZERO),
                    _ => Some(Duration::from_micros(random.u64(..3000))),
                };
                let mut events = Events::with_capacity(random.usize(1..5));
                let start = sim.now();
                let result = poll.poll(&mut events, timeout);
                let now = sim.now();
                let end = timeout.map(|timeout| start + timeout);
                let is_ok = result.is_ok();
                match result {
                    Err(e) if e.kind() == ErrorKind::Interrupted => assert!(events.is_empty()),
                    Err(e) => panic!("seed {seed}: {e}"),
                    Ok(()) if events.is_empty() => {
                        assert!(end.is_some_and(|end| now >= end), "seed {seed}: empty before the timeout")
                    }
                    Ok(()) => {}
                }
                if is_exact {
                    let due = first.into_iter().chain(end).min().unwrap().max(start);
                    assert!(now - due <= LATEST, "seed {seed}: {:?} late", now - due);
                }
                let has_room = events.len() < events.capacity();
                for event in &events {
                    assert!(event.is_readable() && !event.is_writable() && !event.is_error());
                    let deadline = list[event.token().0].take();
                    assert!(
                        deadline.is_some_and(|deadline| deadline <= now),
                        "seed {seed}: {event:?} is early"
                    );
                }
                let is_lost = list.iter().flatten().any(|&deadline| deadline <= start);
                assert!(!is_lost || !is_ok || !has_room, "seed {seed}: a timer that was due isn't reported");
            }
        }
    }
    set
}
