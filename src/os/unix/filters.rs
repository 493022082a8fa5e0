//! kqueue(2)'s filters that only some kernels have. The numbers are NetBSD's own there, and negative elsewhere.

/// The filter that tells of out-of-band data, and its note.
#[cfg(any(target_vendor = "apple", target_os = "dragonfly", target_os = "openbsd"))]
pub(crate) const FILTER_EXCEPT: Option<(i32, u32)> = Some((libc::EVFILT_EXCEPT as i32, libc::NOTE_OOB));

/// The filter that tells of lists of asynchronous file I/O.
#[cfg(target_os = "freebsd")]
pub(crate) const FILTER_LIO: Option<i32> = Some(libc::EVFILT_LIO as i32);

/// What stands for a filter that the kernel lacks: an item of its name beats a glob.
#[allow(dead_code)] // a kernel without kqueues has no filters
mod absent {
    pub(crate) const FILTER_EXCEPT: Option<(i32, u32)> = None;
    pub(crate) const FILTER_LIO: Option<i32> = None;
}
#[allow(unused_imports)]
pub(crate) use self::absent::*;
