//! W1: what a wake costs, by what the poller is doing.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{mpsc, Arc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::batch::Batch;
use crate::clock::busy;
use crate::engine::{Engine, Wake};
use crate::processor::{pin, unpin};
use crate::run::{Row, Workload};

pub fn rows() -> Vec<Row> {
    vec![
        Row::new("w1-asleep", "Wake a poller that sleeps; the other way back; half of it", "ns", Asleep),
        Row::new("w1-awake", "Wake a poller that works 10 us between polls", "ns", Awake { work: 10 }),
        Row::new("w1-burst", "Wake a poller that does nothing but poll", "ns", Awake { work: 0 }),
        Row::new("w1-same", "Wake, then poll, on one thread", "ns", SameThread),
    ]
}

/// Two pollers wake each other in turns, each on a processor of its own.
#[derive(Clone)]
struct Asleep;

impl Workload for Asleep {
    fn set_up<E: Engine>(&self) -> Result<Batch> {
        let mut near = E::open()?;
        let near_waker = near.waker()?;
        let (sender, receiver) = mpsc::channel();
        // Sleeps for ever when the row is over.
        thread::spawn(move || -> Result<()> {
            pin(1);
            let mut far = E::open()?;
            sender.send(far.waker()?)?;
            let mut events = E::events();
            loop {
                sleep(&mut far, &mut events);
                near_waker.wake();
            }
        });
        let far_waker = receiver.recv().context("the other poller didn't start")?;
        let mut events = E::events();
        Ok(Batch::times(move |times| {
            pin(0);
            let start = Instant::now();
            for _ in 0..times {
                far_waker.wake();
                sleep(&mut near, &mut events);
            }
            let took = start.elapsed();
            unpin();
            took.as_nanos() as f64 / 2.0
        }))
    }
}

fn sleep<E: Engine>(engine: &mut E, events: &mut E::Events) {
    loop {
        engine.poll(events, None);
        if E::woken(events) {
            return;
        }
    }
}

/// One thread polls and works in turns, `work` microseconds; another wakes it all the while.
#[derive(Clone)]
struct Awake {
    work: u64,
}

const IDLE: u32 = 0;
const ASKED: u32 = 1;
const RUNNING: u32 = 2;

impl Workload for Awake {
    fn set_up<E: Engine>(&self) -> Result<Batch> {
        let work = Duration::from_micros(self.work);
        let state = Arc::new(AtomicU32::new(IDLE));
        let (sender, receiver) = mpsc::channel();
        let its_state = Arc::clone(&state);
        let poller = thread::spawn(move || -> Result<()> {
            let mut engine = E::open()?;
            let mut events = E::events();
            sender.send(engine.waker()?)?;
            loop {
                while its_state.load(Ordering::Acquire) == IDLE {
                    thread::park();
                }
                while its_state.load(Ordering::Acquire) != IDLE {
                    engine.poll(&mut events, Some(Duration::ZERO));
                    its_state.compare_exchange(ASKED, RUNNING, Ordering::AcqRel, Ordering::Relaxed).ok();
                    if !work.is_zero() {
                        busy(work);
                    }
                }
            }
        });
        let waker = receiver.recv().context("the poller didn't start")?;
        Ok(Batch::times(move |times| {
            state.store(ASKED, Ordering::Release);
            poller.thread().unpark();
            while state.load(Ordering::Acquire) != RUNNING {
                std::hint::spin_loop();
            }
            let start = Instant::now();
            for _ in 0..times {
                waker.wake();
            }
            let took = start.elapsed();
            state.store(IDLE, Ordering::Release);
            took.as_nanos() as f64
        }))
    }
}

#[derive(Clone)]
struct SameThread;

impl Workload for SameThread {
    fn set_up<E: Engine>(&self) -> Result<Batch> {
        let mut engine = E::open()?;
        let waker = engine.waker()?;
        let mut events = E::events();
        Ok(Batch::times(move |times| {
            let start = Instant::now();
            for _ in 0..times {
                waker.wake();
                engine.poll(&mut events, Some(Duration::ZERO));
                assert!(E::woken(&events), "a wake was lost");
            }
            start.elapsed().as_nanos() as f64
        }))
    }
}
