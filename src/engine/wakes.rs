//! When a wake needs a system call: the protocol between `Waker::wake` and `Poll::poll`. No OS.
//!
//! One atomic word holds the whole state: whether the poller sleeps or is about to (POLLING), whether another poll may
//! watch this poll's own descriptor (EXPOSED), whether a notification of the kernel has failed (NOTIFY_FAILED), how
//! many threads are notifying the kernel (NOTIFYING), and, with a bit for each waker, which wakes are pending.
//!
//! ```text
//!   wake      or(own bit): if POLLING or EXPOSED is set, and no wake was pending, or NOTIFY_FAILED or NOTIFYING was:
//!             increment NOTIFYING in the same step, and notify the kernel
//!             ... or(NOTIFY_FAILED) if that fails: the next wake tries again
//!             decrement NOTIFYING
//!   poll      or(POLLING): if a wake is pending, don't sleep
//!             ... the kernel ...
//!             and(EXPOSED, NOTIFYING): what was pending is reported
//! ```
//!
//! Invariant: a wake returns without a system call only if a notification of the kernel has succeeded for it. While a
//! notification is under way, it may still fail, so another wake makes its own; NOTIFYING shows that. It is a count,
//! since a flag that one thread clears late would hide the notification of the next.
//!
//! Each step reads and writes in one: it sees the newest state, and joins the release sequence of the steps before it.
//! So everything that a waker did before `wake` is visible to the `poll` that reports it, although a second waker that
//! finds a wake pending makes no system call. A plain load or store on either side would lose wakes: on x86, a release
//! store and an acquire load lost 1 in 4,500. `loom_models` tries every interleaving.

#[cfg(all(test, wakeful_loom))]
use loom::sync::{
    atomic::{AtomicBool, AtomicUsize, Ordering},
    Mutex, MutexGuard,
};
#[cfg(not(all(test, wakeful_loom)))]
use std::sync::{
    atomic::{AtomicBool, AtomicUsize, Ordering},
    Mutex, MutexGuard,
};

use std::sync::{Arc, PoisonError};

use crate::readiness::Token;

const POLLING: usize = 1 << 0;
const EXPOSED: usize = 1 << 1;
const NOTIFY_FAILED: usize = 1 << 2;
/// NOTIFYING has the highest bits: it counts up to 65,535 threads that are inside the system call at once. One more
/// would start the count anew, and change no other bit.
const ONE_NOTIFYING: usize = 1 << (usize::BITS - 16);
const NOTIFYING: usize = !(ONE_NOTIFYING - 1);
/// The bits of wakers: all others.
const PENDING: usize = !(POLLING | EXPOSED | NOTIFY_FAILED | NOTIFYING);
const FIRST_BIT: u32 = PENDING.trailing_zeros();
/// Shared by all wakers that found no free bit; each of them has a flag in its slot.
const SHARED_BIT: u32 = ONE_NOTIFYING.trailing_zeros() - 1;
/// Ends a sleep because of a timer: no waker has it, so nothing is reported.
const TIMER_BIT: u32 = SHARED_BIT - 1;

/// The wakes of one `Poll`.
#[derive(Debug)]
pub(crate) struct Wakes {
    state: AtomicUsize,
    /// Boxed, to keep the fields that each poll reads adjacent.
    slots: Box<Mutex<Slots>>,
}

#[derive(Debug)]
struct Slots {
    /// The wakers with a bit of their own, by bit.
    own: [Option<Arc<Slot>>; usize::BITS as usize],
    shared: Vec<Arc<Slot>>,
    /// The bit with which the next delivery begins, and the index among the wakers that share one: without room for
    /// all, none starves.
    next_bit: u32,
    next_shared: usize,
}

/// One waker's place.
#[derive(Debug)]
pub(crate) struct Slot {
    token: Token,
    bit: u32,
    /// Whether this waker has woken, if it shares a bit.
    is_raised: AtomicBool,
}

