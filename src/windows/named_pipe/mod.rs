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
/// Windows can't tell when a pipe is ready; it can only do operations in the background. So this reads ahead into a
/// buffer of its own, and writes from one: it is readable when there are bytes in the first, and writable when the
/// second is free. That has consequences:
///
/// - Register it before anything else. Until then all operations answer `WouldBlock`; a [`connect`] is begun by the
///   registration.
/// - [`write`](Write::write) takes all that it is given, and the error of what it couldn't deliver is the answer of
///   the next one. A pipe of messages gets each `write` as one message.
/// - A read ahead is as large as the largest buffer that a `read` has passed so far, but at least 16 KiB and at most
///   1 MiB. So the first `read` returns at most 16 KiB, later ones up to 1 MiB.
/// - In a pipe of messages a message that is longer than the buffer of a `read`, or than what was read ahead, goes on
///   with the next `read`.
/// - In a pipe of messages a message of length zero reads as `Ok(0)`, as the end does. The end stays: the next `read`
///   returns `Ok(0)` again, where after an empty message it fails with `WouldBlock` or returns the next message. The
///   event of the end says so too ([`is_read_closed`](crate::event::Event::is_read_closed)).
/// - Once registered, it belongs to that `Poll` for good, even after the `Poll` was dropped: the kernel ties them
///   together. To `register` it with another fails with `AlreadyExists`.
/// - Once registered, no overlapped operations may be done on its handle by others, not even after it was given away:
///   their ends would come to this `Poll`, which takes them for its own.
///
/// When it is dropped, what it reads is given up, and what it still writes goes on until it is done, as long as the
/// `Poll` lives.
///
/// When a pipe and its `Poll` have both been dropped, the last of them waits up to one second for operations that it
/// has cancelled, since the kernel may still write to their buffers. Pipes of the same machine end them at once; a
/// serial driver or another machine's pipe may take longer. What has not ended by then is leaked: its buffer, and
/// nothing else.
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
    /// Of the `Poll` that the kernel has tied the handle to. Kept until the end, because operations are under way that
    /// must come back there.
    completions: Option<Arc<Completions>>,
}

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
    /// A client that has come and gone before this call has connected too: what it wrote can be read, and then the
    /// end. So a client that only opens and closes the pipe doesn't end a server's loop.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: not yet. `ERROR_NO_DATA` (232): the client of the last `connect` has gone; call [`disconnect`]
    /// first. Otherwise those of `ConnectNamedPipe`; an error that comes later is kept for [`take_error`].
    ///
    /// [`disconnect`]: NamedPipe::disconnect
    /// [`take_error`]: NamedPipe::take_error
    pub fn connect(&self) -> io::Result<()> {
        self.pipe.connect(self.completions.as_deref())
    }

    /// The error of a [`connect`](NamedPipe::connect) that failed in the background, once.
    ///
    /// # Errors
    ///
    /// None; the result is there for compatibility.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.pipe.take_connect_error())
    }

    /// Throws the client out, so that another may [`connect`](NamedPipe::connect). What it hasn't read is lost, and so
    /// is what it has sent and nobody has read.
    ///
    /// # Errors
    ///
    /// Those of `DisconnectNamedPipe`.
    pub fn disconnect(&self) -> io::Result<()> {
        self.pipe.disconnect()
    }

    /// Whether an operation may be tried, and with what.
    fn may(&self, direction: Interest) -> io::Result<&Completions> {
        let pretends =
            self.registration.as_ref().is_some_and(|registration| registration.pretends_to_block(direction));
        self.completions.as_deref().filter(|_| !pretends).ok_or_else(|| io::ErrorKind::WouldBlock.into())
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
        registration.replace(token, interest)?;
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

/// A vectored read fills the slices in turn from one read ahead.
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

/// A vectored write is one write, and one message in a pipe of messages. Nothing can be flushed without waiting for the
/// peer: `flush` does nothing.
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

/// Nothing can be flushed without waiting for the peer: `flush` does nothing.
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

/// One end of a pipe, which must have been opened with `FILE_FLAG_OVERLAPPED`.
impl From<OwnedHandle> for NamedPipe {
    fn from(handle: OwnedHandle) -> NamedPipe {
        NamedPipe { pipe: Arc::new(Pipe::new(handle)), registration: None, completions: None }
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
