use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// What would end another thread's sleep, if there were such a thing.
///
/// WASI has no descriptor that a program could make readable for itself. Without threads nobody sleeps while somebody
/// notifies, so nothing is needed. With threads a sleep is cut into slices, and whoever sleeps finds the change at the
/// end of one.
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
    /// A number that no descriptor has, and which is passed over.
    fn as_raw_fd(&self) -> RawFd {
        -1
    }
}
