//! kqueue(2)'s filters that only some kernels have. The numbers are NetBSD's own there, and negative elsewhere.

/// The filter that tells of out-of-band data, and its note.
#[allow(dead_code)] // a kernel without kqueues has no filters
pub(crate) const FILTER_EXCEPT: Option<(i32, u32)> = {
    #[cfg(any(target_vendor = "apple", target_os = "dragonfly", target_os = "openbsd"))]
    {
        Some((libc::EVFILT_EXCEPT as i32, libc::NOTE_OOB))
    }
    #[cfg(not(any(target_vendor = "apple", target_os = "dragonfly", target_os = "openbsd")))]
    {
        None
    }
};

/// The filter that tells of lists of asynchronous file I/O.
#[allow(dead_code)] // a kernel without kqueues has no filters
pub(crate) const FILTER_LIO: Option<i32> = {
    #[cfg(target_os = "freebsd")]
    {
        Some(libc::EVFILT_LIO as i32)
    }
    #[cfg(not(target_os = "freebsd"))]
    {
        None
    }
};
