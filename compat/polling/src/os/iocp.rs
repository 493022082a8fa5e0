//! Windows: events that the program posts, and objects that the kernel signals.
//!
//! Invariant: each posted packet is one event, and a wake of a post ends no `wait` that has nothing to return.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, RawHandle};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wakeful::windows::{completion_port, Waitable};
use wakeful::Registry;

use crate::poller::translated;
use crate::{Event, Events, PollMode, Poller};

/// What a [`Poller`] can do on Windows alone.
pub trait PollerIocpExt: sealed::Poller {
    /// Posts an event, which the next [`wait`](Poller::wait) returns as it is. Each post is one event.
    ///
    /// ```
    /// use polling::os::iocp::{CompletionPacket, PollerIocpExt};
    /// use polling::{Event, Events, Poller};
    /// use std::sync::Arc;
    /// use std::thread;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let poller = Arc::new(Poller::new()?);
    /// let poster = Arc::clone(&poller);
    /// let thread = thread::spawn(move || poster.post(CompletionPacket::new(Event::readable(3))));
    ///
    /// let mut events = Events::new();
    /// poller.wait(&mut events, None)?;
    /// assert_eq!(events.iter().collect::<Vec<_>>(), [Event::readable(3)]);
    /// # thread.join().unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput`: the key is `usize::MAX`. Otherwise any error of the call that ends the wait of another thread:
    /// none is known to happen, and the event is pending even then.
    fn post(&self, packet: CompletionPacket) -> io::Result<()>;

    /// Adds an object by its handle: a process, a thread, an event, a semaphore. When the object is signalled, it is
    /// ready in each direction of the interest.
    ///
    /// A wait for an auto-reset event or a semaphore consumes the signal, so its event stands for that signal. In the
    /// edge-triggered mode an object that stays signalled has one event until
    /// [`modify_waitable`](PollerIocpExt::modify_waitable).
    ///
    /// # Safety
    ///
    /// The handle must be open, and must be [removed](PollerIocpExt::remove_waitable) before it is closed.
    ///
    /// # Errors
    ///
    /// - `AlreadyExists`: the handle has been added.
    /// - `InvalidInput`: the key is `usize::MAX`.
    /// - Otherwise the errors of `wakeful::windows::Waitable`, such as `Unsupported` for a mutex.
    #[allow(unsafe_code)] // polling's signature
    unsafe fn add_waitable(
        &self,
        handle: impl AsRawWaitable,
        interest: Event,
        mode: PollMode,
    ) -> io::Result<()>;

    /// Replaces key, interest and mode of an object, and arms it: an event follows if the object is signalled.
    ///
    /// An interest in no direction has no event. A signal that a wait consumes at that moment is lost.
    ///
    /// # Errors
    ///
    /// - `NotFound`: the handle has not been added.
    /// - `InvalidInput`: the key is `usize::MAX`.
    /// - Otherwise the errors of `wakeful::windows::Waitable`.
    fn modify_waitable(&self, handle: impl AsWaitable, interest: Event, mode: PollMode) -> io::Result<()>;

    /// Removes an object. No `wait` that starts afterwards reports it.
    ///
    /// # Errors
    ///
    /// `NotFound`: the handle has not been added.
    fn remove_waitable(&self, handle: impl AsWaitable) -> io::Result<()>;
}

/// A packet with an event, for [`post`](PollerIocpExt::post).
#[derive(Clone, Debug)]
pub struct CompletionPacket {
    event: Event,
}

impl CompletionPacket {
    /// Creates a packet with this event.
    #[must_use]
    pub fn new(event: Event) -> CompletionPacket {
        CompletionPacket { event }
    }

    /// Returns the event.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }
}

/// A handle that is borrowed without a lifetime, as [`add_waitable`](PollerIocpExt::add_waitable) takes it.
pub trait AsRawWaitable {
    /// Returns the handle.
    fn as_raw_handle(&self) -> RawHandle;
}

impl AsRawWaitable for RawHandle {
    fn as_raw_handle(&self) -> RawHandle {
        *self
    }
}

impl<T: AsRawHandle + ?Sized> AsRawWaitable for &T {
    fn as_raw_handle(&self) -> RawHandle {
        AsRawHandle::as_raw_handle(*self)
    }
}

/// A borrowed handle, as [`modify_waitable`](PollerIocpExt::modify_waitable) takes it.
pub trait AsWaitable: AsHandle {
    /// Returns the handle.
    fn as_waitable(&self) -> BorrowedHandle<'_> {
        self.as_handle()
    }
}

impl<T: AsHandle + ?Sized> AsWaitable for T {}

impl PollerIocpExt for Poller {
    fn post(&self, packet: CompletionPacket) -> io::Result<()> {
        trace!(event = ?packet.event, "post");
        translated(packet.event, PollMode::Oneshot)?;
        self.iocp.posts().queue.push_back(packet.event);
        self.waker.wake()
    }

