//! The contract of a backend: the trait that each implements, and no backend by name.
//!
//! Invariant: `Poll` relies on this text alone, so a backend that keeps it needs no case of its own above this folder.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

#[cfg(unix)]
use crate::backend::logic::watch::{FilterChange, FilterOwner};
use crate::backend::logic::watch::{RearmCause, Registration, WatchKey};
#[cfg(unix)]
use crate::os::KernelFilter;
use crate::os::{RawIo, TIMER_SLACK};
use crate::readiness::{Events, Interest};

/// The contract of a backend. `Poll` builds the rest on it: deadlines, wakers, and the rule of one `Poll` for a source.
///
/// Any thread may call any method but [`wait`](Poller::wait), also while another thread is inside `wait`; the call
/// takes effect at once. Only one thread at a time is inside `wait`.
pub(crate) trait Poller: Sized + Send + Sync {
    /// Whether this target has the backend, for sources of its kernel.
    const PRESENT: bool = true;

    /// The backend that a build with a single one has instead of `B`: none where this one is present, else `B`.
    type OrElse<B: Poller>: Poller;

    /// By how much the kernel lets a sleep outlast its timeout.
    const TIMER_SLACK: Duration = TIMER_SLACK;

    /// Whether time passes while no thread sleeps. In a simulation it doesn't.
    const TIME_PASSES: bool = true;

    /// Returns the time by which deadlines are counted. Only a simulation has a clock of its own.
    #[inline]
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// Opens the backend's descriptors or handles, close-on-exec.
    fn new() -> io::Result<Self>;

    /// Waits until a source is ready, [`notify`](Poller::notify) is called, or `timeout` has elapsed. Appends at most
    /// `events.spare()` events, of which the caller has left at least one; later calls return the others.
    ///
    /// It may return early and empty, since the caller holds the deadline. Rounding never makes it later than the
    /// kernel's timer does. If it fails, it has taken no event from the kernel.
    fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()>;

    /// Acquires the descriptors and memory that [`notify`](Poller::notify) needs, so that later calls of that cannot
    /// run out of them.
    fn prepare_notify(&self) -> io::Result<()>;

    /// Ends the `wait` in progress, or else the next one, without an event of its own.
    ///
    /// Requires [`prepare_notify`](Poller::prepare_notify) first.
    fn notify(&self) -> io::Result<()>;

    /// Watches `io`, and reports readiness that exists already.
    ///
    /// - A bad descriptor is an error, and so is a second registration (`AlreadyExists`).
    /// - Returns a key if the backend has to be called by [`rearm`](Poller::rearm).
    fn register(&self, io: RawIo, registration: Registration) -> io::Result<Option<WatchKey>>;

    /// Replaces token and interest, and reports readiness that exists already. Fails with `NotFound` if `io` isn't
    /// registered. `key` is the result of `register`; `None` for a raw descriptor, whose owner has stored none.
    fn reregister(&self, io: RawIo, key: Option<WatchKey>, registration: Registration) -> io::Result<()>;

    /// Ends the registration of `io`: no `wait` that begins after this reports its token, even if the kernel had queued
    /// an event. Fails with `NotFound` if `io` isn't registered.
    fn deregister(&self, io: RawIo, key: Option<WatchKey>) -> io::Result<()>;

    /// Re-arms a source whose operation has returned `WouldBlock`. Called only with a key.
    fn rearm(&self, key: WatchKey, cause: RearmCause) -> io::Result<()>;

    /// Ends the registration of a source that was dropped while registered. Called before its descriptor is closed.
    fn abandon(&self, key: WatchKey);

    /// Notes that the value of a source with this key may be replaced, so that the registered descriptor may be closed
    /// before [`abandon`](Poller::abandon). Needed where the kernel doesn't report the close.
    fn allow_replacement(&self, _key: WatchKey) {}

    /// Changes the registration of a source that is no descriptor, with the promises and the errors of
    /// [`register`](Poller::register), [`reregister`](Poller::reregister) and [`deregister`](Poller::deregister). Fails
    /// with `Unsupported` if the kernel has no such filter, and with `NO_PROCESS` for a process that has ended, if the
    /// kernel doesn't report it. `owner` changes no registration of another owner.
    #[cfg(unix)]
    #[cfg_attr(not(feature = "os-ext"), allow(dead_code))]
    fn change_filter(
        &self,
        _filter: &KernelFilter,
        _owner: FilterOwner,
        _change: FilterChange,
    ) -> io::Result<()> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "only a kqueue has filters for signals, processes and timers",
        ))
    }

    /// Called when the `Poll` and its registries have been dropped. After this no source is registered and no thread
    /// waits, even if a waker keeps the selector.
    fn end(&self) {}

    /// Returns the descriptor of the whole selector. It is readable when an event or a notification is pending, as far
    /// as the kernel supports that (`PLATFORMS.md`).
    #[cfg(unix)]
    fn descriptor(&self) -> std::os::fd::BorrowedFd<'_>;

    /// Writes the names of the kernel's flags in one of this backend's events.
    fn describe(raw: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// A backend that this target doesn't have.
pub(crate) enum Absent {}

impl Poller for Absent {
    type OrElse<B: Poller> = B;

    const PRESENT: bool = false;

    fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn wait(&self, _: &mut Events, _: Option<Duration>) -> io::Result<()> {
        match *self {}
    }

    fn prepare_notify(&self) -> io::Result<()> {
        match *self {}
    }

    fn notify(&self) -> io::Result<()> {
        match *self {}
    }

    fn register(&self, _: RawIo, _: Registration) -> io::Result<Option<WatchKey>> {
        match *self {}
    }

    fn reregister(&self, _: RawIo, _: Option<WatchKey>, _: Registration) -> io::Result<()> {
        match *self {}
    }

    fn deregister(&self, _: RawIo, _: Option<WatchKey>) -> io::Result<()> {
        match *self {}
    }

    fn rearm(&self, _: WatchKey, _: RearmCause) -> io::Result<()> {
        match *self {}
    }

    fn abandon(&self, _: WatchKey) {
        match *self {}
    }

    #[cfg(unix)]
    fn descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
        match *self {}
    }

    fn describe(_: u32, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// Writes the names of the bits that `raw` has, and the remaining bits as a number.
pub(crate) fn describe_bits(raw: u32, names: &[(u32, &str)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut left = raw;
    let mut separator = "";
    for &(bit, name) in names {
        if bit != 0 && left & bit == bit {
            write!(f, "{separator}{name}")?;
            left &= !bit;
            separator = " | ";
        }
    }
    if left != 0 || raw == 0 {
        write!(f, "{separator}{left:#x}")?;
    }
    Ok(())
}

/// Refuses an interest that no kernel can report by its definition. The rule is the same on every backend, though some
/// could do more.
#[inline]
pub(crate) fn check_mode(interest: Interest) -> io::Result<()> {
    match interest.is_exclusive() {
        true => check_exclusive(interest),
        false => Ok(()),
    }
}

#[cold]
fn check_exclusive(interest: Interest) -> io::Result<()> {
    let directions = Interest::READABLE | Interest::WRITABLE;
    let why = match interest.kinds().remove(directions) {
        None if !interest.is_one_shot() => return Ok(()),
        None => "an exclusive interest can't be one-shot",
        Some(_) => "an exclusive interest has directions alone",
    };
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}

/// Why a simulated `Poll` refuses a source.
#[cfg(any(feature = "sim", windows))]
pub(super) const ONLY_SIMULATED: &str = "a simulated `Poll` registers only sources of its own `Sim`";
