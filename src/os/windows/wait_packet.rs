//! Wait completion packets (since Windows 8): each turns the signal of an object into a packet of a port.
//!
//! Invariant: the packet in the port carries numbers and no memory, so one that arrives late harms nothing.

use std::ffi::{c_void, CStr};
use std::io;
use std::mem;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::{HANDLE, NTSTATUS};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};

use super::{status_error, Mark};

/// A wait for one object at a time.
pub(super) struct WaitPacket {
    packet: OwnedHandle,
    calls: &'static Calls,
}

impl WaitPacket {
    /// Returns `None` where the system lacks such packets.
    pub(super) fn new() -> Option<WaitPacket> {
        const GENERIC_ALL: u32 = 1 << 28;
        static CALLS: OnceLock<Option<Calls>> = OnceLock::new();
        let calls = CALLS.get_or_init(Calls::find).as_ref()?;
        let mut packet = ptr::null_mut();
        // SAFETY: `packet` outlives the call; no attributes are passed, so the handle isn't inheritable.
        if unsafe { (calls.create)(&mut packet, GENERIC_ALL, ptr::null()) } != 0 {
            return None;
        }
        // SAFETY: just created, and not owned elsewhere.
        let packet = unsafe { OwnedHandle::from_raw_handle(packet) };
        Some(WaitPacket { packet, calls })
    }

    /// Sends a packet to `port` once `object` is signalled: with `mark`, or as a notice. Fails while the last packet is
    /// still queued.
    pub(super) fn associate(
        &self,
        port: BorrowedHandle<'_>,
        object: BorrowedHandle<'_>,
        mark: Option<Mark>,
    ) -> io::Result<()> {
        let (key, information) = mark.map_or((0, 0), Mark::to_packet);
        // SAFETY: the handles are open, and the last argument may be null. The kernel passes the contexts through: the
        // key is a number, and a null context shows that there is no memory.
        let status = unsafe {
            (self.calls.associate)(
                self.packet.as_raw_handle(),
                port.as_raw_handle(),
                object.as_raw_handle(),
                key as *mut c_void,
                ptr::null_mut(),
                0,
                information,
                ptr::null_mut(),
            )
        };
        match status {
            0 => Ok(()),
            status => Err(status_error(status)),
        }
    }

    /// Ends the wait, and takes back a packet that was not received. Another thread may receive a packet a moment later
    /// that was on its way.
    pub(super) fn cancel(&self) {
        // If there is nothing to cancel, the packet was received. `STATUS_PENDING` means that it is still to come.
        // SAFETY: the handle is open.
        unsafe { (self.calls.cancel)(self.packet.as_raw_handle(), 1) };
    }
}

type Create = unsafe extern "system" fn(*mut HANDLE, u32, *const c_void) -> NTSTATUS;
type Associate = unsafe extern "system" fn(
    HANDLE,
    HANDLE,
    HANDLE,
    *mut c_void,
    *mut c_void,
    NTSTATUS,
    usize,
    *mut u8,
) -> NTSTATUS;
type Cancel = unsafe extern "system" fn(HANDLE, u8) -> NTSTATUS;

/// The native calls, which old systems lack.
struct Calls {
    create: Create,
    associate: Associate,
    cancel: Cancel,
}

pub(super) type Any = unsafe extern "system" fn() -> isize;

impl Calls {
    fn find() -> Option<Calls> {
        let create = find(b"NtCreateWaitCompletionPacket\0")?;
        let associate = find(b"NtAssociateWaitCompletionPacket\0")?;
        let cancel = find(b"NtCancelWaitCompletionPacket\0")?;
        // SAFETY: these are the types of those functions.
        unsafe {
            Some(Calls {
                create: mem::transmute::<Any, Create>(create),
                associate: mem::transmute::<Any, Associate>(associate),
                cancel: mem::transmute::<Any, Cancel>(cancel),
            })
        }
    }
}

/// Returns a function of ntdll by its name, which ends with zero.
pub(super) fn find(name: &[u8]) -> Option<Any> {
    let name = CStr::from_bytes_with_nul(name).ok()?;
    let library: Vec<u16> = "ntdll.dll\0".encode_utf16().collect();
    // SAFETY: both names end with zero. Every process has ntdll loaded for life.
    unsafe { GetProcAddress(GetModuleHandleW(library.as_ptr()), name.as_ptr().cast()) }
}