impl Wakes {
    pub(crate) fn new() -> Wakes {
        const NO_SLOT: Option<Arc<Slot>> = None;
        Wakes {
            state: AtomicUsize::new(0),
            slots: Box::new(Mutex::new(Slots {
                own: [NO_SLOT; usize::BITS as usize],
                shared: Vec::new(),
                next_bit: FIRST_BIT,
                next_shared: 0,
            })),
        }
    }

    pub(crate) fn add(&self, token: Token) -> Arc<Slot> {
        let mut slots = self.slots();
        let free = (FIRST_BIT..TIMER_BIT).find(|&bit| slots.own[bit as usize].is_none());
        let bit = free.unwrap_or(SHARED_BIT);
        let slot = Arc::new(Slot { token, bit, is_raised: AtomicBool::new(false) });
        if bit == SHARED_BIT {
            slots.shared.push(Arc::clone(&slot));
        } else {
            slots.own[bit as usize] = Some(Arc::clone(&slot));
        }
        slot
    }

    /// Removes the slot: its token is no longer delivered.
    pub(crate) fn remove(&self, slot: &Arc<Slot>) {
        let mut slots = self.slots();
        if slot.bit == SHARED_BIT {
            slots.shared.retain(|other| !Arc::ptr_eq(other, slot));
        } else {
            slots.own[slot.bit as usize] = None;
            // A pending wake that stayed would be reported for the bit's next waker.
            self.state.fetch_and(!(1 << slot.bit), Ordering::AcqRel);
        }
    }

    /// Ends a sleep of the poller because of a timer, or, if `is_news`, has an awake poller look for timers. Returns
    /// the same as [`raise`](Wakes::raise).
    #[must_use]
    pub(crate) fn raise_timers(&self, is_news: bool) -> bool {
        self.change(|before| match is_news || before & POLLING != 0 {
            true => add_to_sleeper(before, 1 << TIMER_BIT),
            false => (before, false),
        })
    }

    /// Makes the slot's wake pending. If this returns true, the caller must notify the kernel and then call
    /// [`notify_done`](Wakes::notify_done).
    #[must_use]
    #[inline]
    pub(crate) fn raise(&self, slot: &Slot) -> bool {
        if slot.bit == SHARED_BIT {
            slot.is_raised.swap(true, Ordering::AcqRel);
        }
        self.add_pending(1 << slot.bit)
    }

    /// Ends the notification that [`raise`](Wakes::raise), [`keep`](Wakes::keep) or [`expose`](Wakes::expose) has
    /// required.
    #[inline]
    pub(crate) fn notify_done(&self, succeeded: bool) {
        if !succeeded {
            // Before the count, or a wake between the two would find neither a notification nor a failure.
            self.state.fetch_or(NOTIFY_FAILED, Ordering::AcqRel);
        }
        self.state.fetch_sub(ONE_NOTIFYING, Ordering::AcqRel);
    }

    /// Begins a sleep of the poller. Returns false if a wake is pending: then it must not sleep.
    #[must_use]
    #[inline]
    pub(crate) fn enter(&self) -> bool {
        self.state.fetch_or(POLLING, Ordering::AcqRel) & PENDING == 0
    }

    /// Ends a sleep of the poller. Returns the wakes that it must [deliver](Wakes::deliver).
    #[must_use]
    #[inline]
    pub(crate) fn leave(&self) -> Pending {
        Pending(self.state.fetch_and(EXPOSED | NOTIFYING, Ordering::AcqRel) & PENDING)
    }

    /// Ends a sleep of the poller that doesn't take the wakes: they stay pending.
    pub(crate) fn abandon(&self) {
        self.state.fetch_and(!POLLING, Ordering::AcqRel);
    }

