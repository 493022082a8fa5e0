//! The deadlines of timers, in order. Pure: no clock.
//!
//! Most timers are set, and set again or cancelled before they are due. So a timer changes its [`Deadline`] alone, and
//! its entry of the heap stays where it is, unless the new deadline is earlier. The polling thread moves the entry to
//! the timer's deadline when the entry comes up, so once for each entry, however often the deadline has changed.
//!
//! Invariant: a timer with a deadline has an entry in the heap that is no later than the deadline, the one whose time
//! the timer knows; or the thread that has set the deadline is about to [insert](Deadlines::insert) one. All other
//! entries are stale, and never more than the timers and a constant.
//!
//! The lock of the heap comes before the lock of a deadline, which a thread holds for a few instructions.

#[cfg(all(test, wakeful_loom))]
use loom::sync::{Mutex, MutexGuard};
#[cfg(not(all(test, wakeful_loom)))]
use std::sync::{Mutex, MutexGuard};

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::BinaryHeap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::backend::{Slab, SlabKey};

/// How many stale entries are left in a small heap.
const SLACK: usize = 64;

/// When one timer is due. The timer shares it with the heap.
pub(crate) struct Deadline {
    times: Mutex<Times>,
}

struct Times {
    next: Option<Instant>,
    /// How long after a deadline the next one is; zero for none.
    period: Duration,
    /// Whether a deadline has passed since the timer was set.
    is_due: bool,
    /// The time of the timer's entry in the heap.
    entry: Option<Instant>,
}

impl Times {
    /// Returns the deadline, if no entry is early enough for it.
    #[inline]
    fn without_entry(&self) -> Option<Instant> {
        self.next.filter(|next| self.entry.map_or(true, |entry| *next < entry))
    }

    /// Ends the wait for `deadline`, and begins the one for the next, if the timer has a period.
    fn expire(&mut self, deadline: Instant, now: Instant) {
        self.is_due = true;
        let (late, period) = (now.saturating_duration_since(deadline).as_nanos(), self.period.as_nanos());
        // The phase is kept, and deadlines that were missed aren't made up for.
        self.next = late.checked_div(period).and_then(|missed| {
            let ahead = (missed + 1).checked_mul(period)?;
            let secs = u64::try_from(ahead / NANOS_PER_SEC).ok()?;
            deadline.checked_add(Duration::new(secs, (ahead % NANOS_PER_SEC) as u32))
        });
    }
}

const NANOS_PER_SEC: u128 = 1_000_000_000;

impl Deadline {
    pub(crate) fn new() -> Deadline {
        let times = Times { next: None, period: Duration::ZERO, is_due: false, entry: None };
        Deadline { times: Mutex::new(times) }
    }

    /// Sets the deadline, or ends the wait. Returns whether the timer has to be [inserted](Deadlines::insert).
    #[must_use]
    #[inline]
    pub(crate) fn set(&self, next: Option<Instant>, period: Duration) -> bool {
        let mut times = self.lock();
        (times.next, times.period, times.is_due) = (next, period, false);
        times.without_entry().is_some()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.lock().next
    }

