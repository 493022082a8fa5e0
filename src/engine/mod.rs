//! What a `Poll`, its registries and its wakers share: the selector, the wakers' protocol, and what may stand between.
//! Safe code only.

#[cfg(feature = "chaos")]
pub(crate) mod chaos;
pub(crate) mod errors;
pub(crate) mod layer;
pub(crate) mod lives;
pub(crate) mod wait;
pub(crate) mod wakes;

use std::io;
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use self::layer::{Key, Layer};
use self::wakes::Wakes;
use crate::backend::Selector;
use crate::readiness::{Events, Interest};

/// What a `Poll`, its registries and its wakers share. Sources refer to it, but don't keep it: what the selector has
/// open is closed when the last of those three has gone.
pub(crate) struct Engine {
    /// Tells one `Poll` from another. Never 0.
    pub(crate) id: u32,
    pub(crate) selector: Selector,
    pub(crate) layer: Layer,
    pub(crate) wakes: Wakes,
    /// How many registries there are, the `Poll`'s own among them.
    registries: AtomicUsize,
}

impl Engine {
    /// For one registry.
    pub(crate) fn new(selector: Selector, layer: impl FnOnce(u32) -> Layer) -> Engine {
        let id = lives::begin();
        Engine { id, selector, layer: layer(id), wakes: Wakes::new(), registries: AtomicUsize::new(1) }
    }

    pub(crate) fn add_registry(&self) {
        self.registries.fetch_add(1, Ordering::Relaxed);
    }

    /// With the last registry the `Poll` has ended, though a waker may live on: its sources are free.
    pub(crate) fn remove_registry(&self) {
        if self.registries.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.selector.end();
            lives::end(self.id);
        }
    }

    /// Does an operation of the registration `key`, through the layer. Not while the engine's own descriptor may be
    /// watched, where an event that is held back doesn't show.
    #[cold]
    #[inline(never)]
    #[cfg_attr(not(feature = "chaos"), allow(unused_variables))]
    pub(crate) fn operate<R>(
        &self,
        key: Key,
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

    // Always: see `Poll::poll`.
    #[inline(always)]
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self.layer.is_none() {
            true => self.selector.wait(events, timeout),
            false => self.layer.wait(&self.selector, &self.wakes, events, timeout),
        }
    }

    /// For who doesn't mind a return.
    pub(crate) fn wait_cold(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self.layer.is_none() {
            true => self.selector.wait_cold(events, timeout),
            false => self.layer.wait(&self.selector, &self.wakes, events, timeout),
        }
    }

    /// Notifies the kernel of a wake, as the wakers' protocol has asked.
    pub(crate) fn notify(&self) -> io::Result<()> {
        let result = self.selector.notify();
        self.wakes.was_told(result.is_ok());
        result
    }

    #[cfg(unix)]
    pub(crate) fn expose(&self) -> BorrowedFd<'_> {
        // Only a `Waker` makes a wake pending, and it has prepared this, as a layer has. If it fails, the wake is
        // reported by the next `poll` all the same.
        if self.wakes.expose() {
            let _ = self.notify();
        } else if self.layer.holds_some() {
            let _ = self.selector.notify();
        }
        self.selector.descriptor()
    }
}