    /// Returns whether a wake is pending, for a poller that has not slept.
    #[must_use]
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        // A wake that this load misses is not lost: the poller doesn't sleep, and the next `poll` finds it.
        self.state.load(Ordering::Acquire) & PENDING != 0
    }

    /// Passes the tokens of `pending` to `deliver`, at most `room`. Returns the wakes that found no room, and a change
    /// of the timers.
    #[must_use]
    pub(crate) fn deliver(&self, pending: Pending, room: usize, mut deliver: impl FnMut(Token)) -> Pending {
        let mut slots = self.slots();
        let mut left = pending.0;
        let mut room = room;
        // From `next_bit` up, then around.
        let mut rotated = left.rotate_right(slots.next_bit);
        while rotated != 0 {
            let bit = (rotated.trailing_zeros() + slots.next_bit) % usize::BITS;
            rotated &= rotated - 1;
            if room == 0 {
                slots.next_bit = bit;
                return Pending(left);
            }
            if bit == SHARED_BIT {
                if slots.deliver_shared(&mut room, &mut deliver) {
                    slots.next_bit = FIRST_BIT;
                    return Pending(left);
                }
            } else if let Some(slot) = &slots.own[bit as usize] {
                deliver(slot.token);
                room -= 1;
            } else if bit == TIMER_BIT {
                continue;
            }
            left &= !(1 << bit);
        }
        slots.next_bit = FIRST_BIT;
        Pending(left)
    }

    /// Makes wakes pending again. Returns the same as [`raise`](Wakes::raise).
    #[must_use]
    pub(crate) fn keep(&self, left: Pending) -> bool {
        self.add_pending(left.0)
    }

    /// Exposes the poll's descriptor: from now on each first wake must notify the kernel. Returns the same as
    /// [`raise`](Wakes::raise): true if a wake is pending.
    #[must_use]
    #[cfg_attr(not(unix), allow(dead_code))] // elsewhere a poll has no descriptor to lend
    pub(crate) fn expose(&self) -> bool {
        self.change(|before| (before | EXPOSED, before & PENDING != 0))
    }

    /// Returns whether another poller may sleep on the poll's descriptor.
    pub(crate) fn is_exposed(&self) -> bool {
        self.state.load(Ordering::Acquire) & EXPOSED != 0
    }

    #[inline]
    fn add_pending(&self, bits: usize) -> bool {
        let before = self.state.load(Ordering::Relaxed);
        // An awake poller is the common case, and the only one that is inlined.
        if before & (POLLING | EXPOSED) == 0 {
            let after = before | bits;
            if self.state.compare_exchange(before, after, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return false;
            }
        }
        self.add_pending_to_sleeper(bits)
    }

    #[inline(never)]
    fn add_pending_to_sleeper(&self, bits: usize) -> bool {
        self.change(|before| add_to_sleeper(before, bits))
    }

    /// Changes the state. If `change` returns that the kernel must be notified, the same step increments NOTIFYING.
    #[inline]
    fn change(&self, change: impl Fn(usize) -> (usize, bool)) -> bool {
        let mut before = self.state.load(Ordering::Relaxed);
        loop {
            let (after, notifies) = change(before);
            let after = if notifies { after.wrapping_add(ONE_NOTIFYING) } else { after };
            match self.state.compare_exchange_weak(before, after, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return notifies,
                Err(now) => before = now,
            }
        }
    }

    #[inline(never)]
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the state with bits that are pending, and whether the kernel must be notified of them.
fn add_to_sleeper(before: usize, bits: usize) -> (usize, bool) {
    let is_notified = before & PENDING != 0 && before & (NOTIFY_FAILED | NOTIFYING) == 0;
    (before | bits, before & (POLLING | EXPOSED) != 0 && !is_notified)
}

impl Slots {
    /// Delivers the wakes that share a bit. Returns whether some are left.
    fn deliver_shared(&mut self, room: &mut usize, deliver: &mut impl FnMut(Token)) -> bool {
        let (count, first) = (self.shared.len(), self.next_shared);
        for step in 0..count {
            let index = (first + step) % count;
            let slot = &self.shared[index];
            if *room == 0 {
                if slot.is_raised.load(Ordering::Acquire) {
                    self.next_shared = index;
                    return true;
                }
            } else if slot.is_raised.swap(false, Ordering::AcqRel) {
                deliver(slot.token);
                *room -= 1;
            }
        }
        self.next_shared = 0;
        false
    }
}

/// Wakes that were taken and must be delivered.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending(usize);

impl Pending {
    pub(crate) const NONE: Pending = Pending(0);

