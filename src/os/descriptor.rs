//! What is the same wherever a source is a descriptor: Unix and WASI.

use std::os::fd::{AsRawFd, RawFd};

/// What the kernel calls a source.
pub(crate) type RawIo = RawFd;

/// Anything that a kernel can watch: a descriptor here, a socket on Windows.
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

/// The raw halves of the conversions between `$Type` and a descriptor, from the owned halves that it has already.
///
/// They are made here because `FromRawFd` has an `unsafe fn`, and nothing above this floor does.
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

        /// The descriptor must be in non-blocking mode, which isn't checked: on a blocking one, the operation that
        /// should return `WouldBlock` waits instead, and the thread that polls hangs.
        #[allow(unsafe_code)]
        impl std::os::fd::FromRawFd for $Type {
            #[inline]
            unsafe fn from_raw_fd(fd: std::os::fd::RawFd) -> $Type {
                // SAFETY: the caller promises that `fd` is open and nobody else's.
                let fd: std::os::fd::OwnedFd = unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) };
                $Type::from(fd)
            }
        }
    };
}

#[cfg(any(feature = "net", all(unix, feature = "os-ext")))]
pub(crate) use raw_fd_conversions;
