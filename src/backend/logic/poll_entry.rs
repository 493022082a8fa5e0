//! What a kernel that answers levels is asked: about a list of descriptors, in one call that changes nothing.

use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::watch::Watch;
use crate::backend::name::Backend;
use crate::os::{FileIdentity, FileKind};
use crate::readiness::{Interest, PollFlags};

/// What a registration wants to be told.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct PollMask {
    /// Errors and hang-ups are wanted with it, and also if it is none.
    pub interest: Option<Interest>,
    /// That the peer sends no more.
    pub read_hangup: bool,
}

impl PollMask {
    /// What `watch` wants, if anything would be news to it.
    pub(in crate::backend) fn of(watch: &Watch) -> Option<PollMask> {
        let interest = watch.armed();
        let is_news = interest.is_some() || watch.awaits_end();
        is_news.then_some(PollMask { interest, read_hangup: watch.awaits_read_end() })
    }
}

/// What the kernel is asked about one descriptor, and its answer.
pub(crate) trait PollEntry: Clone + Send {
    /// The backend that shows such a list.
    const BACKEND: Backend;
    /// What its answers mean.
    const FLAGS: PollFlags;
    /// The names of the bits of its answers.
    const NAMES: &'static [(u32, &'static str)];
    /// The descriptor isn't open.
    const INVALID: u32;
    /// A place that the kernel passes over.
    const NOTHING: Self;

    /// What a call needs beside the list, kept for its memory.
    type Scratch: Default + Send;

    /// Errors and hang-ups are answered too, as far as the kernel does so unasked.
    fn new(fd: RawFd, mask: PollMask) -> Self;

    /// What the kernel has found.
    fn found(&self) -> u32;

    /// Asks about all, and sleeps until one is ready or `timeout` is over; it may come back early. How many have an
    /// answer, or more: who looks for them needn't go on after so many.
    fn poll(
        entries: &mut [Self],
        scratch: &mut Self::Scratch,
        timeout: Option<Duration>,
    ) -> io::Result<usize>;

    /// The time, which pauses are counted by.
    fn now() -> Instant {
        Instant::now()
    }

    /// Which file `fd` stands for.
    fn identity(fd: RawFd) -> io::Result<FileIdentity> {
        FileIdentity::of(fd)
    }

    /// Which file `fd` stands for, and of what kind it is, if it can be watched.
    fn watchable(fd: RawFd, has_priority: bool) -> io::Result<(FileIdentity, FileKind)> {
        FileIdentity::of_watchable(fd, has_priority)
    }
}

/// What is asked in one call, and memory for it.
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
