//! Promises 3, 9, 11, 12 and 13 while another thread is inside `poll`.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use wakeful::net::{TcpListener, TcpStream};
use wakeful::{Backend, Interest, Token, Waker};

use crate::support::*;

on_every_backend![
    a_wake_ends_a_sleep,
    wakes_from_many_threads,
    what_was_written_before_a_wake_is_seen,
    a_registration_takes_effect_at_once,
    a_reregistration_takes_effect_at_once,
    a_deregistration_takes_effect_at_once,
    a_read_that_blocks_takes_effect_at_once,
    a_dropped_source_closes_at_once,
    a_closed_listener_frees_its_address_at_once,
    a_deregistered_token_is_never_seen_again,
    registrations_do_not_restart_a_timeout,
    wakes_of_dropped_wakers_do_not_restart_a_timeout,
    epolls_mark_as_a_token_under_wakes,
    a_poll_that_is_dropped_meanwhile,
    everything_at_once,
    one_shot_sources_are_shared_by_threads,
    a_mode_takes_effect_at_once,
];

/// Promise 19: the thread that has the event has the source to itself. Four threads read messages and re-register,
/// beside one that polls; each message is read once, in order.
fn one_shot_sources_are_shared_by_threads(backend: Backend) {
    const SOURCES: usize = 16;
    const WORKERS: usize = 4;
    let messages = rounds(if cfg!(windows) { 6_000 } else { 62_500 });

    struct Shared {
        /// The source, and how many messages it has brought.
        state: Mutex<(TcpStream, usize)>,
        is_taken: AtomicBool,
    }

    let mut t = Tester::with_capacity(backend, 5);
    let (mut shared, mut peers) = (Vec::new(), Vec::new());
    for index in 0..SOURCES {
        let (mut source, peer) = tcp_pair_with_std();
        t.register(&mut source, Token(index), READ.one_shot());
        shared.push(Shared { state: Mutex::new((source, 0)), is_taken: AtomicBool::new(false) });
        peers.push(peer);
    }
    let registry = t.registry().try_clone().unwrap();
    let waker = Waker::new(&registry, WAKE).unwrap();
    let left = AtomicUsize::new(SOURCES);
    let (sender, receiver) = std::sync::mpsc::channel::<usize>();
    let receiver = Mutex::new(receiver);

    let work = |index: usize| {
        let Shared { state, is_taken } = &shared[index];
        assert!(!is_taken.swap(true, Ordering::AcqRel), "two threads have one event each");
        let (source, count) = &mut *state.lock().unwrap();
        let mut buf = [0; 4];
        while *count < messages {
            match (&*source).read(&mut buf) {
                // Chaos moves less. The bytes of a message that is begun are there, or come.
                Ok(n) if n < 4 => {
                    read_exactly(&*source, 4 - n).iter().zip(&mut buf[n..]).for_each(|(a, b)| *b = *a)
                }
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => panic!("{e}"),
            }
            assert_eq!(u32::from_le_bytes(buf) as usize, *count, "a message is lost, or read twice");
            *count += 1;
        }
        is_taken.store(false, Ordering::Release);
        if *count < messages {
            registry.reregister(source, Token(index), READ.one_shot()).unwrap();
        } else if left.fetch_sub(1, Ordering::AcqRel) == 1 {
            waker.wake().unwrap();
        }
    };
    thread::scope(|scope| {
        let work = &work;
        for _ in 0..WORKERS {
            scope.spawn(|| loop {
                let next = receiver.lock().unwrap().recv();
                match next {
                    Ok(index) => work(index),
                    Err(_) => return,
                }
            });
        }
        scope.spawn(|| {
            let mut random = Rng::with_seed(7);
            let mut sent = [0; SOURCES];
            while sent.iter().any(|&sent| sent < messages) {
                let index = random.usize(..SOURCES);
                let next = (sent[index] + random.usize(1..200)).min(messages);
                let bytes: Vec<u8> = (sent[index]..next).flat_map(|n| (n as u32).to_le_bytes()).collect();
                send(&peers[index], &bytes);
                sent[index] = next;
            }
        });
        while left.load(Ordering::Acquire) > 0 {
            for event in t.poll_for(PATIENCE) {
                if event.token() != WAKE {
                    sender.send(event.token().0).unwrap();
                }
            }
        }
        drop(sender);
    });
}

