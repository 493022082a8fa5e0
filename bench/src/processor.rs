//! Where threads run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Keeps the thread on one processor. A failure is printed once: the figures are then only noisier.
pub fn pin(cpu: usize) {
    let cpus = thread::available_parallelism().map_or(1, |cpus| cpus.get());
    // SAFETY: zeroes are an empty set, and it is as long as stated.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu % cpus, &mut set);
        libc::sched_setaffinity(0, std::mem::size_of_val(&set), &set)
    };
    warn_once(result);
}

/// Lets the thread go where it likes.
pub fn unpin() {
    // SAFETY: every bit set is the set of all processors, and it is as long as stated.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        (0..libc::CPU_SETSIZE as usize).for_each(|cpu| libc::CPU_SET(cpu, &mut set));
        libc::sched_setaffinity(0, std::mem::size_of_val(&set), &set)
    };
    warn_once(result);
}

fn warn_once(result: libc::c_int) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if result != 0 && !WARNED.swap(true, Ordering::Relaxed) {
        eprintln!("can't choose processors: {}", std::io::Error::last_os_error());
    }
}
