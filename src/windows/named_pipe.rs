use std::ffi::OsStr;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::mem;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::backend::{Completions, RaisedKey};
use crate::os::{self, Operation, Owner, PipeError, Request, Ticket, Transfer};
use crate::poll::{Registry, Source};
use crate::readiness::{Interest, Readiness, Token};

/// One end of a named pipe.
///
/// Windows can't tell when a pipe is ready; it can only do operations in the background. So this reads ahead into a
/// buffer of its own, and writes from one: it is readable when there are bytes in the first, and writable when the
/// second is free. That has consequences:
///
/// - Register it before anything else. Until then all operations answer `WouldBlock`; a [`connect`] is begun by the
///   registration.
/// - [`write`](Write::write) takes all that it is given, and the error of what it couldn't deliver is the answer of
///   the next one. A pipe of messages gets each `write` as one message.
/// - In a pipe of messages a message that is longer than the buffer of a `read` goes on with the next `read`.
/// - Once registered, it belongs to that `Poll` for good: the kernel ties them together.
/// - No overlapped operations may be done on its handle by others while it is registered.
///
/// When it is dropped, what it reads is given up, and what it still writes goes on until it is done, as long as the
/// `Poll` lives.
///
/// Reading from a pipe whose peer has gone answers `Ok(0)`, writing `BrokenPipe`.
///
/// [`connect`]: NamedPipe::connect
///
/// # Examples
///
/// ```
/// use std::io::{ErrorKind, Read, Write};
/// use wakeful::{windows::NamedPipe, Events, Interest, Poll, Token};
///
/// # fn main() -> std::io::Result<()> {
/// let name = format!(r"\\.\pipe\wakeful-doc-{}", std::process::id());
/// let mut poll = Poll::new()?;
/// let mut events = Events::with_capacity(8);
///
/// let mut server = NamedPipe::new(&name)?;
/// poll.registry().register(&mut server, Token(0), Interest::READABLE)?;
/// assert_eq!(server.connect().unwrap_err().kind(), ErrorKind::WouldBlock);
///
/// let mut client = NamedPipe::open(&name)?;
/// poll.registry().register(&mut client, Token(1), Interest::WRITABLE)?;
/// client.write_all(b"hello")?;
///
/// let mut buf = [0; 16];
/// loop {
///     poll.poll(&mut events, None)?;
///     match server.read(&mut buf) {
///         Ok(n) => break assert_eq!(&buf[..n], b"hello"),
///         Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct NamedPipe {
    pipe: Arc<Pipe>,
    registration: Option<RaisedKey>,
    /// Of the `Poll` that the kernel has tied the handle to. Kept until the end, because operations are under way that
    /// must come back there.
    home: Option<Arc<Completions>>,
}

/// What the ends of operations come to. The operations keep it not: so dropping the source closes the handle at once,
/// and what comes back later finds nobody.
struct Pipe {
    handle: OwnedHandle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where to report.
    link: Option<Link>,
    reading: Reading,
    writing: Writing,
    connecting: Connecting,
    connect_error: Option<io::Error>,
    /// Somebody is interested in what arrives, so it is read ahead.
    reads: bool,
}

#[derive(Clone)]
struct Link {
    home: Weak<Completions>,
    key: Option<RaisedKey>,
}

type Transfers = Request<Transfer<Weak<Pipe>>>;

#[derive(Default)]
enum Reading {
    #[default]
    Never,
    Idle(Transfers),
    Pending(Ticket),
    /// Bytes from the first to the second place.
    Done(Transfers, usize, usize),
    Failed(Transfers, io::Error),
}

#[derive(Default)]
enum Writing {
    #[default]
    Never,
    Idle(Transfers),
    Pending(Ticket),
    Failed(Transfers, io::Error),
    /// The source was dropped; under this number the operation goes on.
    Orphan(usize),
}

