//! The calls of the ancillary function driver (AFD), which implements Winsock, and is the only part of the kernel that
//! polls a socket without a thread for it.
//!
//! # Safety
//!
//! A poll's memory is a [`Request`]'s body, so it belongs to the kernel until the poll's packet is back. A probe ends
//! with its call, and borrows its caller's stack.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle, RawSocket};
use std::ptr;
use std::sync::Arc;

use windows_sys::Wdk::Foundation::OBJECT_ATTRIBUTES;
use windows_sys::Wdk::Storage::FileSystem::{NtCreateFile, FILE_OPEN, FILE_SYNCHRONOUS_IO_NONALERT};
use windows_sys::Wdk::System::IO::NtDeviceIoControlFile;
use windows_sys::Win32::Foundation::{HANDLE, NTSTATUS, STATUS_CANCELLED, STATUS_PENDING, UNICODE_STRING};
use windows_sys::Win32::Networking::WinSock::{
    WSAGetLastError, WSAIoctl, SIO_BASE_HANDLE, SIO_BSP_HANDLE, SIO_BSP_HANDLE_POLL, SIO_BSP_HANDLE_SELECT,
    SOCKET, WSAEINVAL, WSAENOTSOCK,
};
use windows_sys::Win32::Storage::FileSystem::{
    SetFileCompletionNotificationModes, FILE_SHARE_READ, FILE_SHARE_WRITE, SYNCHRONIZE,
};
use windows_sys::Win32::System::Threading::{WaitForSingleObject, INFINITE};
use windows_sys::Win32::System::IO::IO_STATUS_BLOCK;

use crate::backend::logic::watch::WatchKey;
use crate::os::{is_failure, status_error, Body, Port, Request, Ticket};

/// `CTL_CODE` of AFD's ninth function, with copied buffers.
const IOCTL_AFD_POLL: u32 = 0x0001_2024;

/// `FILE_SKIP_SET_EVENT_ON_HANDLE`.
const SKIP_SET_EVENT_ON_HANDLE: u8 = 2;

pub(super) const ALREADY_EXISTS: i32 = windows_sys::Win32::Foundation::ERROR_ALREADY_EXISTS as i32;
pub(super) const NOT_FOUND: i32 = windows_sys::Win32::Foundation::ERROR_FILE_NOT_FOUND as i32;

/// A handle of the driver itself, which belongs to no socket and can poll any number of them.
pub(super) struct Afd(OwnedHandle);

impl Afd {
    /// Opens a handle for polls, which complete on `port`.
    pub(super) fn new(port: &Port) -> io::Result<Afd> {
        let afd = Afd::open(0)?;
        port.attach(afd.0.as_handle())?;
        // Nothing waits on the handle itself, so its event needn't be set by each answer. It works without, too.
        // SAFETY: no memory is passed, and the handle is open.
        unsafe { SetFileCompletionNotificationModes(afd.0.as_raw_handle(), SKIP_SET_EVENT_ON_HANDLE) };
        Ok(afd)
    }

    /// Opens a handle for probes.
    pub(super) fn synchronous() -> io::Result<Afd> {
        Afd::open(FILE_SYNCHRONOUS_IO_NONALERT)
    }

