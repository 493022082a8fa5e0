//! Objects that the kernel signals, and waits for them.
//!
//! Invariant: the memory that a callback uses is freed after `UnregisterWaitEx` has waited for it, or is leaked.

use std::ffi::c_void;
use std::io;
use std::mem;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, OwnedHandle};
use std::ptr;
use std::sync::Arc;

use windows_sys::Wdk::Foundation::{NtQueryObject, ObjectTypeInformation};
use windows_sys::Win32::Foundation::{
    HANDLE, INVALID_HANDLE_VALUE, NTSTATUS, UNICODE_STRING, WAIT_FAILED, WAIT_TIMEOUT,
};
use windows_sys::Win32::System::Threading::{
    RegisterWaitForSingleObject, UnregisterWaitEx, WaitForSingleObject, INFINITE, WT_EXECUTEINWAITTHREAD,
    WT_EXECUTEONLYONCE,
};

use super::wait_packet::{find, Any, WaitPacket};
use super::{check, is_failure, status_error, Mark, Port};

/// A handle of an object that the kernel signals.
#[derive(Debug)]
pub(crate) struct Object {
    handle: OwnedHandle,
    is_consumed: bool,
}

impl Object {
    /// Duplicates the handle.
    pub(crate) fn of(handle: BorrowedHandle<'_>) -> io::Result<Object> {
        let handle = handle.try_clone_to_owned()?;
        let is_consumed = match &*type_name(&handle)? {
            // A wait would make the thread that waits its owner.
            "Mutant" => {
                let why = "a mutex belongs to the thread that has waited for it";
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
            "Semaphore" => true,
            "Event" => is_auto_reset(&handle),
            _ => false,
        };
        Ok(Object { handle, is_consumed })
    }

    /// Returns whether the object is known to lose its signal by a wait: an auto-reset event or a semaphore.
    pub(crate) fn is_consumed(&self) -> bool {
        self.is_consumed
    }

    /// Waits for nothing: returns whether the object is signalled, and takes a signal that a wait consumes.
    pub(crate) fn take_signal(&self) -> io::Result<bool> {
        // SAFETY: no memory is passed, and the handle is open.
        match unsafe { WaitForSingleObject(self.handle.as_raw_handle(), 0) } {
            WAIT_FAILED => Err(io::Error::last_os_error()),
            result => Ok(result != WAIT_TIMEOUT),
        }
    }
}

impl AsHandle for Object {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.handle.as_handle()
    }
}

fn type_name(handle: &OwnedHandle) -> io::Result<String> {
    /// In words: the longest name of a type has a few dozen characters.
    const SIZE: usize = 128;
    let mut answer = [0_u64; SIZE];
    // SAFETY: `answer` is as long as stated, aligned for each type in it, and outlives the call.
    let status = unsafe {
        NtQueryObject(
            handle.as_raw_handle(),
            ObjectTypeInformation,
            answer.as_mut_ptr().cast(),
            mem::size_of_val(&answer) as u32,
            ptr::null_mut(),
        )
    };
    if is_failure(status) {
        return Err(status_error(status));
    }
    // SAFETY: the answer begins with the name, whose buffer is within the answer. The name outlives the slice.
    let name = unsafe {
        let name = &*answer.as_ptr().cast::<UNICODE_STRING>();
        std::slice::from_raw_parts(name.Buffer, usize::from(name.Length) / 2)
    };
    Ok(String::from_utf16_lossy(name))
}

/// Returns `false` too if the handle lacks the right to be asked.
fn is_auto_reset(event: &OwnedHandle) -> bool {
    type Query = unsafe extern "system" fn(HANDLE, i32, *mut c_void, u32, *mut u32) -> NTSTATUS;
    /// `EVENT_BASIC_INFORMATION`.
    const BASIC: i32 = 0;
    /// `SynchronizationEvent`, where the other type is `NotificationEvent`.
    const SYNCHRONIZATION: i32 = 1;
    let Some(query) = find(b"NtQueryEvent\0") else {
        return false;
    };
    // The type of the event, and whether it is signalled.
    let mut answer = [0_i32; 2];
    // SAFETY: this is the type of that function. `answer` is as long as stated, and outlives the call.
    let status = unsafe {
        let query = mem::transmute::<Any, Query>(query);
        query(event.as_raw_handle(), BASIC, answer.as_mut_ptr().cast(), 8, ptr::null_mut())
    };
    !is_failure(status) && answer[0] == SYNCHRONIZATION
}

/// Learns that an object is signalled, on a thread of the system's pool.
pub(crate) trait Signalled: Send + Sync + 'static {
    fn signalled(&self);
}

