//! The buffer of events that one `poll` fills.
//!
//! Invariant: it never grows beyond the capacity that it was made with, so `poll` doesn't allocate.

use std::fmt;
use std::iter::FusedIterator;
use std::slice;

use super::Event;

/// The buffer that `Poll::poll` fills: at most [`capacity`] events a call.
///
/// Each call of `poll` clears the buffer first. Reuse one `Events` so that polling never allocates. Events that don't
/// fit are returned by later calls.
///
/// [`capacity`]: Events::capacity
///
/// ```
/// use wakeful::Events;
///
/// let events = Events::with_capacity(128);
/// assert_eq!(events.capacity(), 128);
/// assert_eq!(events.len(), 0);
/// for event in &events {
///     println!("{event:?}");
/// }
/// ```
pub struct Events {
    list: Vec<Event>,
    /// The capacity that the caller asked for; the `Vec` may have more.
    capacity: usize,
}

impl Events {
    /// Creates a buffer for `capacity` events, allocated at once: 16 bytes each.
    ///
    /// With a capacity of 0, `poll` fails with `InvalidInput`, on every backend.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Events {
        Events { list: Vec::with_capacity(capacity), capacity }
    }

    /// Returns the capacity that [`with_capacity`](Events::with_capacity) was called with.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns the number of events of the last `poll`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns whether the last `poll` returned no events.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns an iterator over the events.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.list.iter())
    }

    /// Removes all events. `poll` does so itself.
    pub fn clear(&mut self) {
        self.list.clear();
    }
}

#[cfg(feature = "os-poll")]
impl Events {
    /// Returns how many more events fit without an allocation.
    #[inline]
    pub(crate) fn spare(&self) -> usize {
        self.capacity - self.list.len()
    }

    /// Returns the list, for a backend whose kernel writes into its spare capacity. The backend adds no more than
    /// fit.
    #[allow(dead_code)] // used by some backends only
    #[inline]
    pub(crate) fn list(&mut self) -> &mut Vec<Event> {
        &mut self.list
    }

    /// Adds an event, which must fit.
    #[inline]
    pub(crate) fn push(&mut self, event: Event) {
        self.list.push(event);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a Event;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// An iterator over the events of one `poll`, in the kernel's order. [`Events::iter`] creates it.
#[derive(Clone, Debug)]
pub struct Iter<'a>(slice::Iter<'a, Event>);

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Event;

    #[inline]
    fn next(&mut self) -> Option<&'a Event> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }

    fn count(self) -> usize {
        self.0.count()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back()
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl FusedIterator for Iter<'_> {}
