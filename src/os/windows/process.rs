//! Handles of processes by their number.
//!
//! Invariant: a handle allows to wait for its process, and nothing else.

use std::io;
use std::num::NonZeroU32;
use std::os::windows::io::{FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::ERROR_INVALID_PARAMETER;
use windows_sys::Win32::System::Threading::{OpenProcess, PROCESS_SYNCHRONIZE};

/// Opens the process with this number, which isn't inherited.
pub(crate) fn open_process(id: NonZeroU32) -> io::Result<OwnedHandle> {
    // SAFETY: no memory is passed.
    let handle = unsafe { OpenProcess(PROCESS_SYNCHRONIZE, 0, id.get()) };
    if handle.is_null() {
        let error = io::Error::last_os_error();
        return Err(match error.raw_os_error() {
            Some(number) if number == ERROR_INVALID_PARAMETER as i32 => {
                io::Error::new(io::ErrorKind::NotFound, "no process has this number")
            }
            _ => error,
        });
    }
    // SAFETY: just opened, and owned by nothing else.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}
