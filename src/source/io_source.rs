//! `IoSource`: any descriptor or socket as an event source.
//!
//! Invariant: if a registration has a [`RearmHandle`], every operation of the source goes through it, and it re-arms
//! the direction after `WouldBlock`.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use crate::backend::{RearmCause, Registration, WatchKey};
use crate::engine::errors::{already_registered, not_registered, of_change, of_register};
use crate::engine::layer::LayerKey;
use crate::engine::{lives, Engine};
use crate::os::{AsRawIo, RawIo};
use crate::poll::{Registry, Source};
use crate::readiness::{Interest, Token};

/// Any descriptor or socket as an event source.
///
/// Wrap a value that this library has no type for (a raw socket, a device, another library's descriptor) and register
/// the source. The value must be in non-blocking mode.
///
/// Run each operation that may block through [`try_io_with`] or [`try_io`]. These re-arm the direction after
/// `WouldBlock`, which one-shot kernels need (poll(2), Windows). An operation that bypasses them, for example through
/// `Deref`, can lose an event on such a kernel.
///
/// Dropping a source leaks nothing, whether it is registered or not. For a borrowed descriptor see `unix::SourceFd`.
///
/// [`try_io_with`]: IoSource::try_io_with
/// [`try_io`]: IoSource::try_io
///
/// # Portability
///
/// `T` implements `AsRawFd` on Unix, and `AsRawSocket` on Windows.
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
///             // The next arrival causes an event.
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
    /// The number of the `Poll` that this is registered with, or 0.
    poll_id: u32,
    /// Re-arms after `WouldBlock`. Edge-triggered kernels need no handle, and then nothing is allocated.
    ///
    /// Before `io`, so that it is dropped first: a registration must end while its descriptor is open.
    handle: Option<Box<RearmHandle>>,
    io: T,
}

impl<T> IoSource<T> {
    /// Wraps `io`, which must be in non-blocking mode.
    ///
    /// Neither `new` nor `register` checks the mode. On a blocking descriptor an operation waits where it should fail
    /// with `WouldBlock`, and the polling thread hangs. The [guide](crate::guide) says why.
    pub fn new(io: T) -> IoSource<T> {
        IoSource { poll_id: 0, handle: None, io }
    }

    /// Returns the wrapped value.
    ///
    /// Deregister the source first: an edge-triggered kernel keeps the descriptor registered until it is closed.
    pub fn into_inner(self) -> T {
        self.io
    }

    /// Runs an operation in one direction, and re-arms that direction on `WouldBlock`.
    ///
    /// `operation` must return `WouldBlock` if, and only if, the kernel did so for an operation in `direction`.
    /// Returning it in any other case causes spurious events; swallowing one can lose events.
    ///
    /// # Errors
    ///
    /// The errors of `operation`.
    #[inline]
    pub fn try_io_with<R>(
        &self,
        direction: Interest,
        operation: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        match &self.handle {
            None => operation(&self.io),
            Some(handle) => handle.operate(direction, 0, |_| {
                handle.after_op(operation(&self.io), RearmCause::Direction(direction))
            }),
        }
    }

    /// Runs an operation of unknown direction. On `WouldBlock`, checks both directions and re-arms those that are not
    /// ready.
    ///
    /// Prefer [`try_io_with`](IoSource::try_io_with): with poll(2) and similar kernels, an unknown direction can cause
    /// spurious events for the other one.
    ///
    /// # Errors
    ///
    /// The errors of `operation`.
    #[inline]
    pub fn try_io<R>(&self, operation: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
        match &self.handle {
            None => operation(&self.io),
            Some(handle) => handle.after_op(operation(&self.io), RearmCause::Unknown),
        }
    }

    /// Passes on a result of `take_error`. If an error was taken, re-arms the report of the next one.
    #[cfg(feature = "net")]
    #[inline]
    pub(crate) fn after_take_error(
        &self,
        error: io::Result<Option<io::Error>>,
    ) -> io::Result<Option<io::Error>> {
        if let (Some(handle), Ok(Some(_))) = (&self.handle, &error) {
            handle.on_error();
        }
        error
    }

