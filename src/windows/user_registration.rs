//! The registration of a source whose readiness the program posts, as a value that its source keeps.
//!
//! Invariant: a registration ends when this is dropped, and keeps nothing of the `Poll` alive.

use std::io;
use std::sync::{Arc, Weak};

use crate::backend::{Completions, UserEventKey};
use crate::engine::chaos::Key as ChaosKey;
use crate::engine::{lives, Engine};
use crate::poll::Registry;
use crate::readiness::{Interest, Token};

/// The registration of a source whose readiness the program posts. It ends when this is dropped.
///
/// It keeps nothing of the `Poll` alive.
pub(crate) struct UserRegistration {
    poll_id: u32,
    completions: Weak<Completions>,
    key: UserEventKey,
    chaos: Option<(Weak<Engine>, ChaosKey)>,
}

impl UserRegistration {
    /// Registers a source. Fails with `Unsupported` in a simulated `Poll`.
    pub(crate) fn new(registry: &Registry, token: Token, interest: Interest) -> io::Result<UserRegistration> {
        let engine = registry.engine();
        let completions = engine.selector.completions()?;
        let key = completions.add(token, interest);
        let chaos =
            engine.chaos.as_ref().map(|chaos| (Arc::downgrade(engine), chaos.add_source(token, interest)));
        Ok(UserRegistration { poll_id: engine.id, completions: Arc::downgrade(completions), key, chaos })
    }

    /// Returns `None` once the `Poll` was dropped.
    pub(crate) fn completions(&self) -> Option<Arc<Completions>> {
        self.completions.upgrade()
    }

    /// Returns whether the `Poll`, or a registry of it, still exists: otherwise the source is free.
    pub(crate) fn is_living(&self) -> bool {
        lives::is_living(self.poll_id)
    }

    pub(crate) fn key(&self) -> UserEventKey {
        self.key
    }

    pub(crate) fn is_of(&self, registry: &Registry) -> bool {
        registry.engine().id == self.poll_id
    }

    pub(crate) fn replace(&self, token: Token, interest: Interest) -> io::Result<()> {
        let change = || {
            if let Some(completions) = self.completions() {
                completions.replace(self.key, token, interest);
            }
            Ok(())
        };
        if let Some((engine, key)) = self.chaos() {
            if let Some(chaos) = &engine.chaos {
                return chaos.replace(key, token, interest, change);
            }
        }
        change()
    }

    /// Returns whether an operation must return `WouldBlock` without being tried: an event follows.
    pub(crate) fn pretends_to_block(&self, direction: Interest) -> bool {
        self.chaos().is_some_and(|(engine, key)| {
            let chaos = engine.chaos.as_ref();
            chaos.is_some_and(|chaos| chaos.pretends_to_block(key, direction, &engine.selector))
        })
    }

    fn chaos(&self) -> Option<(Arc<Engine>, ChaosKey)> {
        let (engine, key) = self.chaos.as_ref()?;
        Some((engine.upgrade()?, *key))
    }
}

impl Drop for UserRegistration {
    fn drop(&mut self) {
        if let Some(completions) = self.completions() {
            completions.remove(self.key);
        }
        if let Some((engine, key)) = self.chaos() {
            if let Some(chaos) = &engine.chaos {
                chaos.remove(key);
            }
        }
    }
}
