//! An I/O completion port.

use std::io;
use std::mem;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{INVALID_HANDLE_VALUE, WAIT_TIMEOUT};
use windows_sys::Win32::System::Threading::INFINITE;
use windows_sys::Win32::System::IO::{
    CreateIoCompletionPort, GetQueuedCompletionStatusEx, PostQueuedCompletionStatus, OVERLAPPED_ENTRY,
};

use super::check;
use super::request::Returned;
use super::timer::Timer;

/// Where operations that are done come in. Dropping it waits for those under way, but not for ever.
pub(crate) struct Port {
    handle: OwnedHandle,
    /// How many requests are with the kernel.
    lent: AtomicUsize,
    /// Whether a notification is on its way. One is as good as many, which would take the room of what else comes in.
    is_notified: AtomicBool,
    /// `None` where the system has no such timer: then timeouts are whole milliseconds.
    timer: Option<Timer>,
}

/// What a wait has brought.
pub(crate) enum Packet {
    /// Somebody has called [`Port::notify`], or the time is over.
    Notice,
    Returned(Returned),
}

impl Port {
    pub(crate) fn new() -> io::Result<Port> {
        // SAFETY: no memory is passed. The last argument limits how many threads that have waited here may run before a
        // further wait brings nothing: a thread that has polled once and computes ever since must not count, though
        // another thread polls now.
        let handle = unsafe { CreateIoCompletionPort(INVALID_HANDLE_VALUE, ptr::null_mut(), 0, u32::MAX) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, and nobody else's.
        let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
        Ok(Port {
            handle,
            lent: AtomicUsize::new(0),
            is_notified: AtomicBool::new(false),
            timer: Timer::new(),
        })
    }

    /// From now on the handle's operations come in here. It stays so until the handle is closed.
    pub(crate) fn attach(&self, handle: BorrowedHandle<'_>) -> io::Result<()> {
        // SAFETY: no memory is passed, and both handles are open.
        let port =
            unsafe { CreateIoCompletionPort(handle.as_raw_handle(), self.handle.as_raw_handle(), 0, 0) };
        if port.is_null() {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Ends the wait that is under way, or else the next one.
    pub(crate) fn notify(&self) -> io::Result<()> {
        if self.is_notified.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // SAFETY: no memory is passed.
        let posted =
            check(unsafe { PostQueuedCompletionStatus(self.handle.as_raw_handle(), 0, 0, ptr::null()) });
        if posted.is_err() {
            self.is_notified.store(false, Ordering::Release);
        }
        posted
    }

    /// Waits until there are packets, and takes at most `room` of them.
    pub(crate) fn wait(&self, batch: &mut Batch, room: usize, timeout: Option<Duration>) -> io::Result<()> {
        let precise = match (&self.timer, timeout) {
            (Some(timer), Some(limit)) if !limit.is_zero() => timer.start(self.handle.as_handle(), limit),
            _ => None,
        };
        let timeout = if precise.is_some() { None } else { timeout };
        batch.take_from(self, room, timeout)
    }

    pub(super) fn has_lent(&self) {
        self.lent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn has_got_back(&self) {
        self.lent.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long a port waits, when it is dropped, for operations that were cancelled. Sockets and local pipes end at once;
/// a serial driver or another machine's pipe ends when it likes.
const LONGEST_DROP: Duration = Duration::from_secs(1);

/// The owner of what is still under way must have cancelled it. What has not come back after [`LONGEST_DROP`] is
/// leaked: the kernel may still write to its memory.
impl Drop for Port {
    fn drop(&mut self) {
        let mut batch = Batch::default();
        let deadline = Instant::now() + LONGEST_DROP;
        while *self.lent.get_mut() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            // If the wait fails the port is broken: what it holds can't be got back, and must not be freed either.
            if left.is_zero() || batch.take_from(self, 64, Some(left)).is_err() {
                return;
            }
            while batch.next().is_some() {}
        }
    }
}

/// The packets that a wait has brought. Those that nobody takes are dropped with it.
#[derive(Default)]
pub(crate) struct Batch {
    entries: Vec<OVERLAPPED_ENTRY>,
    /// From the first one that wasn't taken to the last one that is there.
    next: usize,
    end: usize,
    /// There was room for no more: the port may have others.
    is_full: bool,
}

// SAFETY: the pointers in the entries are requests, which are `Send`, and are its own.
unsafe impl Send for Batch {}

impl Batch {
    pub(crate) fn next(&mut self) -> Option<Packet> {
        if self.next == self.end {
            return None;
        }
        let entry = &self.entries[self.next];
        self.next += 1;
        Some(match NonNull::new(entry.lpOverlapped) {
            // SAFETY: the kernel has given it back. Only handles on which we alone do I/O are attached to a port.
            Some(overlapped) => Packet::Returned(unsafe { Returned::new(overlapped) }),
            None => Packet::Notice,
        })
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    fn take_from(&mut self, port: &Port, room: usize, timeout: Option<Duration>) -> io::Result<()> {
        while self.next().is_some() {}
        (self.next, self.end, self.is_full) = (0, 0, false);
        let room = room.clamp(1, 1024);
        if self.entries.len() < room {
            // SAFETY: integers and pointers, for all of which zero is a value.
            self.entries.resize(room, unsafe { mem::zeroed() });
        }
        let mut count = 0;
        let taken = check(unsafe {
            // SAFETY: there are at least `room` entries.
            GetQueuedCompletionStatusEx(
                port.handle.as_raw_handle(),
                self.entries.as_mut_ptr(),
                room as u32,
                &mut count,
                milliseconds(timeout),
                0,
            )
        });
        match taken {
            Ok(()) => {
                self.end = count as usize;
                self.is_full = self.end == room;
                for entry in &self.entries[..self.end] {
                    if entry.lpOverlapped.is_null() {
                        // Who notifies from here on ends the next wait. Whoever found this one on its way did so before
                        // what the caller does now, and is seen by it.
                        port.is_notified.swap(false, Ordering::AcqRel);
                    } else {
                        port.has_got_back();
                    }
                }
                Ok(())
            }
            Err(e) if e.raw_os_error() == Some(WAIT_TIMEOUT as i32) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        while self.next().is_some() {}
    }
}

/// Rounded up, since a wait must not be over early; the longest that isn't forever, if it can't be counted.
fn milliseconds(timeout: Option<Duration>) -> u32 {
    match timeout {
        None => INFINITE,
        Some(timeout) => {
            let rounded = timeout.as_nanos().saturating_add(999_999) / 1_000_000;
            u32::try_from(rounded).unwrap_or(u32::MAX).min(INFINITE - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request that doesn't come back, as of a driver that takes its time to cancel.
    #[test]
    fn dropping_a_port_waits_no_longer_than_its_bound() {
        let port = Port::new().unwrap();
        port.has_lent();
        let (done, is_done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let start = Instant::now();
            drop(port);
            let _ = done.send(start.elapsed());
        });
        let took = is_done.recv_timeout(LONGEST_DROP * 10).expect("the drop doesn't end");
        assert!(took >= LONGEST_DROP, "it has waited for {took:?} only");
    }

    #[test]
    fn milliseconds_are_rounded_up_and_never_forever() {
        assert_eq!(milliseconds(None), INFINITE);
        assert_eq!(milliseconds(Some(Duration::ZERO)), 0);
        assert_eq!(milliseconds(Some(Duration::from_nanos(1))), 1);
        assert_eq!(milliseconds(Some(Duration::from_millis(7))), 7);
        assert_eq!(milliseconds(Some(Duration::MAX)), INFINITE - 1);
        assert_eq!(milliseconds(Some(Duration::from_millis(u64::from(u32::MAX)))), INFINITE - 1);
    }
}