/// From another thread, inside `poll`: a level-triggered registration, its event each time, and its end.
fn a_mode_takes_effect_at_once(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    send(&b, b"x");
    t.expect(&[want(A, READ)]);
    let registry = t.registry().try_clone().unwrap();
    for mode in [Interest::level, Interest::one_shot, Interest::edge_one_shot] {
        thread::scope(|scope| {
            let sleeper = scope.spawn(|| loop {
                let events = t.poll_for(PATIENCE);
                // Chaos may make up an event of the old registration.
                if !is_shaken() || events.iter().any(|event| event.token() == B) {
                    break events;
                }
            });
            thread::sleep(Duration::from_millis(5));
            registry.reregister(&mut a, B, mode(READ)).unwrap();
            let events = sleeper.join().unwrap();
            assert!(events.iter().any(|event| event.token() == B && event.is_readable()), "{events:?}");
        });
        // Nothing is awaited any more, so the next thread sleeps.
        t.reregister(&mut a, C, READ.one_shot());
        t.expect(&[want(C, READ)]);
    }
}

/// Operations and registrations continue while their poll is dropped: each finds it alive or gone.
fn a_poll_that_is_dropped_meanwhile(backend: Backend) {
    let mut next = Tester::new(backend);
    for round in 0..200 {
        let (mut a, b) = tcp_pair();
        let t = Tester::new(backend);
        t.register(&mut a, A, READ);
        let start = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                for _ in 0..round % 40 {
                    std::hint::spin_loop();
                }
                drop(t);
            });
            start.wait();
            let deadline = Instant::now() + PATIENCE;
            while let Err(e) = next.registry().register(&mut a, B, READ) {
                assert_eq!(e.kind(), ErrorKind::AlreadyExists);
                assert!(Instant::now() < deadline, "it is never free");
                assert_eq!(drain(&a), b"");
            }
        });
        send(&b, b"x");
        next.expect(&[want(B, READ)]);
        assert_eq!(drain(&a), b"x");
        next.deregister(&mut a);
    }
}

/// Wakes while the poller is about to sleep, asleep, or waking up.
fn a_wake_ends_a_sleep(backend: Backend) {
    let mut t = Tester::new(backend);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let polled = AtomicUsize::new(0);
    const ROUNDS: usize = 3000;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Rng::with_seed(1);
            for round in 0..ROUNDS {
                for _ in 0..random.usize(..200) {
                    std::hint::spin_loop();
                }
                if random.usize(..50) == 0 {
                    thread::sleep(Duration::from_micros(100));
                }
                waker.wake().unwrap();
                wait_until("the poll", || polled.load(Ordering::Acquire) > round);
            }
        });
        for round in 0..ROUNDS {
            let events = t.poll_for(PATIENCE);
            assert_eq!(events.len(), 1, "round {round}: {events:?}");
            polled.store(round + 1, Ordering::Release);
        }
    });
}

