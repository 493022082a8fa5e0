use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use crate::backend::{Blocked, Registration, WatchKey};
use crate::engine::errors::{already_registered, not_registered, of_change, of_register};
use crate::engine::layer::Key;
use crate::engine::{lives, Engine};
use crate::os::{AsRawIo, RawIo};
use crate::poll::{Registry, Source};
use crate::readiness::{Interest, Token};

/// Any descriptor or socket as an event source.
///
/// Wrap what isn't in this library (a raw socket, a device, a library's descriptor) and register it. It must be in
/// non-blocking mode. Do each operation that may block through [`try_io_with`] or [`try_io`]: that is how a
/// kernel that must be asked again (poll(2), Windows) learns that its last answer was used up. Operations that
/// bypass them, through `Deref` for example, may cost an event on such a kernel.
///
/// Dropping it, registered or not, leaks nothing. For a descriptor that somebody else owns see
/// `unix::SourceFd`.
///
/// [`try_io_with`]: IoSource::try_io_with
/// [`try_io`]: IoSource::try_io
///
/// # Portability
///
/// `T` is `AsRawFd` on Unix and `AsRawSocket` on Windows.
///
/// # Examples
///
/// ```
/// # #[cfg(unix)]
/// # fn main() -> std::io::Result<()> {
/// use std::io::{ErrorKind, Read, Write};
/// use std::os::unix::net::UnixStream;
/// use wakeful::{Events, Interest, IoSource, Poll, Token};
///
/// let (stream, mut peer) = UnixStream::pair()?;
/// stream.set_nonblocking(true)?;
///
/// let mut poll = Poll::new()?;
/// let mut events = Events::with_capacity(8);
/// let mut source = IoSource::new(stream);
/// poll.registry().register(&mut source, Token(0), Interest::READABLE)?;
///
/// peer.write_all(b"hello")?;
/// let mut received = Vec::new();
/// while received.len() < 5 {
///     match poll.poll(&mut events, None) {
///         Err(e) if e.kind() == ErrorKind::Interrupted => continue,
///         result => result?,
///     }
///     loop {
///         let mut buf = [0; 16];
///         match source.try_io_with(Interest::READABLE, |mut stream| stream.read(&mut buf)) {
///             Ok(n) => received.extend_from_slice(&buf[..n]),
///             // From now on the next arrival is an event.
///             Err(e) if e.kind() == ErrorKind::WouldBlock => break,
///             Err(e) => return Err(e),
///         }
///     }
/// }
/// assert_eq!(received, b"hello");
/// # Ok(())
/// # }
/// # #[cfg(not(unix))] fn main() {}
/// ```
pub struct IoSource<T> {
    /// Of the `Poll` that this is registered with; 0 if with none.
    poll_id: u32,
    /// Where a `WouldBlock` is to be told. Edge-triggered kernels need none, and then nothing is allocated.
    ///
    /// Before `io`, so that it is dropped first: a registration must end while its descriptor is open.
    watched: Option<Box<Watched>>,
    io: T,
}

impl<T> IoSource<T> {
    /// Makes a source of `io`, which must be in non-blocking mode.
    ///
    /// The mode isn't checked, here or by `register`. On a blocking descriptor the operation that should return
    /// `WouldBlock` waits instead, and the thread that polls hangs. The [guide](crate::guide) says why.
    pub fn new(io: T) -> IoSource<T> {
        IoSource { poll_id: 0, watched: None, io }
    }

    /// Gives `io` back.
    ///
    /// Deregister first: an edge-triggered kernel has the descriptor registered until it is closed.
    pub fn into_inner(self) -> T {
        self.io
    }

    /// Does an operation in one direction, and on `WouldBlock` asks the kernel again for that direction.
    ///
    /// `operation` must answer `WouldBlock` if, and only if, the kernel did so for an operation in `direction`. To
    /// answer it otherwise brings spurious events; to hide one may lose events.
    ///
    /// # Errors
    ///
    /// Those of `operation`.
    #[inline]
    pub fn try_io_with<R>(
        &self,
        direction: Interest,
        operation: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        match &self.watched {
            None => operation(&self.io),
            Some(watched) => watched
                .operate(direction, 0, |_| watched.told(operation(&self.io), Blocked::Direction(direction))),
        }
    }

    /// Does an operation whose direction isn't known, and on `WouldBlock` finds out what the kernel is to be asked.
    ///
    /// [`try_io_with`](IoSource::try_io_with) is better: with poll(2) and its like, not to know the direction may
    /// bring spurious events for the other one.
    ///
    /// # Errors
    ///
    /// Those of `operation`.
    #[inline]
    pub fn try_io<R>(&self, operation: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
        match &self.watched {
            None => operation(&self.io),
            Some(watched) => watched.told(operation(&self.io), Blocked::Unknown),
        }
    }

