//! Time, without the time that it takes to tell it.

use std::time::{Duration, Instant};

/// Adds up what lies between `start` and `stop`.
pub struct Stopwatch {
    /// What an empty measurement shows: 20-80 ns, more than some of what is measured.
    own: Duration,
    sum: Duration,
}

impl Stopwatch {
    pub fn new() -> Stopwatch {
        let mut empty: Vec<Duration> = (0..1001)
            .map(|_| {
                let start = Instant::now();
                start.elapsed()
            })
            .collect();
        empty.sort();
        Stopwatch { own: empty[empty.len() / 2], sum: Duration::ZERO }
    }

    pub fn time<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = work();
        self.sum += start.elapsed().saturating_sub(self.own);
        result
    }

    /// The sum in nanoseconds, and back to zero.
    pub fn take(&mut self) -> f64 {
        std::mem::take(&mut self.sum).as_nanos() as f64
    }
}

/// Does nothing useful for a while, without a system call.
pub fn busy(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// What a thread, which hasn't been joined, has used of the processors.
pub fn cpu_time_of(thread: libc::pthread_t) -> Duration {
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `clock` is one clock and `time` one timespec; the caller's promise for the thread.
    let result = unsafe {
        libc::pthread_getcpuclockid(thread, &mut clock);
        libc::clock_gettime(clock, &mut time)
    };
    assert!(result == 0, "the thread has ended");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What the process, with all its threads, has used of the processors.
pub fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
