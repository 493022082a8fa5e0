//! What is submitted to a level-triggered kernel: a list of entries, one for each descriptor, in a call that changes
//! nothing.
//!
//! Invariant: an entry depends on its descriptor and its mask alone, so it can be made again at any time.

use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::watch::Watch;
use crate::backend::name::Backend;
use crate::os::{FileIdentity, FileKind};
use crate::readiness::{Interest, PollFlags};

/// The readiness that a registration waits for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct PollMask {
    /// Errors and hang-ups are waited for as well, even if this is `None`.
    pub interest: Option<Interest>,
    /// Whether the peer's half-close is waited for.
    pub read_hangup: bool,
}

impl PollMask {
    /// Returns the mask of `watch`; `None` if nothing would be news to it.
    pub(in crate::backend) fn of(watch: &Watch) -> Option<PollMask> {
        let interest = watch.armed();
        let is_news = interest.is_some() || watch.awaits_end();
        is_news.then_some(PollMask { interest, read_hangup: watch.awaits_read_end() })
    }
}

/// One descriptor in a poll: what the kernel is asked, and what it has found.
pub(crate) trait PollEntry: Clone + Send {
    /// The backend that polls such entries.
    const BACKEND: Backend;
    /// The meaning of the kernel's flags.
    const FLAGS: PollFlags;
    /// The names of the kernel's flags.
    const NAMES: &'static [(u32, &'static str)];
    /// The flag of a descriptor that isn't open.
    const INVALID: u32;
    /// Whether the kernel reports an end to an entry that asks for no direction.
    const REPORTS_ENDS: bool = true;
    /// An entry that the kernel skips.
    const NOTHING: Self;

    /// The other memory of a call, which is reused.
    type Scratch: Default + Send;

    /// Makes the entry of `fd`. The kernel reports errors and hang-ups beside `mask`, as far as it does so unasked.
    fn new(fd: RawFd, mask: PollMask) -> Self;

    /// Returns the flags that the kernel has found.
    fn found(&self) -> u32;

    /// Polls all entries until one is ready or `timeout` has elapsed; it may return early. Returns how many entries
    /// have flags, or a larger number: a search may stop after that many.
    fn poll(
        entries: &mut [Self],
        scratch: &mut Self::Scratch,
        timeout: Option<Duration>,
    ) -> io::Result<usize>;

    /// Returns the time by which pauses are counted.
    fn now() -> Instant {
        Instant::now()
    }

    /// Returns the identity of the file behind `fd`.
    fn identity(fd: RawFd) -> io::Result<FileIdentity> {
        FileIdentity::of(fd)
    }

    /// Returns the identity and the kind of the file behind `fd`, if that file can be watched.
    fn watchable(fd: RawFd, has_priority: bool) -> io::Result<(FileIdentity, FileKind)> {
        FileIdentity::of_watchable(fd, has_priority)
    }
}

/// The entries that one call polls, and the memory of the call.
pub(in crate::backend) struct PollSet<E: PollEntry> {
    pub(in crate::backend) entries: Vec<E>,
    scratch: E::Scratch,
}

impl<E: PollEntry> PollSet<E> {
    pub(in crate::backend) fn new(entries: Vec<E>) -> PollSet<E> {
        PollSet { entries, scratch: E::Scratch::default() }
    }

    pub(in crate::backend) fn poll(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        E::poll(&mut self.entries, &mut self.scratch, timeout)
    }
}

impl<E: PollEntry> Default for PollSet<E> {
    fn default() -> PollSet<E> {
        PollSet::new(Vec::new())
    }
}
