//! Promise 17: in steady state `poll`, `wake`, `reregister` and I/O allocate nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use wakeful::{Backend, Timer, Token, Waker};

mod support;
use support::*;

struct Counting;

thread_local! {
    // Per thread, so that other tests don't count.
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator; the counter neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the number of this thread's allocations within `what`, after enough calls to have all its memory.
fn allocations(mut what: impl FnMut()) -> usize {
    for _ in 0..100 {
        what();
    }
    let before = COUNT.with(Cell::get);
    for _ in 0..1000 {
        what();
    }
    COUNT.with(Cell::get) - before
}

/// As [`Tester::expect`], which allocates itself.
fn poll(t: &mut Tester, token: Token) {
    loop {
        t.poll.poll(&mut t.events, Some(PATIENCE)).unwrap();
        if t.events.iter().any(|event| event.token() == token) {
            return;
        }
    }
}

fn for_each(check: impl Fn(Backend)) {
    for &backend in Backend::available() {
        check(backend);
    }
}

#[test]
fn the_counter_counts() {
    assert!(allocations(|| drop(std::hint::black_box(Box::new(1)))) >= 1000);
}

#[test]
fn poll_allocates_nothing() {
    for_each(|backend| {
        let mut t = Tester::new(backend);
        let (mut a, _b) = tcp_pair();
        t.register(&mut a, A, READ);
        let events = &mut t.events;
        for timeout in [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(10)] {
            let count = allocations(|| t.poll.poll(events, Some(timeout)).unwrap());
            assert_eq!(count, 0, "{backend} {timeout:?}");
        }
    });
}

#[test]
fn wake_allocates_nothing() {
    for_each(|backend| {
        let mut t = Tester::with_capacity(backend, 2);
        let wakers = [A, B, C].map(|token| Waker::new(t.registry(), token).unwrap());
        let count = allocations(|| {
            wakers.iter().for_each(|waker| waker.wake().unwrap());
            poll(&mut t, A);
            t.poll.poll(&mut t.events, Some(Duration::ZERO)).unwrap();
            t.poll.poll(&mut t.events, Some(Duration::ZERO)).unwrap();
        });
        assert_eq!(count, 0, "{backend}");
    });
}

#[test]
fn reregister_allocates_nothing() {
    for_each(|backend| {
        let mut t = Tester::new(backend);
        let (mut a, _b) = tcp_pair();
        t.register(&mut a, A, READ);
        let count = allocations(|| {
            t.reregister(&mut a, B, WRITE);
            poll(&mut t, B);
            t.reregister(&mut a, A, BOTH);
            poll(&mut t, A);
        });
        assert_eq!(count, 0, "{backend}");
    });
}

/// Nor while another thread is blocked in `poll`, which gets the change later.
#[test]
#[cfg(not(target_family = "wasm"))] // no threads
fn reregister_beside_a_sleeper_allocates_nothing() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    for_each(|backend| {
        let mut t = Tester::new(backend);
        let (mut a, _b) = tcp_pair();
        t.register(&mut a, A, READ);
        let registry = t.registry().try_clone().unwrap();
        let polls = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let changer = scope.spawn(|| {
                let count = allocations(|| {
                    registry.reregister(&mut a, A, READ).unwrap();
                    // The pending changes must not grow.
                    let before = polls.load(Ordering::Acquire);
                    while polls.load(Ordering::Acquire) < before + 2 {
                        std::thread::yield_now();
                    }
                });
                assert_eq!(count, 0, "{backend}");
            });
            while !changer.is_finished() {
                t.poll.poll(&mut t.events, Some(Duration::from_micros(100))).unwrap();
                polls.fetch_add(1, Ordering::Release);
            }
        });
    });
}

#[test]
fn an_echo_allocates_nothing() {
    use std::io::{Read, Write};
    for_each(|backend| {
        let mut t = Tester::new(backend);
        let (mut a, mut b) = tcp_pair();
        t.register(&mut a, A, READ);
        t.register(&mut b, B, READ);
        let mut buf = [0; 64];
        let count = allocations(|| {
            for (mut from, mut to, token) in [(&a, &b, B), (&b, &a, A)] {
                from.write_all(b"echo").unwrap();
                poll(&mut t, token);
                while to.read(&mut buf).map_err(|e| assert_eq!(e.kind(), ErrorKind::WouldBlock)).is_ok() {}
            }
        });
        assert_eq!(count, 0, "{backend}");
    });
}

/// In any order, early and late, reported and cancelled: more than a million times, where no interpreter runs it.
#[test]
fn setting_a_timer_allocates_nothing() {
    for_each(|backend| {
        let mut t = Tester::new(backend);
        let timers: Vec<Timer> = (0..if cfg!(target_os = "wasi") { 100 } else { 1000 })
            .map(|n| {
                let mut timer = Timer::new();
                t.register(&mut timer, Token(n), READ);
                timer
            })
            .collect();
        let (mut random, start) = (seeded(), Instant::now());
        let far = Duration::from_secs(3600);
        let mut reported = 0;
        let count = allocations(|| {
            for timer in &timers {
                timer.set(Some(start + far + Duration::from_nanos(random.u64(..1_000_000)))).unwrap();
                match random.u8(..20) {
                    0 => timer.set(Some(start)).unwrap(),
                    1..=12 => timer.set(None).unwrap(),
                    _ => {}
                }
            }
            t.poll.poll(&mut t.events, Some(Duration::ZERO)).unwrap();
            reported += t.events.len();
        });
        assert_eq!(count, 0, "{backend}");
        assert!(reported >= 1100, "{backend}: {reported}");
    });
}

/// A raw descriptor that is checked again and again.
#[cfg(unix)]
#[test]
fn a_raw_descriptor_allocates_nothing() {
    use std::os::fd::AsRawFd;
    for_each(|backend| {
        let mut t = Tester::new(backend);
        let (a, b) = tcp_pair();
        t.register(&mut wakeful::unix::SourceFd(&a.as_raw_fd()), A, READ);
        let count = allocations(|| {
            send(&b, b"x");
            poll(&mut t, A);
            support::unix::raw_drain(&a);
            // Seen empty, it is reported at once when it is ready again.
            t.poll.poll(&mut t.events, Some(Duration::ZERO)).unwrap();
        });
        assert_eq!(count, 0, "{backend}");
    });
}
