//! Values by small numbers: the sources, sockets and channels of a world, and its descriptors.
//!
//! Each call to a world looks several of them up. By a `BTreeMap` that was a quarter of the time of a cluster's run.
//!
//! Invariant: the memory is that of the values, and of a word for sixteen numbers up to the highest.

use std::ops::Index;

/// The number of a value.
pub(super) trait Key: Copy {
    fn place(self) -> usize;
    fn at(place: usize) -> Self;
}

impl Key for u64 {
    #[inline]
    fn place(self) -> usize {
        self as usize
    }

    fn at(place: usize) -> u64 {
        place as u64
    }
}

impl Key for i32 {
    #[inline]
    fn place(self) -> usize {
        // No value has a negative number, nor the place that it becomes.
        self as usize
    }

    fn at(place: usize) -> i32 {
        place as i32
    }
}

const CHUNK: usize = 16;

/// Values by number.
pub(super) struct Table<K, T> {
    chunks: Vec<Option<Box<Chunk<T>>>>,
    key: std::marker::PhantomData<K>,
}

struct Chunk<T> {
    count: usize,
    values: [Option<T>; CHUNK],
}

impl<K: Key, T> Table<K, T> {
    pub(super) const fn new() -> Table<K, T> {
        Table { chunks: Vec::new(), key: std::marker::PhantomData }
    }

    #[inline]
    pub(super) fn get(&self, key: &K) -> Option<&T> {
        let place = key.place();
        self.chunks.get(place / CHUNK)?.as_ref()?.values[place % CHUNK].as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut T> {
        let place = key.place();
        self.chunks.get_mut(place / CHUNK)?.as_mut()?.values[place % CHUNK].as_mut()
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Returns the value of the number. Without one it gets `T`'s default.
    pub(super) fn get_or_default(&mut self, key: K) -> &mut T
    where
        T: Default,
    {
        self.slot(key).get_or_insert_with(T::default)
    }

    /// Returns the value that the number had.
    pub(super) fn insert(&mut self, key: K, value: T) -> Option<T> {
        self.slot(key).replace(value)
    }

    /// Returns the place of a value, which must be filled.
    fn slot(&mut self, key: K) -> &mut Option<T> {
        let place = key.place();
        if self.chunks.len() <= place / CHUNK {
            self.chunks.resize_with(place / CHUNK + 1, || None);
        }
        let new = || Box::new(Chunk { count: 0, values: std::array::from_fn(|_| None) });
        let chunk = self.chunks[place / CHUNK].get_or_insert_with(new);
        let slot = &mut chunk.values[place % CHUNK];
        chunk.count += usize::from(slot.is_none());
        slot
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<T> {
        let place = key.place();
        let found = self.chunks.get_mut(place / CHUNK)?;
        let chunk = found.as_mut()?;
        let value = chunk.values[place % CHUNK].take()?;
        chunk.count -= 1;
        if chunk.count == 0 {
            *found = None;
        }
        Some(value)
    }

    /// Returns all values, in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        let chunks = self.chunks.iter().enumerate().filter_map(|(at, chunk)| Some((at, chunk.as_ref()?)));
        chunks.flat_map(|(at, chunk)| {
            let values = chunk.values.iter().enumerate();
            values.filter_map(move |(place, value)| Some((K::at(at * CHUNK + place), value.as_ref()?)))
        })
    }
}

impl<K: Key, T> Index<&K> for Table<K, T> {
    type Output = T;

    #[inline]
    fn index(&self, key: &K) -> &T {
        self.get(key).expect("a value with this number")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn random_changes_agree_with_a_map() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut table, mut map) = (Table::<i32, u32>::new(), BTreeMap::new());
        for step in 0..if cfg!(miri) { 300 } else { 5_000 } {
            let key = random.i32(0..200);
            match random.u8(..4) {
                0 => assert_eq!(table.insert(key, step), map.insert(key, step)),
                1 => assert_eq!(table.get_or_default(key), map.entry(key).or_default()),
                _ => assert_eq!(table.remove(&key), map.remove(&key)),
            }
            let key = random.i32(-3..300);
            assert_eq!((table.get(&key), table.contains_key(&key)), (map.get(&key), map.contains_key(&key)));
            assert_eq!(table.get_mut(&key), map.get_mut(&key));
            assert!(table.iter().eq(map.iter().map(|(&key, value)| (key, value))));
        }
        for (key, value) in map {
            assert_eq!(table.remove(&key), Some(value));
        }
        assert!(table.chunks.iter().all(Option::is_none), "no chunk is left");
    }
}
