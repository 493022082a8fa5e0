//! The descriptor that ends a blocked `poll`.
//!
//! Invariant: after `notify` the descriptor is readable until `drain`.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// A descriptor that one thread makes readable to end another thread's sleep: an eventfd, which every Hermit has.
#[derive(Debug)]
pub(crate) struct Notifier(OwnedFd);

impl Notifier {
    pub(crate) fn new() -> io::Result<Notifier> {
        // SAFETY: no memory is passed.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })?;
        // SAFETY: just created, and not owned elsewhere.
        Ok(Notifier(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }

    /// Makes the descriptor readable.
    pub(crate) fn notify(&self) -> io::Result<()> {
        let one = 1u64.to_ne_bytes();
        // SAFETY: 8 bytes, as an eventfd wants them.
        match check(unsafe { libc::write(self.as_raw_fd(), one.as_ptr(), one.len()) }) {
            // The count is at its maximum, so the eventfd is readable.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            result => result.map(|_| ()),
        }
    }

    /// Makes the descriptor unreadable until the next [`notify`](Notifier::notify).
    pub(crate) fn drain(&self) {
        let mut count = [0u8; 8];
        // SAFETY: 8 bytes of room, which is what an eventfd writes.
        unsafe { libc::read(self.as_raw_fd(), count.as_mut_ptr(), count.len()) };
    }
}

impl AsRawFd for Notifier {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
