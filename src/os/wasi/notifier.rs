//! The notifier that WASI doesn't need.
//!
//! Invariant: it has no descriptor, and no call fails.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// Stands for a notifier: it can't end another thread's sleep.
///
/// WASI has no descriptor that a program can make readable itself. Without threads none is needed: no thread sleeps
/// while another notifies. With threads a sleep is cut into slices, and the sleeping thread finds the change at the
/// end of a slice.
#[derive(Debug)]
pub(crate) struct Notifier;

impl Notifier {
    pub(crate) fn new() -> io::Result<Notifier> {
        Ok(Notifier)
    }

    pub(crate) fn notify(&self) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn drain(&self) {}
}

impl AsRawFd for Notifier {
    /// Returns a number that no descriptor has, which the list skips.
    fn as_raw_fd(&self) -> RawFd {
        -1
    }
}