    #[inline]
    pub(crate) fn is_none(self) -> bool {
        self == Pending::NONE
    }

    /// Returns whether a change of the timers is pending.
    pub(crate) fn are_timers(self) -> bool {
        self.0 & 1 << TIMER_BIT != 0
    }

    pub(crate) fn without_timers(self) -> Pending {
        Pending(self.0 & !(1 << TIMER_BIT))
    }
}

#[cfg(all(test, wakeful_loom))]
mod loom_models;

#[cfg(all(test, not(wakeful_loom)))]
mod tests {
    use super::*;

    /// Polls for wakes alone. Returns the tokens, and whether some were left.
    fn take(wakes: &Wakes, room: usize) -> (Vec<Token>, bool) {
        let mut tokens = Vec::new();
        let left = wakes.deliver(wakes.leave(), room, |token| tokens.push(token));
        if !left.is_none() {
            let _ = wakes.keep(left);
        }
        (tokens, !left.is_none())
    }

    #[test]
    fn only_the_first_wake_of_a_sleeper_notifies() {
        let wakes = Wakes::new();
        let slot = wakes.add(Token(1));
        assert!(!wakes.raise(&slot), "the poller doesn't sleep");
        assert!(!wakes.enter(), "a wake is pending");
        assert_eq!(take(&wakes, 8), (vec![Token(1)], false));

        assert!(wakes.enter());
        assert!(wakes.raise(&slot));
        wakes.notify_done(true);
        assert!(!wakes.raise(&slot));
        assert_eq!(take(&wakes, 8), (vec![Token(1)], false));
    }

    /// The first notification may still fail, and then the second wake would have returned `Ok` wrongly.
    #[test]
    fn a_wake_during_a_notification_makes_another() {
        let wakes = Wakes::new();
        let slots = [0, 1].map(|n| wakes.add(Token(n)));
        assert!(wakes.enter());
        assert!(wakes.raise(&slots[0]));
        assert!(wakes.raise(&slots[1]));
        wakes.notify_done(true);
        assert!(wakes.raise(&slots[1]), "the other one is still under way");
        wakes.notify_done(true);
        wakes.notify_done(true);
        assert!(!wakes.raise(&slots[1]));
        assert_eq!(take(&wakes, 8).0, [Token(0), Token(1)]);
        assert_eq!(wakes.state.load(Ordering::Relaxed), 0);
    }

    /// The count shares no bit with the wakers.
    #[test]
    fn many_notifications_change_no_other_bit() {
        let wakes = Wakes::new();
        let slots: Vec<_> = (0..100).map(|n| wakes.add(Token(n))).collect();
        assert!(wakes.enter());
        for slot in slots.iter().cycle().take(1000) {
            assert!(wakes.raise(slot));
        }
        (0..1000).for_each(|_| wakes.notify_done(true));
        assert_eq!(wakes.state.load(Ordering::Relaxed), POLLING | PENDING & !(1 << TIMER_BIT));
        assert_eq!(take(&wakes, 100).0.len(), 100);
    }

    #[test]
    fn each_first_wake_of_an_exposed_poll_notifies() {
        let wakes = Wakes::new();
        let slot = wakes.add(Token(1));
        assert!(!wakes.expose());
        for _ in 0..3 {
            assert!(wakes.raise(&slot));
            wakes.notify_done(true);
            assert!(!wakes.raise(&slot), "it has not been polled since");
            assert_eq!(take(&wakes, 8).0, [Token(1)]);
        }
    }

    #[test]
    fn the_next_wake_retries_a_failed_notification() {
        let wakes = Wakes::new();
        let slots = [0, 1].map(|n| wakes.add(Token(n)));
        assert!(wakes.enter());
        assert!(wakes.raise(&slots[0]));
        wakes.notify_done(false);
        assert!(wakes.raise(&slots[0]), "tried again");
        wakes.notify_done(false);
        assert!(wakes.raise(&slots[1]), "or by another");
        wakes.notify_done(true);
        assert_eq!(take(&wakes, 8).0, [Token(0), Token(1)]);

        assert!(wakes.enter());
        assert!(wakes.raise(&slots[0]));
        wakes.notify_done(true);
        assert!(!wakes.raise(&slots[0]), "the failure is over");
    }

