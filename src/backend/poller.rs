//! The contract of a backend.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::backend::logic::watch::{Blocked, Registration, WatchKey};
use crate::os::RawIo;
use crate::readiness::Events;

/// What every backend promises. `Poll` builds the rest of the contract on it: deadlines, wakers, the rule of one
/// `Poll` for a source.
///
/// All methods but [`wait`](Poller::wait) may be called from any thread, also while one is inside `wait`, and take
/// effect at once. Only one thread at a time is inside `wait`.
pub(crate) trait Poller: Sized + Send + Sync {
    /// Whether this target has the backend at all, for sources of its kernel.
    const PRESENT: bool = true;

    /// The time that deadlines go by. Only a simulation has its own.
    #[inline]
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// Opens what the backend needs of the kernel, close-on-exec.
    fn new() -> io::Result<Self>;

    /// Sleeps until a source is ready, a [`notify`](Poller::notify) comes, or `timeout` is over, and appends at most
    /// `events.spare()` events, which is more than none; the others stay for the next call.
    ///
    /// It may return early and empty: the caller holds the deadline. It is never late because of rounding more than
    /// the kernel makes it. If it answers an error, it has taken no event from the kernel.
    fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()>;

    /// Makes sure that later calls of [`notify`](Poller::notify) need no descriptor or memory that they could fail
    /// to get.
    fn prepare_notify(&self) -> io::Result<()>;

    /// Ends the `wait` that is under way, or else the next one; it reports no event of its own.
    ///
    /// Needs [`prepare_notify`](Poller::prepare_notify) first.
    fn notify(&self) -> io::Result<()>;

    /// Watches `io`, and reports readiness that exists already.
    ///
    /// - A bad descriptor is an error, and so is a second registration (`AlreadyExists`).
    /// - A backend that needs telling when to ask the kernel again answers a key.
    fn register(&self, io: RawIo, registration: Registration) -> io::Result<Option<WatchKey>>;

    /// Replaces token and interest completely, and reports readiness that exists already. `NotFound` if `io` isn't
    /// registered. `key` is what `register` answered; a raw descriptor's owner has kept none.
    fn reregister(&self, io: RawIo, key: Option<WatchKey>, registration: Registration) -> io::Result<()>;

    /// Forgets `io`: no `wait` that begins after this reports its token, whatever the kernel had queued. `NotFound`
    /// if it isn't registered.
    fn deregister(&self, io: RawIo, key: Option<WatchKey>) -> io::Result<()>;

    /// An operation has answered `WouldBlock`: the kernel must be asked again. Called for keys alone.
    fn rearm(&self, key: WatchKey, blocked: Blocked) -> io::Result<()>;

    /// A source with this key was dropped while registered. Must come before its descriptor is closed.
    fn abandon(&self, key: WatchKey);

    /// A source with this key may be given another value, so that the descriptor which is registered may be closed
    /// before [`abandon`](Poller::abandon). Needed where the kernel doesn't say that it was.
    fn allow_replacement(&self, _key: WatchKey) {}

    /// The `Poll` and its registries have gone. What keeps the selector for longer doesn't register sources or wait.
    fn end(&self) {}

    /// The descriptor that stands for the whole selector: readable when an event or a notification is pending, as
    /// far as the kernel has such a thing (`PLATFORMS.md`).
    #[cfg(unix)]
    fn descriptor(&self) -> std::os::fd::BorrowedFd<'_>;

    /// Names the kernel's flags of one of this backend's events.
    fn describe(raw: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// Writes the names of the bits that `raw` has, and what is left as a number.
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

/// Why a simulated `Poll` refuses a source.
#[cfg(any(feature = "sim", windows))]
pub(super) const ONLY_SIMULATED: &str = "a simulated `Poll` registers only sources of its own `Sim`";
