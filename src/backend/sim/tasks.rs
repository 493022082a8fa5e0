//! Which world, task and host a thread is.
//!
//! Invariant: while a thread is in code of the world itself, it is outside, so that a call which a package has shadowed
//! (a lock's futex, the clock) is the real one there.

// A false alarm about a `const` that is there, for illumos and Solaris.
#![allow(clippy::missing_const_for_thread_local)]

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::turns::{HostNumber, TaskNumber};
use super::world::World;

/// What a thread is in a world. Never freed: a thread may still use it in the destructors of its thread-local values.
pub(crate) struct Current {
    world: Arc<World>,
    task: TaskNumber,
    host: HostNumber,
    /// How often the clock was read, or the turn given away, since the task's last wait.
    reads: AtomicU32,
}

std::thread_local! {
    static CURRENT: Cell<Option<&'static Current>> = const { Cell::new(None) };
}

/// What a thread does before it makes a `Poll`.
static BEFORE_POLL: OnceLock<fn()> = OnceLock::new();

impl Current {
    /// Sets what each thread does before it makes a `Poll`. The first call counts.
    pub(crate) fn set_before_poll(act: fn()) {
        let _ = BEFORE_POLL.set(act);
    }

    /// Returns what the calling thread is when it makes a `Poll`.
    pub(crate) fn of_poll() -> Option<&'static Current> {
        if let Some(act) = BEFORE_POLL.get() {
            act();
        }
        Current::get()
    }

    pub(crate) fn new(world: &Arc<World>, task: TaskNumber, host: HostNumber) -> &'static Current {
        let world = Arc::clone(world);
        Box::leak(Box::new(Current { world, task, host, reads: AtomicU32::new(0) }))
    }

    /// Returns what the calling thread is; `None` outside of a world.
    #[inline]
    pub(crate) fn get() -> Option<&'static Current> {
        CURRENT.try_with(Cell::get).unwrap_or(None)
    }

    /// Sets what the calling thread is.
    pub(crate) fn set(current: Option<&'static Current>) {
        let _ = CURRENT.try_with(|cell| cell.set(current));
    }

    pub(crate) fn world(&self) -> &Arc<World> {
        &self.world
    }

    pub(crate) fn task(&self) -> TaskNumber {
        self.task
    }

    pub(crate) fn host(&self) -> HostNumber {
        self.host
    }

    pub(super) fn count_looks(&self) -> u32 {
        self.reads.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn set_looks(&self, looks: u32) {
        self.reads.store(looks, Ordering::Relaxed);
    }
}

/// While this lives, its thread is outside of its world.
pub(crate) struct Outside {
    was: Option<&'static Current>,
}

impl Outside {
    pub(crate) fn new() -> Outside {
        let was = Current::get();
        if was.is_some() {
            Current::set(None);
        }
        Outside { was }
    }

    /// Notes that the task has waited.
    pub(super) fn forget_reads(&self) {
        if let Some(was) = self.was {
            was.reads.store(0, Ordering::Relaxed);
        }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        if self.was.is_some() {
            Current::set(self.was);
        }
    }
}

impl Current {
    /// Makes the calling thread this task: blocks it until its first turn.
    pub(crate) fn enter(&'static self) {
        self.world.begin(self.task);
        crate::os::set_has_worlds();
        Current::set(Some(self));
        // Real, or of the world, if a package has shadowed the clock: either way the one that the host's programs read.
        let seen = Instant::now();
        self.world.set_clock(self.host, seen);
    }

    /// Ends the task of the calling thread.
    pub(crate) fn leave(&self) {
        Current::set(None);
        self.world.finish(self.task);
    }
}