fn wakes_from_many_threads(backend: Backend) {
    const THREADS: usize = 8;
    const WAKES: usize = 500;
    let mut t = Tester::with_capacity(backend, 3);
    let registry = t.registry().try_clone().unwrap();
    let woken: Vec<AtomicUsize> = (0..THREADS).map(|_| AtomicUsize::new(0)).collect();
    let seen: Vec<AtomicUsize> = (0..THREADS).map(|_| AtomicUsize::new(0)).collect();
    let left = AtomicUsize::new(THREADS);
    let last = Waker::new(t.registry(), WAKE).unwrap();
    thread::scope(|scope| {
        for index in 0..THREADS {
            let (registry, woken, seen, left, last) = (&registry, &woken, &seen, &left, &last);
            scope.spawn(move || {
                let waker = Waker::new(registry, Token(index)).unwrap();
                let mut random = Rng::with_seed(index as u64);
                for wake in 1..=WAKES {
                    woken[index].store(wake, Ordering::Release);
                    waker.wake().unwrap();
                    // Wakes in sequence, and wakes that each wait for their event.
                    if random.usize(..2) == 0 || wake == WAKES {
                        wait_until("its wake", || seen[index].load(Ordering::Acquire) >= wake);
                    }
                }
                left.fetch_sub(1, Ordering::AcqRel);
                last.wake().unwrap();
            });
        }
        while left.load(Ordering::Acquire) > 0 {
            for event in t.poll_for(PATIENCE) {
                if event.token() != WAKE {
                    let index = event.token().0;
                    seen[index].store(woken[index].load(Ordering::Acquire), Ordering::Release);
                }
            }
        }
    });
}

fn what_was_written_before_a_wake_is_seen(backend: Backend) {
    let mut t = Tester::new(backend);
    let wakers = [A, B, C].map(|token| Waker::new(t.registry(), token).unwrap());
    // Plain memory in effect: nothing but the wake orders it.
    let values = [A, B, C].map(|_| AtomicUsize::new(0));
    const LAST: usize = 3000;
    thread::scope(|scope| {
        for (waker, value) in wakers.iter().zip(&values) {
            scope.spawn(move || {
                for number in 1..=LAST {
                    value.store(number, Ordering::Relaxed);
                    waker.wake().unwrap();
                }
            });
        }
        let mut seen = [0; 3];
        while seen != [LAST; 3] {
            let events = t.poll_for(PATIENCE);
            assert!(!events.is_empty(), "a last wake was lost: {seen:?}");
            for event in events {
                let index = [A, B, C].iter().position(|&token| token == event.token()).unwrap();
                seen[index] = values[index].load(Ordering::Relaxed);
            }
        }
    });
}

/// Runs `act` in another thread while this one is most likely blocked in `poll`, with [`PATIENCE`] as its limit; the
/// delay of `act` varies.
pub fn while_asleep(t: &mut Tester, round: usize, act: impl FnOnce() + Send) -> Vec<wakeful::event::Event> {
    thread::scope(|scope| {
        scope.spawn(move || {
            match round % 4 {
                0 => {}
                1 => (0..round * 10).for_each(|_| std::hint::spin_loop()),
                2 => thread::yield_now(),
                _ => thread::sleep(Duration::from_micros(200)),
            }
            act();
        });
        t.poll_for(PATIENCE)
    })
}

#[track_caller]
fn assert_only(events: &[wakeful::event::Event], token: Token, interest: Interest) {
    assert!(!events.is_empty(), "nothing came");
    for event in events {
        assert_eq!(event.token(), token, "{events:?}");
        assert_sane(event, interest);
    }
}

fn a_registration_takes_effect_at_once(backend: Backend) {
    let mut t = Tester::new(backend);
    let registry = t.registry().try_clone().unwrap();
    for round in 0..100 {
        // Ready when it is registered, and afterwards.
        let (mut a, b) = tcp_pair();
        if round % 2 == 0 {
            send(&b, b"x");
        }
        let events = while_asleep(&mut t, round, || {
            registry.register(&mut a, Token(round), READ).unwrap();
            if round % 2 == 1 {
                send(&b, b"x");
            }
        });
        assert_only(&events, Token(round), READ);
    }
}

fn a_reregistration_takes_effect_at_once(backend: Backend) {
    let mut t = Tester::new(backend);
    let registry = t.registry().try_clone().unwrap();
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    for round in 0..100 {
        let token = Token(round);
        let events = while_asleep(&mut t, round, || registry.reregister(&mut a, token, WRITE).unwrap());
        assert_only(&events, token, WRITE);
        t.reregister(&mut a, A, READ);
        let events = while_asleep(&mut t, round, || {
            registry.reregister(&mut a, token, READ).unwrap();
            send(&b, b"x");
        });
        assert_only(&events, token, READ);
        drain(&a);
    }
}

