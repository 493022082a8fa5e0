//! The lock of a deadline and the lock of the heap under loom, in every interleaving: `cargo xtask loom`.
//!
//! Invariant: of two threads that set one timer while the polling thread moves its entry, the last one wins.

use super::*;
use loom::thread;

/// The locked heap of one timer, and the timer.
struct Shared {
    deadlines: Mutex<Deadlines<()>>,
    deadline: Arc<Deadline>,
    key: SlabKey,
    start: Instant,
}

impl Shared {
    /// The deadline is at 2 at first.
    fn new() -> Arc<Shared> {
        let deadline = Arc::new(Deadline::new());
        let mut deadlines = Deadlines::new();
        let key = deadlines.add(Arc::clone(&deadline), ());
        let deadlines = Mutex::new(deadlines);
        let shared = Arc::new(Shared { deadlines, deadline, key, start: Instant::now() });
        shared.set(Some(2));
        shared
    }

    fn at(&self, nanos: u64) -> Instant {
        self.start + Duration::from_nanos(nanos)
    }

    fn set(&self, nanos: Option<u64>) {
        if self.deadline.set(nanos.map(|nanos| self.at(nanos)), Duration::ZERO) {
            self.deadlines.lock().unwrap().insert(self.key);
        }
    }

    fn is_due(&self, now: u64) -> bool {
        self.deadlines.lock().unwrap().take_due(self.at(now)).is_some()
    }

    fn first(&self) -> Option<Instant> {
        self.deadlines.lock().unwrap().first()
    }
}

/// Sets the timer in another thread while this one polls.
fn race(set: impl Fn(&Shared) + Send + 'static, poll: impl Fn(&Shared)) -> Arc<Shared> {
    let shared = Shared::new();
    let setter = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || set(&shared))
    };
    poll(&shared);
    setter.join().unwrap();
    shared
}

#[test]
fn a_later_deadline_is_kept_while_its_entry_comes_up() {
    loom::model(|| {
        let shared = race(|shared| shared.set(Some(9)), |shared| _ = shared.is_due(5));
        assert_eq!(shared.first(), Some(shared.at(9)));
        assert!(!shared.is_due(8) && shared.is_due(9) && !shared.is_due(9));
    });
}

#[test]
fn a_deadline_that_is_set_after_a_cancel_is_kept() {
    loom::model(|| {
        let set = |shared: &Shared| {
            shared.set(None);
            shared.set(Some(4));
        };
        let shared = race(set, |shared| {
            shared.first();
            shared.is_due(3);
        });
        assert!(!shared.is_due(3) && shared.is_due(4) && !shared.is_due(9));
    });
}

#[test]
fn a_cancelled_deadline_is_gone() {
    loom::model(|| {
        let shared = race(|shared| shared.set(None), |shared| _ = shared.is_due(5));
        assert!(!shared.is_due(9) && !shared.deadline.is_due());
        assert_eq!(shared.first(), None);
    });
}

#[test]
fn two_threads_set_one_timer() {
    loom::model(|| {
        let shared = race(|shared| shared.set(Some(1)), |shared| shared.set(Some(0)));
        let last = shared.deadline.next().unwrap();
        assert_eq!(shared.first(), Some(last));
        assert!(shared.is_due(1) && !shared.is_due(9));
    });
}