    #[allow(unsafe_code)] // polling's signature
    unsafe fn add_waitable(
        &self,
        handle: impl AsRawWaitable,
        interest: Event,
        mode: PollMode,
    ) -> io::Result<()> {
        let raw = handle.as_raw_handle();
        trace!(handle = ?raw, ?interest, ?mode, "add a waitable");
        let mut waitables = self.iocp.waitables();
        let Entry::Vacant(vacant) = waitables.entry(raw as usize) else {
            return Err(ErrorKind::AlreadyExists.into());
        };
        // SAFETY: the caller's promise.
        let handle = unsafe { BorrowedHandle::borrow_raw(raw) };
        let mut added = Added { waitable: Waitable::new(handle)?, is_registered: false };
        added.change(&self.registry, interest, mode)?;
        vacant.insert(added);
        Ok(())
    }

    fn modify_waitable(&self, handle: impl AsWaitable, interest: Event, mode: PollMode) -> io::Result<()> {
        let raw = handle.as_waitable().as_raw_handle();
        trace!(handle = ?raw, ?interest, ?mode, "modify a waitable");
        let mut waitables = self.iocp.waitables();
        let added = waitables.get_mut(&(raw as usize)).ok_or(ErrorKind::NotFound)?;
        added.change(&self.registry, interest, mode)
    }

    fn remove_waitable(&self, handle: impl AsWaitable) -> io::Result<()> {
        let raw = handle.as_waitable().as_raw_handle();
        trace!(handle = ?raw, "remove a waitable");
        // Dropping it ends its registration.
        self.iocp.waitables().remove(&(raw as usize)).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

/// Lends the completion port, whose packets belong to the poller.
impl AsHandle for Poller {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        completion_port(&self.registry).expect("only a simulated `Poll` has no port")
    }
}

impl AsRawHandle for Poller {
    fn as_raw_handle(&self) -> RawHandle {
        self.as_handle().as_raw_handle()
    }
}

/// What a poller has on Windows alone.
#[derive(Default)]
pub(crate) struct State {
    posts: Mutex<Posts>,
    /// Whether a notification has come since the last `wait`: the waker wakes for posts too.
    is_notified: AtomicBool,
    /// By their handles.
    waitables: Mutex<HashMap<usize, Added>>,
}

#[derive(Default)]
struct Posts {
    queue: VecDeque<Event>,
    /// The last `wait` asked for the events of sources first, and had no space for all posts. The next returns posts
    /// alone, and the one after it asks for the events of sources again, so neither starves.
    are_first: bool,
}

/// An object that was added.
struct Added {
    waitable: Waitable,
    /// It isn't with an interest in no direction.
    is_registered: bool,
}

impl Added {
    fn change(&mut self, registry: &Registry, interest: Event, mode: PollMode) -> io::Result<()> {
        let (token, kinds) = translated(interest.with_no_extra(), mode)?;
        let wants_some = interest.readable || interest.writable;
        match (self.is_registered, wants_some) {
            (false, false) => {}
            (false, true) => registry.register(&mut self.waitable, token, kinds)?,
            (true, true) => registry.reregister(&mut self.waitable, token, kinds)?,
            (true, false) => registry.deregister(&mut self.waitable)?,
        }
        self.is_registered = wants_some;
        Ok(())
    }
}

impl State {
    /// Notes a notification, before the waker is called.
    pub(crate) fn notify(&self) {
        self.is_notified.store(true, Ordering::Release);
    }

    /// Runs `wait` until it has found an event, a post or a notification, or the timeout has elapsed.
    pub(crate) fn wait(
        &self,
        events: &mut Events,
        timeout: Option<Duration>,
        mut wait: impl FnMut(&mut Events, Option<Duration>) -> io::Result<()>,
    ) -> io::Result<()> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let before = events.len();
        let mut left = timeout;
        loop {
            // A post since the last `wait` has woken the poller, so `wait` doesn't block.
            let are_left = {
                let mut posts = self.posts();
                if std::mem::take(&mut posts.are_first) {
                    posts.append_to(events, before);
                    return Ok(());
                }
                !posts.queue.is_empty()
            };
            wait(events, if are_left { Some(Duration::ZERO) } else { left })?;
            {
                let mut posts = self.posts();
                posts.append_to(events, before);
                posts.are_first = !posts.queue.is_empty();
            }
            let was_woken = events.was_woken();
            let is_notified = was_woken && self.is_notified.swap(false, Ordering::AcqRel);
            // A wake without a notification is that of a post which an earlier `wait` has returned.
            if events.len() > before || is_notified || !was_woken {
                return Ok(());
            }
            left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        }
    }

    fn posts(&self) -> MutexGuard<'_, Posts> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waitables(&self) -> MutexGuard<'_, HashMap<usize, Added>> {
        self.waitables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Posts {
    /// Appends as many as one `wait` may still append, which began with `before` events in the list.
    fn append_to(&mut self, events: &mut Events, before: usize) {
        let space = events.capacity().get().saturating_sub(events.len() - before);
        let count = space.min(self.queue.len());
        events.list.extend(self.queue.drain(..count));
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// Keeps [`PollerIocpExt`] to this package's type.
mod sealed {
    pub trait Poller {}

    impl Poller for crate::Poller {}
}