    /// Runs an operation that moves bytes of a stream, no more than the limit that it is passed.
    ///
    /// Moving fewer bytes than `wanted` re-arms the direction, as `WouldBlock` does. With an edge-triggered kernel the
    /// next arrival then causes an event, and programs rely on that (tokio stops reading there). A short transfer
    /// doesn't mean that no more data waits: see the guide, "Short reads and writes".
    #[cfg(any(feature = "net", all(unix, feature = "os-ext")))]
    #[inline]
    pub(crate) fn transfer(
        &self,
        direction: Interest,
        wanted: impl FnOnce() -> usize,
        mut operation: impl FnMut(&T, usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match &self.handle {
            None => operation(&self.io, usize::MAX),
            Some(handle) => handle.transfer(direction, wanted(), &mut |limit| operation(&self.io, limit)),
        }
    }
}

impl<T: AsRawIo> Source for IoSource<T> {
    #[inline]
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        // The error is mapped last, where the compiler can join the mapping with the caller's test.
        let engine = registry.engine();
        let handle = RearmHandle::register(engine, self.poll_id, self.io.as_raw_io(), token, interest);
        self.handle = handle.map_err(of_register)?;
        self.poll_id = engine.id;
        Ok(())
    }

    // Always: the processor mispredicts each return after a system call, and a one-shot cycle is no more than two such
    // calls.
    #[inline(always)]
    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        let engine = registry.engine();
        check_poll(engine, self.poll_id)?;
        let io = self.io.as_raw_io();
        let result = match &mut self.handle {
            None => RearmHandle::reregister_without(engine, io, token, interest),
            Some(handle) => handle.reregister(engine, io, token, interest),
        };
        result.map_err(of_change)
    }

    #[inline]
    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        let engine = registry.engine();
        check_poll(engine, self.poll_id)?;
        let io = self.io.as_raw_io();
        let result = match &mut self.handle {
            None => RearmHandle::deregister_without(engine, io),
            Some(handle) => handle.deregister(engine, io),
        };
        match result {
            // The kernel had no memory for the call: the source is registered as before.
            Err(e) if is_out_of_memory(&e) => return Err(e),
            // Any other result frees the source, even if the selector doesn't know it: see `deref_mut`.
            _ => self.poll_id = 0,
        }
        if self.handle.is_some() {
            self.handle = None;
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
/// A registration belongs to the descriptor that the source had when it was registered. Deregister the source before
/// putting another value in its place, with `mem::replace` or `mem::swap`. If the value of a registered source was
/// replaced nevertheless:
///
/// - The new value isn't registered. [`reregister`](Registry::reregister) fails with `NotFound` and changes nothing.
///   [`deregister`](Registry::deregister) fails with `NotFound` as well, and the source can be registered again. The
///   same holds after two registered sources have swapped their values: once both were deregistered, whatever those
///   calls returned, both can be registered again.
/// - The old value can be reported with the old token until it is closed. After that, only an event that was queued
///   before can still report it (Windows). The old value leaks nothing.
impl<T> DerefMut for IoSource<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        if let Some(handle) = &self.handle {
            handle.doubt();
        }
        &mut self.io
    }
}

impl<T: fmt::Debug> fmt::Debug for IoSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}

/// A handle to a registration whose backend or layer must learn of operations: it re-arms on a one-shot kernel, and
/// passes operations through chaos.
struct RearmHandle {
    /// Weak, since a source must not keep open what its `Poll` has opened.
    engine: Weak<Engine>,
    /// The descriptor or socket that was registered.
    io: RawIo,
    key: Option<WatchKey>,
    /// Whether the mode is the edge-triggered one. In the others no operation re-arms.
    is_edge: bool,
    layer: Option<LayerKey>,
    /// Whether an operation has succeeded since the last `WouldBlock`. If none has, this `WouldBlock` used nothing up.
    has_acted: AtomicBool,
}

/// The code that doesn't depend on the type of a source: compiled once for all of them.
impl RearmHandle {
    /// Registers, and returns `None` if neither the backend nor a layer needs a handle.
    fn register(
        engine: &Arc<Engine>,
        poll_id: u32,
        io: RawIo,
        token: Token,
        interest: Interest,
    ) -> io::Result<Option<Box<RearmHandle>>> {
        if poll_id != 0 && lives::is_living(poll_id) {
            return Err(already_registered());
        }
        let key = engine.selector.register(io, Registration::tracked(token, interest))?;
        let layer = engine.layer.add_source(token, interest);
        if key.is_none() && layer.is_none() {
            return Ok(None);
        }
        let engine = Arc::downgrade(engine);
        let (is_edge, has_acted) = (interest.is_edge(), AtomicBool::new(false));
        Ok(Some(Box::new(RearmHandle { engine, io, key, is_edge, layer, has_acted })))
    }

    /// Replaces a registration that has no handle.
    #[inline]
    fn reregister_without(engine: &Engine, io: RawIo, token: Token, interest: Interest) -> io::Result<()> {
        engine.selector.reregister(io, None, Registration::tracked(token, interest))
    }

