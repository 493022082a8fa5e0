//! What may stand between the engine and its backend: it sees each registration, each operation and each wait.
//!
//! A default build has none, and this is no code there. Invariant: a source whose registration has a [`Key`] passes
//! each of its operations through [`Layer::operate`].

use std::io;
use std::time::Duration;

#[cfg(feature = "chaos")]
use super::chaos::Chaos;
use super::wakes::Wakes;
use crate::backend::Selector;
#[cfg(feature = "os-ext")]
use crate::os::RawIo;
use crate::readiness::{Events, Interest, Token};

/// At most one layer.
pub(crate) struct Layer(#[cfg(feature = "chaos")] Option<Box<Chaos>>);

#[cfg(feature = "chaos")]
pub(crate) use super::chaos::Key;

/// Names a registration. Without a layer there is none.
#[cfg(not(feature = "chaos"))]
#[derive(Copy, Clone)]
pub(crate) enum Key {}

/// Without a feature no registration has a key, and each of these passes its argument on.
#[cfg_attr(not(feature = "chaos"), allow(unused_variables, clippy::unused_self))]
impl Layer {
    pub(crate) const NONE: Layer = Layer(
        #[cfg(feature = "chaos")]
        None,
    );

    #[cfg(feature = "chaos")]
    pub(crate) fn of_chaos(chaos: Chaos) -> Layer {
        Layer(Some(Box::new(chaos)))
    }

    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        #[cfg(feature = "chaos")]
        return self.0.is_none();
        #[cfg(not(feature = "chaos"))]
        true
    }

    /// A source was registered: its key, by which it passes its operations.
    #[inline]
    pub(crate) fn add_source(&self, token: Token, interest: Interest) -> Option<Key> {
        #[cfg(feature = "chaos")]
        return self.0.as_ref().map(|chaos| chaos.add_source(token, interest));
        #[cfg(not(feature = "chaos"))]
        None
    }

    /// Does what replaces the registration of `key`.
    #[inline]
    pub(crate) fn replace(
        &self,
        key: Option<Key>,
        token: Token,
        interest: Interest,
        change: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        #[cfg(feature = "chaos")]
        if let (Some(chaos), Some(key)) = (&self.0, key) {
            return chaos.replace(key, token, interest, change);
        }
        change()
    }

    /// Does what begins or replaces the registration of a raw descriptor, whose operations are not seen.
    #[cfg(feature = "os-ext")]
    pub(crate) fn replace_raw(
        &self,
        io: RawIo,
        token: Token,
        interest: Interest,
        change: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        #[cfg(feature = "chaos")]
        if let Some(chaos) = &self.0 {
            return chaos.replace(Key::Raw(io), token, interest, change);
        }
        change()
    }

    #[inline]
    pub(crate) fn remove(&self, key: Option<Key>) {
        #[cfg(feature = "chaos")]
        if let (Some(chaos), Some(key)) = (&self.0, key) {
            chaos.remove(key);
        }
    }

    #[cfg(feature = "os-ext")]
    pub(crate) fn remove_raw(&self, io: RawIo) {
        #[cfg(feature = "chaos")]
        if let Some(chaos) = &self.0 {
            chaos.remove(Key::Raw(io));
        }
    }

    /// Does an operation of the registration `key`: it is passed how much it may move, and is not done at all if the
    /// layer returns `WouldBlock` for it.
    #[cfg(feature = "chaos")]
    pub(crate) fn operate<R>(
        &self,
        key: Key,
        direction: Interest,
        wanted: usize,
        selector: &Selector,
        operation: impl FnOnce(usize) -> io::Result<R>,
    ) -> io::Result<R> {
        match &self.0 {
            Some(chaos) => chaos.operate(key, direction, wanted, selector, operation),
            None => operation(usize::MAX),
        }
    }

    /// What may fail of a later [`Selector::notify`] is done now: what is held back may be news for a sleeper.
    pub(crate) fn prepare(&self, selector: &Selector) -> io::Result<()> {
        match self.is_none() {
            true => Ok(()),
            false => selector.prepare_notify(),
        }
    }

    /// Whether an event is held back.
    #[cfg(unix)]
    pub(crate) fn holds_some(&self) -> bool {
        #[cfg(feature = "chaos")]
        return self.0.as_ref().is_some_and(|chaos| chaos.holds_some());
        #[cfg(not(feature = "chaos"))]
        false
    }

    /// The `Poll` is dropped, though its sources may live on.
    pub(crate) fn end(&self) {
        #[cfg(feature = "chaos")]
        if let Some(chaos) = &self.0 {
            chaos.end();
        }
    }

    /// Waits by the selector. Only for a layer that is there.
    #[cold]
    #[inline(never)]
    pub(crate) fn wait(
        &self,
        selector: &Selector,
        wakes: &Wakes,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        #[cfg(feature = "chaos")]
        if let Some(chaos) = &self.0 {
            return chaos.wait(selector, wakes, events, timeout);
        }
        selector.wait_cold(events, timeout)
    }
}
