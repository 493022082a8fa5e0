//! Overlapped operations on named pipes.
//!
//! Invariant: an operation that was started ends through the port, never in the call that starts it.

use std::ffi::OsStr;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr;

use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_IO_PENDING, ERROR_MORE_DATA, ERROR_NO_DATA, ERROR_OPERATION_ABORTED,
    ERROR_PIPE_CONNECTED, ERROR_PIPE_LISTENING, ERROR_PIPE_NOT_CONNECTED, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    ReadFile, WriteFile, FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, PIPE_ACCESS_DUPLEX,
    SECURITY_IDENTIFICATION,
};
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, DisconnectNamedPipe, PIPE_READMODE_BYTE, PIPE_TYPE_BYTE,
    PIPE_UNLIMITED_INSTANCES, PIPE_WAIT,
};

use super::{check, Body, Port, Request, Ticket};

/// The kernel's buffer in each direction. It grows if needed.
const KERNEL_BUFFER: u32 = 64 << 10;

/// For a client's `OpenOptions`: overlapped, and the server may identify the client but not impersonate it.
pub(crate) const CLIENT_FLAGS: u32 = FILE_FLAG_OVERLAPPED;
pub(crate) const CLIENT_SECURITY: u32 = SECURITY_IDENTIFICATION;

/// The meaning of an error for a pipe.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum PipeError {
    /// The peer has gone.
    Closed,
    /// The server has disconnected the client, and waits for none yet.
    Disconnected,
    /// The server waits for a client.
    Listening,
    /// A client has connected already.
    Connected,
    /// The client has closed its end, and the server hasn't disconnected it.
    Gone,
    /// The operation was cancelled, or the thread that started it has ended.
    Cancelled,
    Other,
}

impl PipeError {
    pub(crate) fn of(error: &io::Error) -> PipeError {
        match error.raw_os_error().map(|code| code as u32) {
            Some(ERROR_BROKEN_PIPE) => PipeError::Closed,
            Some(ERROR_PIPE_NOT_CONNECTED) => PipeError::Disconnected,
            Some(ERROR_PIPE_LISTENING) => PipeError::Listening,
            Some(ERROR_PIPE_CONNECTED) => PipeError::Connected,
            Some(ERROR_NO_DATA) => PipeError::Gone,
            Some(ERROR_OPERATION_ABORTED) => PipeError::Cancelled,
            _ => PipeError::Other,
        }
    }
}

/// Creates the server's end of a pipe: the first with its name, for bytes in both directions, not inheritable.
pub(crate) fn create_pipe(name: &OsStr) -> io::Result<OwnedHandle> {
    let name: Vec<u16> = name.encode_wide().chain(Some(0)).collect();
    // SAFETY: `name` ends with zero and outlives the call; no attributes are passed.
    let handle = unsafe {
        CreateNamedPipeW(
            name.as_ptr(),
            PIPE_ACCESS_DUPLEX | FILE_FLAG_FIRST_PIPE_INSTANCE | FILE_FLAG_OVERLAPPED,
            PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT,
            PIPE_UNLIMITED_INSTANCES,
            KERNEL_BUFFER,
            KERNEL_BUFFER,
            0,
            ptr::null(),
        )
    };
    if handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just created, and not owned elsewhere.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

pub(crate) fn disconnect_pipe(handle: BorrowedHandle<'_>) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { DisconnectNamedPipe(handle.as_raw_handle()) })
}

/// The operation of a pipe's request.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Connect,
    /// A read into all of the bytes.
    Read,
    /// A write from this byte to the last.
    Write(usize),
}

/// An operation and its bytes.
pub(crate) struct Transfer<O> {
    pub(crate) bytes: Vec<u8>,
    operation: Operation,
    /// Called at the end. `None` while the request is at rest: an owner that stores the request would own itself.
    owner: Option<O>,
}

/// The code that has started an operation.
pub(crate) trait Owner: Send + 'static + Sized {
    /// Called when the operation has ended.
    fn ended(self, operation: Operation, request: Request<Transfer<Self>>);
}

impl<O: Owner> Transfer<O> {
    pub(crate) fn request(bytes: Vec<u8>) -> Request<Transfer<O>> {
        Request::new(Transfer { bytes, operation: Operation::Connect, owner: None })
    }
}

impl<O: Owner> Body for Transfer<O> {
    fn returned(mut request: Request<Transfer<O>>) {
        let transfer = request.body_mut();
        let operation = transfer.operation;
        if let Some(owner) = transfer.owner.take() {
            owner.ended(operation, request);
        }
    }
}

/// Starts an operation on a handle that is attached to `port`. If this returns a ticket, the end arrives through the
/// port, even if the kernel has completed the operation at once. If it fails, the request is returned.
pub(crate) fn start<O: Owner>(
    mut request: Request<Transfer<O>>,
    operation: Operation,
    owner: O,
    handle: BorrowedHandle<'_>,
    port: &Port,
) -> Result<Ticket, (Request<Transfer<O>>, io::Error)> {
    let transfer = request.body_mut();
    transfer.operation = operation;
    transfer.owner = Some(owner);
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    // SAFETY: one operation. Its memory is that of the vector, which is the body's; nothing touches the vector before
    // the request is back. A packet comes unless the call fails; "pending" and "more data" are no failures.
    let lent = unsafe {
        request.lend(port, |overlapped, transfer| {
            let bytes = &mut (*transfer).bytes;
            let handle = handle.as_raw_handle();
            let done = match operation {
                Operation::Connect => ConnectNamedPipe(handle, overlapped),
                Operation::Read => {
                    ReadFile(handle, bytes.as_mut_ptr(), length(bytes.len()), ptr::null_mut(), overlapped)
                }
                Operation::Write(from) => {
                    let rest = &bytes[from..];
                    WriteFile(handle, rest.as_ptr(), length(rest.len()), ptr::null_mut(), overlapped)
                }
            };
            match check(done) {
                Err(e) => match e.raw_os_error().map(|code| code as u32) {
                    Some(ERROR_IO_PENDING | ERROR_MORE_DATA) => Ok(()),
                    _ => Err(e),
                },
                done => done,
            }
        })
    };
    lent.map_err(|(mut request, e)| {
        request.body_mut().owner = None;
        (request, e)
    })
}
