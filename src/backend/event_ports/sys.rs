//! The calls of event ports.
//!
//! # Safety
//!
//! The kernel writes only into buffers of this module, at most as many entries as stated, and what it hasn't written is
//! never read. The `user` pointers are numbers, which are never dereferenced.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::slice;
use std::time::Duration;

use crate::backend::logic::poll_entry::{PollEntry, PollMask};
use crate::backend::logic::port_state::{Found, PortCalls};
use crate::os::check;

/// How many events one call fetches: they are on the stack, 32 bytes each.
const KERNEL_BATCH: usize = 512;

/// The longest timeout of one call; the caller waits again.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) struct SystemPort(OwnedFd);

/// One event as the kernel writes it.
#[repr(transparent)]
struct PortEvent(libc::port_event);

impl PortEvent {
    fn found(&self) -> Found {
        match i32::from(self.0.portev_source) {
            libc::PORT_SOURCE_FD => {
                Found::Descriptor { user: self.0.portev_user as u64, raw: self.0.portev_events as u32 }
            }
            libc::PORT_SOURCE_ALERT => Found::Alert,
            _ => Found::Notification,
        }
    }
}

impl PortCalls for SystemPort {
    fn associate(&self, fd: RawFd, mask: PollMask, user: u64) -> io::Result<()> {
        let (source, object) = (libc::PORT_SOURCE_FD, fd as libc::uintptr_t);
        let events = libc::c_int::from(libc::pollfd::new(fd, mask).events);
        // SAFETY: the kernel checks `fd`, and only keeps `user`.
        check(unsafe {
            libc::port_associate(self.0.as_raw_fd(), source, object, events, user as *mut libc::c_void)
        })?;
        Ok(())
    }

    fn dissociate(&self, fd: RawFd) {
        let (source, object) = (libc::PORT_SOURCE_FD, fd as libc::uintptr_t);
        // If it isn't associated any more there is nothing to undo.
        // SAFETY: the kernel checks `fd`.
        unsafe { libc::port_dissociate(self.0.as_raw_fd(), source, object) };
    }

    fn send(&self) -> io::Result<()> {
        // SAFETY: the kernel only keeps the pointer, which is none.
        check(unsafe { libc::port_send(self.0.as_raw_fd(), 1, ptr::null_mut()) })?;
        Ok(())
    }

    fn alert(&self, is_set: bool) -> io::Result<()> {
        // Without events it is cleared.
        let events = libc::c_int::from(is_set);
        // SAFETY: the kernel only keeps the pointer, which is none.
        check(unsafe {
            libc::port_alert(self.0.as_raw_fd(), libc::PORT_ALERT_SET, events, ptr::null_mut())
        })?;
        Ok(())
    }

    /// At most [`KERNEL_BATCH`] at once.
    fn fetch(
        &self,
        most: usize,
        timeout: Option<Duration>,
        take: &mut dyn FnMut(&mut dyn Iterator<Item = Found>),
    ) -> io::Result<bool> {
        let mut timeout = timeout.map(|timeout| {
            let timeout = timeout.min(LONGEST_SLEEP);
            libc::timespec { tv_sec: timeout.as_secs() as _, tv_nsec: timeout.subsec_nanos() as _ }
        });
        let timeout = timeout.as_mut().map_or(ptr::null_mut(), |timeout| timeout as *mut _);
        let mut buffer = MaybeUninit::<[PortEvent; KERNEL_BATCH]>::uninit();
        let most = most.min(KERNEL_BATCH);
        let entries = buffer.as_mut_ptr().cast::<libc::port_event>();
        // A kernel that answers success without having fetched anything leaves this source, which is none.
        // SAFETY: there is room for at least one; the field is a number.
        unsafe { ptr::addr_of_mut!((*entries).portev_source).write(0) };
        let mut count: libc::c_uint = 1;
        // SAFETY: the buffer has room for `most` entries, and `PortEvent` is a port_event; `count` says how many are
        // waited for, and then how many were written.
        let result = check(unsafe {
            libc::port_getn(self.0.as_raw_fd(), entries, most as libc::c_uint, &mut count, timeout)
        });
        // SAFETY: as above.
        let is_empty = unsafe { ptr::addr_of!((*entries).portev_source).read() } == 0;
        if !is_empty && count > 0 {
            // Also after an error: a timeout or a signal may come together with events, which are out of the queue
            // then.
            // SAFETY: the kernel has written the first `count` entries.
            let fetched = unsafe { slice::from_raw_parts(entries.cast::<PortEvent>(), count as usize) };
            take(&mut fetched.iter().map(PortEvent::found));
            return Ok(fetched.len() == KERNEL_BATCH);
        }
        match result {
            Err(e) if e.raw_os_error() == Some(libc::ETIME) => Ok(false),
            result => result.map(|_| false),
        }
    }
}

impl SystemPort {
    pub(super) fn new() -> io::Result<SystemPort> {
        // SAFETY: no memory is passed.
        let fd = check(unsafe { libc::port_create() })?;
        // SAFETY: just made, and owned by nothing else.
        let port = unsafe { OwnedFd::from_raw_fd(fd) };
        // There is no flag to make it so at once: a fork and exec between inherits the descriptor.
        // SAFETY: no memory is passed.
        check(unsafe { libc::fcntl(port.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
        Ok(SystemPort(port))
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A key fits into the kernel's pointer.
const _: () = assert!(usize::BITS == 64);