    fn reregister(&mut self, engine: &Engine, io: RawIo, token: Token, interest: Interest) -> io::Result<()> {
        let key = self.key_for(io)?;
        let change = || engine.selector.reregister(io, key, Registration::tracked(token, interest));
        engine.layer.replace(self.layer, token, interest, change)?;
        self.is_edge = interest.is_edge();
        Ok(())
    }

    /// Ends a registration that has no handle.
    fn deregister_without(engine: &Engine, io: RawIo) -> io::Result<()> {
        engine.selector.deregister(io, None)
    }

    fn deregister(&mut self, engine: &Engine, io: RawIo) -> io::Result<()> {
        let key = self.key_for(io)?;
        engine.selector.deregister(io, key)?;
        // The registration has ended: `drop` has nothing to abandon.
        self.key = None;
        Ok(())
    }

    #[inline]
    fn rearm_key(&self) -> Option<WatchKey> {
        self.key.filter(|_| self.is_edge)
    }

    /// Returns the key for the selector, if the source still has the value that was registered.
    fn key_for(&self, io: RawIo) -> io::Result<Option<WatchKey>> {
        match self.io == io {
            true => Ok(self.key),
            false => self.key_for_another(),
        }
    }

    #[cold]
    fn key_for_another(&self) -> io::Result<Option<WatchKey>> {
        match self.key {
            Some(_) => Err(not_registered()),
            None => Ok(None),
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

impl RearmHandle {
    /// Records the result of an operation, and re-arms after `WouldBlock` or an error.
    #[inline]
    fn after_op<R>(&self, result: io::Result<R>, cause: RearmCause) -> io::Result<R> {
        match &result {
            Ok(_) => self.has_acted.store(true, Ordering::Relaxed),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.on_would_block(cause)?,
            Err(_) => self.on_error(),
        }
        result
    }

    fn on_would_block(&self, cause: RearmCause) -> io::Result<()> {
        let Some(key) = self.rearm_key() else {
            return Ok(());
        };
        let has_acted = self.has_acted.load(Ordering::Relaxed);
        if has_acted {
            self.has_acted.store(false, Ordering::Relaxed);
        }
        let cause = match cause {
            RearmCause::Direction(direction) if !has_acted => RearmCause::Idle(Some(direction)),
            RearmCause::Unknown if !has_acted => RearmCause::Idle(None),
            acted => acted,
        };
        self.rearm(key, cause)
    }

    /// Re-arms the report of errors: an operation has returned an error of the source, or `take_error` has taken it.
    #[cold]
    fn on_error(&self) {
        if let Some(key) = self.rearm_key() {
            // A failure is ignored, since the caller needs the first error: the next `WouldBlock` re-arms.
            let _ = self.rearm(key, RearmCause::Error);
        }
    }

    /// Re-arms the registration. If the `Poll` has gone there is nothing to arm.
    #[inline(never)]
    fn rearm(&self, key: WatchKey, cause: RearmCause) -> io::Result<()> {
        match self.engine.upgrade() {
            Some(engine) => engine.selector.rearm(key, cause),
            None => Ok(()),
        }
    }

    /// Runs an operation, through the layer if there is one.
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

    /// Warns the backend that the value may be replaced, and its descriptor closed, while it is registered.
    #[cold]
    fn doubt(&self) {
        if let (Some(key), Some(engine)) = (self.key, self.engine.upgrade()) {
            engine.selector.allow_replacement(key);
        }
    }
}

#[cfg(any(feature = "net", all(unix, feature = "os-ext")))]
impl RearmHandle {
    /// Does the work of [`IoSource::transfer`]. Compiled once, not into each caller.
    fn transfer(
        &self,
        direction: Interest,
        wanted: usize,
        operation: &mut dyn FnMut(usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.operate(direction, wanted, |limit| {
            let result = operation(limit);
            match result {
                Ok(moved) if moved > 0 && moved < wanted => self.on_short_transfer(direction),
                _ => {}
            }
            self.after_op(result, RearmCause::Direction(direction))
        })
    }

    /// Re-arms a direction in which an operation has moved fewer bytes than it could have.
    #[inline]
    fn on_short_transfer(&self, direction: Interest) {
        if let Some(key) = self.rearm_key() {
            // A failure is ignored, since the bytes have moved: a caller that goes on until `WouldBlock` re-arms then.
            let _ = self.rearm(key, RearmCause::Short(direction));
        }
    }
}

impl Drop for RearmHandle {
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