    /// Passes on what was taken of the source's error: with a kernel that must be asked again, the next one is news.
    #[cfg(feature = "net")]
    #[inline]
    pub(crate) fn took(&self, error: io::Result<Option<io::Error>>) -> io::Result<Option<io::Error>> {
        if let (Some(watched), Ok(Some(_))) = (&self.watched, &error) {
            watched.has_failed();
        }
        error
    }

    /// Moves bytes of a stream. `operation` may be told to move only so many.
    ///
    /// To move fewer than `wanted` re-arms the direction as `WouldBlock` does: with an edge-triggered kernel the next
    /// arrival is then an event, and programs rely on it (tokio stops reading there). It doesn't mean that nothing
    /// waits: see the guide, "Short reads and writes".
    #[cfg(any(feature = "net", all(unix, feature = "os-ext")))]
    #[inline]
    pub(crate) fn transfer(
        &self,
        direction: Interest,
        wanted: impl FnOnce() -> usize,
        mut operation: impl FnMut(&T, usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match &self.watched {
            None => operation(&self.io, usize::MAX),
            Some(watched) => watched.transfer(direction, wanted(), &mut |limit| operation(&self.io, limit)),
        }
    }
}

impl<T: AsRawIo> Source for IoSource<T> {
    #[inline]
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        // The words for an error come last, where the compiler can join them with the caller's test.
        let engine = registry.engine();
        let watched = Watched::register(engine, self.poll_id, self.io.as_raw_io(), token, interest);
        self.watched = watched.map_err(of_register)?;
        self.poll_id = engine.id;
        Ok(())
    }

    #[inline]
    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        let (engine, watched) = (registry.engine(), self.watched.as_deref());
        let io = self.io.as_raw_io();
        Watched::reregister(engine, self.poll_id, watched, io, token, interest).map_err(of_change)
    }

    #[inline]
    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        let engine = registry.engine();
        check_poll(engine, self.poll_id)?;
        let io = self.io.as_raw_io();
        let result = match &mut self.watched {
            None => Watched::deregister(engine, io),
            Some(watched) => watched.end(engine, io),
        };
        match result {
            // The kernel couldn't do it now: the source is registered as before.
            Err(e) if is_out_of_memory(&e) => return Err(e),
            // Else it is free, even if the selector doesn't know it: see `deref_mut`.
            _ => self.poll_id = 0,
        }
        if self.watched.is_some() {
            self.watched = None;
        }
        result.map_err(of_change)
    }
}

impl<T> Deref for IoSource<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.io
    }
}

/// # Replacing the value
///
/// A registration is of the descriptor that the source had then. Deregister the source before putting another value
/// in its place, with `mem::replace` or `mem::swap`. If the value of a registered source was replaced all the same:
///
/// - The new value isn't registered. [`reregister`](Registry::reregister) fails with `NotFound` and changes nothing.
///   [`deregister`](Registry::deregister) fails with `NotFound` as well, and the source can be registered again. So it
///   is after two registered sources have swapped their values, once both were deregistered, whatever that returned.
/// - The old value may be reported with the old token until it is closed, and no longer, but for an event that was
///   queued before (Windows). It leaks nothing.
impl<T> DerefMut for IoSource<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        if let Some(watched) = &self.watched {
            watched.doubt();
        }
        &mut self.io
    }
}

impl<T: fmt::Debug> fmt::Debug for IoSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}

/// A registration that is told of operations: with a kernel that must be asked again, or with chaos.
struct Watched {
    /// Weak, since a source must not keep open what its `Poll` has opened.
    engine: Weak<Engine>,
    /// What the registration is of.
    io: RawIo,
    key: Option<WatchKey>,
    layer: Option<Key>,
    /// Whether an operation has succeeded since the last `WouldBlock`: if not, that used nothing up.
    has_acted: AtomicBool,
}

/// What doesn't depend on the type of a source, and so is compiled once for all.
impl Watched {
    /// `None` if nobody need be told.
    fn register(
        engine: &Arc<Engine>,
        poll_id: u32,
        io: RawIo,
        token: Token,
        interest: Interest,
    ) -> io::Result<Option<Box<Watched>>> {
        if poll_id != 0 && lives::is_living(poll_id) {
            return Err(already_registered());
        }
        let key = engine.selector.register(io, Registration::tracked(token, interest))?;
        let layer = engine.layer.add_source(token, interest);
        if key.is_none() && layer.is_none() {
            return Ok(None);
        }
        let engine = Arc::downgrade(engine);
        Ok(Some(Box::new(Watched { engine, io, key, layer, has_acted: AtomicBool::new(false) })))
    }

