use std::fmt;
use std::iter::FusedIterator;
use std::slice;

use super::Event;

/// Where `Poll::poll` puts what happened: at most [`capacity`] events a call.
///
/// Each call of `poll` clears it first. Make one, and use it again for every call: then polling allocates
/// nothing. What doesn't fit comes with the next calls.
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
    /// What was asked for: a `Vec` may have room for more.
    capacity: usize,
}

impl Events {
    /// Room for `capacity` events in one call of `poll`, allocated at once: 16 bytes each.
    ///
    /// With a capacity of 0, `poll` has nowhere to put an event and answers `InvalidInput`, on every backend.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Events {
        Events { list: Vec::with_capacity(capacity), capacity }
    }

    /// The capacity that was asked for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many events the last `poll` brought.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether the last `poll` brought none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The events, each by reference.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.list.iter())
    }

    /// Forgets the events. `poll` does so itself.
    pub fn clear(&mut self) {
        self.list.clear();
    }
}

#[cfg(feature = "os-poll")]
impl Events {
    /// How many more events there is room for, in what is allocated.
    #[inline]
    pub(crate) fn spare(&self) -> usize {
        self.capacity - self.list.len()
    }

    /// The events themselves, for a backend that has the kernel write into the room behind them. It adds no more than
    /// there is room for.
    #[allow(dead_code)] // which backends do depends on the target
    #[inline]
    pub(crate) fn list(&mut self) -> &mut Vec<Event> {
        &mut self.list
    }

    /// Adds an event; there must be room for it.
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

/// The events of one `poll`, in the order in which the kernel gave them. Made by [`Events::iter`].
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
