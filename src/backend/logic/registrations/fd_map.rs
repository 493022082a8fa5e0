//! The registrations by descriptor. Pure: no OS.
//!
//! The map has pages. Most kernels return the smallest free descriptor, but where none is reused (WASI) the numbers
//! grow. Empty pages are freed when another page is needed.
//!
//! Invariant: a page's count is the number of its keys.

use std::os::fd::RawFd;

use crate::backend::logic::watch::WatchKey;

const PAGE: usize = 256;

#[derive(Default)]
pub(in crate::backend) struct FdMap {
    pages: Vec<Option<Box<Page>>>,
}

struct Page {
    keys: [Option<WatchKey>; PAGE],
    /// How many keys there are.
    count: usize,
}

impl FdMap {
    pub(in crate::backend) fn get(&self, fd: RawFd) -> Option<WatchKey> {
        // A negative number is beyond all pages.
        let index = fd as usize;
        self.pages.get(index / PAGE)?.as_ref()?.keys[index % PAGE]
    }

    /// Requires an open descriptor, which isn't negative, without a key in the map.
    pub(in crate::backend) fn insert(&mut self, fd: RawFd, key: WatchKey) {
        let index = fd as usize;
        let page = match self.pages.get_mut(index / PAGE) {
            Some(Some(page)) => page,
            _ => self.add_page(index / PAGE),
        };
        page.keys[index % PAGE] = Some(key);
        page.count += 1;
    }

    #[cold]
    fn add_page(&mut self, number: usize) -> &mut Page {
        self.give_back();
        while self.pages.len() <= number {
            self.pages.push(None);
        }
        self.pages[number].get_or_insert_with(Page::new)
    }

    fn give_back(&mut self) {
        for place in &mut self.pages {
            if place.as_ref().is_some_and(|page| page.count == 0) {
                *place = None;
            }
        }
    }

    pub(in crate::backend) fn remove(&mut self, fd: RawFd) {
        let index = fd as usize;
        if let Some(Some(page)) = self.pages.get_mut(index / PAGE) {
            if page.keys[index % PAGE].take().is_some() {
                page.count -= 1;
            }
        }
    }
}

impl Page {
    fn new() -> Box<Page> {
        Box::new(Page { keys: [None; PAGE], count: 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn key(slot: u32) -> WatchKey {
        WatchKey { slot, generation: NonZeroU32::MIN }
    }

    #[test]
    fn each_descriptor_has_its_own_key() {
        let mut map = FdMap::default();
        let fds = [0, 1, 255, 256, 257, 70_000];
        for (fd, slot) in fds.into_iter().zip(0..) {
            assert_eq!(map.get(fd), None);
            map.insert(fd, key(slot));
        }
        map.remove(256);
        map.remove(256);
        map.remove(3);
        let found = fds.map(|fd| map.get(fd).map(|key| key.slot));
        assert_eq!(found, [Some(0), Some(1), Some(2), None, Some(4), Some(5)]);
        assert_eq!((map.get(2), map.get(-1), map.get(RawFd::MAX)), (None, None, None));
    }

    #[test]
    fn removed_descriptors_take_no_space() {
        let mut map = FdMap::default();
        // Miri takes a minute for more pages.
        for fd in 0..if cfg!(miri) { 300 } else { 10_000 } {
            map.insert(fd, key(1));
            assert_eq!(map.pages.iter().flatten().count(), 1);
            map.remove(fd);
        }
    }
}