    fn reregister(
        engine: &Engine,
        poll_id: u32,
        watched: Option<&Watched>,
        io: RawIo,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        check_poll(engine, poll_id)?;
        let Some(watched) = watched else {
            return engine.selector.reregister(io, None, Registration::tracked(token, interest));
        };
        let key = watched.key_for(io)?;
        let change = || engine.selector.reregister(io, key, Registration::tracked(token, interest));
        engine.layer.replace(watched.layer, token, interest, change)
    }

    /// For a registration that isn't watched.
    fn deregister(engine: &Engine, io: RawIo) -> io::Result<()> {
        engine.selector.deregister(io, None)
    }

    fn end(&mut self, engine: &Engine, io: RawIo) -> io::Result<()> {
        let key = self.key_for(io)?;
        engine.selector.deregister(io, key)?;
        // There is nothing to abandon.
        self.key = None;
        Ok(())
    }

    /// The key for the selector, if the source still has the value that was registered.
    fn key_for(&self, io: RawIo) -> io::Result<Option<WatchKey>> {
        match self.key {
            Some(_) if self.io != io => Err(not_registered()),
            key => Ok(key),
        }
    }
}

#[cold]
#[inline(never)]
fn is_out_of_memory(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
}

#[inline]
fn check_poll(engine: &Engine, poll_id: u32) -> io::Result<()> {
    if poll_id == engine.id {
        Ok(())
    } else {
        Err(not_registered())
    }
}

impl Watched {
    #[inline]
    fn told<R>(&self, result: io::Result<R>, blocked: Blocked) -> io::Result<R> {
        match &result {
            Ok(_) => self.has_acted.store(true, Ordering::Relaxed),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.blocked(blocked)?,
            Err(_) => self.has_failed(),
        }
        result
    }

    fn blocked(&self, blocked: Blocked) -> io::Result<()> {
        let Some(key) = self.key else {
            return Ok(());
        };
        let has_acted = self.has_acted.load(Ordering::Relaxed);
        if has_acted {
            self.has_acted.store(false, Ordering::Relaxed);
        }
        let blocked = match blocked {
            Blocked::Direction(direction) if !has_acted => Blocked::Idle(Some(direction)),
            Blocked::Unknown if !has_acted => Blocked::Idle(None),
            acted => acted,
        };
        self.rearm(key, blocked)
    }

    /// An operation has answered an error of the source's, or the error was taken.
    #[cold]
    fn has_failed(&self) {
        if let Some(key) = self.key {
            // If it fails the error counts all the same: `WouldBlock` arms what this did not.
            let _ = self.rearm(key, Blocked::Error);
        }
    }

    /// If the `Poll` has gone there is nothing to arm.
    #[inline(never)]
    fn rearm(&self, key: WatchKey, blocked: Blocked) -> io::Result<()> {
        match self.engine.upgrade() {
            Some(engine) => engine.selector.rearm(key, blocked),
            None => Ok(()),
        }
    }

    /// Does an operation, through the layer if there is one.
    #[inline]
    fn operate<R>(
        &self,
        direction: Interest,
        wanted: usize,
        operation: impl FnOnce(usize) -> io::Result<R>,
    ) -> io::Result<R> {
        match self.layer.and_then(|key| Some((self.engine.upgrade()?, key))) {
            Some((engine, key)) => engine.operate(key, direction, wanted, operation),
            None => operation(usize::MAX),
        }
    }

    /// The value may be replaced from now on, and its descriptor closed while it is registered.
    #[cold]
    fn doubt(&self) {
        if let (Some(key), Some(engine)) = (self.key, self.engine.upgrade()) {
            engine.selector.allow_replacement(key);
        }
    }
}

#[cfg(any(feature = "net", all(unix, feature = "os-ext")))]
impl Watched {
    /// See [`IoSource::transfer`]. Compiled once, not into each caller.
    fn transfer(
        &self,
        direction: Interest,
        wanted: usize,
        operation: &mut dyn FnMut(usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.operate(direction, wanted, |limit| {
            let result = operation(limit);
            match result {
                Ok(moved) if moved > 0 && moved < wanted => self.was_short(direction),
                _ => {}
            }
            self.told(result, Blocked::Direction(direction))
        })
    }

    #[inline]
    fn was_short(&self, direction: Interest) {
        if let Some(key) = self.key {
            // If it fails the bytes count all the same: who goes on until `WouldBlock` is told then.
            let _ = self.rearm(key, Blocked::Short(direction));
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.key.is_none() && self.layer.is_none() {
            return;
        }
        let Some(engine) = self.engine.upgrade() else {
            return;
        };
        if let Some(key) = self.key {
            engine.selector.abandon(key);
        }
        engine.layer.remove(self.layer);
    }
}
