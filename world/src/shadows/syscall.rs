//! `syscall(2)`, by which the standard library and others make calls that libc has no function for, or instead of it.
//!
//! Invariant: a call by its number is the shadow of the function by its name.

use std::sync::atomic::{AtomicU32, Ordering};

use libc::{c_int, c_long, timespec};
use wakeful::sim::Task;

use super::clock::{of_timespec, start_of};
use super::{descriptors, messages, random, real, set_errno, shadows, sockets, task, threads};

shadows!(syscall);

#[no_mangle]
unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    let Some(task) = task() else {
        // SAFETY: the caller's promise.
        return unsafe { real::syscall(number, a, b, c, d, e, f) };
    };
    // SAFETY: the caller's promise is that of the call with this number, which is that of the shadow.
    unsafe {
        match number {
            libc::SYS_futex => futex(task, a, b, c, d, e, f),
            libc::SYS_getrandom => random::getrandom(a as _, b as _, c as _) as c_long,
            libc::SYS_clock_gettime => super::clock::clock_gettime(a as _, b as _).into(),
            libc::SYS_sched_yield => super::clock::sched_yield().into(),
            libc::SYS_read => descriptors::read(a as _, b as _, c as _) as c_long,
            libc::SYS_write => descriptors::write(a as _, b as _, c as _) as c_long,
            libc::SYS_readv => descriptors::readv(a as _, b as _, c as _) as c_long,
            libc::SYS_writev => descriptors::writev(a as _, b as _, c as _) as c_long,
            libc::SYS_close => descriptors::close(a as _).into(),
            libc::SYS_recvfrom => {
                messages::recvfrom(a as _, b as _, c as _, d as _, e as _, f as _) as c_long
            }
            libc::SYS_sendto => messages::sendto(a as _, b as _, c as _, d as _, e as _, f as _) as c_long,
            libc::SYS_recvmsg => messages::recvmsg(a as _, b as _, c as _) as c_long,
            libc::SYS_sendmsg => messages::sendmsg(a as _, b as _, c as _) as c_long,
            libc::SYS_accept4 => sockets::accept4(a as _, b as _, c as _, d as _).into(),
            libc::SYS_connect => sockets::connect(a as _, b as _, c as _).into(),
            _ => real::syscall(number, a, b, c, d, e, f),
        }
    }
}

/// futex(2), as far as the standard library and parking_lot use it. A wake reaches threads outside of the world too.
///
/// # Safety
///
/// The contract of futex(2).
unsafe fn futex(
    task: Task,
    word: c_long,
    operation: c_long,
    value: c_long,
    timeout: c_long,
    other: c_long,
    last: c_long,
) -> c_long {
    let command = operation as c_int & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
    match command {
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => {
            // SAFETY: the caller's promise is that the word is an aligned `u32` that lives.
            let seen = unsafe { (*(word as *const AtomicU32)).load(Ordering::SeqCst) };
            if seen != value as u32 {
                set_errno(libc::EAGAIN);
                return -1;
            }
            let deadline = match timeout {
                0 => None,
                timeout => {
                    // SAFETY: the caller's promise is that the timeout may be read.
                    let time = of_timespec(unsafe { &*(timeout as *const timespec) });
                    Some(match command {
                        libc::FUTEX_WAIT => task.time().saturating_add(time),
                        _ if operation as c_int & libc::FUTEX_CLOCK_REALTIME != 0 => {
                            time.saturating_sub(start_of(libc::CLOCK_REALTIME))
                        }
                        _ => time.saturating_sub(start_of(libc::CLOCK_MONOTONIC)),
                    })
                }
            };
            if threads::wait(task, word as usize, deadline) {
                return 0;
            }
            set_errno(libc::ETIMEDOUT);
            -1
        }
        libc::FUTEX_WAKE | libc::FUTEX_WAKE_BITSET => {
            let count = value.clamp(0, c_long::from(c_int::MAX)) as usize;
            let woken = threads::wake(task, word as usize, count);
            if woken == count {
                return woken as c_long;
            }
            let rest = (count - woken) as c_long;
            // SAFETY: the caller's promise.
            let others =
                unsafe { real::syscall(libc::SYS_futex, word, operation, rest, timeout, other, last) };
            others.max(0) + woken as c_long
        }
        libc::FUTEX_REQUEUE | libc::FUTEX_CMP_REQUEUE => {
            // SAFETY: the caller's promise is that the word is an aligned `u32` that lives.
            let seen = unsafe { (*(word as *const AtomicU32)).load(Ordering::SeqCst) };
            if command == libc::FUTEX_CMP_REQUEUE && seen != last as u32 {
                set_errno(libc::EAGAIN);
                return -1;
            }
            let woken = threads::wake(task, word as usize, value.max(0) as usize);
            // The fourth argument is a number here.
            let moved = threads::requeue(task, word as usize, other as usize, timeout.max(0) as usize);
            (woken + moved) as c_long
        }
        _ => {
            task.fail(format!("a call that a world doesn't have: futex(2) with the operation {operation}"));
            set_errno(libc::ENOSYS);
            -1
        }
    }
}
