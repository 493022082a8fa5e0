//! Linux: sleeps are shortened by the default timer slack. Promise 9 also holds for a thread with no slack, such as a
//! real-time thread, and for one with another slack.

use std::time::{Duration, Instant};

use wakeful::Backend;

use crate::support::*;

on_every_backend![never_early_with_any_slack];

fn never_early_with_any_slack(backend: Backend) {
    // The slack belongs to a thread, so it is set in one that ends.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // 1 ns, the shortest; 0 would be the default.
            for nanoseconds in [1, 1_000, 200_000] {
                set_slack(nanoseconds);
                let mut t = Tester::new(backend);
                for microseconds in [1, 20, 49, 50, 51, 100, 999, 1_000, 1_500, 7_000] {
                    let timeout = Duration::from_micros(microseconds);
                    let start = Instant::now();
                    let events = t.poll_for(timeout);
                    let elapsed = start.elapsed();
                    assert!(events.is_empty(), "{events:?}");
                    assert!(elapsed >= timeout, "{elapsed:?} of {timeout:?}, slack {nanoseconds} ns");
                }
            }
        });
    });
}

fn set_slack(nanoseconds: libc::c_ulong) {
    // SAFETY: numbers alone.
    let result = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanoseconds, 0, 0, 0) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