    #[test]
    fn exposing_notifies_of_a_pending_wake() {
        let wakes = Wakes::new();
        let slot = wakes.add(Token(1));
        assert!(!wakes.raise(&slot));
        assert!(wakes.expose());
    }

    #[test]
    fn a_wake_without_room_notifies_an_exposed_polls_watcher() {
        let wakes = Wakes::new();
        let slots = [0, 1].map(|n| wakes.add(Token(n)));
        let _ = wakes.expose();
        for slot in &slots {
            if wakes.raise(slot) {
                wakes.notify_done(true);
            }
        }
        let left = wakes.deliver(wakes.leave(), 1, |_| ());
        assert!(wakes.keep(left));
    }

    /// More wakers than there are bits, all of them always awake.
    #[test]
    fn without_room_for_all_each_gets_its_turn() {
        // Miri takes an hour for all: there only a few wakers share the last bit.
        let (count, polls, rooms) = match cfg!(miri) {
            true => (usize::BITS as usize + 2, 100, &[7][..]),
            false => (2 * usize::BITS as usize, 4 * (usize::BITS as usize).pow(2), &[1, 2, 7][..]),
        };
        let wakes = Wakes::new();
        let slots: Vec<_> = (0..count).map(|n| wakes.add(Token(n))).collect();
        for &room in rooms {
            let mut seen = vec![0; count];
            for _ in 0..polls {
                for slot in &slots {
                    let _ = wakes.raise(slot);
                }
                let (tokens, left) = take(&wakes, room);
                assert!(left);
                assert_eq!(tokens.len(), room);
                for token in tokens {
                    seen[token.0] += 1;
                }
            }
            assert!(seen.iter().all(|&times| times > 0), "room {room}: {seen:?}");
        }
    }

    #[test]
    fn each_of_many_wakers_is_itself() {
        let wakes = Wakes::new();
        let slots: Vec<_> = (0..if cfg!(miri) { 70 } else { 200 }).map(|n| wakes.add(Token(n))).collect();
        for (n, slot) in slots.iter().enumerate() {
            let _ = wakes.raise(slot);
            assert_eq!(take(&wakes, 8), (vec![Token(n)], false));
        }
    }

    #[test]
    fn a_removed_slot_is_not_delivered_and_its_bit_is_free() {
        let wakes = Wakes::new();
        for n in 0..if cfg!(miri) { 10 } else { 500 } {
            let slot = wakes.add(Token(n));
            assert_eq!(slot.bit, FIRST_BIT);
            let _ = wakes.raise(&slot);
            wakes.remove(&slot);
            assert_eq!(take(&wakes, 8), (vec![], false));
        }
    }

    /// Whether there is room or not.
    #[test]
    fn a_change_of_the_timers_is_returned() {
        let wakes = Wakes::new();
        let slot = wakes.add(Token(1));
        assert!(wakes.enter());
        assert!(wakes.raise_timers(false), "it sleeps");
        let _ = wakes.raise(&slot);
        let left = wakes.deliver(wakes.leave(), 8, |token| assert_eq!(token, Token(1)));
        assert!(left.are_timers() && left.without_timers().is_none());

        assert!(!wakes.raise_timers(false) && wakes.leave().is_none(), "no news, and it is awake");
        assert!(!wakes.raise_timers(true) && !wakes.raise(&slot));
        let left = wakes.deliver(wakes.leave(), 0, |_| unreachable!());
        assert!(left.are_timers() && !left.without_timers().is_none());
    }

    #[test]
    fn an_abandoned_poll_keeps_the_wake() {
        let wakes = Wakes::new();
        let slot = wakes.add(Token(1));
        assert!(wakes.enter());
        assert!(wakes.raise(&slot));
        wakes.abandon();
        assert!(wakes.is_pending());
        assert_eq!(take(&wakes, 8).0, [Token(1)]);
        wakes.abandon();
        assert!(wakes.enter(), "abandoning an awake poller changes nothing");
    }
}
