//! Where the thread of a task waits for its turn, and how a turn goes from one thread to another.
//!
//! Invariant: of the threads in the seats of a world, one runs at a time.

use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

/// Where the thread of a task waits for its turn.
///
/// All seats of a world are of one type.
pub trait Seat: Send + Sync {
    /// Blocks the calling thread, whose seat this is, until the seat is called. A call may come first.
    fn wait(&self);

    /// Calls the thread of this seat. The calling thread has none, or waits in it for no further turn.
    fn call(&self);

    /// Calls the thread of another seat, and waits in this one.
    fn hand_over(&self, next: &dyn Seat) {
        next.call();
        self.wait();
    }

    /// Prepares the calling thread, whose seat this is, for its end.
    fn leave(&self) {}
}

/// What makes the seat of a new task.
static NEW: OnceLock<fn() -> Arc<dyn Seat>> = OnceLock::new();

/// Sets what makes the seats of tasks from now on: a package may know a faster way from one thread to another than the
/// kernel's. The first call counts.
pub fn seat_tasks_by(new: fn() -> Arc<dyn Seat>) {
    let _ = NEW.set(new);
}

/// Returns what makes the seats of a world.
pub(super) fn maker() -> fn() -> Arc<dyn Seat> {
    NEW.get().copied().unwrap_or(|| Arc::new(ThreadSeat::default()))
}

/// A seat whose thread the kernel blocks.
#[derive(Default)]
struct ThreadSeat {
    is_called: Mutex<bool>,
    called: Condvar,
}

impl Seat for ThreadSeat {
    fn wait(&self) {
        let mut is_called = self.is_called.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_called {
            is_called = self.called.wait(is_called).unwrap_or_else(PoisonError::into_inner);
        }
        *is_called = false;
    }

    fn call(&self) {
        *self.is_called.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.called.notify_one();
    }
}
