//! The layer between the engine and its backend: it sees each registration, each operation and each wait.
//!
//! A default build has no layer, and compiles this file to no code.
//!
//! Invariant: a source whose registration has a [`LayerKey`] passes each of its operations through [`Layer::operate`].

use std::io;
use std::time::Duration;

#[cfg(feature = "chaos")]
use super::chaos::Chaos;
use super::wakes::Wakes;
use crate::backend::Selector;
#[cfg(all(unix, feature = "os-ext"))]
use crate::os::KernelFilter;
#[cfg(feature = "os-ext")]
use crate::os::RawIo;
use crate::readiness::{Events, Interest, Token};

/// At most one layer.
pub(crate) struct Layer(#[cfg(feature = "chaos")] Option<Box<Chaos>>);

#[cfg(feature = "chaos")]
pub(crate) use super::chaos::LayerKey;

/// Names a registration. No value exists without a layer.
#[cfg(not(feature = "chaos"))]
#[derive(Copy, Clone)]
pub(crate) enum LayerKey {}

/// Without a feature no registration has a key, and each method only calls its closure.
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

    /// Adds a source that was registered, and returns the key for its operations.
    #[inline]
    pub(crate) fn add_source(&self, token: Token, interest: Interest) -> Option<LayerKey> {
        #[cfg(feature = "chaos")]
        return self.0.as_ref().map(|chaos| chaos.add_source(token, interest));
        #[cfg(not(feature = "chaos"))]
        None
    }

    /// Runs `change`, which replaces the registration of `key`.
    #[inline]
    pub(crate) fn replace(
        &self,
        key: Option<LayerKey>,
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

    /// Runs `change`, which begins or replaces the registration of a raw descriptor, whose operations the layer doesn't
    /// see.
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
            return chaos.replace(LayerKey::Raw(io), token, interest, change);
        }
        change()
    }

    #[inline]
    pub(crate) fn remove(&self, key: Option<LayerKey>) {
        #[cfg(feature = "chaos")]
        if let (Some(chaos), Some(key)) = (&self.0, key) {
            chaos.remove(key);
        }
    }

    #[cfg(feature = "os-ext")]
    pub(crate) fn remove_raw(&self, io: RawIo) {
        #[cfg(feature = "chaos")]
        if let Some(chaos) = &self.0 {
            chaos.remove(LayerKey::Raw(io));
        }
    }

    /// Does for a filter what [`replace_raw`](Layer::replace_raw) does for a descriptor.
    #[cfg(all(unix, feature = "os-ext"))]
    pub(crate) fn replace_filter(
        &self,
        filter: &KernelFilter,
        token: Token,
        interest: Interest,
        change: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        #[cfg(feature = "chaos")]
        if let Some(chaos) = &self.0 {
            return chaos.replace(LayerKey::Filter(filter.id()), token, interest, change);
        }
        change()
    }

    #[cfg(all(unix, feature = "os-ext"))]
    pub(crate) fn remove_filter(&self, filter: &KernelFilter) {
        #[cfg(feature = "chaos")]
        if let Some(chaos) = &self.0 {
            chaos.remove(LayerKey::Filter(filter.id()));
        }
    }

    /// Runs an operation of the registration `key`, passing it the limit that it may move. If the layer injects
    /// `WouldBlock`, the operation does not run.
    #[cfg(feature = "chaos")]
    pub(crate) fn operate<R>(
        &self,
        key: LayerKey,
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

    /// Does the part of [`Selector::notify`] that can fail: an event that is held back may have to wake a sleeper.
    pub(crate) fn prepare(&self, selector: &Selector) -> io::Result<()> {
        match self.is_none() {
            true => Ok(()),
            false => selector.prepare_notify(),
        }
    }

    /// Returns whether an event is held back.
    #[cfg(unix)]
    pub(crate) fn holds_some(&self) -> bool {
        #[cfg(feature = "chaos")]
        return self.0.as_ref().is_some_and(|chaos| chaos.holds_some());
        #[cfg(not(feature = "chaos"))]
        false
    }

    /// Ends the layer: the `Poll` is being dropped, though its sources may live longer.
    pub(crate) fn end(&self) {
        #[cfg(feature = "chaos")]
        if let Some(chaos) = &self.0 {
            chaos.end();
        }
    }

    /// Waits as the selector does, and changes its events. Callers have checked that there is a layer.
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
