//! By c/libuv.c.

use super::c::c_engine;

// In milliseconds, rounded up: libuv has nothing finer.
c_engine! {
    LibUv: c_int, |timeout| timeout.as_micros().div_ceil(1000) as c_int, defers: true;
    bench_uv_open, bench_uv_close, bench_uv_poll, bench_uv_wake, bench_uv_add, bench_uv_change, bench_uv_remove
}
