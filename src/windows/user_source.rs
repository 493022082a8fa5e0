//! A source that the program makes ready itself.
//!
//! Invariant: the registration has one owner, the source; posters share it only under its lock.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::user_registration::UserRegistration;
use crate::engine::errors::{already_registered, not_registered, of_change};
use crate::poll::{Registry, Source};
use crate::readiness::{Interest, Readiness, Token};

/// An event source that the program itself makes ready.
///
/// A `UserSource` makes a source of anything that the kernel cannot watch: a completion on another port, another
/// library's callback, the end of a job. Register the `UserSource`, and let the code that learns of
/// the change [`post`](Poster::post) it.
///
/// Unlike a [`Waker`](crate::Waker) it has a readiness (readable, writable or both), an interest, and a token that
/// can be changed.
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

/// Makes a [`UserSource`] ready, from any thread. Clones are handles to the same source.
#[derive(Clone, Debug)]
pub struct Poster {
    shared: Arc<Shared>,
}

struct Shared {
    registration: Mutex<Option<UserRegistration>>,
}

impl UserSource {
    /// Creates a source that isn't ready.
    #[must_use]
    pub fn new() -> UserSource {
        UserSource { shared: Arc::new(Shared { registration: Mutex::new(None) }) }
    }

    /// Returns a handle that makes the source ready.
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
    /// Causes an event, if the interest includes `readiness`. Posts that were not polled yet may merge.
    ///
    /// After its `Poll` was dropped a source is free to be registered again.
    ///
    /// # Errors
    ///
    /// `NotFound`: the source isn't registered, was dropped, or its `Poll` was. Otherwise any error of the call that
    /// ends the sleep: none is known to happen, and the event is pending even then.
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
        check(interest)?;
        *registration = Some(UserRegistration::new(registry, token, interest)?);
        Ok(())
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match &*self.shared.lock() {
            Some(registration) if registration.is_of(registry) => {
                check(interest)?;
                let posted = registration.replace(token, interest)?;
                let completions = registration.completions().ok_or_else(not_registered)?;
                completions.post(registration.key(), posted).map_err(of_change)
            }
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

/// A post is an edge: it says nothing about the time after it.
fn check(interest: Interest) -> io::Result<()> {
    match interest.is_level() {
        true => Err(io::Error::new(io::ErrorKind::Unsupported, "a `UserSource` has no level to report")),
        false => Ok(()),
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
