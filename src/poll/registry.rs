use std::fmt;
use std::io;
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

#[cfg(feature = "os-ext")]
use crate::backend::Registration;
#[cfg(feature = "os-ext")]
use crate::engine::errors::{of_change, of_register};
use crate::engine::Engine;
#[cfg(feature = "os-ext")]
use crate::os::RawIo;
use crate::readiness::{Interest, Token};

/// Registers event sources with a [`Poll`](crate::Poll).
///
/// Comes from [`Poll::registry`](crate::Poll::registry). It can be used from any thread, also while a thread is
/// inside `poll`, and takes effect at once.
///
/// # Portability
///
/// On Unix the descriptor that it lends (`AsFd`, `AsRawFd`) is the `Poll`'s own: see [`Poll`](crate::Poll).
pub struct Registry {
    engine: Arc<Engine>,
}

/// Something that can be registered with a [`Registry`].
///
/// Every source of this library is one. Implement it for a type of your own by passing the calls on to the sources
/// that it is made of; `Poll` never calls it on its own.
///
/// A source should be deregistered before it is dropped, though one of this library that isn't leaks nothing.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "net")] mod example {
/// use std::io;
/// use wakeful::{event, net::UdpSocket, Interest, Registry, Token};
///
/// struct Player {
///     socket: UdpSocket,
///     score: u32,
/// }
///
/// impl event::Source for Player {
///     fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
///         self.socket.register(registry, token, interest)
///     }
///
///     fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
///         self.socket.reregister(registry, token, interest)
///     }
///
///     fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
///         self.socket.deregister(registry)
///     }
/// }
/// # }
/// ```
pub trait Source {
    /// Registers `self`. Call [`Registry::register`] instead.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::register`].
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()>;

    /// Replaces token and interest of `self`. Call [`Registry::reregister`] instead.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::reregister`].
    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()>;

    /// Deregisters `self`. Call [`Registry::deregister`] instead.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::deregister`].
    fn deregister(&mut self, registry: &Registry) -> io::Result<()>;
}

impl Registry {
    /// The first of this `engine`.
    pub(super) fn new(engine: Arc<Engine>) -> Registry {
        Registry { engine }
    }

    #[inline]
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Watches `source`: from now on each change of its readiness that is in `interest` gives an event with `token`.
    ///
    /// Readiness that exists already is reported by the next `poll`.
    ///
    /// # Errors
    ///
    /// - `AlreadyExists`: the source is registered already, here or with another `Poll`. A source whose `Poll` was
    ///   dropped, with every registry of it, is free again.
    /// - `PermissionDenied`: the kernel can't watch such a thing, for example a regular file.
    /// - `EBADF` and its like: it is no open descriptor.
    /// - Those of the system: too many watches (`ENOSPC`), no memory.
    ///
    /// After an error the source is as it was.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "net")]
    /// # fn main() -> std::io::Result<()> {
    /// use wakeful::{net::UdpSocket, Interest, Poll, Token};
    ///
    /// let poll = Poll::new()?;
    /// let mut socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// poll.registry().register(&mut socket, Token(1), Interest::READABLE)?;
    ///
    /// let again = poll.registry().register(&mut socket, Token(2), Interest::READABLE);
    /// assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "net"))] fn main() {}
    /// ```
    pub fn register<S>(&self, source: &mut S, token: Token, interest: Interest) -> io::Result<()>
    where
        S: Source + ?Sized,
    {
        trace!("register: {token:?}, {interest:?}");
        source.register(self, token, interest)
    }

    /// Replaces token and interest of a registered `source`, both completely.
    ///
    /// Readiness that exists is reported again, so this is also a way to ask for an event that one has had.
    ///
    /// # Errors
    ///
    /// `NotFound`: the source isn't registered with this `Poll`. Otherwise those of [`register`](Registry::register).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "net")]
    /// # fn main() -> std::io::Result<()> {
    /// use wakeful::{net::UdpSocket, Interest, Poll, Token};
    ///
    /// let poll = Poll::new()?;
    /// let mut socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// poll.registry().register(&mut socket, Token(1), Interest::READABLE)?;
    /// poll.registry().reregister(&mut socket, Token(2), Interest::WRITABLE)?;
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "net"))] fn main() {}
    /// ```
    pub fn reregister<S>(&self, source: &mut S, token: Token, interest: Interest) -> io::Result<()>
    where
        S: Source + ?Sized,
    {
        trace!("reregister: {token:?}, {interest:?}");
        source.reregister(self, token, interest)
    }

    /// Watches `source` no more: no `poll` that begins after this reports its token, even if the kernel had an event
    /// queued.
    ///
    /// # Errors
    ///
    /// `NotFound`: the source isn't registered with this `Poll`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "net")]
    /// # fn main() -> std::io::Result<()> {
    /// use wakeful::{net::UdpSocket, Interest, Poll, Token};
    ///
    /// let poll = Poll::new()?;
    /// let mut socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// poll.registry().register(&mut socket, Token(1), Interest::READABLE)?;
    /// poll.registry().deregister(&mut socket)?;
    ///
    /// let again = poll.registry().deregister(&mut socket);
    /// assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::NotFound);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "net"))] fn main() {}
    /// ```
    pub fn deregister<S>(&self, source: &mut S) -> io::Result<()>
    where
        S: Source + ?Sized,
    {
        trace!("deregister");
        source.deregister(self)
    }

    /// Another handle of the same `Poll`, for another thread.
    ///
    /// The `Poll` ends when it and every handle are dropped. Then the sources that were registered with it are free:
    /// another `Poll` can register them.
    ///
    /// # Errors
    ///
    /// None: it needs no descriptor. The result is there for compatibility.
    pub fn try_clone(&self) -> io::Result<Registry> {
        self.engine.add_registry();
        Ok(Registry { engine: Arc::clone(&self.engine) })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.engine.remove_registry();
    }
}

/// For sources that others own, whose operations this library doesn't see.
#[cfg(feature = "os-ext")]
impl Registry {
    pub(crate) fn register_raw(&self, io: RawIo, token: Token, interest: Interest) -> io::Result<()> {
        self.engine.layer.replace_raw(io, token, interest, || {
            let registered = self.engine.selector.register(io, Registration::untracked(token, interest));
            registered.map(|_| ()).map_err(of_register)
        })
    }

    pub(crate) fn reregister_raw(&self, io: RawIo, token: Token, interest: Interest) -> io::Result<()> {
        self.engine.layer.replace_raw(io, token, interest, || {
            let registration = Registration::untracked(token, interest);
            self.engine.selector.reregister(io, None, registration).map_err(of_change)
        })
    }

    pub(crate) fn deregister_raw(&self, io: RawIo) -> io::Result<()> {
        self.engine.selector.deregister(io, None).map_err(of_change)?;
        self.engine.layer.remove_raw(io);
        Ok(())
    }
}

#[cfg(unix)]
impl AsFd for Registry {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.engine.expose()
    }
}

#[cfg(unix)]
impl AsRawFd for Registry {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("backend", &self.engine.selector.backend()).finish_non_exhaustive()
    }
}

impl<T: Source + ?Sized> Source for Box<T> {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        (**self).register(registry, token, interest)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        (**self).reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        (**self).deregister(registry)
    }
}
