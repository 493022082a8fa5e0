//! The filters of kqueue(2) that only some kernels have. NetBSD numbers its filters from 0; elsewhere the numbers are
//! negative.
//!
//! Invariant: a filter that the kernel lacks is `None`, and no backend names a kernel.

/// The filter that reports out-of-band data, and its note.
#[cfg(any(target_vendor = "apple", target_os = "dragonfly", target_os = "openbsd"))]
pub(crate) const FILTER_EXCEPT: Option<(i32, u32)> = Some((libc::EVFILT_EXCEPT as i32, libc::NOTE_OOB));

/// The filter that reports lists of asynchronous file I/O.
#[cfg(target_os = "freebsd")]
pub(crate) const FILTER_LIO: Option<i32> = Some(libc::EVFILT_LIO as i32);

/// For kernels without a filter.
#[allow(dead_code)] // a kernel without kqueues has no filters
mod fallback {
    pub(crate) const FILTER_EXCEPT: Option<(i32, u32)> = None;
    pub(crate) const FILTER_LIO: Option<i32> = None;
}
#[allow(unused_imports)]
pub(crate) use self::fallback::*;