fn a_deregistration_takes_effect_at_once(backend: Backend) {
    let mut t = Tester::new(backend);
    let registry = t.registry().try_clone().unwrap();
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    for round in 0..100 {
        let (mut a, b) = tcp_pair();
        t.register(&mut a, A, READ);
        let events = while_asleep(&mut t, round, || {
            registry.deregister(&mut a).unwrap();
            send(&b, b"x");
            await_bytes(&a);
            waker.wake().unwrap();
        });
        // Deregistered during the poll, so this poll may not report it either.
        assert_only(&events, WAKE, READ);
    }
}

fn a_read_that_blocks_takes_effect_at_once(backend: Backend) {
    let mut t = Tester::new(backend);
    let (mut a, b) = tcp_pair();
    t.register(&mut a, A, READ);
    for round in 0..200 {
        send(&b, b"x");
        t.expect(&[want(A, READ)]);
        // The poller sleeps while the source is silenced; then it is drained, and something new comes.
        let events = while_asleep(&mut t, round, || {
            assert_eq!(drain(&a), b"x");
            send(&b, b"y");
        });
        assert_only(&events, A, READ);
        assert_eq!(read_exactly(&a, 1), b"y");
        drain(&a);
    }
}

fn a_dropped_source_closes_at_once(backend: Backend) {
    let mut t = Tester::new(backend);
    let registry = t.registry().try_clone().unwrap();
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    for round in 0..60 {
        let (mut a, mut b) = tcp_pair_with_std();
        t.register(&mut a, A, READ);
        let (registry, waker) = (&registry, &waker);
        let events = while_asleep(&mut t, round, move || {
            if round % 2 == 0 {
                registry.deregister(&mut a).unwrap();
            }
            drop(a);
            // The poller sleeps on: only then is it woken.
            assert_eq!(b.read(&mut [0]).expect("the end of the stream"), 0);
            waker.wake().unwrap();
        });
        assert_only(&events, WAKE, READ);
    }
}

/// The kernel holds no reference to a source that has been deregistered or dropped: its address can be bound again.
pub fn a_closed_listener_frees_its_address_at_once(backend: Backend) {
    #[cfg(windows)]
    if crate::windows::holds_closed_sockets() {
        return crate::skips::skip(backend, "address_of_a_closed_listener");
    }
    let mut t = Tester::new(backend);
    let registry = t.registry().try_clone().unwrap();
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    let mut next = Some(TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap());
    for round in 0..200 {
        let mut listener = next.take().unwrap();
        t.register(&mut listener, A, READ);
        let (registry, waker, next) = (&registry, &waker, &mut next);
        let events = while_asleep(&mut t, round, move || {
            let address = listener.local_addr().unwrap();
            if round % 2 == 0 {
                registry.deregister(&mut listener).unwrap();
            }
            drop(listener);
            *next = Some(TcpListener::bind(address).expect("a free address"));
            waker.wake().unwrap();
        });
        // Chaos may make up an event before the listener is closed.
        assert!(is_shaken() || events.iter().all(|event| event.token() == WAKE), "{events:?}");
    }
}

