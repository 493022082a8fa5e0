//! Whether the process may do more than the user who has started it.
//!
//! Invariant: the system's own statement takes precedence over a comparison of ids.

/// The kernel's word, which it keeps whatever the process does to its ids afterwards.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_privileged() -> bool {
    // SAFETY: no memory is passed. What the kernel hasn't given is 0.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
    target_os = "haiku"
))]
pub(crate) fn is_privileged() -> bool {
    // SAFETY: no memory is passed.
    unsafe { libc::issetugid() != 0 }
}

/// For systems without a statement.
#[allow(dead_code)]
mod fallback {
    /// The ids, as far as the process hasn't changed them since.
    pub(crate) fn is_privileged() -> bool {
        // SAFETY: no memory is passed, and none of them fails (POSIX).
        unsafe { libc::getuid() != libc::geteuid() || libc::getgid() != libc::getegid() }
    }
}
#[allow(unused_imports)]
pub(crate) use self::fallback::*;
