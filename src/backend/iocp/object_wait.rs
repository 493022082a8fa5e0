//! The waits for objects that the kernel signals: processes, threads, events, semaphores.
//!
//! Invariant: at most one wait is in progress for each registration, and only while it has no readiness to report. So a
//! signal that a wait consumes is an event of its own.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::completions::{Completions, UserEventKey};
use crate::os::{Mark, Object, Signalled, Wait};
use crate::readiness::Readiness;

/// The wait of a registration, which ends with it: dropping this ends the wait, after the registration.
#[cfg_attr(not(feature = "os-ext"), allow(dead_code))] // only `windows::Waitable` makes one
pub(crate) struct ObjectWait(Arc<SharedWait>);

/// The wait of one registration, for the polling thread too.
#[cfg_attr(not(feature = "os-ext"), allow(dead_code))]
pub(super) struct SharedWait {
    /// Locked before the table of [`Completions`], never after it: to end a wait is to wait for its callback, which
    /// locks that table.
    ///
    /// It is the first field, so the wait has ended when the object's handle is closed.
    wait: Mutex<Wait<Target>>,
    object: Arc<Object>,
    target: Arc<Target>,
}

/// An object that is signalled is ready in each direction of the interest.
pub(super) const SIGNALLED: Readiness = Readiness::READABLE.union(Readiness::WRITABLE);

/// The registration, for a callback on any thread.
struct Target {
    completions: Weak<Completions>,
    key: UserEventKey,
}

impl Signalled for Target {
    fn signalled(&self) {
        if let Some(completions) = self.completions.upgrade() {
            // If the notification fails, the next `wait` reports the event.
            let _ = completions.post_signal(self.key, SIGNALLED);
        }
    }
}

#[cfg_attr(not(feature = "os-ext"), allow(dead_code))]
impl ObjectWait {
    /// Makes the registration `key` one of an object, which is not waited for yet.
    pub(crate) fn new(object: &Arc<Object>, completions: &Arc<Completions>, key: UserEventKey) -> ObjectWait {
        let target = Arc::new(Target { completions: Arc::downgrade(completions), key });
        let wait = Mutex::new(Wait::new());
        let shared = Arc::new(SharedWait { wait, object: Arc::clone(object), target });
        completions.set_wait(key, &shared, object.is_consumed());
        ObjectWait(shared)
    }

    /// Calls [`SharedWait::ask`], after a `register` or `reregister`.
    pub(crate) fn ask(&self) -> io::Result<()> {
        self.0.ask()
    }
}

impl Drop for ObjectWait {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl SharedWait {
    /// Makes the registration ready if the object is signalled now, and else starts a wait. Does nothing while a wait
    /// is in progress, or an event is still to be reported.
    pub(super) fn ask(&self) -> io::Result<()> {
        let Target { completions, key } = &*self.target;
        let Some(completions) = completions.upgrade() else {
            return Ok(());
        };
        let mut wait = self.lock();
        if !completions.begin_wait(*key) {
            return Ok(());
        }
        let started = self.object.take_signal().and_then(|is_signalled| match is_signalled {
            true => completions.post_signal(*key, SIGNALLED),
            false => {
                let mark = Mark { slot: key.slot, generation: key.generation };
                wait.start(&self.object, completions.port(), mark, &self.target)
            }
        });
        if started.is_err() {
            // The source must not be silent for ever: its owner sees an error, or else an event with one.
            let _ = completions.post_signal(*key, SIGNALLED.union(Readiness::ERROR));
        }
        started
    }

    /// Ends the wait in progress. The registration must have ended, or no other wait may begin for it.
    pub(super) fn end(&self) {
        self.lock().end();
    }

    fn lock(&self) -> MutexGuard<'_, Wait<Target>> {
        self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