/// Promise 3 by happens-before alone: a source that another thread has deregistered before `poll` is gone.
fn a_deregistered_token_is_never_seen_again(backend: Backend) {
    let mut t = Tester::with_capacity(backend, 4);
    let registry = t.registry().try_clone().unwrap();
    let gone = AtomicUsize::new(0);
    let end = AtomicBool::new(false);
    let waker = Waker::new(t.registry(), Token(0)).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Rng::with_seed(3);
            let deadline = Instant::now() + Duration::from_millis(600);
            let (mut a, b) = tcp_pair();
            for token in 1.. {
                registry.register(&mut a, Token(token), BOTH).unwrap();
                if random.usize(..3) == 0 {
                    send(&b, b"x");
                }
                for _ in 0..random.usize(..300) {
                    std::hint::spin_loop();
                }
                if random.usize(..3) == 0 {
                    read_on(&a);
                }
                registry.deregister(&mut a).unwrap();
                gone.store(token, Ordering::Release);
                if Instant::now() > deadline {
                    break;
                }
            }
            end.store(true, Ordering::Release);
            waker.wake().unwrap();
        });
        while !end.load(Ordering::Acquire) {
            let gone = gone.load(Ordering::Acquire);
            for event in t.poll_for(PATIENCE) {
                let token = event.token().0;
                assert!(token == 0 || token > gone, "{event:?} after {gone} was deregistered");
            }
        }
    });
    t.poll_now().iter().for_each(|event| assert_eq!(event.token(), Token(0)));
}

/// Calls `disturb` repeatedly while this thread sleeps; the sleep must become neither longer nor shorter.
fn disturbed(t: &mut Tester, mut disturb: impl FnMut() + Send) {
    let timeout = Duration::from_millis(60);
    let (begin, end) = (Barrier::new(2), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            begin.wait();
            // A timeout that is restarted by each disturbance ends only when these end.
            let deadline = Instant::now() + PATIENCE;
            while !end.load(Ordering::Acquire) && Instant::now() < deadline {
                disturb();
                thread::sleep(Duration::from_micros(300));
            }
        });
        begin.wait();
        let start = Instant::now();
        let events = t.poll_for(timeout);
        let elapsed = start.elapsed();
        end.store(true, Ordering::Release);
        assert!(events.is_empty(), "{events:?}");
        assert!(elapsed >= timeout, "early: {elapsed:?}");
        assert!(elapsed < PATIENCE / 2, "restarted: {elapsed:?}");
    });
}

fn registrations_do_not_restart_a_timeout(backend: Backend) {
    let mut t = Tester::new(backend);
    let registry = t.registry().try_clone().unwrap();
    let (mut a, _b) = tcp_pair();
    disturbed(&mut t, || {
        registry.register(&mut a, A, READ).unwrap();
        assert_eq!(drain(&a), b"");
        registry.reregister(&mut a, A, READ).unwrap();
        registry.deregister(&mut a).unwrap();
    });
    let (mut c, _d) = tcp_pair();
    registry.register(&mut c, C, READ).unwrap();
    disturbed(&mut t, || assert_eq!(drain(&c), b""));
}

fn wakes_of_dropped_wakers_do_not_restart_a_timeout(backend: Backend) {
    let mut t = Tester::new(backend);
    let registry = t.registry().try_clone().unwrap();
    disturbed(&mut t, || {
        // Dropped at once: mostly the poller finds it gone. If the poller is faster, the wake is valid.
        let waker = Waker::new(&registry, WAKE).unwrap();
        drop(waker);
    });
}