    fn open(options: u32) -> io::Result<Afd> {
        // The driver ignores what follows its own name.
        let mut name: Vec<u16> = r"\Device\Afd\Wakeful".encode_utf16().collect();
        let bytes = (name.len() * 2) as u16;
        let name = UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: name.as_mut_ptr() };
        let attributes = OBJECT_ATTRIBUTES {
            Length: mem::size_of::<OBJECT_ATTRIBUTES>() as u32,
            RootDirectory: ptr::null_mut(),
            ObjectName: &name,
            Attributes: 0, // not inheritable
            SecurityDescriptor: ptr::null(),
            SecurityQualityOfService: ptr::null(),
        };
        let mut handle: HANDLE = ptr::null_mut();
        let mut block = empty_block();
        // SAFETY: all memory outlives the call. Without extended attributes it opens the driver, not a new socket.
        let status = unsafe {
            NtCreateFile(
                &mut handle,
                SYNCHRONIZE,
                &attributes,
                &mut block,
                ptr::null(),
                0,
                FILE_SHARE_READ | FILE_SHARE_WRITE,
                FILE_OPEN,
                options,
                ptr::null(),
                0,
            )
        };
        if is_failure(status) {
            return Err(status_error(status));
        }
        // SAFETY: just made, and owned by nothing else.
        Ok(Afd(unsafe { OwnedHandle::from_raw_handle(handle) }))
    }

    /// Returns those of `flags` that hold for a socket now.
    pub(super) fn probe(&self, socket: BaseSocket, flags: u32) -> io::Result<u32> {
        let mut info = PollInfo::new(socket, flags, 0);
        let mut block = empty_block();
        // SAFETY: see below.
        let status = unsafe { ioctl(&self.0, &mut block, ptr::null_mut(), &mut info) };
        if status == STATUS_PENDING {
            // The handle is synchronous, so this isn't reached; but `info` must not end before the operation.
            // SAFETY: the handle is open, and nothing else waits on it.
            unsafe { WaitForSingleObject(self.0.as_raw_handle(), INFINITE) };
        } else if is_failure(status) {
            return Err(status_error(status));
        }
        Ok(info.found(block.Information))
    }
}

/// A poll of one socket, as the body of its request.
pub(super) struct PollBody {
    info: PollInfo,
    key: WatchKey,
    purpose: Purpose,
    /// Open while the poll is with the kernel.
    afd: Arc<Afd>,
}

/// What a poll waits for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Readiness,
    /// The close of the socket, and nothing else.
    Close,
}

impl Body for PollBody {
    /// `Sockets` takes every poll, so none arrives here.
    fn returned(_: Request<PollBody>) {}
}

/// How a poll has ended.
pub(super) enum Outcome {
    Flags(u32),
    Cancelled,
    Failed,
}

impl PollBody {
    pub(super) fn new(afd: &Arc<Afd>, key: WatchKey, purpose: Purpose) -> Request<PollBody> {
        let info = PollInfo::new(BaseSocket(0), 0, 0);
        Request::new(PollBody { info, key, purpose, afd: Arc::clone(afd) })
    }

    pub(super) fn key(&self) -> WatchKey {
        self.key
    }

    pub(super) fn purpose(&self) -> Purpose {
        self.purpose
    }
}

/// Starts a poll of `socket` that ends when one of `flags` holds.
pub(super) fn start(
    mut request: Request<PollBody>,
    port: &Port,
    socket: BaseSocket,
    flags: u32,
) -> Result<Ticket, (Request<PollBody>, io::Error)> {
    let poll = request.body_mut();
    poll.info = PollInfo::new(socket, flags, i64::MAX);
    let afd = Arc::clone(&poll.afd);
    // SAFETY: one operation, whose memory is the body's. The handle is attached to the port that it was made with.
    // AFD sends a packet unless it fails at once.
    unsafe {
        request.lend(port, |overlapped, body| {
            let info = ptr::addr_of_mut!((*body).info);
            // An OVERLAPPED begins with the fields of a status block.
            let status = ioctl(&afd.0, overlapped.cast(), overlapped.cast(), info);
            if is_failure(status) {
                Err(status_error(status))
            } else {
                Ok(())
            }
        })
    }
}

pub(super) fn cancel(ticket: &Ticket, afd: &Afd) {
    ticket.cancel(afd.0.as_handle());
}

pub(super) fn outcome(request: &Request<PollBody>) -> Outcome {
    match request.status() {
        STATUS_CANCELLED => Outcome::Cancelled,
        status if is_failure(status) => Outcome::Failed,
        _ => Outcome::Flags(request.body().info.found(request.information())),
    }
}

