//! Waiting for descriptors, to the nanosecond where the kernel can.
//!
//! Where it counts in milliseconds a timeout is rounded up, since a sleep that ends early would make its caller spin;
//! one that is too long for the type is cut, since the caller holds the deadline and comes again.

use std::io;
use std::time::Duration;

use libc::c_int;

use super::check;

/// The type of poll(2)'s flags.
#[cfg(target_os = "horizon")]
pub(crate) type PollEvents = c_int;

/// The flag by which poll(2) tells that the peer has shut down its writing half.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_os = "illumos"))]
pub(crate) const POLL_READ_HANGUP: PollEvents = libc::POLLRDHUP;

/// The flag by which Linux's sockets other than TCP's say that they are writable, beside the common one. A pipe never
/// has it. Miri doesn't know it.
#[cfg(all(not(miri), any(target_os = "linux", target_os = "android")))]
pub(crate) const POLL_SOCKET_OUTPUT: PollEvents = libc::POLLWRBAND;

/// The flag by which poll(2) tells that a descriptor isn't open. ESP-IDF has it in its `poll.h`, but not in libc.
#[cfg(not(target_os = "espidf"))]
pub(crate) const POLL_INVALID: PollEvents = libc::POLLNVAL;

/// The flag by which poll(2) tells of priority data.
pub(crate) const POLL_PRIORITY: PollEvents = libc::POLLPRI;
/// poll(2) tells of errors and hang-ups though nobody asked.
pub(crate) const POLL_TELLS_UNASKED: bool = true;

/// poll(2), by ppoll(2). How many descriptors have an answer.
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
        // 68 years fit into every system's type, and the caller holds the deadline.
        tv_sec: timeout.as_secs().min(i32::MAX as u64) as _,
        tv_nsec: timeout.subsec_nanos() as _,
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), |timeout| timeout as *const _);
    let count = fds.len() as libc::nfds_t;
    // SAFETY: as many entries as stated; `timeout` is read only; there is no signal mask.
    let found = check(unsafe { libc::ppoll(fds.as_mut_ptr(), count, timeout, std::ptr::null()) })?;
    Ok(found as usize)
}

/// What stands for what a kernel lacks: an item of its name beats a glob.
#[allow(dead_code)]
mod absent {
    use super::*;

    pub(crate) type PollEvents = libc::c_short;
    pub(crate) const POLL_READ_HANGUP: super::PollEvents = 0;
    pub(crate) const POLL_SOCKET_OUTPUT: super::PollEvents = 0;
    pub(crate) const POLL_INVALID: super::PollEvents = 1 << 7;

    /// poll(2). How many descriptors have an answer.
    pub(crate) fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
        let (count, timeout) = (fds.len() as libc::nfds_t, timeout.map_or(-1, milliseconds));
        // SAFETY: as many entries as stated.
        check(unsafe { libc::poll(fds.as_mut_ptr(), count, timeout) }).map(|found| found as usize)
    }
}
#[allow(unused_imports)]
pub(crate) use self::absent::*;

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

/// epoll_pwait2(2), since Linux 5.11. Nearly every sleep uses it, since one of 10 ms is asked to be 9.95 ms
/// ([`TIMER_SLACK`](crate::os::TIMER_SLACK)): it ends 40 to 50 us nearer to its timeout than by `epoll_wait`. A call
/// that doesn't sleep, and one of whole milliseconds, doesn't use it: it is dearer by an eighth.
///
/// Android's seccomp filter ends a process that makes a call which it doesn't know, so there nobody may try. Nor is it
/// made where the wrappers are asked for: a sanitizer wouldn't see that the kernel writes the events. A sleep is then
/// rounded up to milliseconds, as on a kernel without the call.
#[cfg(all(target_os = "linux", not(any(miri, wakeful_libc_wrappers))))]
mod pwait2 {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use libc::c_int;

    use super::super::calls::{self, KernelTimespec};
    use super::check;

    /// The kernel doesn't know the call (`ENOSYS`), or a seccomp filter that doesn't know it refuses it (`EPERM`).
    static IS_MISSING: AtomicBool = AtomicBool::new(false);

    /// `None` if there is no such call.
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

#[allow(dead_code)] // not where the kernel counts in nanoseconds throughout
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
