//! `Registry`, and the trait `Source` of everything that it registers.
//!
//! Invariant: the engine counts its registries. With the last one the `Poll` ends and its sources are free, though a
//! waker may still hold the engine.

use std::fmt;
use std::io;
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

#[cfg(feature = "os-ext")]
use crate::backend::Registration;
#[cfg(all(unix, feature = "os-ext"))]
use crate::backend::{FilterChange, FilterOwner};
#[cfg(feature = "os-ext")]
use crate::engine::errors::{of_change, of_register};
use crate::engine::Engine;
#[cfg(all(unix, feature = "os-ext"))]
use crate::os::KernelFilter;
#[cfg(feature = "os-ext")]
use crate::os::RawIo;
use crate::readiness::{Interest, Token};

/// Registers event sources with a [`Poll`](crate::Poll).
///
/// [`Poll::registry`](crate::Poll::registry) returns it. Any thread can use it, also while another thread is inside
/// `poll`, and changes take effect at once.
///
/// # Portability
///
/// On Unix `AsFd` and `AsRawFd` lend the descriptor of the `Poll`: see [`Poll`](crate::Poll).
pub struct Registry {
    engine: Arc<Engine>,
}

/// An event source: a type that a [`Registry`] can register.
///
/// Every source of this library implements this trait. To implement it for another type, pass the calls on to the
/// sources that the type contains. A program calls the methods of a `Registry`, which call these.
///
/// Deregister a source before dropping it. A source of this library leaks nothing if it is dropped while registered.
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
    /// Registers this source. Call [`Registry::register`] instead.
    ///
    /// # Errors
    ///
    /// The errors of [`Registry::register`].
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()>;

    /// Replaces the token and the interest of this source. Call [`Registry::reregister`] instead.
    ///
    /// # Errors
    ///
    /// The errors of [`Registry::reregister`].
    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()>;

    /// Deregisters this source. Call [`Registry::deregister`] instead.
    ///
    /// # Errors
    ///
    /// The errors of [`Registry::deregister`].
    fn deregister(&mut self, registry: &Registry) -> io::Result<()>;
}

impl Registry {
    /// Creates the first registry of `engine`.
    pub(super) fn new(engine: Arc<Engine>) -> Registry {
        Registry { engine }
    }

    #[inline]
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Registers `source`. From then on, each change of its readiness in a direction of `interest` causes an event with
    /// `token`.
    ///
    /// The next `poll` reports readiness that exists already.
    ///
    /// # Errors
    ///
    /// - `AlreadyExists`: the source is already registered, with this `Poll` or another. When a `Poll` and all its
    ///   registries have been dropped, its sources can be registered again.
    /// - `PermissionDenied`: the kernel can't watch such a file, for example a regular file.
    /// - `EBADF` and similar: the descriptor isn't open.
    /// - Limits of the system: too many watches (`ENOSPC`), or out of memory.
    ///
    /// After an error the source is in the same state as before the call.
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

    /// Replaces the token and the interest of a registered `source`, both completely.
    ///
    /// The next `poll` reports existing readiness again, so `reregister` can also re-trigger an event.
    ///
    /// # Errors
    ///
    /// - `NotFound`: the source isn't registered with this `Poll`.
    /// - The other errors of [`register`](Registry::register).
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

    /// Stops watching `source`: no `poll` that starts after this returns reports its token, even if the kernel has
    /// already queued an event.
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

    /// Returns another handle to the same `Poll`, for use on another thread.
    ///
    /// The registrations end when the `Poll` and all its handles have been dropped. Another `Poll` can then register
    /// the same sources.
    ///
    /// # Errors
    ///
    /// None: a handle needs no descriptor. The method returns a `Result` for compatibility.
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

/// For borrowed descriptors, whose operations this library doesn't see.
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

/// A source that is no descriptor. Its calls stand here, above the type's own floor.
#[cfg(all(unix, feature = "os-ext"))]
impl Source for KernelFilter {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        change_filter(&registry.engine, self, FilterOwner::SHARED, FilterChange::Register(token, interest))
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        change_filter(&registry.engine, self, FilterOwner::SHARED, FilterChange::Reregister(token, interest))
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        change_filter(&registry.engine, self, FilterOwner::SHARED, FilterChange::Deregister)
    }
}

/// Changes the registration of a filter, with the selector and the layer.
#[cfg(all(unix, feature = "os-ext"))]
pub(crate) fn change_filter(
    engine: &Engine,
    filter: &KernelFilter,
    owner: FilterOwner,
    change: FilterChange,
) -> io::Result<()> {
    let run = || engine.selector.change_filter(filter, owner, change);
    match change {
        FilterChange::Register(token, interest) => {
            engine.layer.replace_filter(filter, token, interest, || run().map_err(of_register))
        }
        FilterChange::Reregister(token, interest) => {
            engine.layer.replace_filter(filter, token, interest, || run().map_err(of_change))
        }
        FilterChange::Deregister => {
            run().map_err(of_change)?;
            engine.layer.remove_filter(filter);
            Ok(())
        }
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
