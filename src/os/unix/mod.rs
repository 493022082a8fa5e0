//! Unix: descriptors and the calls on them.
//!
//! Invariant: a call's failure is an `io::Error` of its `errno`, by [`check`] alone.
//!
//! What some systems lack is in a `mod fallback`, which is imported by a glob. An item of the same name takes
//! precedence over a glob, so each list of systems stands once: beside the item of those that have it.

pub(crate) mod calls;
#[cfg(feature = "sim")]
pub(crate) mod errno;
mod file;
mod filters;
#[cfg(any(feature = "net", feature = "os-ext"))]
mod io;
mod notifier;
#[cfg(all(not(miri), any(feature = "chaos", feature = "backends")))]
mod privilege;
#[cfg(feature = "os-ext")]
mod process;
#[cfg(feature = "net")]
mod socket;
mod timed;
#[cfg(feature = "net")]
pub(crate) mod unix_address;

pub use self::filters::KernelFilter;
#[cfg(all(not(miri), any(feature = "chaos", feature = "backends")))]
pub(crate) use self::privilege::is_privileged;
#[cfg(feature = "net")]
pub(crate) use self::socket::*;
pub(crate) use self::{file::FileIdentity, notifier::Notifier};
#[allow(unused_imports)] // which ones are used depends on the kernel
pub(crate) use self::{
    filters::{FilterId, FILTER_EXCEPT, FILTER_LIO, TIMER_NANOSECONDS},
    notifier::{EACH_WRITE_IS_AN_EDGE, PIPE_IS_FORCED, STANDARD_ERROR},
    timed::*,
};
#[cfg(feature = "os-ext")]
pub(crate) use self::{
    io::*,
    notifier::pipe,
    process::{open_process, ProcessHandle},
};
#[cfg(feature = "net")]
pub(crate) use socket2::{Domain, SockRef, Type};

/// Returns the result of a system call.
#[inline]
pub(crate) fn check<R: ReturnValue>(returned: R) -> std::io::Result<R::Number> {
    returned.result()
}

/// The return value of a system call.
pub(crate) trait ReturnValue {
    type Number;

    fn result(self) -> std::io::Result<Self::Number>;
}

/// libc's functions return -1 on failure, and put the error into `errno`.
impl<N: Copy + PartialEq + From<i8>> ReturnValue for N {
    type Number = N;

    fn result(self) -> std::io::Result<N> {
        if self == N::from(-1) {
            Err(std::io::Error::last_os_error())
        } else {
            Ok(self)
        }
    }
}

/// The errors of a kernel that keeps the registrations itself.
pub(crate) mod errors {
    pub(crate) const NOT_FOUND: i32 = libc::ENOENT;
    pub(crate) const ALREADY_EXISTS: i32 = libc::EEXIST;
    pub(crate) const BAD_DESCRIPTOR: i32 = libc::EBADF;
    pub(crate) const NO_PROCESS: i32 = libc::ESRCH;
}
