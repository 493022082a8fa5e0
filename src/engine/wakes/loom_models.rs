//! The wakers' protocol under loom, in every interleaving and with every value that the memory model allows a load to
//! read: `cargo xtask loom`.
//!
//! A lost wake is a poller that sleeps for ever, which loom reports as a deadlock.
//!
//! Invariant: the data that a waker publishes is written and read with relaxed order, so only the protocol can make it
//! visible.

use super::*;
use loom::sync::atomic::AtomicUsize;
use loom::sync::Condvar;
use loom::thread;

/// A kernel in which one thread sleeps until it is notified. Notifications merge, as those of an eventfd do.
struct Kernel {
    is_notified: Mutex<bool>,
    changed: Condvar,
}

impl Kernel {
    fn new() -> Arc<Kernel> {
        Arc::new(Kernel { is_notified: Mutex::new(false), changed: Condvar::new() })
    }

    fn notify(&self) {
        *self.is_notified.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn sleep(&self) {
        let mut is_notified = self.is_notified.lock().unwrap();
        while !*is_notified {
            is_notified = self.changed.wait(is_notified).unwrap();
        }
        *is_notified = false;
    }

    fn clear(&self) {
        *self.is_notified.lock().unwrap() = false;
    }
}

/// Does the steps of `Poll::poll` without a timeout that concern wakes, with room for `room` events.
fn poll(wakes: &Wakes, kernel: &Kernel, room: usize) -> Vec<Token> {
    let mut tokens = Vec::new();
    while tokens.is_empty() {
        if wakes.enter() {
            kernel.sleep();
        } else {
            kernel.clear();
        }
        take(wakes, kernel, room, &mut tokens);
    }
    tokens
}

/// Does the same with a timeout of zero.
fn poll_now(wakes: &Wakes, kernel: &Kernel) -> Vec<Token> {
    let mut tokens = Vec::new();
    kernel.clear();
    if wakes.is_pending() {
        take(wakes, kernel, usize::MAX, &mut tokens);
    }
    tokens
}

fn take(wakes: &Wakes, kernel: &Kernel, room: usize, tokens: &mut Vec<Token>) {
    let left = wakes.deliver(wakes.leave(), room, |token| tokens.push(token)).without_timers();
    if !left.is_none() && wakes.keep(left) {
        notify(wakes, kernel);
    }
}

fn wake(wakes: &Wakes, kernel: &Kernel, slot: &Slot) {
    if wakes.raise(slot) {
        notify(wakes, kernel);
    }
}

fn notify(wakes: &Wakes, kernel: &Kernel) {
    kernel.notify();
    wakes.notify_done(true);
}

#[test]
fn a_wake_is_never_lost_and_publishes() {
    loom::model(|| {
        let (wakes, kernel) = (Arc::new(Wakes::new()), Kernel::new());
        let data = Arc::new(AtomicUsize::new(0));
        let slot = wakes.add(Token(1));

        let waker = {
            let (wakes, kernel, data) = (wakes.clone(), kernel.clone(), data.clone());
            thread::spawn(move || {
                data.store(7, Ordering::Relaxed);
                wake(&wakes, &kernel, &slot);
            })
        };
        assert_eq!(poll(&wakes, &kernel, 8), [Token(1)]);
        assert_eq!(data.load(Ordering::Relaxed), 7);
        waker.join().unwrap();
    });
}

#[test]
fn a_retry_after_a_failed_notification_is_not_lost() {
    loom::model(|| {
        let (wakes, kernel) = (Arc::new(Wakes::new()), Kernel::new());
        let slot = wakes.add(Token(1));

        let waker = {
            let (wakes, kernel) = (wakes.clone(), kernel.clone());
            thread::spawn(move || {
                if wakes.raise(&slot) {
                    // The kernel refuses.
                    wakes.notify_done(false);
                    wake(&wakes, &kernel, &slot);
                }
            })
        };
        assert_eq!(poll(&wakes, &kernel, 8), [Token(1)]);
        waker.join().unwrap();
    });
}

/// The kernel refuses one waker's notification. The other waker's wake, which returns `Ok`, must end the sleep.
#[test]
fn a_wake_beside_a_failed_notification_is_not_lost() {
    loom::model(|| {
        let (wakes, kernel) = (Arc::new(Wakes::new()), Kernel::new());
        let [refused, other] = [0, 1].map(|n| wakes.add(Token(n)));

        let refused = {
            let wakes = wakes.clone();
            thread::spawn(move || {
                if wakes.raise(&refused) {
                    // The kernel refuses.
                    wakes.notify_done(false);
                }
            })
        };
        let waker = {
            let (wakes, kernel) = (wakes.clone(), kernel.clone());
            thread::spawn(move || wake(&wakes, &kernel, &other))
        };
        while !poll(&wakes, &kernel, 8).contains(&Token(1)) {}
        refused.join().unwrap();
        waker.join().unwrap();
    });
}

/// As before, but a notification that succeeds ends late, in the next sleep. It must not hide the failure there.
#[test]
fn a_notification_of_the_last_sleep_hides_no_failure() {
    loom::model(|| {
        let (wakes, kernel) = (Arc::new(Wakes::new()), Kernel::new());
        let [refused, other] = [0, 1].map(|n| wakes.add(Token(n)));
        // A notification of the sleep before.
        assert!(wakes.enter() && wakes.raise(&other));
        let _ = wakes.deliver(wakes.leave(), 8, |_| ());

        let refused = {
            let wakes = wakes.clone();
            thread::spawn(move || {
                if wakes.raise(&refused) {
                    wakes.notify_done(false);
                }
            })
        };
        let waker = {
            let (wakes, kernel) = (wakes.clone(), kernel.clone());
            thread::spawn(move || {
                wakes.notify_done(true);
                wake(&wakes, &kernel, &other);
            })
        };
        while !poll(&wakes, &kernel, 8).contains(&Token(1)) {}
        refused.join().unwrap();
        waker.join().unwrap();
    });
}

#[test]
fn two_wakers_are_both_reported_and_both_publish() {
    loom::model(|| {
        let (wakes, kernel) = (Arc::new(Wakes::new()), Kernel::new());
        let data = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);

        let wakers = [0, 1].map(|n| {
            let (wakes, kernel, data) = (wakes.clone(), kernel.clone(), data.clone());
            let slot = wakes.add(Token(n));
            thread::spawn(move || {
                data[n].store(7, Ordering::Relaxed);
                wake(&wakes, &kernel, &slot);
            })
        });
        let mut seen = [false; 2];
        while seen != [true; 2] {
            for Token(n) in poll(&wakes, &kernel, 8) {
                assert_eq!(data[n].load(Ordering::Relaxed), 7);
                seen[n] = true;
            }
        }
        for waker in wakers {
            waker.join().unwrap();
        }
    });
}

