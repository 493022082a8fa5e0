//! Waiting for descriptors, to the nanosecond where the kernel can.
//!
//! Invariant: a wait is never shorter than its timeout, unless the timeout exceeds the kernel's type.
//!
//! Where the kernel counts in milliseconds, a timeout is rounded up, since a sleep that ends early would make the
//! caller spin. A timeout that is too long for the type is clamped: the caller holds the deadline and waits again.

use std::io;
use std::time::Duration;

use libc::c_int;

use super::check;

/// The type of poll(2)'s flags.
#[cfg(target_os = "horizon")]
pub(crate) type PollEvents = c_int;

/// The flag of poll(2) for a peer that has shut down its writing half.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_os = "illumos"))]
pub(crate) const POLL_READ_HANGUP: PollEvents = libc::POLLRDHUP;

/// The flag that a writable socket other than TCP's has on Linux beside the common one. A pipe never has it. Miri
/// doesn't know it.
#[cfg(all(not(miri), any(target_os = "linux", target_os = "android")))]
pub(crate) const POLL_SOCKET_OUTPUT: PollEvents = libc::POLLWRBAND;

/// The flag of epoll(7) for the wake-up of one waiter alone. That of illumos and Redox is not known to work.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) const EPOLL_EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;

/// The flag of poll(2) for a descriptor that isn't open. ESP-IDF has it in its `poll.h`, but not in libc.
#[cfg(not(target_os = "espidf"))]
pub(crate) const POLL_INVALID: PollEvents = libc::POLLNVAL;

/// The flag of poll(2) for priority data.
pub(crate) const POLL_PRIORITY: PollEvents = libc::POLLPRI;
/// poll(2) reports errors and hang-ups whatever the interest is.
pub(crate) const POLL_TELLS_UNASKED: bool = true;

/// poll(2), by ppoll(2). Returns the number of descriptors with flags.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd"
))]
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    let timeout = timeout.map(|timeout| libc::timespec {
        // 68 years fit into the type of every system, and the caller holds the deadline.
        tv_sec: timeout.as_secs().min(i32::MAX as u64) as _,
        tv_nsec: timeout.subsec_nanos() as _,
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), |timeout| timeout as *const _);
    let count = fds.len() as libc::nfds_t;
    // SAFETY: as many entries as stated; `timeout` is read only; there is no signal mask.
    let found = check(unsafe { libc::ppoll(fds.as_mut_ptr(), count, timeout, std::ptr::null()) })?;
    Ok(found as usize)
}

/// For kernels without a call or a flag.
#[allow(dead_code)]
mod fallback {
    use super::*;

    pub(crate) type PollEvents = libc::c_short;
    pub(crate) const POLL_READ_HANGUP: super::PollEvents = 0;
    pub(crate) const POLL_SOCKET_OUTPUT: super::PollEvents = 0;
    pub(crate) const EPOLL_EXCLUSIVE: u32 = 0;
    pub(crate) const POLL_INVALID: super::PollEvents = 1 << 7;

    /// poll(2). Returns the number of descriptors with flags.
    pub(crate) fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
        let (count, timeout) = (fds.len() as libc::nfds_t, timeout.map_or(-1, milliseconds));
        // SAFETY: as many entries as stated.
        check(unsafe { libc::poll(fds.as_mut_ptr(), count, timeout) }).map(|found| found as usize)
    }
}
#[allow(unused_imports)]
pub(crate) use self::fallback::*;

/// epoll_wait(2).
///
/// # Safety
///
/// There is room for `count` entries at `events`.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "emscripten",
    target_os = "illumos",
    target_os = "redox"
))]
#[inline]
pub(crate) unsafe fn epoll_wait(
    epoll: c_int,
    events: *mut libc::epoll_event,
    count: c_int,
    timeout: Option<Duration>,
) -> io::Result<c_int> {
    let timeout = match timeout {
        None => -1,
        Some(timeout) => {
            #[cfg(all(target_os = "linux", not(any(miri, wakeful_libc_wrappers))))]
            if timeout.subsec_nanos() % 1_000_000 != 0 {
                // SAFETY: the caller's promise.
                if let Some(found) = unsafe { pwait2::epoll_wait(epoll, events, count, timeout) } {
                    return found;
                }
            }
            milliseconds(timeout)
        }
    };
    // SAFETY: the caller's promise.
    check(unsafe { super::calls::epoll_wait(epoll, events, count, timeout) })
}

/// epoll_pwait2(2), since Linux 5.11. Nearly every sleep uses it, since a sleep of 10 ms becomes a timeout of 9.95 ms
/// ([`TIMER_SLACK`](crate::os::TIMER_SLACK)): it ends 40 to 50 us nearer to its timeout than with `epoll_wait`. Calls
/// that don't sleep, and timeouts of whole milliseconds, use `epoll_wait`, which is cheaper by an eighth.
///
/// On Android the call is not tried: the seccomp filter kills a process that makes an unknown call. Nor is it used
/// with `wakeful_libc_wrappers`: a sanitizer wouldn't see that the kernel writes the events. Sleeps are then rounded
/// up to milliseconds, as on a kernel without the call.
#[cfg(all(target_os = "linux", not(any(miri, wakeful_libc_wrappers))))]
mod pwait2 {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use libc::c_int;

    use super::super::calls::{self, KernelTimespec};
    use super::check;

    /// Whether the kernel lacks the call (`ENOSYS`), or a seccomp filter refuses it (`EPERM`).
    static IS_MISSING: AtomicBool = AtomicBool::new(false);

    /// Returns `None` if the kernel lacks the call.
    ///
    /// # Safety
    ///
    /// There is room for `count` entries at `events`.
    pub(super) unsafe fn epoll_wait(
        epoll: c_int,
        events: *mut libc::epoll_event,
        count: c_int,
        timeout: Duration,
    ) -> Option<io::Result<c_int>> {
        if IS_MISSING.load(Ordering::Relaxed) {
            return None;
        }
        let timeout = KernelTimespec {
            seconds: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: timeout.subsec_nanos().into(),
        };
        // SAFETY: the caller's promise for `events`; `timeout` is only read.
        match check(unsafe { calls::epoll_pwait2(epoll, events, count, &timeout) }) {
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                IS_MISSING.store(true, Ordering::Relaxed);
                None
            }
            result => Some(result),
        }
    }
}

#[allow(dead_code)] // unused where every call counts in nanoseconds
#[inline]
fn milliseconds(timeout: Duration) -> c_int {
    let rounded_up = timeout.checked_add(Duration::from_nanos(999_999)).unwrap_or(Duration::MAX);
    c_int::try_from(rounded_up.as_millis()).unwrap_or(c_int::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_rounded_up_and_bounded() {
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(milliseconds(Duration::from_millis(7)), 7);
        assert_eq!(milliseconds(Duration::from_nanos(7_000_001)), 8);
        assert_eq!(milliseconds(Duration::from_secs(1 << 40)), c_int::MAX);
        assert_eq!(milliseconds(Duration::MAX), c_int::MAX);
    }
}
