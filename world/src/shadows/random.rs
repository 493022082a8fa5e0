//! Random numbers: within a world they are the host's, which its seed decides.
//!
//! Invariant: a host's random numbers depend on the seed of its world and on its earlier calls alone.

use std::sync::atomic::{AtomicBool, Ordering};

use libc::{c_int, c_uint, c_void, size_t, ssize_t};

use super::{real, shadows, task};

shadows!(getrandom, getentropy);

/// Set by a call that reached the shadow: see `is_linked`.
static IS_REACHED: AtomicBool = AtomicBool::new(false);

/// Returns whether a call of libc's function reaches the shadow.
pub(super) fn is_linked() -> bool {
    // SAFETY: no byte is written.
    unsafe { libc::getrandom(std::ptr::null_mut(), 0, 0) };
    IS_REACHED.load(Ordering::Relaxed)
}

#[no_mangle]
pub(super) unsafe extern "C" fn getrandom(buf: *mut c_void, len: size_t, flags: c_uint) -> ssize_t {
    if len == 0 {
        IS_REACHED.store(true, Ordering::Relaxed);
        return 0;
    }
    let Some(task) = task() else {
        // SAFETY: the caller's promise.
        return unsafe { real::getrandom(buf, len, flags) };
    };
    // SAFETY: the caller's promise is that `buf` is as long as stated; the memory may be uninitialised, and is zeroed
    // first.
    let buf = unsafe {
        buf.cast::<u8>().write_bytes(0, len);
        std::slice::from_raw_parts_mut(buf.cast::<u8>(), len)
    };
    task.fill_random(buf);
    len as ssize_t
}

#[no_mangle]
unsafe extern "C" fn getentropy(buf: *mut c_void, len: size_t) -> c_int {
    if task().is_none() {
        // SAFETY: the caller's promise.
        return unsafe { real::getentropy(buf, len) };
    }
    // SAFETY: the caller's promise.
    unsafe { getrandom(buf, len, 0) };
    0
}
