//! What a kernel that answers levels is asked: about a list of descriptors, in one call that changes nothing.

use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::watch::Watch;
use crate::backend::name::Backend;
use crate::os::{FileIdentity, FileKind};
use crate::readiness::{Interest, PollWords};

/// What a registration wants to be told.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Errors and hang-ups are wanted with it, and also if it is none.
    pub interest: Option<Interest>,
    /// That the peer sends no more.
    pub read_hangup: bool,
}

impl Wanted {
    /// What `watch` wants, if anything would be news to it.
    pub(in crate::backend) fn of(watch: &Watch) -> Option<Wanted> {
        let interest = watch.armed();
        let is_news = interest.is_some() || watch.awaits_end();
        is_news.then_some(Wanted { interest, read_hangup: watch.awaits_read_end() })
    }
}

/// What the kernel is asked about one descriptor, and its answer.
pub(crate) trait Ask: Clone + Send {
    /// The backend that shows such a list.
    const BACKEND: Backend;
    /// What its answers mean.
    const WORDS: PollWords;
    /// The names of the bits of its answers.
    const NAMES: &'static [(u32, &'static str)];
    /// The descriptor isn't open.
    const INVALID: u32;
    /// A place that the kernel passes over.
    const NOTHING: Self;

    /// What a call needs beside the list, kept for its memory.
    type Scratch: Default + Send;

    /// Errors and hang-ups are answered too, as far as the kernel does so unasked.
    fn new(fd: RawFd, wanted: Wanted) -> Self;

    /// What the kernel has found.
    fn found(&self) -> u32;

    /// Asks about all, and sleeps until one is ready or `timeout` is over; it may come back early. How many have an
    /// answer, or more: who looks for them needn't go on after so many.
    fn poll(asks: &mut [Self], scratch: &mut Self::Scratch, timeout: Option<Duration>) -> io::Result<usize>;

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
pub(in crate::backend) struct List<A: Ask> {
    pub(in crate::backend) asks: Vec<A>,
    scratch: A::Scratch,
}

impl<A: Ask> List<A> {
    pub(in crate::backend) fn new(asks: Vec<A>) -> List<A> {
        List { asks, scratch: A::Scratch::default() }
    }

    pub(in crate::backend) fn poll(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        A::poll(&mut self.asks, &mut self.scratch, timeout)
    }
}

impl<A: Ask> Default for List<A> {
    fn default() -> List<A> {
        List::new(Vec::new())
    }
}