#[derive(Default)]
enum Connecting {
    #[default]
    No,
    /// As soon as there is a `Poll`.
    Wanted,
    Pending(Ticket),
    /// The client came, and may have gone by now: the next call must say so, and not ask again.
    Done,
}

/// What is read ahead.
const READ_SIZE: usize = 16 << 10;
/// A write buffer that has grown beyond this is given back.
const KEPT_WRITE_SIZE: usize = 64 << 10;

impl NamedPipe {
    /// Makes a pipe of bytes, and this the server's end of it. `addr` is like `\\.\pipe\name`.
    ///
    /// # Errors
    ///
    /// `PermissionDenied`: the name is in use. Otherwise those of `CreateNamedPipe`.
    pub fn new<A: AsRef<OsStr>>(addr: A) -> io::Result<NamedPipe> {
        os::create_pipe(addr.as_ref()).map(NamedPipe::from)
    }

    /// Opens the client's end of a pipe that somebody serves.
    ///
    /// # Errors
    ///
    /// `NotFound`: nobody does. `ERROR_PIPE_BUSY` (231): no instance is free now.
    pub fn open<A: AsRef<OsStr>>(addr: A) -> io::Result<NamedPipe> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(os::CLIENT_FLAGS)
            .security_qos_flags(os::CLIENT_SECURITY)
            .open(addr.as_ref())?;
        Ok(NamedPipe::from(OwnedHandle::from(file)))
    }

    /// Waits for a client, in the background: `WouldBlock` until there is one, then `Ok`. A writable event tells when
    /// to call it again.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: not yet. `ERROR_NO_DATA` (232): a client was there and has gone; [`disconnect`] first. Otherwise
    /// those of `ConnectNamedPipe`, of which one that comes later is for [`take_error`].
    ///
    /// [`disconnect`]: NamedPipe::disconnect
    /// [`take_error`]: NamedPipe::take_error
    pub fn connect(&self) -> io::Result<()> {
        let mut state = self.pipe.lock();
        match state.connecting {
            Connecting::No => {}
            Connecting::Done => {
                state.connecting = Connecting::No;
                return Ok(());
            }
            Connecting::Wanted | Connecting::Pending(_) => return Err(io::ErrorKind::WouldBlock.into()),
        }
        match &self.home {
            Some(home) => self.pipe.begin_connect(&mut state, home),
            None => {
                state.connecting = Connecting::Wanted;
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    /// The error of a [`connect`](NamedPipe::connect) that failed in the background, once.
    ///
    /// # Errors
    ///
    /// None; the result is there for compatibility.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.pipe.lock().connect_error.take())
    }

    /// Throws the client out, so that another may [`connect`](NamedPipe::connect). What it hasn't read is lost.
    ///
    /// # Errors
    ///
    /// Those of `DisconnectNamedPipe`.
    pub fn disconnect(&self) -> io::Result<()> {
        let mut state = self.pipe.lock();
        if matches!(state.connecting, Connecting::Done) {
            state.connecting = Connecting::No;
        }
        os::disconnect_pipe(self.as_handle())
    }

    fn completions(&self) -> io::Result<&Completions> {
        match &self.home {
            Some(home) => Ok(home),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(
        self: &Arc<Pipe>,
        request: Transfers,
        operation: Operation,
        completions: &Completions,
    ) -> Result<Ticket, (Transfers, io::Error)> {
        os::start(request, operation, Arc::downgrade(self), self.handle.as_handle(), completions.port())
    }

    fn begin_connect(self: &Arc<Pipe>, state: &mut State, completions: &Completions) -> io::Result<()> {
        match self.start(Transfer::request(Vec::new()), Operation::Connect, completions) {
            Ok(ticket) => {
                state.connecting = Connecting::Pending(ticket);
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err((_, e)) => {
                state.connecting = Connecting::No;
                match PipeError::of(&e) {
                    PipeError::Connected => {
                        if state.reads {
                            self.begin_read(state, completions);
                        }
                        Ok(())
                    }
                    _ => Err(e),
                }
            }
        }
    }

    /// Reads ahead, if nothing is read or was read already, and tells if that has failed at once.
    fn begin_read(self: &Arc<Pipe>, state: &mut State, completions: &Completions) {
        if self.try_begin_read(state, completions) && matches!(state.reading, Reading::Failed(..)) {
            state.raise(state.readable());
        }
    }

    /// Whether there was anything to begin.
    fn try_begin_read(self: &Arc<Pipe>, state: &mut State, completions: &Completions) -> bool {
        let request = match mem::take(&mut state.reading) {
            Reading::Never => Transfer::request(vec![0; READ_SIZE]),
            Reading::Idle(request) => request,
            other => {
                state.reading = other;
                return false;
            }
        };
        state.reading = match self.start(request, Operation::Read, completions) {
            Ok(ticket) => Reading::Pending(ticket),
            Err((request, e)) => match PipeError::of(&e) {
                // When a client is there it is read from.
                PipeError::Listening => Reading::Idle(request),
                _ => Reading::Failed(request, e),
            },
        };
        true
    }

    fn read(self: &Arc<Pipe>, buf: &mut [u8], completions: &Completions) -> io::Result<usize> {
        let mut state = self.lock();
        state.reads = true;
        self.try_begin_read(&mut state, completions);
        match mem::take(&mut state.reading) {
            Reading::Done(request, from, to) => {
                let count = buf.len().min(to - from);
                buf[..count].copy_from_slice(&request.body().bytes[from..from + count]);
                if from + count < to {
                    state.reading = Reading::Done(request, from + count, to);
                } else {
                    state.reading = Reading::Idle(request);
                    self.begin_read(&mut state, completions);
                }
                Ok(count)
            }
            Reading::Failed(request, e) => {
                // To go on would fail at once, and tell of it for ever: the next read does.
                state.reading = Reading::Idle(request);
                match PipeError::of(&e) {
                    PipeError::Closed => Ok(0),
                    _ => Err(e),
                }
            }
            other => {
                state.reading = other;
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    fn write(self: &Arc<Pipe>, buf: &[u8], completions: &Completions) -> io::Result<usize> {
        let mut state = self.lock();
        let mut request = match mem::take(&mut state.writing) {
            Writing::Never => Transfer::request(Vec::new()),
            Writing::Idle(request) => request,
            Writing::Failed(request, e) => {
                state.writing = Writing::Idle(request);
                return Err(e);
            }
            other => {
                state.writing = other;
                return Err(io::ErrorKind::WouldBlock.into());
            }
        };
        let bytes = &mut request.body_mut().bytes;
        bytes.clear();
        bytes.extend_from_slice(buf);
        match self.start(request, Operation::Write(0), completions) {
            Ok(ticket) => {
                state.writing = Writing::Pending(ticket);
                Ok(buf.len())
            }
            Err((request, e)) => {
                state.writing = Writing::Idle(request);
                Err(match PipeError::of(&e) {
                    PipeError::Listening => io::ErrorKind::WouldBlock.into(),
                    _ => e,
                })
            }
        }
    }

    fn ended_read(self: &Arc<Pipe>, state: &mut State, request: Transfers) {
        state.reading = match request.transferred() {
            Ok(count) => Reading::Done(request, 0, count),
            Err(e) if PipeError::of(&e) == PipeError::Cancelled => {
                state.reading = Reading::Idle(request);
                // Not by us, who have gone then.
                if let Some(home) = state.home() {
                    self.begin_read(state, &home);
                }
                return;
            }
            Err(e) => Reading::Failed(request, e),
        };
        state.raise(state.readable());
    }

    fn ended_write(self: &Arc<Pipe>, state: &mut State, from: usize, mut request: Transfers) {
        let home = state.link.as_ref().and_then(|link| link.home.upgrade());
        let orphan = match state.writing {
            Writing::Orphan(number) => Some(number),
            _ => None,
        };
        if let (Some(number), Some(home)) = (orphan, &home) {
            home.forget(number);
        }
        state.writing = match request.transferred() {
            Ok(count) => {
                let from = from + count;
                let is_whole = count == 0 || from >= request.body().bytes.len();
                if let (false, Some(home)) = (is_whole, &home) {
                    match self.start(request, Operation::Write(from), home) {
                        Ok(ticket) if orphan.is_some() => Writing::Orphan(home.adopt(self.clone(), ticket)),
                        Ok(ticket) => Writing::Pending(ticket),
                        Err((request, e)) => Writing::Failed(request, e),
                    }
                } else {
                    let bytes = &mut request.body_mut().bytes;
                    bytes.clear();
                    bytes.shrink_to(KEPT_WRITE_SIZE);
                    Writing::Idle(request)
                }
            }
            Err(e) => Writing::Failed(request, e),
        };
        state.raise(state.writable());
    }

    fn ended_connect(self: &Arc<Pipe>, state: &mut State, request: Transfers) {
        state.connecting = Connecting::No;
        match request.transferred() {
            Ok(_) => {
                state.connecting = Connecting::Done;
                if let (true, Some(home)) = (state.reads, state.home()) {
                    self.begin_read(state, &home);
                }
            }
            Err(e) => state.connect_error = Some(e),
        }
        state.raise(state.writable());
    }
}

impl Owner for Weak<Pipe> {
    fn ended(self, operation: Operation, request: Transfers) {
        let Some(pipe) = self.upgrade() else {
            return;
        };
        let mut state = pipe.lock();
        match operation {
            Operation::Connect => pipe.ended_connect(&mut state, request),
            Operation::Read => pipe.ended_read(&mut state, request),
            Operation::Write(from) => pipe.ended_write(&mut state, from, request),
        }
    }
}

impl AsHandle for Pipe {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.handle.as_handle()
    }
}

impl State {
    /// The `Poll`, unless the source was dropped.
    fn home(&self) -> Option<Arc<Completions>> {
        match &self.writing {
            Writing::Orphan(_) => None,
            _ => self.link.as_ref()?.home.upgrade(),
        }
    }

    fn readable(&self) -> Readiness {
        match &self.reading {
            Reading::Done(..) => Readiness::READABLE,
            Reading::Failed(_, e) => Readiness::READABLE.union(match PipeError::of(e) {
                PipeError::Closed => Readiness::READ_CLOSED,
                _ => Readiness::ERROR,
            }),
            Reading::Never | Reading::Idle(_) | Reading::Pending(_) => Readiness::NONE,
        }
    }

    fn writable(&self) -> Readiness {
        let error = Readiness::ERROR.when(self.connect_error.is_some());
        match &self.writing {
            Writing::Never | Writing::Idle(_) => Readiness::WRITABLE.union(error),
            Writing::Failed(..) => Readiness::WRITABLE.union(Readiness::ERROR),
            Writing::Pending(_) | Writing::Orphan(_) => Readiness::NONE,
        }
    }

    fn raise(&self, readiness: Readiness) {
        let Some(Link { home, key: Some(key) }) = &self.link else {
            return;
        };
        if let Some(home) = home.upgrade() {
            // If it fails the poller is not woken, but finds it when it comes by.
            let _ = home.raise(*key, readiness);
        }
    }
}

impl NamedPipe {
    /// What is there already, and what the kernel must be asked for.
    fn begin(&self, completions: &Completions, interest: Interest) {
        let mut state = self.pipe.lock();
        if matches!(state.connecting, Connecting::Wanted) {
            if let Err(e) = self.pipe.begin_connect(&mut state, completions) {
                if e.kind() != io::ErrorKind::WouldBlock {
                    state.connect_error = Some(e);
                }
            }
        }
        if interest.is_readable() {
            state.reads = true;
            self.pipe.begin_read(&mut state, completions);
        }
        state.raise(state.readable().union(state.writable()));
    }
}

impl Source for NamedPipe {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        let completions = registry.core().selector.completions()?;
        let is_elsewhere = self.home.as_ref().is_some_and(|home| !Arc::ptr_eq(home, completions));
        if self.registration.is_some() || is_elsewhere {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the pipe is registered already, or belongs to another `Poll`",
            ));
        }
        if self.home.is_none() {
            completions.port().attach(self.as_handle())?;
            self.home = Some(Arc::clone(completions));
        }
        let key = completions.add(token, interest);
        self.registration = Some(key);
        self.pipe.lock().link = Some(Link { home: Arc::downgrade(completions), key: Some(key) });
        self.begin(completions, interest);
        Ok(())
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        let (completions, key) = self.registered(registry)?;
        completions.replace(key, token, interest);
        self.begin(completions, interest);
        Ok(())
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        let (completions, key) = self.registered(registry)?;
        completions.remove(key);
        self.registration = None;
        if let Some(link) = &mut self.pipe.lock().link {
            link.key = None;
        }
        Ok(())
    }
}

impl NamedPipe {
    fn registered<'a>(&self, registry: &'a Registry) -> io::Result<(&'a Completions, RaisedKey)> {
        match (&self.home, self.registration, registry.core().selector.completions()) {
            (Some(home), Some(key), Ok(completions)) if Arc::ptr_eq(home, completions) => {
                Ok((completions, key))
            }
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "the pipe is not registered with this `Poll`")),
        }
    }
}

