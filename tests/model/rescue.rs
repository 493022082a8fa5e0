//! Ends a `poll` without a timeout that should have ended by itself.

use std::cell::Cell;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use wakeful::{Registry, Token, Waker};

pub const TOKEN: Token = Token(0x5e5c_0e00);

type Due = Mutex<Vec<(u64, Instant, Waker, u64)>>;

thread_local! {
    /// Of the sequence that this thread runs.
    pub static SEED: Cell<u64> = const { Cell::new(0) };
}

/// Calls the rescue off when dropped.
pub struct Rescue(u64);

/// Wakes the poll of `registry` after this time.
pub fn after(time: Duration, registry: &Registry) -> Rescue {
    static NEXT: Mutex<u64> = Mutex::new(0);
    let id = {
        let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
        *next += 1;
        *next
    };
    let waker = Waker::new(registry, TOKEN).expect("a waker");
    let mut due = due().lock().unwrap_or_else(PoisonError::into_inner);
    due.push((id, Instant::now() + time, waker, SEED.with(Cell::get)));
    Rescue(id)
}

impl Drop for Rescue {
    fn drop(&mut self) {
        due().lock().unwrap_or_else(PoisonError::into_inner).retain(|(id, ..)| *id != self.0);
    }
}

fn due() -> &'static Due {
    static DUE: OnceLock<Due> = OnceLock::new();
    DUE.get_or_init(|| {
        thread::spawn(|| loop {
            thread::sleep(Duration::from_millis(20));
            let due = due().lock().unwrap_or_else(PoisonError::into_inner);
            for (_, time, waker, seed) in due.iter() {
                if Instant::now() < *time {
                    continue;
                }
                let _ = waker.wake();
                // The wake itself may be what is broken, and then nothing ends the test.
                if time.elapsed() > Duration::from_secs(20) {
                    eprintln!("not even a wake ends the poll\nWAKEFUL_SEED={seed}");
                    std::process::abort();
                }
            }
        });
        Mutex::default()
    })
}
