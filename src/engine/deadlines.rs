//! The deadlines of timers, in order. Pure: no clock.
//!
//! A timer that is set, and set again later or cancelled before it is due, is what timers are mostly used for. So an
//! entry of the heap stays where it is when its timer moves to a later deadline: it is moved when it comes up.
//!
//! Invariant: a timer with a deadline has an entry in the heap that is no later than the deadline, the one whose time
//! the timer knows. All other entries are stale, and never more than the timers and a constant.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::backend::{Slab, SlabKey};

/// A time, in nanoseconds.
pub(super) type Nanos = u64;

/// Later than every deadline.
pub(super) const NEVER: Nanos = Nanos::MAX;

/// How many stale entries are left in a small heap.
const SLACK: usize = 64;

pub(super) struct Deadlines<T> {
    heap: BinaryHeap<Reverse<(Nanos, SlabKey)>>,
    timers: Slab<Timer<T>>,
    count: usize,
}

struct Timer<T> {
    deadline: Nanos,
    /// The time of its entry in the heap.
    entry: Nanos,
    value: T,
}

impl<T> Deadlines<T> {
    pub(super) fn new() -> Deadlines<T> {
        Deadlines { heap: BinaryHeap::new(), timers: Slab::new(), count: 0 }
    }

    /// Adds a timer without a deadline.
    pub(super) fn add(&mut self, value: T) -> SlabKey {
        self.count += 1;
        self.timers.insert(Timer { deadline: NEVER, entry: NEVER, value })
    }