#[test]
fn after_the_last_wake_there_is_an_event() {
    loom::model(|| {
        let (wakes, kernel) = (Arc::new(Wakes::new()), Kernel::new());
        let data = Arc::new(AtomicUsize::new(0));
        let slot = wakes.add(Token(1));

        let waker = {
            let (wakes, kernel, data) = (wakes.clone(), kernel.clone(), data.clone());
            thread::spawn(move || {
                for n in 1..=2 {
                    data.store(n, Ordering::Relaxed);
                    wake(&wakes, &kernel, &slot);
                }
            })
        };
        while data.load(Ordering::Relaxed) != 2 {
            poll(&wakes, &kernel, 8);
        }
        waker.join().unwrap();
    });
}

#[test]
fn a_poll_that_does_not_sleep_loses_nothing_for_the_next() {
    loom::model(|| {
        let (wakes, kernel) = (Arc::new(Wakes::new()), Kernel::new());
        let slot = wakes.add(Token(1));

        let waker = {
            let (wakes, kernel) = (wakes.clone(), kernel.clone());
            thread::spawn(move || wake(&wakes, &kernel, &slot))
        };
        if poll_now(&wakes, &kernel).is_empty() {
            assert_eq!(poll(&wakes, &kernel, 8), [Token(1)]);
        }
        waker.join().unwrap();
    });
}

#[test]
fn a_wake_without_room_is_reported_next() {
    loom::model(|| {
        let (wakes, kernel) = (Arc::new(Wakes::new()), Kernel::new());
        let [first, second] = [0, 1].map(|n| wakes.add(Token(n)));
        assert!(!wakes.raise(&first));

        let waker = {
            let (wakes, kernel) = (wakes.clone(), kernel.clone());
            thread::spawn(move || wake(&wakes, &kernel, &second))
        };
        let mut seen = [false; 2];
        while seen != [true; 2] {
            let tokens = poll(&wakes, &kernel, 1);
            assert_eq!(tokens.len(), 1);
            seen[tokens[0].0] = true;
        }
        waker.join().unwrap();
    });
}

#[test]
fn a_sleeper_on_the_descriptor_is_woken() {
    loom::model(|| {
        let (wakes, kernel) = (Arc::new(Wakes::new()), Kernel::new());
        let slot = wakes.add(Token(1));

        let waker = {
            let (wakes, kernel) = (wakes.clone(), kernel.clone());
            thread::spawn(move || wake(&wakes, &kernel, &slot))
        };
        if wakes.expose() {
            notify(&wakes, &kernel);
        }
        // Another poll watches this one's descriptor.
        kernel.sleep();
        assert_eq!(poll_now(&wakes, &kernel), [Token(1)]);
        waker.join().unwrap();
    });
}

#[test]
fn a_poll_that_failed_keeps_the_wake() {
    loom::model(|| {
        let (wakes, kernel) = (Arc::new(Wakes::new()), Kernel::new());
        let slot = wakes.add(Token(1));

        let waker = {
            let (wakes, kernel) = (wakes.clone(), kernel.clone());
            thread::spawn(move || wake(&wakes, &kernel, &slot))
        };
        // A signal ends the sleep at once.
        if wakes.enter() {
            wakes.abandon();
        }
        assert_eq!(poll(&wakes, &kernel, 8), [Token(1)]);
        waker.join().unwrap();
    });
}

/// A deadline that becomes the first while the poller begins to sleep: the poller sees it, or the sleep ends.
#[test]
fn a_deadline_is_seen_or_ends_the_sleep() {
    loom::model(|| {
        let (wakes, kernel) = (Arc::new(Wakes::new()), Kernel::new());
        let first = Arc::new(Mutex::new(None));
        let setter = {
            let (wakes, kernel, first) = (wakes.clone(), kernel.clone(), first.clone());
            thread::spawn(move || {
                *first.lock().unwrap() = Some(7);
                if wakes.raise_timers(false) {
                    notify(&wakes, &kernel);
                }
            })
        };
        // The steps of `sleep_beside_timers`.
        let mut is_seen = false;
        while !is_seen {
            let may_sleep = wakes.enter();
            is_seen = first.lock().unwrap().is_some();
            match may_sleep && !is_seen {
                true => kernel.sleep(),
                false => kernel.clear(),
            }
            take(&wakes, &kernel, usize::MAX, &mut Vec::new());
        }
        setter.join().unwrap();
    });
}
