//! Named pipes: the source, its registration, `Read` and `Write`.
//!
//! Invariant: once registered, a pipe stays tied to one completion port, and keeps it alive until the pipe is
//! dropped.

mod pipe;

use std::ffi::OsStr;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};
use std::sync::Arc;

use self::pipe::Pipe;
use crate::backend::Completions;
use crate::engine::errors::{already_registered, not_registered};
use crate::os;
use crate::poll::{Registry, Source};
use crate::readiness::{Interest, Token};
use crate::windows::user_registration::UserRegistration;

/// One end of a named pipe.
///
/// Windows has no readiness of pipes, only operations in the background. So a `NamedPipe` reads ahead into one buffer
/// and writes from another: it is readable when the first holds bytes, and writable when the second is free. That has
/// consequences:
///
/// - Register the pipe first. Until then all operations fail with `WouldBlock`; a [`connect`] starts with the
///   registration.
/// - [`write`](Write::write) takes the whole buffer. If the delivery fails later, the next `write` fails with its
///   error. On a pipe of messages each `write` is one message.
/// - A read ahead is as large as the largest buffer passed to `read` so far, but at least 16 KiB and at most 1 MiB.
///   So the first `read` returns at most 16 KiB, later ones up to 1 MiB.
/// - On a pipe of messages, a message that is longer than the buffer of a `read`, or than the read ahead, continues
///   in the next `read`.
/// - On a pipe of messages, an empty message reads as `Ok(0)`, as the end does. The end lasts: the next `read`
///   returns `Ok(0)` again, whereas after an empty message it fails with `WouldBlock` or returns the next message.
///   For the event of the end [`is_read_closed`](crate::event::Event::is_read_closed) is `true`.
/// - Once registered, the pipe belongs to that `Poll` for good, even after the `Poll` was dropped: the kernel ties
///   them together. Registering it with another `Poll` fails with `AlreadyExists`.
/// - Once registered, other code must not start overlapped operations on the handle, not even after it was converted
///   into an `OwnedHandle`: their completions would arrive at this `Poll`, which would take them for its own.
///
/// Dropping the pipe cancels its read and its connect. A write in progress continues until it is done, as long as the
/// `Poll` lives.
///
/// When a pipe and its `Poll` have both been dropped, the later drop waits up to one second for the cancelled
/// operations, since the kernel may still write to their buffers. Pipes of the same machine end them at once; a
/// serial driver or another machine's pipe may take longer. The buffer of an operation that has not ended by then is
/// leaked, and nothing else.
///
/// Reading from a pipe whose peer has gone returns `Ok(0)`, and writing fails with `BrokenPipe`.
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
    registration: Option<UserRegistration>,
    /// The completions of the `Poll` that the kernel has tied the handle to. Kept until the drop, since operations in
    /// progress complete there.
    completions: Option<Arc<Completions>>,
}

impl NamedPipe {
    /// Creates the server's end of a pipe of bytes. `addr` has the form `\\.\pipe\name`.
    ///
    /// # Errors
    ///
    /// `PermissionDenied`: the name is in use. Otherwise any error of `CreateNamedPipe`.
    pub fn new<A: AsRef<OsStr>>(addr: A) -> io::Result<NamedPipe> {
        os::create_pipe(addr.as_ref()).map(NamedPipe::from)
    }

