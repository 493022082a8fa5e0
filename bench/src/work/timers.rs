//! Timers: 10,000 are set, one after the other in a random order is cancelled and set anew, and a poll looks at them
//! after each 1,000.
//!
//! Invariant: all wait at all times, so each structure has as many; and no deadline comes, since an hour passes before.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll as Progress, Waker};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::runtime::{EnterGuard, Runtime};
use tokio::time::Sleep;
use wakeful::{Events, Interest, Poll, Timer, Token};

use crate::batch::Batch;
use crate::run::{Contestant, Row};

const TIMERS: usize = 10_000;
const BETWEEN_POLLS: usize = 1_000;

pub fn rows() -> Vec<Row> {
    let make = |_: Option<&str>| {
        let mut contestants = vec![contestant("tokio", Wheel::new()?), contestant("wakeful", Queue::new()?)];
        #[cfg(feature = "c")]
        contestants.push(contestant("libuv", heap::Heap::new()?));
        Ok(contestants)
    };
    vec![Row {
        id: format!("timers-{TIMERS}"),
        title: format!("Cancel and set one of {TIMERS} timers"),
        unit: "ns",
        share: 1.0,
        make: Box::new(make),
    }]
}

/// What keeps timers by number.
trait Timers: 'static {
    fn cancel(&mut self, n: usize);
    /// `ahead` is counted from the last poll.
    fn set(&mut self, n: usize, ahead: Duration);
    fn poll(&mut self);
}

fn contestant(name: &str, mut timers: impl Timers) -> Contestant {
    // The same numbers for each.
    let mut random = 1_u64;
    let mut below = move |limit: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((random >> 33) as usize * limit) >> 31
    };
    let steps: Vec<(usize, Duration)> = (0..64 * TIMERS)
        .map(|step| {
            let n = if step < TIMERS { step } else { below(TIMERS) };
            (n, Duration::from_millis(3_600_000 + below(60_000) as u64))
        })
        .collect();
    let mut at = 0;
    let mut work = move |times: usize| {
        let start = Instant::now();
        for _ in 0..times {
            let (n, ahead) = steps[at];
            timers.cancel(n);
            timers.set(n, ahead);
            at = if at + 1 < steps.len() { at + 1 } else { TIMERS };
            if at % BETWEEN_POLLS == 0 {
                timers.poll();
            }
        }
        start.elapsed().as_nanos() as f64
    };
    // Each has an entry that is earlier than most deadlines, and what grows has grown.
    work(64 * TIMERS);
    Contestant { name: name.to_owned(), batch: Batch::times(move |times| work(times as usize)) }
}

struct Queue {
    poll: Poll,
    events: Events,
    timers: Vec<Timer>,
    now: Instant,
}

impl Queue {
    fn new() -> Result<Queue> {
        let poll = Poll::new()?;
        let mut timers: Vec<Timer> = (0..TIMERS).map(|_| Timer::new()).collect();
        for (n, timer) in timers.iter_mut().enumerate() {
            poll.registry().register(timer, Token(n), Interest::READABLE)?;
        }
        Ok(Queue { poll, events: Events::with_capacity(64), timers, now: Instant::now() })
    }
}

impl Timers for Queue {
    #[inline]
    fn cancel(&mut self, n: usize) {
        self.timers[n].set(None).expect("cancel");
    }

    #[inline]
    fn set(&mut self, n: usize, ahead: Duration) {
        self.timers[n].set(Some(self.now + ahead)).expect("set");
    }

    fn poll(&mut self) {
        self.poll.poll(&mut self.events, Some(Duration::ZERO)).expect("poll");
        self.now = Instant::now();
    }
}

/// tokio's: a deadline is in the wheel once its future was polled, and leaves it when that is dropped.
struct Wheel {
    runtime: &'static Runtime,
    /// Where a program's tasks are, too.
    _inside: EnterGuard<'static>,
    timers: Vec<Pin<Box<Option<Sleep>>>>,
    now: tokio::time::Instant,
}

impl Wheel {
    fn new() -> Result<Wheel> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        // As long as the process.
        let runtime: &Runtime = Box::leak(Box::new(runtime));
        let timers = (0..TIMERS).map(|_| Box::pin(None)).collect();
        Ok(Wheel { runtime, _inside: runtime.enter(), timers, now: Instant::now().into() })
    }
}

impl Timers for Wheel {
    #[inline]
    fn cancel(&mut self, n: usize) {
        self.timers[n].set(None);
    }

    #[inline]
    fn set(&mut self, n: usize, ahead: Duration) {
        let timer = &mut self.timers[n];
        timer.set(Some(tokio::time::sleep_until(self.now + ahead)));
        let sleep = timer.as_mut().as_pin_mut().expect("it was set");
        let progress = sleep.poll(&mut Context::from_waker(Waker::noop()));
        assert!(progress == Progress::Pending);
    }

    fn poll(&mut self) {
        self.runtime.block_on(tokio::task::yield_now());
        self.now = Instant::now().into();
    }
}

#[cfg(feature = "c")]
mod heap {
    use std::os::raw::c_void;
    use std::time::Duration;

    use anyhow::{ensure, Result};

    use super::{Timers, TIMERS};

    extern "C" {
        fn bench_uv_timers(count: usize) -> *mut c_void;
        fn bench_uv_timer_set(timers: *mut c_void, n: usize, milliseconds: u64);
        fn bench_uv_timer_cancel(timers: *mut c_void, n: usize);
        fn bench_uv_timers_poll(timers: *mut c_void);
    }

    /// libuv's, by c/libuv.c. It lasts as long as the process.
    pub struct Heap(*mut c_void);

    impl Heap {
        pub fn new() -> Result<Heap> {
            // SAFETY: it makes something new.
            let timers = unsafe { bench_uv_timers(TIMERS) };
            ensure!(!timers.is_null(), "libuv makes no timers");
            Ok(Heap(timers))
        }
    }

    impl Timers for Heap {
        fn cancel(&mut self, n: usize) {
            // SAFETY: the timers are alive, and this is one.
            unsafe { bench_uv_timer_cancel(self.0, n) }
        }

        fn set(&mut self, n: usize, ahead: Duration) {
            // SAFETY: as above.
            unsafe { bench_uv_timer_set(self.0, n, ahead.as_millis() as u64) }
        }

        fn poll(&mut self) {
            // SAFETY: as above.
            unsafe { bench_uv_timers_poll(self.0) }
        }
    }
}
