//! Where the thread of a task waits for its turn, and how a turn goes from one thread to another.
//!
//! Invariant: of the threads in the seats of a world, one runs at a time.

use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

/// Where the thread of a task waits for its turn.
///
/// All seats of a world are of one type. The threads of a world use them by themselves: a package that knows a faster
/// way from one thread to another implements this trait, and passes its type to [`seat_tasks_by`].
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

/// Sets what makes the seats of tasks from now on. The first call in a process counts, and later ones have no effect.
///
/// # Portability
///
/// Available everywhere. Without a call the kernel blocks and wakes the threads.
///
/// # Examples
///
/// ```
/// use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
/// use std::sync::{Arc, Mutex};
/// use wakeful::sim::{seat_tasks_by, Seat};
///
/// /// A seat that is called by a message.
/// struct ChannelSeat {
///     calls: SyncSender<()>,
///     called: Mutex<Receiver<()>>,
/// }
///
/// impl Seat for ChannelSeat {
///     fn wait(&self) {
///         self.called.lock().unwrap().recv().unwrap();
///     }
///
///     fn call(&self) {
///         self.calls.send(()).unwrap();
///     }
/// }
///
/// seat_tasks_by(|| {
///     let (calls, called) = sync_channel(1);
///     Arc::new(ChannelSeat { calls, called: Mutex::new(called) })
/// });
/// ```
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
