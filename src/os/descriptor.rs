//! Sources that are descriptors: on Unix, WASI and Hermit.
//!
//! Invariant: a source's number is that of its descriptor.

use std::os::fd::{AsRawFd, RawFd};

/// The kernel's name for a source.
pub(crate) type RawIo = RawFd;

/// A source that a kernel can watch: a descriptor here, a socket on Windows.
pub trait AsRawIo {
    #[doc(hidden)]
    fn as_raw_io(&self) -> RawIo;
}

impl<T: AsRawFd> AsRawIo for T {
    #[inline]
    fn as_raw_io(&self) -> RawIo {
        self.as_raw_fd()
    }
}

/// Implements the raw conversions between `$Type` and a descriptor by its owned conversions.
///
/// They are here because `FromRawFd` has an `unsafe fn`, which the floors above don't have.
#[cfg(any(feature = "net", all(unix, feature = "os-ext")))]
macro_rules! raw_fd_conversions {
    ($Type:ident) => {
        impl std::os::fd::AsRawFd for $Type {
            #[inline]
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(self))
            }
        }

        impl std::os::fd::IntoRawFd for $Type {
            #[inline]
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                std::os::fd::IntoRawFd::into_raw_fd(std::os::fd::OwnedFd::from(self))
            }
        }

        /// The descriptor must be in non-blocking mode. This is not checked: on a blocking descriptor an operation
        /// waits where it should fail with `WouldBlock`, and the polling thread hangs.
        #[allow(unsafe_code)]
        impl std::os::fd::FromRawFd for $Type {
            #[inline]
            unsafe fn from_raw_fd(fd: std::os::fd::RawFd) -> $Type {
                // SAFETY: the caller promises that `fd` is open and not owned elsewhere.
                let fd: std::os::fd::OwnedFd = unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) };
                $Type::from(fd)
            }
        }
    };
}

#[cfg(any(feature = "net", all(unix, feature = "os-ext")))]
pub(crate) use raw_fd_conversions;