/// Waits for an object, once after each [`start`](Wait::start).
///
/// A wait completion packet sends the mark to the port. Where the system lacks such packets, a thread of the pool calls
/// the target.
pub(crate) struct Wait<T: Signalled> {
    packet: Option<WaitPacket>,
    pooled: Option<PooledWait<T>>,
}

impl<T: Signalled> Wait<T> {
    pub(crate) fn new() -> Wait<T> {
        Wait { packet: WaitPacket::new(), pooled: None }
    }

    /// Starts a wait. The one before must have reported or been ended.
    pub(crate) fn start(
        &mut self,
        object: &Object,
        port: &Port,
        mark: Mark,
        target: &Arc<T>,
    ) -> io::Result<()> {
        match &self.packet {
            Some(packet) => packet.associate(port.handle(), object.as_handle(), Some(mark)),
            None => {
                self.pooled = None;
                self.pooled = Some(PooledWait::start(object, target)?);
                Ok(())
            }
        }
    }

    /// Ends the wait in progress. A callback has returned when this returns; a packet that is on its way may still
    /// arrive.
    ///
    /// Must not be called by the target, nor with a lock that the target needs.
    pub(crate) fn end(&mut self) {
        if let Some(packet) = &self.packet {
            packet.cancel();
        }
        self.pooled = None;
    }
}

impl<T: Signalled> Drop for Wait<T> {
    fn drop(&mut self) {
        self.end();
    }
}

/// A wait by the system's pool of threads, each of which waits for up to 63 objects.
struct PooledWait<T: Signalled> {
    wait: HANDLE,
    /// In use by the callback. `None` once the wait has ended.
    target: Option<Arc<T>>,
}

// SAFETY: any thread may end a wait by its handle; the target is `Send` and `Sync`.
unsafe impl<T: Signalled> Send for PooledWait<T> {}
// SAFETY: by a shared reference nothing can be done with it.
unsafe impl<T: Signalled> Sync for PooledWait<T> {}

impl<T: Signalled> PooledWait<T> {
    fn start(object: &Object, target: &Arc<T>) -> io::Result<PooledWait<T>> {
        let target = Arc::clone(target);
        let mut wait = ptr::null_mut();
        // SAFETY: `wait` outlives the call. The target lives until the wait has ended, and the callback is the one for
        // its type. The object's owner ends the wait before it closes the handle.
        check(unsafe {
            RegisterWaitForSingleObject(
                &mut wait,
                object.handle.as_raw_handle(),
                Some(call::<T>),
                Arc::as_ptr(&target).cast(),
                INFINITE,
                WT_EXECUTEONLYONCE | WT_EXECUTEINWAITTHREAD,
            )
        })?;
        Ok(PooledWait { wait, target: Some(target) })
    }
}

impl<T: Signalled> Drop for PooledWait<T> {
    fn drop(&mut self) {
        // Waits until the callback has returned.
        // SAFETY: the handle is one of a wait that wasn't ended.
        if check(unsafe { UnregisterWaitEx(self.wait, INVALID_HANDLE_VALUE) }).is_err() {
            // A callback may still come: the target is leaked.
            mem::forget(self.target.take());
        }
    }
}

/// # Safety
///
/// `target` points to a living `T`.
unsafe extern "system" fn call<T: Signalled>(target: *mut c_void, _has_timed_out: bool) {
    // SAFETY: the caller's promise.
    unsafe { &*target.cast::<T>() }.signalled();
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::windows::io::FromRawHandle;

    use windows_sys::Win32::System::Threading::{
        CreateEventW, CreateMutexW, CreateSemaphoreW, GetCurrentProcess,
    };

    fn kind(handle: HANDLE) -> Option<bool> {
        // SAFETY: just created, and not owned elsewhere; or a number that needn't be closed.
        let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
        Object::of(handle.as_handle()).ok().map(|object| object.is_consumed())
    }

    #[test]
    fn the_kernel_tells_whose_signal_a_wait_consumes() {
        let none = ptr::null();
        // SAFETY: no memory is passed.
        unsafe {
            assert_eq!(kind(CreateEventW(none, 1, 0, none.cast())), Some(false));
            assert_eq!(kind(CreateEventW(none, 0, 0, none.cast())), Some(true));
            assert_eq!(kind(CreateSemaphoreW(none, 0, 1, none.cast())), Some(true));
            assert_eq!(kind(CreateMutexW(none, 0, none.cast())), None);
            assert_eq!(kind(GetCurrentProcess()), Some(false));
        }
    }
}
