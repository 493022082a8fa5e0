//! A timer that ends a wait on a port to the half millisecond, where the port's timeout has the clock's resolution of
//! up to 16 ms.
//!
//! Invariant: a packet of the timer carries no memory, and dropping [`Started`] takes it back.

use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::time::Duration;

use windows_sys::Win32::System::Threading::{
    CreateWaitableTimerExW, SetWaitableTimer, CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, TIMER_ALL_ACCESS,
};

use super::wait_packet::WaitPacket;

/// A high-resolution timer (since Windows 10 1803), and the wait completion packet that turns its signal into a
/// packet of the port (since Windows 8).
pub(super) struct Timer {
    timer: OwnedHandle,
    packet: WaitPacket,
}

impl Timer {
    /// Returns `None` where the system lacks one of the two.
    pub(super) fn new() -> Option<Timer> {
        let packet = WaitPacket::new()?;
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
        Some(Timer { timer, packet })
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
        self.packet.associate(port, self.timer.as_handle(), None).ok()?;
        Some(Started(self))
    }
}

/// A running timer. Dropping it stops the timer, and takes back a packet that was not received.
pub(super) struct Started<'a>(&'a Timer);

impl Drop for Started<'_> {
    fn drop(&mut self) {
        // A packet that is still to come ends a later wait early, for which the caller holds the deadline. Until then
        // `start` fails, so that timeouts are whole milliseconds.
        self.0.packet.cancel();
    }
}
