//! By c/libevent.c.

use super::c::c_engine;

// In microseconds.
c_engine! {
    LibEvent: i64, |timeout| timeout.as_micros() as i64, defers: false;
    bench_le_open, bench_le_close, bench_le_poll, bench_le_wake, bench_le_add, bench_le_change, bench_le_remove
}
