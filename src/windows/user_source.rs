use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::user_registration::UserRegistration;
use crate::engine::errors::{already_registered, not_registered, of_change};
use crate::poll::{Registry, Source};
use crate::readiness::{Interest, Readiness, Token};

/// An event source that the program itself makes ready.
///
/// What the kernel can't watch becomes a source by it: a handle that a thread-pool wait watches, a completion of
/// another port, another library's callback. Register this one, and let whoever learns of the change
/// [`post`](Poster::post) it.
///
/// Beside a [`Waker`](crate::Waker) it has a readiness of its own, readable, writable or both, an interest, and a
/// token that can be changed.
///
/// # Examples
///
/// ```
/// use std::thread;
/// use wakeful::{windows::UserSource, Events, Interest, Poll, Token};
///
/// # fn main() -> std::io::Result<()> {
/// let mut poll = Poll::new()?;
/// let mut events = Events::with_capacity(8);
/// let mut source = UserSource::new();
/// poll.registry().register(&mut source, Token(4), Interest::READABLE)?;
///
/// let poster = source.poster();
/// let thread = thread::spawn(move || poster.post(Interest::READABLE));
/// poll.poll(&mut events, None)?;
/// let event = events.iter().next().expect("what was posted");
/// assert!(event.token() == Token(4) && event.is_readable());
/// # thread.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UserSource {
    shared: Arc<Shared>,
}

/// Makes a [`UserSource`] ready, from any thread. Clones are the same.
#[derive(Clone, Debug)]
pub struct Poster {
    shared: Arc<Shared>,
}

struct Shared {
    registration: Mutex<Option<UserRegistration>>,
}

impl UserSource {
    /// A source that isn't ready.
    #[must_use]
    pub fn new() -> UserSource {
        UserSource { shared: Arc::new(Shared { registration: Mutex::new(None) }) }
    }

    /// What makes it ready.
    #[must_use]
    pub fn poster(&self) -> Poster {
        Poster { shared: Arc::clone(&self.shared) }
    }
}

impl Default for UserSource {
    fn default() -> UserSource {
        UserSource::new()
    }
}

impl Poster {
    /// Causes an event, if that readiness is of interest. Posts may merge until they are polled.
    ///
    /// After the `Poll` has been dropped a post still returns `Ok`, and has no effect: the source counts as registered
    /// until it is deregistered or dropped.
    ///
    /// # Errors
    ///
    /// `NotFound`: the source isn't registered, was dropped, or its `Poll` was. Otherwise those of the call that ends
    /// the sleep, of which none is known to happen; the event is pending even then.
    pub fn post(&self, readiness: Interest) -> io::Result<()> {
        let registration = self.shared.lock();
        let Some(registration) = &*registration else {
            return Err(not_registered());
        };
        let readiness = Readiness::READABLE
            .when(readiness.is_readable())
            .union(Readiness::WRITABLE.when(readiness.is_writable()));
        let completions = registration.completions().ok_or_else(not_registered)?;
        completions.post(registration.key(), readiness).map_err(of_change)
    }
}

impl Source for UserSource {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        let mut registration = self.shared.lock();
        if registration.as_ref().is_some_and(UserRegistration::is_living) {
            return Err(already_registered());
        }
        *registration = Some(UserRegistration::new(registry, token, interest)?);
        Ok(())
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match &*self.shared.lock() {
            Some(registration) if registration.is_of(registry) => registration.replace(token, interest),
            _ => Err(not_registered()),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        let mut registration = self.shared.lock();
        match &*registration {
            Some(current) if current.is_of(registry) => {
                *registration = None;
                Ok(())
            }
            _ => Err(not_registered()),
        }
    }
}

impl Drop for UserSource {
    fn drop(&mut self) {
        *self.shared.lock() = None;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<UserRegistration>> {
        self.registration.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("is_registered", &self.lock().is_some()).finish()
    }
}
