//! A timer that ends a wait on a port to the half millisecond, where the port's timeout has the clock's resolution of
//! up to 16 ms.
//!
//! Invariant: a packet of the timer carries no memory, and dropping [`Started`] takes it back.

use std::ffi::{c_void, CStr};
use std::mem;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::time::Duration;

use windows_sys::Win32::Foundation::{HANDLE, NTSTATUS};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Threading::{
    CreateWaitableTimerExW, SetWaitableTimer, CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, TIMER_ALL_ACCESS,
};

/// A high-resolution timer (since Windows 10 1803), and the wait completion packet that turns its signal into a
/// packet of the port (since Windows 8).
pub(super) struct Timer {
    timer: OwnedHandle,
    packet: OwnedHandle,
    calls: Calls,
}

impl Timer {
    /// Returns `None` where the system lacks one of the two.
    pub(super) fn new() -> Option<Timer> {
        let calls = Calls::find()?;
        // SAFETY: no memory is passed. Without attributes the handle isn't inheritable.
        let timer = unsafe {
            CreateWaitableTimerExW(
                ptr::null(),
                ptr::null(),
                CREATE_WAITABLE_TIMER_HIGH_RESOLUTION,
                TIMER_ALL_ACCESS,
            )
        };
        if timer.is_null() {
            return None;
        }
        // SAFETY: just created, and not owned elsewhere.
        let timer = unsafe { OwnedHandle::from_raw_handle(timer) };
        let mut packet = ptr::null_mut();
        const GENERIC_ALL: u32 = 1 << 28;
        // SAFETY: `packet` outlives the call; no attributes are passed, so the handle isn't inheritable.
        if unsafe { (calls.create)(&mut packet, GENERIC_ALL, ptr::null()) } != 0 {
            return None;
        }
        // SAFETY: just created, and not owned elsewhere.
        let packet = unsafe { OwnedHandle::from_raw_handle(packet) };
        Some(Timer { timer, packet, calls })
    }

    /// Starts the timer, which sends a packet without memory to `port` after `limit`, unless the result is dropped
    /// first. Returns `None` if the timer can't be started.
    pub(super) fn start(&self, port: BorrowedHandle<'_>, limit: Duration) -> Option<Started<'_>> {
        // In steps of 100 ns, rounded up; negative means from now.
        let due = -i64::try_from(limit.as_nanos().saturating_add(99) / 100).ok()?;
        // SAFETY: `due` outlives the call.
        let is_set = unsafe { SetWaitableTimer(self.timer.as_raw_handle(), &due, 0, None, ptr::null(), 0) };
        if is_set == 0 {
            return None;
        }
        // SAFETY: the handles are open; the contexts are null, and the last argument may be.
        let status = unsafe {
            (self.calls.associate)(
                self.packet.as_raw_handle(),
                port.as_raw_handle(),
                self.timer.as_raw_handle(),
                ptr::null_mut(),
                ptr::null_mut(),
                0,
                0,
                ptr::null_mut(),
            )
        };
        (status == 0).then_some(Started(self))
    }
}

/// A running timer. Dropping it stops the timer, and takes back a packet that was not received.
pub(super) struct Started<'a>(&'a Timer);

impl Drop for Started<'_> {
    fn drop(&mut self) {
        // If there is nothing to cancel, the packet was received. `STATUS_PENDING` means that the packet is still to
        // come: it then ends a later wait early, for which the caller holds the deadline, and until then `start`
        // fails, so that timeouts are whole milliseconds.
        // SAFETY: the handle is open.
        unsafe { (self.0.calls.cancel)(self.0.packet.as_raw_handle(), 1) };
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

type Any = unsafe extern "system" fn() -> isize;

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

fn find(name: &[u8]) -> Option<Any> {
    let name = CStr::from_bytes_with_nul(name).ok()?;
    let library: Vec<u16> = "ntdll.dll\0".encode_utf16().collect();
    // SAFETY: both names end with zero. Every process has ntdll loaded for life.
    unsafe { GetProcAddress(GetModuleHandleW(library.as_ptr()), name.as_ptr().cast()) }
}
