//! The registration of a source that has no kernel readiness: the program raises its events.
//!
//! Invariant: it holds the `Poll` weakly, so it never keeps one alive.

use std::io;
use std::sync::{Arc, Weak};

use crate::backend::{check_mode, Completions, UserEventKey};
use crate::engine::layer::LayerKey;
use crate::engine::{lives, Engine};
use crate::poll::Registry;
use crate::readiness::{Interest, Readiness, Token};

/// A registration of a source whose readiness the program raises. Dropping it ends the registration.
pub(crate) struct UserRegistration {
    poll_id: u32,
    completions: Weak<Completions>,
    key: UserEventKey,
    /// Whether each event uses something up, in the level-triggered mode too.
    is_consumed: bool,
    /// With a layer.
    layered: Option<(Weak<Engine>, LayerKey)>,
}

impl UserRegistration {
    /// Fails with `Unsupported` on a simulated `Poll`.
    ///
    /// So does an interest in the end alone, since no kernel reports it for such a source.
    pub(crate) fn new(registry: &Registry, token: Token, interest: Interest) -> io::Result<UserRegistration> {
        UserRegistration::of_kind(registry, token, interest, false)
    }

    /// Registers a source of which each event uses something up, if `is_consumed` is set.
    pub(crate) fn of_kind(
        registry: &Registry,
        token: Token,
        interest: Interest,
        is_consumed: bool,
    ) -> io::Result<UserRegistration> {
        check(interest)?;
        let engine = registry.engine();
        let completions = engine.selector.completions()?;
        let key = completions.add(token, interest);
        let layered = engine.layer.add_source(token, layer_interest(interest, is_consumed));
        let layered = layered.map(|key| (Arc::downgrade(engine), key));
        let completions = Arc::downgrade(completions);
        Ok(UserRegistration { poll_id: engine.id, completions, key, is_consumed, layered })
    }

    /// Returns `None` after the `Poll` was dropped.
    pub(crate) fn completions(&self) -> Option<Arc<Completions>> {
        self.completions.upgrade()
    }

    /// Returns whether the `Poll` or one of its registries is alive. If not, the source can be registered again.
    pub(crate) fn is_living(&self) -> bool {
        lives::is_living(self.poll_id)
    }

    pub(crate) fn key(&self) -> UserEventKey {
        self.key
    }

    pub(crate) fn is_of(&self, registry: &Registry) -> bool {
        registry.engine().id == self.poll_id
    }

    /// Replaces token and interest. Returns the readiness that was posted after the event of a one-shot registration.
    pub(crate) fn replace(&self, token: Token, interest: Interest) -> io::Result<Readiness> {
        check(interest)?;
        let mut unreported = Readiness::NONE;
        let mut change = || {
            if let Some(completions) = self.completions() {
                unreported = completions.replace(self.key, token, interest);
            }
            Ok(())
        };
        match self.layered() {
            Some((engine, key)) => {
                let interest = layer_interest(interest, self.is_consumed);
                engine.layer.replace(Some(key), token, interest, change)?;
            }
            None => change()?,
        }
        Ok(unreported)
    }

    /// Does an operation that moves all or nothing.
    pub(crate) fn operate<R>(
        &self,
        direction: Interest,
        operation: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        match self.layered() {
            Some((engine, key)) => engine.operate(key, direction, 0, |_| operation()),
            None => operation(),
        }
    }

    fn layered(&self) -> Option<(Arc<Engine>, LayerKey)> {
        let (engine, key) = self.layered.as_ref()?;
        Some((engine.upgrade()?, *key))
    }
}

/// Returns the interest that the layer knows. Chaos drops events of a level-triggered source, since they are repeated.
fn layer_interest(interest: Interest, is_consumed: bool) -> Interest {
    match is_consumed && interest.is_level() {
        true => interest.kinds(),
        false => interest,
    }
}

fn check(interest: Interest) -> io::Result<()> {
    check_mode(interest)?;
    match interest.is_end() {
        true => Err(io::Error::new(io::ErrorKind::Unsupported, "such a source reports no end by itself")),
        false => Ok(()),
    }
}

impl Drop for UserRegistration {
    fn drop(&mut self) {
        if let Some(completions) = self.completions() {
            completions.remove(self.key);
        }
        if let Some((engine, key)) = self.layered() {
            engine.layer.remove(Some(key));
        }
    }
}
