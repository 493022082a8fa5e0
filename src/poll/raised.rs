use std::io;
use std::sync::{Arc, Weak};

use super::chaos::Key as ChaosKey;
use super::{Core, Registry};
use crate::backend::{Completions, RaisedKey};
use crate::readiness::{Interest, Token};

/// A registration of a source whose readiness the program raises. It ends when this is dropped.
pub(crate) struct Raised {
    home: Arc<Completions>,
    key: RaisedKey,
    /// Weak, since a source keeps of a `Poll` no more than the port.
    chaos: Option<(Weak<Core>, ChaosKey)>,
}

impl Raised {
    /// `Unsupported` by a simulated `Poll`.
    pub(crate) fn new(registry: &Registry, token: Token, interest: Interest) -> io::Result<Raised> {
        let core = registry.core();
        let home = core.selector.completions()?;
        let key = home.add(token, interest);
        let chaos =
            core.chaos.as_ref().map(|chaos| (Arc::downgrade(core), chaos.add_source(token, interest)));
        Ok(Raised { home: Arc::clone(home), key, chaos })
    }

    pub(crate) fn home(&self) -> &Arc<Completions> {
        &self.home
    }

    pub(crate) fn key(&self) -> RaisedKey {
        self.key
    }

    pub(crate) fn is_of(&self, registry: &Registry) -> bool {
        registry.core().selector.completions().is_ok_and(|home| Arc::ptr_eq(home, &self.home))
    }

    pub(crate) fn replace(&self, token: Token, interest: Interest) -> io::Result<()> {
        let change = || {
            self.home.replace(self.key, token, interest);
            Ok(())
        };
        if let Some((core, key)) = self.chaos() {
            if let Some(chaos) = &core.chaos {
                return chaos.replace(key, token, interest, change);
            }
        }
        change()
    }

    /// Whether an operation shall answer `WouldBlock` without being tried: an event follows.
    pub(crate) fn pretends_to_block(&self, direction: Interest) -> bool {
        self.chaos().is_some_and(|(core, key)| {
            let chaos = core.chaos.as_ref();
            chaos.is_some_and(|chaos| chaos.pretends_to_block(key, direction, &core.selector))
        })
    }

    fn chaos(&self) -> Option<(Arc<Core>, ChaosKey)> {
        let (core, key) = self.chaos.as_ref()?;
        Some((core.upgrade()?, *key))
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.home.remove(self.key);
        if let Some((core, key)) = self.chaos() {
            if let Some(chaos) = &core.chaos {
                chaos.remove(key);
            }
        }
    }
}
