//! The time limit of an event, also on a busy machine; and the end of a `poll` without a timeout whose event is
//! missing.
//!
//! An event that is missing after two seconds proves nothing if the machine ran no thread meanwhile. So steps are
//! counted as well, each a moment's sleep of a thread and a datagram through the kernel: an event that is due must
//! have come after that many of them. On an idle machine, that many steps take less than two seconds.

use std::cell::Cell;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use wakeful::{Registry, Token, Waker};

use crate::support::any_port;

pub const TOKEN: Token = Token(0x5e5c_0e00);

/// A due event must have come after this long.
pub const LATEST: Duration = Duration::from_secs(2);
/// And after this many steps.
const STEPS: u64 = 80;
const STEP: Duration = Duration::from_millis(20);
/// After this, not even a wake has ended the `poll`.
const LAST_STEPS: u64 = 1000;

static DONE: AtomicU64 = AtomicU64::new(0);
static DUE: Mutex<Vec<(u64, Limit, Waker, u64)>> = Mutex::new(Vec::new());

thread_local! {
    /// Of the sequence that this thread runs.
    pub static SEED: Cell<u64> = const { Cell::new(0) };
}

/// Since when an event is due.
#[derive(Copy, Clone)]
pub struct Limit {
    start: Instant,
    steps: u64,
}

impl Limit {
    pub fn start() -> Limit {
        static THREAD: Once = Once::new();
        THREAD.call_once(|| drop(thread::spawn(steps)));
        Limit { start: Instant::now(), steps: DONE.load(Ordering::Relaxed) }
    }

    /// Returns whether the machine has had enough time for a due event.
    pub fn had_time(&self) -> bool {
        self.steps_since() >= STEPS
    }

    fn is_over(&self) -> bool {
        self.start.elapsed() >= LATEST && self.had_time()
    }

    fn steps_since(&self) -> u64 {
        DONE.load(Ordering::Relaxed) - self.steps
    }
}

/// Calls the rescue off when dropped.
pub struct Rescue(u64);

/// Wakes the poll of `registry` when `limit` is over.
pub fn after(limit: Limit, registry: &Registry) -> Rescue {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let waker = Waker::new(registry, TOKEN).expect("a waker");
    let mut due = DUE.lock().unwrap_or_else(PoisonError::into_inner);
    due.push((id, limit, waker, SEED.with(Cell::get)));
    Rescue(id)
}

impl Drop for Rescue {
    fn drop(&mut self) {
        DUE.lock().unwrap_or_else(PoisonError::into_inner).retain(|(id, ..)| *id != self.0);
    }
}

fn steps() {
    let echo = UdpSocket::bind(any_port()).expect("a socket");
    echo.connect(echo.local_addr().expect("an address")).expect("connect");
    echo.set_read_timeout(Some(LATEST)).expect("a timeout");
    loop {
        thread::sleep(STEP);
        // A lost datagram has taken its time as well.
        let _ = echo.send(&[0]).and_then(|_| echo.recv(&mut [0]));
        DONE.fetch_add(1, Ordering::Relaxed);
        let due = DUE.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, limit, waker, seed) in due.iter().filter(|(_, limit, ..)| limit.is_over()) {
            let _ = waker.wake();
            // The wake itself may be what is broken, and then nothing ends the test.
            if limit.steps_since() > LAST_STEPS {
                eprintln!("not even a wake ends the poll\nWAKEFUL_SEED={seed}");
                std::process::abort();
            }
        }
    }
}
