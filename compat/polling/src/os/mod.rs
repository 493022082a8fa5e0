//! What one family of operating systems has beside sources.

#[cfg(windows)]
pub mod iocp;
#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
    wakeful_libkqueue
))]
pub mod kqueue;
