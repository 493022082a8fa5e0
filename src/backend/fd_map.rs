//! Numbers by descriptor. Pure: no OS.
//!
//! In pages: a kernel mostly gives the smallest free descriptor, but where none is used again (WASI) they grow. Pages
//! of which all have gone are given back when another is needed.

use std::os::fd::RawFd;

const PAGE: usize = 256;

#[derive(Default)]
pub(super) struct FdMap {
    pages: Vec<Option<Box<Page>>>,
}

struct Page {
    numbers: [Option<u32>; PAGE],
    /// How many there are.
    count: usize,
}

impl FdMap {
    pub(super) fn get(&self, fd: RawFd) -> Option<u32> {
        // A negative number is behind all pages.
        let index = fd as usize;
        self.pages.get(index / PAGE)?.as_ref()?.numbers[index % PAGE]
    }

    /// `fd` must be one that is open, and so not negative, and has no number here.
    pub(super) fn insert(&mut self, fd: RawFd, number: u32) {
        let index = fd as usize;
        while self.pages.len() <= index / PAGE {
            self.pages.push(None);
        }
        if self.pages[index / PAGE].is_none() {
            self.give_back();
        }
        let page = self.pages[index / PAGE].get_or_insert_with(Page::new);
        page.numbers[index % PAGE] = Some(number);
        page.count += 1;
    }

    fn give_back(&mut self) {
        for place in &mut self.pages {
            if place.as_ref().is_some_and(|page| page.count == 0) {
                *place = None;
            }
        }
    }

    pub(super) fn remove(&mut self, fd: RawFd) {
        let index = fd as usize;
        if let Some(Some(page)) = self.pages.get_mut(index / PAGE) {
            if page.numbers[index % PAGE].take().is_some() {
                page.count -= 1;
            }
        }
    }
}

impl Page {
    fn new() -> Box<Page> {
        Box::new(Page { numbers: [None; PAGE], count: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_descriptor_has_its_own_number() {
        let mut map = FdMap::default();
        let fds = [0, 1, 255, 256, 257, 70_000];
        for (fd, number) in fds.into_iter().zip(0..) {
            assert_eq!(map.get(fd), None);
            map.insert(fd, number);
        }
        map.remove(256);
        map.remove(256);
        map.remove(3);
        let found = fds.map(|fd| map.get(fd));
        assert_eq!(found, [Some(0), Some(1), Some(2), None, Some(4), Some(5)]);
        assert_eq!((map.get(2), map.get(-1), map.get(RawFd::MAX)), (None, None, None));
    }

    #[test]
    fn what_has_gone_takes_no_room() {
        let mut map = FdMap::default();
        for fd in 0..10_000 {
            map.insert(fd, 7);
            assert_eq!(map.pages.iter().flatten().count(), 1);
            map.remove(fd);
        }
    }
}
