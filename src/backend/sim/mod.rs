//! No kernel: sources in memory, a clock that only `wait` moves, and everything that the contract allows, chosen by a
//! seed.
//!
//! Invariant: with one thread, the same seed and the same program give the same run on every platform.

mod choices;
mod faults;
#[allow(dead_code)] // until a world writes it
mod log;
mod sources;
mod state;
mod world;

pub(crate) use self::choices::Choices;
pub use self::choices::{Choice, ChoiceKind};
pub use self::faults::Faults;
pub use self::log::{Endpoint, Record, What};
pub use self::sources::Address;
pub(crate) use self::sources::Id;
pub(crate) use self::world::World;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::poller::{Absent, Poller};
use crate::backend::logic::watch::{RearmCause, Registration, WatchKey};
use crate::os::RawIo;
use crate::readiness::Events;

#[cfg(unix)]
use crate::os::Notifier;

/// The part of a world that belongs to one `Poll`.
pub(crate) struct Sim {
    world: Arc<World>,
    /// The number of this poll in its world.
    number: Id,
    /// Opened when the poll's descriptor is first requested: the only thing here that a kernel knows.
    #[cfg(unix)]
    notifier: std::sync::OnceLock<Notifier>,
}

impl Sim {
    pub(crate) fn of(world: &Arc<World>) -> Sim {
        Sim {
            number: world.add_poll(),
            world: Arc::clone(world),
            #[cfg(unix)]
            notifier: std::sync::OnceLock::new(),
        }
    }

    pub(crate) fn world(&self) -> &Arc<World> {
        &self.world
    }

    pub(crate) fn number(&self) -> Id {
        self.number
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.world.remove_poll(self.number);
    }
}

impl Poller for Sim {
    type OrElse<B: Poller> = Absent;

    const TIMER_SLACK: Duration = Duration::ZERO;
    const TIME_PASSES: bool = false;

    /// It is none of the backends for sources of a kernel.
    const PRESENT: bool = false;

    fn new() -> io::Result<Sim> {
        // See `not_available`.
        Err(io::ErrorKind::Unsupported.into())
    }

    fn now(&self) -> Instant {
        self.world.now()
    }

    fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        #[cfg(unix)]
        if let Some(notifier) = self.notifier.get() {
            notifier.drain();
        }
        self.world.wait(self.number, events, timeout)
    }

    fn prepare_notify(&self) -> io::Result<()> {
        self.world.prepare_notify(self.number);
        Ok(())
    }

    fn notify(&self) -> io::Result<()> {
        self.world.notify(self.number);
        #[cfg(unix)]
        if let Some(notifier) = self.notifier.get() {
            notifier.notify()?;
        }
        Ok(())
    }

    fn register(&self, _: RawIo, _: Registration) -> io::Result<Option<WatchKey>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, super::poller::ONLY_SIMULATED))
    }

    fn reregister(&self, _: RawIo, _: Option<WatchKey>, _: Registration) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn deregister(&self, _: RawIo, _: Option<WatchKey>) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn rearm(&self, _: WatchKey, _: RearmCause) -> io::Result<()> {
        Ok(())
    }

    fn abandon(&self, _: WatchKey) {}

    /// Frees the sources for another poll. A waker may keep this, and the world goes on.
    fn end(&self) {
        self.world.remove_poll(self.number);
    }

    #[cfg(unix)]
    fn descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
        use std::os::fd::AsFd;

        if self.notifier.get().is_none() {
            if let Ok(notifier) = Notifier::new() {
                // If another thread was faster, its notifier stays.
                let _ = self.notifier.set(notifier);
            }
        }
        match self.notifier.get() {
            Some(notifier) => notifier.as_fd(),
            // Descriptors have run out, and this can't fail. Every program has a standard error.
            None => crate::os::STANDARD_ERROR,
        }
    }

    fn describe(_: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated")
    }
}
