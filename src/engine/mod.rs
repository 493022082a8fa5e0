//! The engine: the selector, the wakers' protocol and the layer, which a `Poll`, its registries and its wakers share.
//!
//! Invariant: an engine is used by `&self` alone, from any thread. Safe code only.

#[cfg(feature = "chaos")]
pub(crate) mod chaos;
pub(crate) mod deadlines;
pub(crate) mod errors;
pub(crate) mod layer;
pub(crate) mod lives;
pub(crate) mod timers;
pub(crate) mod wait;
pub(crate) mod wakes;

use std::io;
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use self::layer::{Layer, LayerKey};
use self::timers::{Sleep, Timers};
use self::wakes::Wakes;
use crate::backend::Selector;
use crate::readiness::{Events, Interest};

/// The state that a `Poll`, its registries and its wakers share. Sources hold no strong reference to it: the selector's
/// descriptors are closed when the last of those three has been dropped.
pub(crate) struct Engine {
    /// The number of the `Poll`: no other living `Poll` has the same. Never 0.
    pub(crate) id: u32,
    pub(crate) selector: Selector,
    pub(crate) layer: Layer,
    pub(crate) wakes: Wakes,
    pub(crate) timers: Timers,
    /// The number of registries, with the one inside the `Poll`.
    registries: AtomicUsize,
}

impl Engine {
    /// Creates an engine that counts one registry.
    pub(crate) fn new(selector: Selector, layer: impl FnOnce(u32) -> Layer) -> Engine {
        let id = lives::begin();
        let (wakes, timers, registries) = (Wakes::new(), Timers::new(), AtomicUsize::new(1));
        Engine { id, selector, layer: layer(id), wakes, timers, registries }
    }

    pub(crate) fn add_registry(&self) {
        self.registries.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a registry less. The last one ends the `Poll` and frees its sources, though a waker may hold the engine.
    pub(crate) fn remove_registry(&self) {
        if self.registries.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.selector.end();
            lives::end(self.id);
        }
    }

    /// Runs an operation of the registration `key` through the layer. While the engine's own descriptor may be watched,
    /// the operation bypasses the layer, since that descriptor doesn't show an event that the layer holds back.
    #[cold]
    #[inline(never)]
    #[cfg_attr(not(feature = "chaos"), allow(unused_variables))]
    pub(crate) fn operate<R>(
        &self,
        key: LayerKey,
        direction: Interest,
        wanted: usize,
        operation: impl FnOnce(usize) -> io::Result<R>,
    ) -> io::Result<R> {
        #[cfg(feature = "chaos")]
        if !self.wakes.is_exposed() {
            return self.layer.operate(key, direction, wanted, &self.selector, operation);
        }
        operation(usize::MAX)
    }

    /// Waits for the kernel's events, through the layer if there is one.
    // Always: see `Engine::poll`.
    #[inline(always)]
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self.layer.is_none() {
            true => self.selector.wait(events, timeout),
            false => self.layer.wait(&self.selector, &self.wakes, events, timeout),
        }
    }

    /// Waits as [`wait`](Engine::wait) does, for callers off the hot path: the selector's code isn't inlined.
    pub(crate) fn wait_cold(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self.layer.is_none() {
            true => self.selector.wait_cold(events, timeout),
            false => self.layer.wait(&self.selector, &self.wakes, events, timeout),
        }
    }

    /// Notifies the kernel of a wake, when the wakers' protocol requires it.
    pub(crate) fn notify(&self) -> io::Result<()> {
        let result = self.selector.notify();
        self.wakes.notify_done(result.is_ok());
        result
    }

    /// Does what a change of the timers asks for.
    pub(crate) fn adapt(&self, sleep: Sleep) -> io::Result<()> {
        match sleep {
            Sleep::MayGoOn => Ok(()),
            _ if self.wakes.raise_timers(sleep == Sleep::KnowsNone) => self.notify(),
            _ => Ok(()),
        }
    }

    /// Lends the engine's descriptor, which shows pending events and wakes from now on.
    #[cfg(unix)]
    pub(crate) fn expose(&self) -> BorrowedFd<'_> {
        // A `Waker` and a layer have prepared the notifier before a wake or an event can be pending. If notifying fails
        // nevertheless, the next `poll` reports the wake.
        if self.wakes.expose() {
            let _ = self.notify();
        } else if self.layer.holds_some() {
            let _ = self.selector.notify();
        }
        self.selector.descriptor()
    }
}
