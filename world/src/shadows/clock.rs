//! The clock, and sleeps.
//!
//! Invariant: within a world each clock is the host's, and a sleep is a wait of its task.

use std::time::Duration;

use libc::{c_int, c_uint, c_void, clockid_t, time_t, timespec, timeval, useconds_t};
use wakeful::sim::Task;

use super::{real, shadows, task};

/// What the monotonic clocks say at the start of a world.
pub(super) const MONOTONIC_START: Duration = Duration::from_secs(1_000_000);

/// What the calendar says at the start of a world: 1 January 2030, 0:00 UTC.
pub(super) const CALENDAR_START: Duration = Duration::from_secs(1_893_456_000);

/// Returns what a clock says at the start of a world.
pub(super) fn start_of(clock: clockid_t) -> Duration {
    match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => CALENDAR_START,
        libc::CLOCK_PROCESS_CPUTIME_ID | libc::CLOCK_THREAD_CPUTIME_ID => Duration::ZERO,
        _ => MONOTONIC_START,
    }
}

pub(super) fn to_timespec(time: Duration) -> timespec {
    // SAFETY: zeroes are a time. Some systems pad the structure.
    let mut result: timespec = unsafe { std::mem::zeroed() };
    result.tv_sec = time.as_secs() as time_t;
    result.tv_nsec = time.subsec_nanos() as _;
    result
}

/// Returns a time of the system. A negative one is zero.
pub(super) fn of_timespec(time: &timespec) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Waits until the host's clock says `deadline`.
fn sleep_until(task: Task, deadline: Duration) {
    while task.park(Some(deadline)) {}
}

shadows!(clock_gettime, gettimeofday, time, nanosleep, clock_nanosleep, usleep, sleep, sched_yield);

#[no_mangle]
pub(super) unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    match task() {
        Some(task) if !time.is_null() => {
            // SAFETY: the caller's promise is that of clock_gettime(2).
            unsafe { *time = to_timespec(start_of(clock) + task.time()) };
            0
        }
        // SAFETY: the caller's promise.
        _ => unsafe { real::clock_gettime(clock, time) },
    }
}

#[no_mangle]
unsafe extern "C" fn gettimeofday(time: *mut timeval, zone: *mut c_void) -> c_int {
    match task() {
        Some(task) if !time.is_null() => {
            let now = CALENDAR_START + task.time();
            // SAFETY: the caller's promise is that of gettimeofday(2).
            unsafe {
                (*time).tv_sec = now.as_secs() as time_t;
                (*time).tv_usec = now.subsec_micros() as _;
            }
            0
        }
        // SAFETY: the caller's promise.
        _ => unsafe { real::gettimeofday(time, zone) },
    }
}

#[no_mangle]
unsafe extern "C" fn time(place: *mut time_t) -> time_t {
    let Some(task) = task() else {
        // SAFETY: the caller's promise.
        return unsafe { real::time(place) };
    };
    let now = (CALENDAR_START + task.time()).as_secs() as time_t;
    if !place.is_null() {
        // SAFETY: the caller's promise is that of time(2).
        unsafe { *place = now };
    }
    now
}

#[no_mangle]
unsafe extern "C" fn nanosleep(time: *const timespec, left: *mut timespec) -> c_int {
    match task() {
        Some(task) if !time.is_null() => {
            // SAFETY: the caller's promise is that of nanosleep(2).
            let length = of_timespec(unsafe { &*time });
            sleep_until(task, task.time().saturating_add(length));
            0
        }
        // SAFETY: the caller's promise.
        _ => unsafe { real::nanosleep(time, left) },
    }
}

#[no_mangle]
unsafe extern "C" fn clock_nanosleep(
    clock: clockid_t,
    flags: c_int,
    time: *const timespec,
    left: *mut timespec,
) -> c_int {
    match task() {
        Some(task) if !time.is_null() => {
            // SAFETY: the caller's promise is that of clock_nanosleep(2).
            let time = of_timespec(unsafe { &*time });
            let deadline = match flags & libc::TIMER_ABSTIME {
                0 => task.time().saturating_add(time),
                _ => time.saturating_sub(start_of(clock)),
            };
            sleep_until(task, deadline);
            0
        }
        // SAFETY: the caller's promise.
        _ => unsafe { real::clock_nanosleep(clock, flags, time, left) },
    }
}

#[no_mangle]
unsafe extern "C" fn usleep(micros: useconds_t) -> c_int {
    let time = to_timespec(Duration::from_micros(micros.into()));
    // SAFETY: the time outlives the call.
    unsafe { nanosleep(&time, std::ptr::null_mut()) }
}

#[no_mangle]
unsafe extern "C" fn sleep(seconds: c_uint) -> c_uint {
    let time = to_timespec(Duration::from_secs(seconds.into()));
    // SAFETY: the time outlives the call.
    unsafe { nanosleep(&time, std::ptr::null_mut()) };
    0
}

#[no_mangle]
pub(super) unsafe extern "C" fn sched_yield() -> c_int {
    match task() {
        Some(task) => {
            task.yield_turn();
            0
        }
        // SAFETY: no argument.
        None => unsafe { real::sched_yield() },
    }
}