    /// Returns whether a deadline has passed since the timer was set.
    pub(super) fn is_due(&self) -> bool {
        self.lock().is_due
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The timers, each with a value.
pub(super) struct Deadlines<T> {
    heap: BinaryHeap<Reverse<(Instant, SlabKey)>>,
    timers: Slab<Timer<T>>,
    count: usize,
}

struct Timer<T> {
    deadline: Arc<Deadline>,
    value: T,
}

/// The first of the timers.
#[derive(Debug, PartialEq, Eq)]
enum First {
    /// This one was due. Its wait has ended.
    Due(SlabKey),
    At(Instant),
    Never,
}

impl<T> Deadlines<T> {
    pub(super) fn new() -> Deadlines<T> {
        Deadlines { heap: BinaryHeap::new(), timers: Slab::new(), count: 0 }
    }

    /// Adds a timer, which has to be [inserted](Deadlines::insert) if it is set. Only this needs memory.
    pub(super) fn add(&mut self, deadline: Arc<Deadline>, value: T) -> SlabKey {
        self.count += 1;
        self.heap.reserve((self.most_entries() + 1).saturating_sub(self.heap.len()));
        deadline.lock().entry = None;
        self.timers.insert(Timer { deadline, value })
    }

    pub(super) fn remove(&mut self, timer: SlabKey) -> Option<T> {
        let removed = self.timers.remove(timer)?;
        self.count -= 1;
        Some(removed.value)
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn get_mut(&mut self, timer: SlabKey) -> Option<(&Deadline, &mut T)> {
        self.timers.get_mut(timer).map(|timer| (&*timer.deadline, &mut timer.value))
    }

    /// Makes an entry for a timer's deadline, if it needs one. Returns whether it is now the first of all.
    pub(super) fn insert(&mut self, timer: SlabKey) -> bool {
        let Some(found) = self.timers.get(timer) else { return false };
        let mut times = found.deadline.lock();
        let Some(next) = times.without_entry() else { return false };
        times.entry = Some(next);
        drop(times);
        let is_first = self.heap.peek().map_or(true, |Reverse((first, _))| next < *first);
        self.heap.push(Reverse((next, timer)));
        if self.heap.len() > self.most_entries() {
            self.rebuild();
        }
        is_first
    }

    fn most_entries(&self) -> usize {
        2 * self.count + SLACK
    }

    /// Returns the first deadline. It may have passed.
    pub(super) fn first(&mut self) -> Option<Instant> {
        match self.settle(None) {
            First::At(time) => Some(time),
            _ => None,
        }
    }

    /// Ends the wait of the timer with the first deadline, if that has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<SlabKey> {
        match self.settle(Some(now)) {
            First::Due(timer) => Some(timer),
            _ => None,
        }
    }

    /// Removes stale entries from the top and moves those that are early, until the top is a timer's deadline, or is
    /// later than `now`.
    fn settle(&mut self, now: Option<Instant>) -> First {
        while let Some(mut top) = self.heap.peek_mut() {
            let Reverse((time, timer)) = *top;
            if now.is_some_and(|now| now < time) {
                return First::At(time);
            }
            let mut times = self.timers.get(timer).map(|timer| timer.deadline.lock());
            let Some(times) = times.as_mut().filter(|times| times.entry == Some(time)) else {
                PeekMut::pop(top);
                continue;
            };
            let is_exact = times.next == Some(time);
            match now {
                Some(now) if is_exact => times.expire(time, now),
                None if is_exact => return First::At(time),
                _ => {}
            }
            times.entry = times.next;
            match times.next {
                Some(next) => top.0 .0 = next,
                None => _ = PeekMut::pop(top),
            }
            if is_exact {
                return First::Due(timer);
            }
        }
        First::Never
    }

    /// Removes all stale entries. Those that are early stay, or the next deadline of each timer would need a new one.
    #[cold]
    fn rebuild(&mut self) {
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.clear();
        for slot in self.timers.slots() {
            let Some((key, timer)) = self.timers.entry_at(slot) else { continue };
            entries.extend(timer.deadline.lock().entry.map(|entry| Reverse((entry, key))));
        }
        self.heap = BinaryHeap::from(entries);
    }
}

#[cfg(all(test, wakeful_loom))]
mod loom_models;

#[cfg(all(test, not(wakeful_loom)))]
mod tests {
    use super::*;

    /// A list that is searched from end to end.
    #[derive(Default)]
    struct Model(Vec<(SlabKey, Instant)>);

    impl Model {
        fn set(&mut self, timer: SlabKey, next: Option<Instant>) {
            self.0.retain(|&(other, _)| other != timer);
            self.0.extend(next.map(|next| (timer, next)));
        }

        fn first(&self) -> Option<Instant> {
            self.0.iter().map(|&(_, next)| next).min()
        }
    }

    /// The timers of a queue, and what they share with it.
    struct Queue {
        deadlines: Deadlines<()>,
        timers: Vec<(SlabKey, Arc<Deadline>)>,
    }

    impl Queue {
        fn new(count: usize) -> Queue {
            let mut deadlines = Deadlines::new();
            let timers = (0..count).map(|_| Queue::add(&mut deadlines)).collect();
            Queue { deadlines, timers }
        }

        fn add(deadlines: &mut Deadlines<()>) -> (SlabKey, Arc<Deadline>) {
            let deadline = Arc::new(Deadline::new());
            (deadlines.add(Arc::clone(&deadline), ()), deadline)
        }

        /// Returns whether the heap has changed.
        fn set(&mut self, place: usize, next: Option<Instant>) -> bool {
            let (key, deadline) = &self.timers[place];
            let is_inserted = deadline.set(next, Duration::ZERO);
            if is_inserted {
                self.deadlines.insert(*key);
            }
            is_inserted
        }
    }

    #[test]
    fn random_deadlines_agree_with_a_list() {
        let start = Instant::now();
        for seed in 0..if cfg!(miri) { 3 } else { 60 } {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut queue, mut model) = (Queue::new(10), Model::default());
            let mut now = start;
            for _ in 0..if cfg!(miri) { 100 } else { 1000 } {
                let place = random.usize(..queue.timers.len());
                let key = queue.timers[place].0;
                match random.u8(..10) {
                    0 => {
                        assert!(queue.deadlines.remove(key).is_some());
                        model.set(key, None);
                        queue.timers[place] = Queue::add(&mut queue.deadlines);
                    }
                    1 | 2 => {
                        assert!(!queue.set(place, None), "cancelled without the heap");
                        model.set(key, None);
                    }
                    3..=7 => {
                        // Few different times, so that many are equal.
                        let next = now + Duration::from_nanos(random.u64(..20));
                        queue.set(place, Some(next));
                        model.set(key, Some(next));
                        assert_eq!(queue.timers[place].1.next(), Some(next));
                    }
                    _ => {
                        now += Duration::from_nanos(random.u64(..8));
                        while let Some(timer) = queue.deadlines.take_due(now) {
                            // In order.
                            let found = model.0.iter().find(|&&(other, _)| other == timer);
                            let (_, time) = *found.expect("a timer that was set");
                            assert!(Some(time) == model.first() && time <= now, "seed {seed}");
                            model.set(timer, None);
                        }
                        assert!(model.first().map_or(true, |first| first > now), "seed {seed}");
                    }
                }
                if random.bool() {
                    assert_eq!(queue.deadlines.first(), model.first(), "seed {seed}");
                }
                assert!(queue.deadlines.heap.len() <= 2 * queue.timers.len() + SLACK);
            }
        }
    }

    #[test]
    fn a_later_deadline_leaves_the_heap_alone() {
        let start = Instant::now();
        let mut queue = Queue::new(2);
        let at = |n| start + Duration::from_nanos(n);
        assert!(queue.set(0, Some(at(10))));
        for n in 10..100 {
            assert!(!queue.set(0, Some(at(n))));
            assert!(!queue.set(0, None));
        }
        assert!(!queue.set(0, Some(at(100))));
        assert_eq!(queue.deadlines.take_due(at(99)), None, "the entry comes up early, and is moved");
        assert_eq!(queue.deadlines.heap.len(), 1);
        assert_eq!(queue.deadlines.first(), Some(at(100)));
        assert!(queue.set(0, Some(at(50))), "earlier");
        assert_eq!(queue.deadlines.take_due(at(50)), Some(queue.timers[0].0));
        assert_eq!(queue.deadlines.take_due(at(200)), None);
        assert_eq!(queue.deadlines.first(), None);
    }

    #[test]
    fn a_timer_that_is_set_again_and_again_needs_no_memory() {
        let start = Instant::now();
        // Stale entries are removed several times.
        let (count, rounds) = if cfg!(miri) { (10, 20) } else { (100, 100) };
        let mut queue = Queue::new(count);
        let capacity = queue.deadlines.heap.capacity();
        for round in 0..rounds {
            for place in 0..count {
                // Ever earlier, which is the case with the most entries.
                let next = start + Duration::from_nanos(1_000_000 - round * 100 - place as u64);
                assert!(queue.set(place, Some(next)));
                queue.set(place, None);
            }
            assert_eq!(queue.deadlines.heap.capacity(), capacity);
        }
        assert_eq!(queue.deadlines.first(), None);
    }

    #[test]
    fn the_timers_of_equal_deadlines_are_all_due() {
        let start = Instant::now();
        let mut queue = Queue::new(5);
        let then = start + Duration::from_nanos(7);
        (0..5).for_each(|place| _ = queue.set(place, Some(then)));
        assert_eq!(queue.deadlines.take_due(start), None);
        let mut due: Vec<SlabKey> = std::iter::from_fn(|| queue.deadlines.take_due(then)).collect();
        due.sort();
        assert_eq!(due, queue.timers.iter().map(|timer| timer.0).collect::<Vec<_>>());
    }

    #[test]
    fn a_period_keeps_its_phase() {
        let start = Instant::now();
        let mut queue = Queue::new(1);
        let (key, deadline) = (queue.timers[0].0, Arc::clone(&queue.timers[0].1));
        let at = |n| start + Duration::from_nanos(n);
        assert!(deadline.set(Some(at(10)), Duration::from_nanos(7)));
        queue.deadlines.insert(key);
        for (now, next) in [(10, 17), (23, 24), (24, 31), (100, 101)] {
            assert_eq!(queue.deadlines.take_due(at(now)), Some(key));
            assert_eq!(queue.deadlines.take_due(at(now)), None, "what was missed is one");
            assert_eq!(deadline.next(), Some(at(next)));
        }
        // A period whose end no clock reaches.
        assert!(deadline.set(Some(at(10)), Duration::MAX));
        queue.deadlines.insert(key);
        assert_eq!(queue.deadlines.take_due(at(100)), Some(key));
        assert!(deadline.is_due());
        assert_eq!((deadline.next(), queue.deadlines.first()), (None, None));
    }
}
