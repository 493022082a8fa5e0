//! Windows: sockets, handles and the calls on them.
//!
//! Invariant: a failed native call becomes the Win32 error of its status.

#[cfg(any(feature = "net", feature = "os-ext"))]
mod conversions;
#[cfg(feature = "os-ext")]
mod pipe;
mod port;
#[cfg(feature = "os-ext")]
mod process;
mod request;
#[cfg(feature = "net")]
mod socket;
mod timer;
#[cfg(feature = "net")]
pub(crate) mod unix_address;
mod wait_packet;
#[cfg_attr(not(feature = "os-ext"), allow(dead_code))] // only `windows::Waitable` uses it
mod waitable;

#[cfg(feature = "net")]
pub(crate) use self::conversions::{owned_socket, raw_socket_conversions};
#[cfg(feature = "net")]
pub(crate) use self::socket::*;
#[cfg(feature = "os-ext")]
pub(crate) use self::{
    conversions::{owned_handle, raw_handle_conversions},
    pipe::*,
    process::open_process,
};
pub(crate) use self::{
    port::{Batch, Mark, Packet, Port},
    request::{Body, Request, Returned, Ticket},
    waitable::{Object, Signalled, Wait},
};
#[cfg(feature = "net")]
pub(crate) use socket2::{Domain, SockRef, Type};

use std::io;
use std::os::windows::io::{AsRawSocket, RawSocket};

use windows_sys::Win32::Foundation::{RtlNtStatusToDosError, NTSTATUS};

/// The kernel's name for a source.
pub(crate) type RawIo = RawSocket;

/// A source that a kernel can watch: a socket here, a descriptor on Unix.
pub trait AsRawIo {
    #[doc(hidden)]
    fn as_raw_io(&self) -> RawIo;
}

impl<T: AsRawSocket> AsRawIo for T {
    fn as_raw_io(&self) -> RawIo {
        self.as_raw_socket()
    }
}

/// Returns the result of a Win32 call that returns 0 on failure.
pub(crate) fn check(result: i32) -> io::Result<()> {
    if result == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Returns whether a native call has failed. Warnings and "pending" are no failures.
pub(crate) fn is_failure(status: NTSTATUS) -> bool {
    // The two top bits are the severity.
    (status as u32) >> 30 == 3
}

/// Returns the Win32 error for the status of a native call.
pub(crate) fn status_error(status: NTSTATUS) -> io::Error {
    // SAFETY: no memory is passed.
    io::Error::from_raw_os_error(unsafe { RtlNtStatusToDosError(status) } as i32)
}
