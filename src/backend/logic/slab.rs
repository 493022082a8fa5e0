//! Values in numbered slots, by keys that distinguish a value from the next one in its slot. Pure: no OS.
//!
//! Invariant: a key finds the value that it was made for, or nothing.

use std::num::NonZeroU32;

/// Names a value within one [`Slab`]; never names another one later.
///
/// A generation is never 0, so an `Option<SlabKey>` takes a register like the key itself.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlabKey {
    pub slot: u32,
    pub generation: NonZeroU32,
}

/// A slab. A value stays in its slot, so nothing moves, and slots are small numbers: lists beside the slab may be
/// indexed by slot, if their owner clears an element when its value is removed.
///
/// A slot whose generations have run out, after 2^32 - 1 values, isn't reused: so a key is never wrong, however old.
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

struct Slot<T> {
    generation: NonZeroU32,
    value: Option<T>,
}

#[allow(dead_code)] // each kernel needs some of these
impl<T> Slab<T> {
    pub(crate) const fn new() -> Slab<T> {
        Slab { slots: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, value: T) -> SlabKey {
        self.insert_with(|_| value)
    }

    /// Inserts a value that needs its own key.
    pub(crate) fn insert_with(&mut self, value: impl FnOnce(SlabKey) -> T) -> SlabKey {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: FIRST, value: None });
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        let key = SlabKey { slot, generation: place.generation };
        place.value = Some(value(key));
        key
    }

    /// Returns the slot of `key`, if its value exists.
    pub(crate) fn slot_of(&self, key: SlabKey) -> Option<u32> {
        self.get(key).map(|_| key.slot)
    }

    pub(crate) fn get(&self, key: SlabKey) -> Option<&T> {
        let place = self.slots.get(key.slot as usize)?;
        place.value.as_ref().filter(|_| place.generation == key.generation)
    }

    pub(crate) fn get_mut(&mut self, key: SlabKey) -> Option<&mut T> {
        let place = self.slots.get_mut(key.slot as usize)?;
        place.value.as_mut().filter(|_| place.generation == key.generation)
    }

    pub(crate) fn remove(&mut self, key: SlabKey) -> Option<T> {
        let place = self.slots.get_mut(key.slot as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let value = place.value.take()?;
        self.free_slot(key.slot);
        Some(value)
    }

    /// Returns the key of the value in `slot`.
    pub(crate) fn key_at(&self, slot: u32) -> Option<SlabKey> {
        let place = self.slots.get(slot as usize)?;
        place.value.as_ref().map(|_| SlabKey { slot, generation: place.generation })
    }

    pub(crate) fn at(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot as usize)?.value.as_ref()
    }

    pub(crate) fn at_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.value.as_mut()
    }

    /// Returns the value in `slot`, and its key.
    pub(crate) fn entry_at(&mut self, slot: u32) -> Option<(SlabKey, &mut T)> {
        let place = self.slots.get_mut(slot as usize)?;
        let key = SlabKey { slot, generation: place.generation };
        place.value.as_mut().map(|value| (key, value))
    }

    pub(crate) fn remove_at(&mut self, slot: u32) -> Option<T> {
        let place = self.slots.get_mut(slot as usize)?;
        let value = place.value.take()?;
        self.free_slot(slot);
        Some(value)
    }

    fn free_slot(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        if let Some(next) = place.generation.checked_add(1) {
            place.generation = next;
            self.free.push(slot);
        }
    }

    /// Returns every slot, occupied or free.
    pub(crate) fn slots(&self) -> std::ops::Range<u32> {
        0..self.slots.len() as u32
    }
}

/// The generation of a slot's first value.
const FIRST: NonZeroU32 = NonZeroU32::MIN;

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_its_value() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        assert_eq!((slab.get(a), slab.get(b)), (Some(&'a'), Some(&'b')));
        *slab.get_mut(a).unwrap() = 'A';
        assert_eq!(slab.at(a.slot), Some(&'A'));
        assert_eq!(slab.slots(), 0..2);
        assert_eq!(slab.remove(a), Some('A'));
        assert_eq!(slab.get(b), Some(&'b'), "nothing has moved");
    }

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slab = Slab::new();
        let old = slab.insert(1);
        assert_eq!(slab.remove(old), Some(1));
        assert_eq!(slab.get(old), None);
        assert_eq!(slab.get_mut(old), None);
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.key_at(old.slot), None);
        let new = slab.insert(2);
        assert_eq!(new.slot, old.slot, "the slot is used again");
        assert_ne!(new, old);
        assert_eq!((slab.get(old), slab.slot_of(old)), (None, None));
        assert_eq!(slab.remove(old), None);
        assert_eq!((slab.get(new), slab.slot_of(new)), (Some(&2), Some(new.slot)));
        assert_eq!(slab.key_at(new.slot), Some(new));
        assert_eq!(slab.entry_at(new.slot), Some((new, &mut 2)));
    }

    #[test]
    fn a_key_of_an_empty_slab_finds_nothing() {
        let mut slab = Slab::<u8>::default();
        assert_eq!(slab.get(SlabKey { slot: 0, generation: FIRST }), None);
        assert_eq!((slab.at(7), slab.key_at(7)), (None, None));
        assert_eq!(slab.at_mut(u32::MAX), None);
        assert_eq!(slab.entry_at(7), None);
        assert_eq!(slab.remove_at(7), None);
    }

    #[test]
    fn a_value_may_know_its_key() {
        let mut slab = Slab::new();
        let key = slab.insert_with(|key| key);
        assert_eq!(slab.get(key), Some(&key));
    }

    #[test]
    fn a_slot_whose_generations_have_run_out_is_left_alone() {
        let mut slab = Slab::new();
        let first = slab.insert(0);
        slab.remove(first);
        slab.slots[0].generation = NonZeroU32::MAX;
        let last = slab.insert(1);
        assert_eq!(last, SlabKey { slot: 0, generation: NonZeroU32::MAX });
        assert_eq!(slab.remove(last), Some(1));
        assert_eq!(slab.get(last), None);
        assert_eq!(slab.insert(2).slot, 1);
        assert_eq!((slab.get(first), slab.get(last)), (None, None));
    }
}