/// The token that the epoll backend uses for its notifier, during wakes and events.
fn epolls_mark_as_a_token_under_wakes(backend: Backend) {
    let mark = Token(0x6e6f_7469_6679_2121u64 as usize);
    for register_first in [true, false] {
        let mut t = Tester::new(backend);
        let (mut a, b) = tcp_pair();
        let registry = t.registry().try_clone().unwrap();
        if register_first {
            registry.register(&mut a, mark, READ).unwrap();
        }
        let waker = Waker::new(t.registry(), WAKE).unwrap();
        let (woken, sent) = (AtomicUsize::new(0), AtomicUsize::new(0));
        const ROUNDS: usize = 500;
        let a = Mutex::new(a);
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    waker.wake().unwrap();
                    wait_until("the wake's event", || woken.load(Ordering::Acquire) > round);
                }
            });
            scope.spawn(|| {
                if !register_first {
                    registry.register(&mut *a.lock().unwrap(), mark, READ).unwrap();
                }
                for round in 0..ROUNDS {
                    send(&b, b"x");
                    wait_until("the byte's event", || sent.load(Ordering::Acquire) > round);
                }
            });
            let mut spurious = 0;
            while woken.load(Ordering::Acquire) < ROUNDS || sent.load(Ordering::Acquire) < ROUNDS {
                let events = t.poll_for(PATIENCE);
                assert!(!events.is_empty(), "lost after {woken:?} wakes and {sent:?} events");
                for event in events {
                    assert_sane(&event, READ);
                    if event.token() == WAKE {
                        woken.fetch_add(1, Ordering::AcqRel);
                    } else {
                        assert_eq!(event.token(), mark);
                        let bytes = drain(&*a.lock().unwrap()).len();
                        sent.fetch_add(bytes, Ordering::AcqRel);
                        spurious += usize::from(bytes == 0);
                    }
                }
            }
            // A wake that was in progress during the registration.
            assert!(spurious <= 1, "{spurious} spurious events");
        });
    }
}

/// Threads register, use, reregister, deregister and drop their own sources, and wake, in random order. Everything
/// that is sent reaches the poller, and no stale token does.
fn everything_at_once(backend: Backend) {
    const THREADS: usize = 4;
    let seed = seeded().u64(..);
    let mut t = Tester::with_capacity(backend, 8);
    let registry = t.registry().try_clone().unwrap();
    let deadline = Instant::now() + Duration::from_millis(1200);
    // How often each token was seen.
    let seen: Mutex<HashMap<Token, usize>> = Mutex::default();
    let left = AtomicUsize::new(THREADS);
    let waker = Waker::new(t.registry(), WAKE).unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (registry, seen, left, waker) = (&registry, &seen, &left, &waker);
            scope.spawn(move || {
                let mut random = Rng::with_seed(seed ^ thread as u64);
                let mut next = thread;
                let mut token = || {
                    next += THREADS;
                    Token(next)
                };
                let count = |token: Token| seen.lock().unwrap().get(&token).copied().unwrap_or(0);
                let comes = |token: Token, after: usize| wait_until("its event", || count(token) > after);
                while Instant::now() < deadline {
                    let (mut a, b): (TcpStream, TcpStream) = tcp_pair();
                    let mut name = token();
                    registry.register(&mut a, name, READ).unwrap();
                    for _ in 0..random.usize(..30) {
                        match random.usize(..6) {
                            0 => {
                                name = token();
                                registry.reregister(&mut a, name, READ).unwrap();
                            }
                            1 => {
                                registry.deregister(&mut a).unwrap();
                                assert_kind(registry.deregister(&mut a), ErrorKind::NotFound);
                                name = token();
                                registry.register(&mut a, name, READ).unwrap();
                            }
                            2 => {
                                let wakes = count(WAKE);
                                waker.wake().unwrap();
                                comes(WAKE, wakes);
                            }
                            3 => assert_eq!(drain(&a), b""),
                            _ => {
                                assert_eq!(drain(&a), b"");
                                let events = count(name);
                                send(&b, b"x");
                                comes(name, events);
                                read_exactly(&a, 1);
                            }
                        }
                        // An event may be on its way while its byte is read; then the next count is too high, never
                        // too low: only drained sources count on.
                        drain(&a);
                    }
                    if random.usize(..2) == 0 {
                        registry.deregister(&mut a).unwrap();
                    }
                }
                left.fetch_sub(1, Ordering::AcqRel);
                waker.wake().unwrap();
            });
        }
        while left.load(Ordering::Acquire) > 0 {
            let events = t.poll_for(PATIENCE);
            let mut seen = seen.lock().unwrap();
            for event in events {
                assert_sane(&event, READ);
                *seen.entry(event.token()).or_insert(0) += 1;
            }
        }
    });
    // All sources have gone.
    assert!(t.poll_now().iter().all(|event| event.token() == WAKE));
}