    pub(super) fn remove(&mut self, timer: SlabKey) -> Option<T> {
        let removed = self.timers.remove(timer)?;
        self.count -= 1;
        Some(removed.value)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[inline]
    pub(super) fn get_mut(&mut self, timer: SlabKey) -> Option<&mut T> {
        self.timers.get_mut(timer).map(|timer| &mut timer.value)
    }

    /// Returns a timer's deadline; [`NEVER`] without one.
    pub(super) fn deadline(&self, timer: SlabKey) -> Nanos {
        self.timers.get(timer).map_or(NEVER, |timer| timer.deadline)
    }

    /// Sets a deadline, or none: [`NEVER`]. It may have passed.
    #[inline]
    pub(super) fn set(&mut self, timer: SlabKey, deadline: Nanos) {
        let Some(found) = self.timers.get_mut(timer) else { return };
        found.deadline = deadline;
        if deadline < found.entry {
            found.entry = deadline;
            self.heap.push(Reverse((deadline, timer)));
            if self.heap.len() > 2 * self.count + SLACK {
                self.rebuild();
            }
        }
    }

    /// Returns the first deadline; [`NEVER`] if there is none.
    pub(super) fn first(&mut self) -> Nanos {
        self.settle();
        self.heap.peek().map_or(NEVER, |&Reverse((time, _))| time)
    }

    /// Takes the first deadline if it has come: that timer has none afterwards. Returns the timer and the deadline.
    pub(super) fn take_due(&mut self, now: Nanos) -> Option<(SlabKey, Nanos)> {
        if self.first() > now {
            return None;
        }
        let Reverse((time, key)) = self.heap.pop()?;
        if let Some(timer) = self.timers.get_mut(key) {
            (timer.deadline, timer.entry) = (NEVER, NEVER);
        }
        Some((key, time))
    }

    /// Removes stale entries from the top, and moves those whose deadline is later.
    fn settle(&mut self) {
        while let Some(mut top) = self.heap.peek_mut() {
            let Reverse((time, key)) = *top;
            match self.timers.get_mut(key).filter(|timer| timer.entry == time) {
                Some(timer) if timer.deadline == time => return,
                Some(timer) if timer.deadline != NEVER => {
                    timer.entry = timer.deadline;
                    top.0 .0 = timer.deadline;
                }
                found => {
                    if let Some(timer) = found {
                        timer.entry = NEVER;
                    }
                    std::collections::binary_heap::PeekMut::pop(top);
                }
            }
        }
    }

    /// Makes the heap anew, of the timers that have a deadline.
    #[cold]
    fn rebuild(&mut self) {
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.clear();
        for slot in self.timers.slots() {
            let Some((key, timer)) = self.timers.entry_at(slot) else { continue };
            timer.entry = timer.deadline;
            if timer.deadline != NEVER {
                entries.push(Reverse((timer.deadline, key)));
            }
        }
        self.heap = BinaryHeap::from(entries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list that is searched from end to end.
    #[derive(Default)]
    struct Model(Vec<(SlabKey, Nanos)>);

    impl Model {
        fn set(&mut self, timer: SlabKey, deadline: Nanos) {
            self.0.retain(|&(other, _)| other != timer);
            if deadline != NEVER {
                self.0.push((timer, deadline));
            }
        }

        fn first(&self) -> Nanos {
            self.0.iter().map(|&(_, deadline)| deadline).min().unwrap_or(NEVER)
        }
    }

    #[test]
    fn random_deadlines_agree_with_a_list() {
        for seed in 0..if cfg!(miri) { 3 } else { 200 } {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut deadlines, mut model) = (Deadlines::new(), Model::default());
            let mut timers: Vec<SlabKey> = (0..10).map(|n| deadlines.add(n)).collect();
            let mut now = 0;
            for _ in 0..if cfg!(miri) { 100 } else { 1000 } {
                let place = random.usize(..timers.len());
                match random.u8(..10) {
                    0 => {
                        assert!(deadlines.remove(timers[place]).is_some());
                        model.set(timers[place], NEVER);
                        timers[place] = deadlines.add(0);
                    }
                    1 | 2 => {
                        deadlines.set(timers[place], NEVER);
                        model.set(timers[place], NEVER);
                    }
                    3..=7 => {
                        // Few different times, so that many are equal.
                        let deadline = now + random.u64(..20);
                        deadlines.set(timers[place], deadline);
                        model.set(timers[place], deadline);
                        assert_eq!(deadlines.deadline(timers[place]), deadline);
                    }
                    _ => {
                        now += random.u64(..8);
                        let mut last = 0;
                        while let Some((timer, time)) = deadlines.take_due(now) {
                            assert!(time >= last && time <= now, "seed {seed}");
                            assert!(model.0.contains(&(timer, time)), "seed {seed}");
                            model.set(timer, NEVER);
                            last = time;
                        }
                        assert!(model.first() > now, "seed {seed}");
                    }
                }
                if random.bool() {
                    assert_eq!(deadlines.first(), model.first(), "seed {seed}");
                }
                assert!(deadlines.heap.len() <= 2 * timers.len() + SLACK);
            }
        }
    }

    #[test]
    fn a_timer_that_is_set_again_and_again_needs_no_memory() {
        let mut deadlines = Deadlines::new();
        let timers: Vec<SlabKey> = (0..100).map(|n| deadlines.add(n)).collect();
        let mut capacity = 0;
        for round in 0..1000 {
            for (place, &timer) in timers.iter().enumerate() {
                // Ever earlier, which is the case with the most entries.
                deadlines.set(timer, 1_000_000 - round * 100 - place as u64);
                deadlines.set(timer, NEVER);
            }
            match round {
                10 => capacity = deadlines.heap.capacity(),
                11.. => assert_eq!(deadlines.heap.capacity(), capacity),
                _ => {}
            }
        }
        assert_eq!(deadlines.first(), NEVER);
    }

    #[test]
    fn the_timers_of_equal_deadlines_are_all_due() {
        let mut deadlines = Deadlines::new();
        let timers: Vec<SlabKey> = (0..5).map(|n| deadlines.add(n)).collect();
        timers.iter().for_each(|&timer| deadlines.set(timer, 7));
        assert_eq!((deadlines.take_due(6), deadlines.first()), (None, 7));
        let mut due: Vec<SlabKey> =
            std::iter::from_fn(|| deadlines.take_due(7)).map(|(timer, _)| timer).collect();
        due.sort();
        assert_eq!(due, timers);
    }
}