/// # Safety
///
/// The memory must be valid until the operation has ended. It has not ended if this returns `STATUS_PENDING`, or if a
/// packet comes.
unsafe fn ioctl(
    afd: &OwnedHandle,
    block: *mut IO_STATUS_BLOCK,
    context: *const std::ffi::c_void,
    info: *mut PollInfo,
) -> NTSTATUS {
    let size = mem::size_of::<PollInfo>() as u32;
    // SAFETY: the caller's promise. The result overwrites the input.
    unsafe {
        (*block).Anonymous.Status = STATUS_PENDING;
        NtDeviceIoControlFile(
            afd.as_raw_handle(),
            ptr::null_mut(),
            None,
            context,
            block,
            IOCTL_AFD_POLL,
            info.cast(),
            size,
            info.cast(),
            size,
        )
    }
}

/// `AFD_POLL_INFO` with one handle: the input, and then the result.
#[repr(C)]
struct PollInfo {
    /// In units of 100 ns, relative to now when negative; zero doesn't wait.
    timeout: i64,
    count: u32,
    /// Whether to end other polls of the same socket: never.
    exclusive: u32,
    handle: usize,
    flags: u32,
    status: NTSTATUS,
}

impl PollInfo {
    /// The size of a result about one handle, to the end of its last field: on 32 bits the structure itself is longer.
    const WHOLE_SIZE: usize = 16 + mem::size_of::<usize>() + 8;

    fn new(socket: BaseSocket, flags: u32, timeout: i64) -> PollInfo {
        PollInfo { timeout, count: 1, exclusive: 0, handle: socket.0, flags, status: 0 }
    }

    /// Returns the flags of the result, of which the kernel has copied back `information` bytes. If that is less than a
    /// whole result, as after a timeout, this still is the input, and must not be read as ready.
    fn found(&self, information: usize) -> u32 {
        if information < PollInfo::WHOLE_SIZE || self.count == 0 {
            0
        } else {
            self.flags
        }
    }
}

/// The socket that AFD knows, below the layers that other software has put between it and the program.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct BaseSocket(SOCKET);

impl BaseSocket {
    pub(super) fn of(socket: RawSocket) -> io::Result<BaseSocket> {
        BaseSocket::found_by(socket as SOCKET, ask_handle)
    }

    fn found_by(
        socket: SOCKET,
        ask_handle: impl Fn(SOCKET, u32) -> io::Result<SOCKET>,
    ) -> io::Result<BaseSocket> {
        let error = match ask_handle(socket, SIO_BASE_HANDLE) {
            Ok(base) => return Ok(BaseSocket(base)),
            Err(e) => e,
        };
        if error.raw_os_error() == Some(WSAENOTSOCK) {
            return Err(error);
        }
        // Some layers refuse that request, against the rules, but return the socket below them to these.
        for code in [SIO_BSP_HANDLE_SELECT, SIO_BSP_HANDLE_POLL, SIO_BSP_HANDLE] {
            match ask_handle(socket, code) {
                Ok(below) if below != socket => {
                    return Ok(BaseSocket(ask_handle(below, SIO_BASE_HANDLE).unwrap_or(below)));
                }
                _ => {}
            }
        }
        // There is no layer, or AFD will refuse the socket.
        Ok(BaseSocket(socket))
    }
}

fn ask_handle(socket: SOCKET, code: u32) -> io::Result<SOCKET> {
    let mut answer: SOCKET = 0;
    let mut size = 0;
    // SAFETY: `answer` is as long as stated, and outlives the call, which isn't overlapped.
    let result = unsafe {
        WSAIoctl(
            socket,
            code,
            ptr::null(),
            0,
            ptr::addr_of_mut!(answer).cast(),
            mem::size_of::<SOCKET>() as u32,
            &mut size,
            ptr::null_mut(),
            None,
        )
    };
    if result != 0 {
        // SAFETY: no memory is passed.
        return Err(io::Error::from_raw_os_error(unsafe { WSAGetLastError() }));
    }
    if size as usize != mem::size_of::<SOCKET>() {
        return Err(io::Error::from_raw_os_error(WSAEINVAL));
    }
    Ok(answer)
}

fn empty_block() -> IO_STATUS_BLOCK {
    // SAFETY: integers and pointers, for all of which zero is a value.
    unsafe { mem::zeroed() }
}

