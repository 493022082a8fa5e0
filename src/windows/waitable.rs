//! A process, a thread, an event or another object that the kernel signals.
//!
//! Invariant: after `deregister` or a drop no wait is in progress, so no signal is consumed any more.

use std::fmt;
use std::io;
use std::os::windows::io::{AsHandle, BorrowedHandle};
use std::sync::Arc;

use super::user_registration::UserRegistration;
use crate::backend::ObjectWait;
use crate::engine::errors::{already_registered, not_registered, of_change};
use crate::os::Object;
use crate::poll::{Registry, Source};
use crate::readiness::{Interest, Token};

/// A process, a thread, an event, a semaphore or another object that the kernel signals, as an event source.
///
/// The source is ready when the object is signalled: the process or the thread has ended, the event is set, the
/// semaphore's count isn't zero, the console has input. Register it for [`READABLE`](Interest::READABLE); with
/// [`WRITABLE`](Interest::WRITABLE) as well or instead, the event has those directions. The source owns a duplicate of
/// the handle, so the original may be closed at any time.
///
/// # Signals that a wait consumes
///
/// The kernel offers no way to watch an object without a wait, and a wait for an *auto-reset event* or a *semaphore*
/// consumes the signal. So a `Waitable` competes with other waits for such an object, and each event stands for one
/// signal that no other wait gets: the program must not wait for the object again. A signal that was consumed and not
/// yet reported is lost by `deregister` and by dropping the source, and is kept by `reregister`. Chaos may merge such
/// events.
///
/// # Modes
///
/// - Edge-triggered, the default: an auto-reset event or a semaphore has an event for each signal. Every other object
///   (a process, a thread, a manual-reset event, a timer) stays signalled, and the kernel doesn't report when the
///   signal is taken back. It has one event after each `register` and `reregister`. After `ResetEvent`, call
///   `reregister` to learn of the next signal; if the object is signalled again by then, the event comes at once.
/// - [Level-triggered](Interest::level): each `poll` that finds the object signalled returns an event.
/// - [One-shot](Interest::one_shot), with or without an edge: one event after each `register` and `reregister`.
///
/// An event may be spurious if the object was reset after it was signalled, before `poll` has returned.
///
/// # Errors
///
/// Registering fails with `Unsupported` for an interest in anything but the two directions, since an object has no end
/// to report, and on a simulated `Poll`. It fails with the system's error if the handle lacks the right to be waited
/// for (`SYNCHRONIZE`).
///
/// # Portability
///
/// Windows. Since Windows 8 the kernel sends each signal to the completion port. Older systems, and Wine, wait on
/// threads of the process' pool, one for 63 objects.
///
/// # Examples
///
/// ```
/// use std::process::Command;
/// use wakeful::{windows::Waitable, Events, Interest, Poll, Token};
///
/// # fn main() -> std::io::Result<()> {
/// let mut poll = Poll::new()?;
/// let mut events = Events::with_capacity(8);
/// let mut child = Command::new("cmd").args(["/C", "exit 3"]).spawn()?;
/// let mut ended = Waitable::new(&child)?;
/// poll.registry().register(&mut ended, Token(0), Interest::READABLE)?;
///
/// poll.poll(&mut events, None)?;
/// assert_eq!(events.iter().next().map(|event| event.token()), Some(Token(0)));
/// assert_eq!(child.wait()?.code(), Some(3));
/// # Ok(())
/// # }
/// ```
pub struct Waitable {
    object: Arc<Object>,
    registered: Option<Registered>,
}

/// In the order of their end.
struct Registered {
    registration: UserRegistration,
    wait: ObjectWait,
}

impl Waitable {
    /// Creates a source of the object of `handle`, which is duplicated.
    ///
    /// # Errors
    ///
    /// Any error of the duplication, such as an invalid handle. `Unsupported` for a mutex, which would belong to the
    /// thread that has waited for it.
    pub fn new(handle: impl AsHandle) -> io::Result<Waitable> {
        Ok(Waitable { object: Arc::new(Object::of(handle.as_handle())?), registered: None })
    }

    fn registered_with(&self, registry: &Registry) -> io::Result<&Registered> {
        let registered = self.registered.as_ref().filter(|current| current.registration.is_of(registry));
        registered.ok_or_else(not_registered)
    }
}

/// Borrows the duplicate of the handle.
impl AsHandle for Waitable {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.object.as_handle()
    }
}

impl Source for Waitable {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        if self.registered.as_ref().is_some_and(|current| current.registration.is_living()) {
            return Err(already_registered());
        }
        check(interest)?;
        let is_consumed = self.object.is_consumed();
        let registration = UserRegistration::of_kind(registry, token, interest, is_consumed)?;
        let completions = registration.completions().ok_or_else(not_registered)?;
        let wait = ObjectWait::new(&self.object, &completions, registration.key());
        let registered = Registered { registration, wait };
        registered.wait.ask()?;
        self.registered = Some(registered);
        Ok(())
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        let Registered { registration, wait } = self.registered_with(registry)?;
        check(interest)?;
        let found = registration.replace(token, interest)?;
        let completions = registration.completions().ok_or_else(not_registered)?;
        completions.post(registration.key(), found).map_err(of_change)?;
        // A wait in progress serves the new registration.
        wait.ask()
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.registered_with(registry)?;
        self.registered = None;
        Ok(())
    }
}

impl fmt::Debug for Waitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut waitable = f.debug_struct("Waitable");
        waitable.field("object", &self.object).field("is_registered", &self.registered.is_some()).finish()
    }
}

fn check(interest: Interest) -> io::Result<()> {
    match interest.remove(Interest::READABLE | Interest::WRITABLE) {
        None => Ok(()),
        Some(_) => {
            Err(io::Error::new(io::ErrorKind::Unsupported, "an object is signalled, and nothing else"))
        }
    }
}
