//! An I/O completion port.
//!
//! Invariant: a request that was lent to the kernel comes back here, or is leaked; it is never freed while the kernel
//! may write to it.

use std::io;
use std::mem;
use std::num::NonZeroU32;
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

/// The queue of completed operations. Dropping it waits for those in progress, but not for ever.
pub(crate) struct Port {
    handle: OwnedHandle,
    /// The number of requests that are lent to the kernel.
    lent: AtomicUsize,
    /// Whether a notification is queued. One is enough; more would take the place of other packets.
    is_notified: AtomicBool,
    /// `None` where the system has no such timer: timeouts are then whole milliseconds.
    timer: Option<Timer>,
}

/// A packet that a wait has received.
pub(crate) enum Packet {
    /// A call of [`Port::notify`], or the end of the timeout.
    Notice,
    /// The object of the wait with this mark is signalled.
    Signalled(Mark),
    Returned(Returned),
}

/// Names a wait for an object by two numbers, which travel in its packet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) slot: u32,
    pub(crate) generation: NonZeroU32,
}

impl Mark {
    /// Returns the packet's key, and its information, which isn't 0 as that of a notice.
    pub(super) fn to_packet(self) -> (usize, usize) {
        (self.slot as usize, self.generation.get() as usize)
    }

    fn of_packet(entry: &OVERLAPPED_ENTRY) -> Option<Mark> {
        let generation = NonZeroU32::new(entry.dwNumberOfBytesTransferred)?;
        Some(Mark { slot: entry.lpCompletionKey as u32, generation })
    }
}

impl Port {
    pub(crate) fn new() -> io::Result<Port> {
        // SAFETY: no memory is passed. The last argument limits how many threads that have waited here may run before
        // a further wait receives nothing: a thread that has polled once and computes since then must not delay the
        // thread that polls now.
        let handle = unsafe { CreateIoCompletionPort(INVALID_HANDLE_VALUE, ptr::null_mut(), 0, u32::MAX) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just created, and not owned elsewhere.
        let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
        Ok(Port {
            handle,
            lent: AtomicUsize::new(0),
            is_notified: AtomicBool::new(false),
            timer: Timer::new(),
        })
    }

    /// Directs the completions of the handle's operations to this port, until the handle is closed.
    pub(crate) fn attach(&self, handle: BorrowedHandle<'_>) -> io::Result<()> {
        // SAFETY: no memory is passed, and both handles are open.
        let port =
            unsafe { CreateIoCompletionPort(handle.as_raw_handle(), self.handle.as_raw_handle(), 0, 0) };
        if port.is_null() {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Ends the wait in progress, or else the next one.
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

    #[cfg_attr(not(feature = "os-ext"), allow(dead_code))] // for other sources than sockets
    pub(crate) fn handle(&self) -> BorrowedHandle<'_> {
        self.handle.as_handle()
    }

    pub(super) fn has_lent(&self) {
        self.lent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn has_got_back(&self) {
        self.lent.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The longest time that the drop of a port waits for cancelled operations. Sockets and local pipes end them at once;
/// a serial driver or another machine's pipe may take any time.
const LONGEST_DROP: Duration = Duration::from_secs(1);

/// The owners of operations in progress must have cancelled them. A request that has not come back after
/// [`LONGEST_DROP`] is leaked: the kernel may still write to its memory.
impl Drop for Port {
    fn drop(&mut self) {
        let mut batch = Batch::default();
        let deadline = Instant::now() + LONGEST_DROP;
        while *self.lent.get_mut() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            // If the wait fails, the port is unusable: its requests can't be recovered, and must not be freed either.
            if left.is_zero() || batch.take_from(self, 64, Some(left)).is_err() {
                return;
            }
            while batch.next().is_some() {}
        }
    }
}

/// The packets that a wait has received. Packets that were not taken are dropped with the batch.
#[derive(Default)]
pub(crate) struct Batch {
    entries: Vec<OVERLAPPED_ENTRY>,
    /// The range of entries that were not taken yet.
    next: usize,
    end: usize,
    /// Whether the batch was filled: the port may have more packets.
    is_full: bool,
}

// SAFETY: the pointers in the entries are requests, which are `Send`, and the batch owns them.
unsafe impl Send for Batch {}

impl Batch {
    pub(crate) fn next(&mut self) -> Option<Packet> {
        if self.next == self.end {
            return None;
        }
        let entry = &self.entries[self.next];
        self.next += 1;
        Some(match NonNull::new(entry.lpOverlapped) {
            // SAFETY: the kernel has returned it. Handles that are attached to a port have operations of this library
            // alone.
            Some(overlapped) => Packet::Returned(unsafe { Returned::new(overlapped) }),
            None => Mark::of_packet(entry).map_or(Packet::Notice, Packet::Signalled),
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
            self.entries.resize(room, empty_entry());
        }
        let mut count = 0;
        // SAFETY: there are at least `room` entries.
        let taken = check(unsafe {
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
                    if !entry.lpOverlapped.is_null() {
                        port.has_got_back();
                    } else if Mark::of_packet(entry).is_none() {
                        // A later notification ends the next wait. A thread that found this one queued did so before
                        // the caller's next steps, which therefore see its change.
                        port.is_notified.swap(false, Ordering::AcqRel);
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

fn empty_entry() -> OVERLAPPED_ENTRY {
    // SAFETY: integers and pointers, for all of which zero is a value.
    unsafe { mem::zeroed() }
}

/// Rounds up, since a wait must not end early. A timeout that exceeds the type becomes the longest finite one.
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

    /// A request that doesn't come back, as with a driver that is slow to cancel.
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
    fn a_mark_comes_back_as_it_was_sent() {
        let mut entry: OVERLAPPED_ENTRY = empty_entry();
        assert_eq!(Mark::of_packet(&entry), None);
        for (slot, generation) in [(0, NonZeroU32::MIN), (7, NonZeroU32::MAX)] {
            let mark = Mark { slot, generation };
            let (key, information) = mark.to_packet();
            (entry.lpCompletionKey, entry.dwNumberOfBytesTransferred) = (key, information as u32);
            assert_eq!(Mark::of_packet(&entry), Some(mark));
        }
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
