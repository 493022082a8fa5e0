use std::fmt;
use std::io;
use std::sync::Arc;

use super::Registry;
use crate::engine::wakes::Slot;
use crate::engine::Engine;
use crate::readiness::Token;

/// Ends a [`Poll::poll`](crate::Poll::poll) from another thread, or keeps the next one from sleeping.
///
/// The poll then reports a readable event with the waker's token. A `Poll` may have any number of wakers, each with
/// a token of its own or not. To wake from several places, share one: `wake` takes `&self`.
///
/// # Guarantees
///
/// - After the last [`wake`](Waker::wake) there is at least one event. Wakes before a poll may merge into one.
/// - What a thread did before `wake` is visible to the thread that polls, once it sees the event.
/// - A wake makes a system call only if the poller sleeps, or if the poll's descriptor was given away
///   (`AsFd`, `AsRawFd` of [`Poll`](crate::Poll) and [`Registry`]): then somebody else may sleep on it.
/// - Once a waker is dropped, its token is reported no more.
/// - A waker may outlive its `Poll`: [`wake`](Waker::wake) then returns `Ok`, and there is no event. What the `Poll`
///   has opened stays open until the last waker is dropped, but its sources are free at once.
///
/// # Portability
///
/// All. After `fork` the child's copy of a waker acts on the child's copy of the `Poll`: it doesn't wake the parent.
/// Let the child write to a pipe that the parent has registered.
///
/// WASI has nothing by which one thread could end another's sleep. Without threads none is needed: a wake before a
/// `poll`, or between two, makes the next one return at once. With threads (`wasm32-wasip1-threads`) a sleep is cut
/// into slices of 10 ms, and a wake from another thread is found at the end of one.
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
    /// A waker for the `Poll` of `registry`, whose events have `token`.
    ///
    /// # Portability
    ///
    /// All. On WASI it ends no sleep: without threads there is nobody to sleep meanwhile, and with threads
    /// (`wasm32-wasip1-threads`) the sleeper finds the wake by itself, within 10 ms.
    ///
    /// # Errors
    ///
    /// The first waker of a `Poll` opens what the kernel needs to end a sleep, which fails when descriptors have run
    /// out (`EMFILE`, `ENFILE`).
    pub fn new(registry: &Registry, token: Token) -> io::Result<Waker> {
        let engine = Arc::clone(registry.engine());
        engine.selector.prepare_notify()?;
        let slot = engine.wakes.add(token);
        Ok(Waker { engine, slot })
    }

    /// Wakes the poll.
    ///
    /// # Errors
    ///
    /// Those of the system call that ends the sleep; none is known to happen. The wake is pending even then, for the
    /// next time that the poller comes by, and the next `wake` makes the system call again.
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