    /// Opens the client's end of a pipe that has a server.
    ///
    /// # Errors
    ///
    /// `NotFound`: the pipe has no server. `ERROR_PIPE_BUSY` (231): no instance is free at the moment.
    pub fn open<A: AsRef<OsStr>>(addr: A) -> io::Result<NamedPipe> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(os::CLIENT_FLAGS)
            .security_qos_flags(os::CLIENT_SECURITY)
            .open(addr.as_ref())?;
        Ok(NamedPipe::from(OwnedHandle::from(file)))
    }

    /// Waits for a client in the background: fails with `WouldBlock` until a client has connected, then returns `Ok`.
    /// A writable event reports when to call it again.
    ///
    /// A client that has connected and gone before this call counts as connected: its data can be read, and then the
    /// end. So a client that only opens and closes the pipe doesn't end a server's loop.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: no client has connected yet. `ERROR_NO_DATA` (232): the client of the last `connect` has gone;
    /// call [`disconnect`] first. Otherwise any error of `ConnectNamedPipe`. [`take_error`] returns an error that
    /// occurs later.
    ///
    /// [`disconnect`]: NamedPipe::disconnect
    /// [`take_error`]: NamedPipe::take_error
    pub fn connect(&self) -> io::Result<()> {
        self.pipe.connect(self.completions.as_deref())
    }

    /// Returns the error of a [`connect`](NamedPipe::connect) that failed in the background, once.
    ///
    /// # Errors
    ///
    /// None; the method returns a result for compatibility.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.pipe.take_connect_error())
    }

    /// Disconnects the client, so that another can [`connect`](NamedPipe::connect). Data that either side has not
    /// read yet is lost.
    ///
    /// # Errors
    ///
    /// Any error of `DisconnectNamedPipe`.
    pub fn disconnect(&self) -> io::Result<()> {
        self.pipe.disconnect()
    }

    /// Returns the completions to start an operation with, or `WouldBlock` if none may be tried.
    fn may(&self, direction: Interest) -> io::Result<&Completions> {
        if let Some(registration) = &self.registration {
            registration.operate(direction, || Ok(()))?;
        }
        self.completions.as_deref().ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }
}

impl Source for NamedPipe {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        let completions = registry.engine().selector.completions()?;
        if self.registration.as_ref().is_some_and(UserRegistration::is_living) {
            return Err(already_registered());
        }
        if self.completions.as_ref().is_some_and(|first| !Arc::ptr_eq(first, completions)) {
            let why = "the pipe belongs to the `Poll` that it was first registered with";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        if self.completions.is_none() {
            completions.port().attach(self.as_handle())?;
            self.completions = Some(Arc::clone(completions));
        }
        let registration = UserRegistration::new(registry, token, interest)?;
        self.pipe.begin(&registration, interest);
        self.registration = Some(registration);
        Ok(())
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        let registration = self.registration.as_ref().filter(|registration| registration.is_of(registry));
        let registration = registration.ok_or_else(not_registered)?;
        // The pipe knows its readiness.
        let _posted = registration.replace(token, interest)?;
        self.pipe.begin(registration, interest);
        Ok(())
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        if !self.registration.as_ref().is_some_and(|registration| registration.is_of(registry)) {
            return Err(not_registered());
        }
        self.registration = None;
        Ok(())
    }
}

impl Drop for NamedPipe {
    fn drop(&mut self) {
        self.registration = None;
        if let Some(completions) = &self.completions {
            self.pipe.abandon(completions);
        }
    }
}

/// A vectored read fills the slices in order from one read ahead.
impl Read for &NamedPipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buf)])
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.pipe.read(bufs, self.may(Interest::READABLE)?)
    }
}

impl Read for NamedPipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

/// A vectored write is one write, and one message on a pipe of messages. `flush` does nothing: a flush would wait for
/// the peer.
impl Write for &NamedPipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.pipe.write(bufs, self.may(Interest::WRITABLE)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `flush` does nothing: a flush would wait for the peer.
impl Write for NamedPipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsHandle for NamedPipe {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.pipe.as_handle()
    }
}

/// Wraps one end of a pipe, which must have been opened with `FILE_FLAG_OVERLAPPED`.
impl From<OwnedHandle> for NamedPipe {
    fn from(handle: OwnedHandle) -> NamedPipe {
        NamedPipe { pipe: Arc::new(Pipe::new(handle)), registration: None, completions: None }
    }
}

/// Returns the handle. Convert a pipe before it is registered: later, bytes that were read ahead are lost, and the
/// handle stays tied to the `Poll`.
///
/// # Panics
///
/// Panics if operations are in progress and the system has no handle left for a duplicate.
impl From<NamedPipe> for OwnedHandle {
    fn from(source: NamedPipe) -> OwnedHandle {
        let pipe = Arc::clone(&source.pipe);
        drop(source);
        match Arc::try_unwrap(pipe) {
            Ok(pipe) => pipe.into_handle(),
            Err(shared) => shared
                .as_handle()
                .try_clone_to_owned()
                .expect("the system has no handle left for a duplicate"),
        }
    }
}

os::raw_handle_conversions!(NamedPipe);

impl fmt::Debug for NamedPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedPipe").field("handle", &self.pipe.as_handle()).finish_non_exhaustive()
    }
}
