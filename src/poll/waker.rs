//! `Waker`: ends a `poll` from another thread.
//!
//! Invariant: a waker holds the engine and its own slot there, so it works, without effect, after its `Poll` has gone.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::Registry;
use crate::engine::wakes::Slot;
use crate::engine::Engine;
use crate::readiness::Token;

/// Wakes a `Poll` from any thread: ends a [`poll`](crate::Poll::poll) that sleeps, or keeps the next one from sleeping.
///
/// That `poll` reports a readable event with the waker's token. A `Poll` can have any number of wakers, and several
/// wakers can have the same token. To wake from several places, share one waker: `wake` takes `&self`.
///
/// # Guarantees
///
/// - At least one event follows the last [`wake`](Waker::wake). Wakes before a poll can merge into one event.
/// - Everything that a thread did before `wake` is visible to the polling thread once it sees the event.
/// - A wake makes a system call only if the polling thread sleeps, or if the program has obtained the descriptor of the
///   `Poll` (`AsFd`, `AsRawFd` of [`Poll`](crate::Poll) and [`Registry`]), on which another poller may sleep.
/// - Once a waker has been dropped, its token is no longer reported.
/// - A waker can outlive its `Poll`: [`wake`](Waker::wake) then returns `Ok`, and no event follows. The kernel's
///   objects of the `Poll` stay open until its last waker is dropped, but its sources are free at once.
///
/// # Portability
///
/// Available everywhere. After `fork`, the child's copy of a waker acts on the child's copy of the `Poll`: it doesn't
/// wake the parent. Let the child write to a pipe that the parent has registered.
///
/// On WASI a thread has no way to end another thread's sleep. Without threads none is needed: a wake before a `poll`,
/// or between two, makes the next one return at once. With threads (`wasm32-wasip1-threads`) `poll` sleeps in slices
/// of 10 ms, and finds a wake from another thread at the end of a slice.
///
/// # Examples
///
/// ```
/// use std::thread;
/// use wakeful::{Events, Poll, Token, Waker};
///
/// const WAKE: Token = Token(10);
///
/// # fn main() -> std::io::Result<()> {
/// let mut poll = Poll::new()?;
/// let mut events = Events::with_capacity(2);
/// let waker = Waker::new(poll.registry(), WAKE)?;
///
/// let thread = thread::spawn(move || waker.wake().map(|()| waker));
/// poll.poll(&mut events, None)?;
/// assert_eq!(events.iter().next().map(|event| event.token()), Some(WAKE));
/// # thread.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
pub struct Waker {
    engine: Arc<Engine>,
    slot: Arc<Slot>,
}

impl Waker {
    /// Creates a waker for the `Poll` of `registry`, whose events have `token`.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE`: out of descriptors. The first waker of a `Poll` opens the object by which the kernel ends a
    /// sleep.
    ///
    /// # Portability
    ///
    /// On WASI a waker cannot interrupt a blocked `poll`. Without threads no `poll` can block meanwhile; with threads
    /// (`wasm32-wasip1-threads`) `poll` finds the wake within 10 ms.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Waker> {
        let engine = Arc::clone(registry.engine());
        engine.selector.prepare_notify()?;
        let slot = engine.wakes.add(token);
        Ok(Waker { engine, slot })
    }

    /// Wakes the `Poll`.
    ///
    /// # Errors
    ///
    /// Any error of the system call that ends the sleep; none is known to happen. The wake is pending nevertheless: the
    /// polling thread finds it when its sleep ends, and the next `wake` repeats the system call.
    #[inline]
    pub fn wake(&self) -> io::Result<()> {
        if self.engine.wakes.raise(&self.slot) {
            self.engine.notify()
        } else {
            Ok(())
        }
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        self.engine.wakes.remove(&self.slot);
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").field("slot", &self.slot).finish_non_exhaustive()
    }
}