impl Drop for NamedPipe {
    fn drop(&mut self) {
        let Some(completions) = &self.home else {
            return;
        };
        if let Some(key) = self.registration {
            completions.remove(key);
        }
        let mut state = self.pipe.lock();
        let handle = self.pipe.handle.as_handle();
        if let Reading::Pending(ticket) = &state.reading {
            ticket.cancel(handle);
        }
        if let Connecting::Pending(ticket) = &state.connecting {
            ticket.cancel(handle);
        }
        if let Some(link) = &mut state.link {
            link.key = None;
        }
        if let Writing::Pending(ticket) = mem::take(&mut state.writing) {
            state.writing = Writing::Orphan(completions.adopt(self.pipe.clone(), ticket));
        }
    }
}

impl Read for &NamedPipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.pipe.read(buf, self.completions()?)
    }
}

impl Read for NamedPipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

/// Nothing can be flushed without waiting for the peer: `flush` does nothing.
impl Write for &NamedPipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.pipe.write(buf, self.completions()?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Nothing can be flushed without waiting for the peer: `flush` does nothing.
impl Write for NamedPipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsHandle for NamedPipe {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.pipe.handle.as_handle()
    }
}

/// One end of a pipe, which must have been opened with `FILE_FLAG_OVERLAPPED`.
impl From<OwnedHandle> for NamedPipe {
    fn from(handle: OwnedHandle) -> NamedPipe {
        let pipe = Pipe { handle, state: Mutex::default() };
        NamedPipe { pipe: Arc::new(pipe), registration: None, home: None }
    }
}

/// Best before it was registered: later, what was read ahead is lost, and the handle stays tied to the `Poll`.
///
/// # Panics
///
/// If operations are under way and the system has no handle left for a duplicate.
impl From<NamedPipe> for OwnedHandle {
    fn from(source: NamedPipe) -> OwnedHandle {
        let pipe = Arc::clone(&source.pipe);
        drop(source);
        match Arc::try_unwrap(pipe) {
            Ok(pipe) => pipe.handle,
            Err(shared) => shared.handle.try_clone().expect("the system has no handle left for a duplicate"),
        }
    }
}

os::raw_handle_conversions!(NamedPipe);

impl fmt::Debug for NamedPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedPipe").field("handle", &self.pipe.handle).finish_non_exhaustive()
    }
}
