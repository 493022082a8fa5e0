//! A process that is watched by its number, by the filter of a kqueue. Kernels with kqueues have no descriptors of
//! processes.
//!
//! Invariant: dropping it ends its registration, and not that of a later process with the same number.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::backend::{FilterChange, FilterOwner};
use crate::engine::errors::{already_registered, not_registered};
use crate::engine::{lives, Engine};
use crate::os::{errors, KernelFilter};
use crate::poll::{change_filter, Registry, Source};
use crate::readiness::{Interest, Token};
use crate::source::Timer;

pub(super) struct Numbered {
    filter: KernelFilter,
    owner: FilterOwner,
    registration: Option<Registration>,
}

struct Registration {
    poll_id: u32,
    engine: Weak<Engine>,
    /// Reports the end of a process that the kernel doesn't watch any more: a timer that is due.
    ended: Option<Timer>,
}

impl Numbered {
    pub(super) fn new(id: u32) -> Numbered {
        static LAST: AtomicUsize = AtomicUsize::new(0);
        let owner = FilterOwner(LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1));
        Numbered { filter: KernelFilter::ProcessExit(id), owner, registration: None }
    }

    fn change(&self, engine: &Engine, change: FilterChange) -> io::Result<()> {
        change_filter(engine, &self.filter, self.owner, change)
    }

    /// Returns the registration, if it is one with this `Poll`.
    fn of(&mut self, registry: &Registry) -> io::Result<&mut Registration> {
        match &mut self.registration {
            Some(registration) if registration.poll_id == registry.engine().id => Ok(registration),
            _ => Err(not_registered()),
        }
    }

    /// Ends the registration.
    fn end(&mut self) -> io::Result<()> {
        let Some(Registration { engine, ended: None, .. }) = self.registration.take() else { return Ok(()) };
        let Some(engine) = engine.upgrade() else { return Ok(()) };
        match self.change(&engine, FilterChange::Deregister) {
            Err(e) if has_ended(&e) => Ok(()),
            result => result,
        }
    }
}

impl Source for Numbered {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        check(interest)?;
        if self.registration.as_ref().is_some_and(|registration| lives::is_living(registration.poll_id)) {
            return Err(already_registered());
        }
        self.registration = None;
        let engine = registry.engine();
        let ended = match self.change(engine, FilterChange::Register(token, interest)) {
            Err(e) if has_ended(&e) => Some(due(registry, token, interest)?),
            result => result.map(|()| None)?,
        };
        self.registration = Some(Registration { poll_id: engine.id, engine: Arc::downgrade(engine), ended });
        Ok(())
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        check(interest)?;
        if let Some(timer) = &mut self.of(registry)?.ended {
            return timer.reregister(registry, token, interest);
        }
        match self.change(registry.engine(), FilterChange::Reregister(token, interest)) {
            Err(e) if has_ended(&e) => {
                let timer = due(registry, token, interest)?;
                self.end()?;
                let (poll_id, engine) = (registry.engine().id, Arc::downgrade(registry.engine()));
                self.registration = Some(Registration { poll_id, engine, ended: Some(timer) });
                Ok(())
            }
            result => result,
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.of(registry)?;
        self.end()
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        // The kernel has dropped the knote, if it can't delete it.
        let _ = self.end();
    }
}

fn check(interest: Interest) -> io::Result<()> {
    match interest.is_level() {
        true => Err(io::Error::new(io::ErrorKind::Unsupported, "a kqueue reports a process's end once")),
        false => Ok(()),
    }
}

/// Returns whether a change of a process that existed has failed since it has ended: the kernel has no process with the
/// number, or the registration with the number is that of a later process.
fn has_ended(error: &io::Error) -> bool {
    error.raw_os_error() == Some(errors::NO_PROCESS) || error.kind() == io::ErrorKind::NotFound
}

/// Returns a source that is ready.
fn due(registry: &Registry, token: Token, interest: Interest) -> io::Result<Timer> {
    let mut timer = Timer::new();
    timer.set(Some(Instant::now()))?;
    timer.register(registry, token, interest)?;
    Ok(timer)
}
