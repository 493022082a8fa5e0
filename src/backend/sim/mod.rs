//! No kernel: sources in memory, a clock that only `wait` moves, and everything that the contract allows, chosen by a
//! seed.
//!
//! Invariant: with one thread, the same seed and the same program give the same run on every platform.

mod calls;
mod choices;
mod datagrams;
mod errno;
mod events;
mod faults;
mod hosts;
mod log;
mod network;
mod registrations;
mod run;
mod seats;
mod sockets;
mod sources;
mod state;
mod streams;
mod table;
mod tasks;
mod turns;
mod world;

pub use self::calls::Patience;
pub(crate) use self::choices::Choices;
pub use self::choices::{Choice, ChoiceKind};
pub use self::faults::Faults;
pub use self::hosts::{Link, SocketName};
pub use self::log::{Endpoint, Record, What};
pub use self::run::Director;
pub use self::seats::{seat_tasks_by, Seat};
pub use self::sockets::{Family, SocketType};
pub(crate) use self::sources::Id;
pub use self::sources::{Address, SourceState};
pub(crate) use self::tasks::{Current, Outside};
pub use self::turns::End;
pub(crate) use self::turns::HostNumber;
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
    /// Whether it belongs to a host, whose tasks watch its descriptor as a source of the world.
    #[cfg_attr(not(unix), allow(dead_code))] // elsewhere a poll has no descriptor
    has_host: bool,
    /// Opened when the poll's descriptor is first requested: the only thing here that a kernel knows.
    #[cfg(unix)]
    notifier: std::sync::OnceLock<Notifier>,
}

impl Sim {
    pub(crate) fn of(world: &Arc<World>) -> Sim {
        let host = Current::get().map(Current::host);
        Sim {
            number: world.add_poll(host),
            has_host: host.is_some(),
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
        self.world.now_of(self.number)
    }

    fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        #[cfg(unix)]
        if let Some(notifier) = self.notifier.get().filter(|_| !self.has_host) {
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
        if let Some(notifier) = self.notifier.get().filter(|_| !self.has_host) {
            notifier.notify()?;
        }
        Ok(())
    }

    fn register(&self, io: RawIo, registration: Registration) -> io::Result<Option<WatchKey>> {
        let result = self.world.register_descriptor(self.number, descriptor(io), registration);
        result.unwrap_or_else(|| Err(refused(io))).map(|()| None)
    }

    fn reregister(&self, io: RawIo, _: Option<WatchKey>, registration: Registration) -> io::Result<()> {
        let result = self.world.reregister_descriptor(self.number, descriptor(io), registration);
        result.unwrap_or_else(|| Err(not_registered(io)))
    }

    fn deregister(&self, io: RawIo, _: Option<WatchKey>) -> io::Result<()> {
        let result = self.world.deregister_descriptor(self.number, descriptor(io));
        result.unwrap_or_else(|| Err(not_registered(io)))
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
        use std::os::fd::{AsFd, AsRawFd};

        if self.notifier.get().is_none() {
            if let Ok(notifier) = Notifier::new() {
                let fd = notifier.as_fd().as_raw_fd();
                // If another thread was faster, its notifier stays.
                if self.notifier.set(notifier).is_ok() {
                    self.world.add_poll_descriptor(self.number, fd);
                }
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

/// Returns the number by which a world knows a descriptor.
#[cfg(not(windows))]
fn descriptor(io: RawIo) -> i32 {
    io
}

/// Worlds know no sockets of Windows.
#[cfg(windows)]
fn descriptor(_: RawIo) -> i32 {
    -1
}

/// Returns why a descriptor that a world doesn't know can't be registered: as epoll does where it can't watch it
/// either.
fn refused(io: RawIo) -> io::Error {
    #[cfg(unix)]
    match crate::os::FileIdentity::of_watchable(io, false) {
        Ok((_, kind)) if Current::get().is_some() => {
            let what = match kind {
                crate::os::FileKind::Socket => "a socket from outside of the world",
                _ => "no socket, but a file, a terminal or another object of the system",
            };
            let text = format!("a world can't watch the descriptor {io}: it is {what}");
            return io::Error::new(io::ErrorKind::Unsupported, text);
        }
        Ok(_) => {}
        Err(e) => return e,
    }
    let _ = io;
    io::Error::new(io::ErrorKind::Unsupported, super::poller::ONLY_SIMULATED)
}

/// Returns why the registration of a descriptor that a world doesn't know can't be changed.
fn not_registered(io: RawIo) -> io::Error {
    #[cfg(unix)]
    if let Err(e) = crate::os::FileIdentity::of(io) {
        return e;
    }
    let _ = io;
    io::ErrorKind::NotFound.into()
}