impl AsHandle for Afd {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYERED: SOCKET = 1;
    const BELOW: SOCKET = 2;
    const BASE: SOCKET = 3;

    fn refused() -> io::Result<SOCKET> {
        Err(io::Error::from_raw_os_error(WSAEINVAL))
    }

    fn found(ask: impl Fn(SOCKET, u32) -> io::Result<SOCKET>) -> SOCKET {
        BaseSocket::found_by(LAYERED, ask).unwrap().0
    }

    /// Layered service providers.
    #[test]
    fn a_layer_is_seen_through() {
        // One that keeps the rules.
        let honest = |_, code| if code == SIO_BASE_HANDLE { Ok(BASE) } else { refused() };
        assert_eq!(found(honest), BASE);
        // One that hides the base, but returns the socket below it to a request for polling.
        for telling in [SIO_BSP_HANDLE_SELECT, SIO_BSP_HANDLE_POLL, SIO_BSP_HANDLE] {
            let hiding = |socket, code| match (socket, code) {
                (LAYERED, code) if code == telling => Ok(BELOW),
                (BELOW, SIO_BASE_HANDLE) => Ok(BASE),
                _ => refused(),
            };
            assert_eq!(found(hiding), BASE);
        }
        // The layer below it fails, or returns itself.
        let silent = |socket, code| match (socket, code) {
            (LAYERED, SIO_BSP_HANDLE_SELECT) => Ok(LAYERED),
            (LAYERED, SIO_BSP_HANDLE_POLL) => Ok(BELOW),
            _ => refused(),
        };
        assert_eq!(found(silent), BELOW);
        assert_eq!(found(|_, _| refused()), LAYERED);
    }

    #[test]
    fn an_incomplete_copy_is_no_result() {
        let asked = PollInfo::new(BaseSocket(7), 0x85, 0);
        // Input that comes back unchanged: the timeout has elapsed.
        for information in 0..PollInfo::WHOLE_SIZE {
            assert_eq!(asked.found(information), 0, "{information}");
        }
        assert_eq!(asked.found(PollInfo::WHOLE_SIZE), 0x85);
        let nothing = PollInfo { count: 0, ..asked };
        assert_eq!(nothing.found(PollInfo::WHOLE_SIZE), 0);
        assert_eq!(nothing.found(16), 0);
        let end = ptr::addr_of!(nothing.status) as usize + 4 - ptr::addr_of!(nothing) as usize;
        assert_eq!(end, PollInfo::WHOLE_SIZE);
    }

    /// The guard relies on this: a whole result is copied back when something holds.
    #[test]
    fn the_kernel_says_how_much_it_has_copied_back() {
        const SEND: u32 = 4;
        const RECEIVE: u32 = 1;
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let base = BaseSocket::of(std::os::windows::io::AsRawSocket::as_raw_socket(&socket)).unwrap();
        let prober = Afd::synchronous().unwrap();
        let ask = |flags| {
            let (mut info, mut block) = (PollInfo::new(base, flags, 0), empty_block());
            // SAFETY: the handle is synchronous: the operation is over when the call is.
            let status = unsafe { ioctl(&prober.0, &mut block, ptr::null_mut(), &mut info) };
            assert!(!is_failure(status) && status != STATUS_PENDING, "{status:#x}");
            (info, block.Information)
        };
        let (info, information) = ask(SEND);
        assert!(information >= PollInfo::WHOLE_SIZE, "{information}");
        assert_eq!(info.found(information), SEND);
        let (info, information) = ask(RECEIVE);
        println!("nothing holds: {information} bytes, count {}", info.count);
        assert_eq!(info.found(information), 0);
        assert_eq!(prober.probe(base, RECEIVE | SEND).unwrap(), SEND);
        assert_eq!(prober.probe(base, RECEIVE).unwrap(), 0);
    }

    #[test]
    fn a_handle_that_is_no_socket_is_refused() {
        let refused = BaseSocket::found_by(LAYERED, |_, _| Err(io::Error::from_raw_os_error(WSAENOTSOCK)));
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(WSAENOTSOCK));
    }
}
