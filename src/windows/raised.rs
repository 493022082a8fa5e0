//! The registration of a source that has no kernel readiness: the program raises its events.
//!
//! Invariant: it holds the `Poll` weakly, so it never keeps one alive.

use std::io;
use std::sync::{Arc, Weak};

use crate::backend::{Completions, RaisedKey};
use crate::engine::chaos::Key as ChaosKey;
use crate::engine::{lives, Engine};
use crate::poll::Registry;
use crate::readiness::{Interest, Token};

/// A registration of a source whose readiness the program raises. Dropping it ends the registration.
///
pub(crate) struct Raised {
    poll_id: u32,
    home: Weak<Completions>,
    key: RaisedKey,
    chaos: Option<(Weak<Engine>, ChaosKey)>,
}

impl Raised {
    /// Fails with `Unsupported` on a simulated `Poll`.
    pub(crate) fn new(registry: &Registry, token: Token, interest: Interest) -> io::Result<Raised> {
        let engine = registry.engine();
        let home = engine.selector.completions()?;
        let key = home.add(token, interest);
        let chaos =
            engine.chaos.as_ref().map(|chaos| (Arc::downgrade(engine), chaos.add_source(token, interest)));
        Ok(Raised { poll_id: engine.id, home: Arc::downgrade(home), key, chaos })
    }

    /// Returns `None` after the `Poll` was dropped.
    pub(crate) fn home(&self) -> Option<Arc<Completions>> {
        self.home.upgrade()
    }

    /// Returns whether the `Poll` or one of its registries is alive. If not, the source can be registered again.
    pub(crate) fn is_living(&self) -> bool {
        lives::is_living(self.poll_id)
    }

    pub(crate) fn key(&self) -> RaisedKey {
        self.key
    }

    pub(crate) fn is_of(&self, registry: &Registry) -> bool {
        registry.engine().id == self.poll_id
    }

    pub(crate) fn replace(&self, token: Token, interest: Interest) -> io::Result<()> {
        let change = || {
            if let Some(home) = self.home() {
                home.replace(self.key, token, interest);
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

    /// Returns whether chaos lets an operation fail with `WouldBlock` without trying it: an event follows.
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

impl Drop for Raised {
    fn drop(&mut self) {
        if let Some(home) = self.home() {
            home.remove(self.key);
        }
        if let Some((engine, key)) = self.chaos() {
            if let Some(chaos) = &engine.chaos {
                chaos.remove(key);
            }
        }
    }
}
