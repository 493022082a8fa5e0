//! The list of events that `wait` appends to.
//!
//! Invariant: the list has polling's events; the buffer beside it belongs to the `wait` that runs.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;

use crate::Event;

/// A list of events. [`Poller::wait`](crate::Poller::wait) appends at most [`capacity`](Events::capacity) events a
/// call.
///
/// Reuse one `Events`, and clear it before each `wait`: then no `wait` allocates.
///
/// ```
/// use polling::{Events, Poller};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let poller = Poller::new()?;
/// let mut events = Events::new();
/// for _ in 0..3 {
///     events.clear();
///     poller.wait(&mut events, Some(Duration::ZERO))?;
///     for event in events.iter() {
///         println!("{event:?}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Events {
    pub(crate) list: Vec<Event>,
    /// The buffer of one call of `Poll::poll`.
    pub(crate) batch: wakeful::Events,
    /// polling's is not `Sync`.
    not_sync: PhantomData<Cell<()>>,
}

impl Events {
    /// Creates a list with a capacity of 1024 events; of 32 on ESP-IDF, where memory is scarce.
    #[must_use]
    pub fn new() -> Events {
        const DEFAULT: usize = if cfg!(target_os = "espidf") { 32 } else { 1024 };
        Events::of(DEFAULT)
    }

    /// Creates a list with this capacity, allocated at once.
    #[must_use]
    pub fn with_capacity(capacity: NonZeroUsize) -> Events {
        Events::of(capacity.get())
    }

    fn of(capacity: usize) -> Events {
        Events {
            list: Vec::with_capacity(capacity),
            batch: wakeful::Events::with_capacity(capacity),
            not_sync: PhantomData,
        }
    }

    /// Returns an iterator over the events.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.list.iter().copied()
    }

    /// Removes all events.
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// Returns the number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns whether there are no events.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns how many events one `wait` appends at most.
    #[must_use]
    pub fn capacity(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.batch.capacity()).unwrap_or(NonZeroUsize::MIN)
    }
}

impl Default for Events {
    fn default() -> Events {
        Events::new()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.list).finish()
    }
}
