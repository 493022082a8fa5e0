//! The sources of a simulated world.
//!
//! Invariant: a source is a place in its world and nothing else; dropping the source frees the place.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use crate::backend::{Address, Sim, SimId, World};
use crate::engine::errors::{of_change, of_register};
use crate::poll::{Registry, Source};
use crate::readiness::{Interest, Token};

/// A source's place in its world. Dropping it closes the source.
struct Place {
    world: Arc<World>,
    id: SimId,
}

impl Place {
    /// Returns the simulation behind `registry`, if it belongs to this world.
    fn sim<'a>(&self, registry: &'a Registry) -> io::Result<&'a Sim> {
        let sim = registry.engine().selector.sim();
        sim.filter(|sim| Arc::ptr_eq(sim.world(), &self.world)).ok_or_else(|| {
            let why = "a simulated source can only be registered with a `Poll` of its own `Sim`";
            io::Error::new(io::ErrorKind::NotFound, why)
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.world.close(self.id);
    }
}

macro_rules! sim_source {
    ($(#[$doc:meta])* pub struct $Type:ident { $($field:ident: $Field:ty)? }) => {
        $(#[$doc])*
        pub struct $Type {
            place: Place,
            $($field: $Field,)?
        }

        impl $Type {
            pub(super) fn new(world: &Arc<World>, id: SimId $(, $field: $Field)?) -> $Type {
                $Type { place: Place { world: Arc::clone(world), id } $(, $field)? }
            }
        }

        impl Source for $Type {
            fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
                let sim = self.place.sim(registry)?;
                sim.world().register(sim.number(), self.place.id, token, interest).map_err(of_register)
            }

            fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
                let sim = self.place.sim(registry)?;
                sim.world().reregister(sim.number(), self.place.id, token, interest).map_err(of_change)
            }

            fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
                let sim = self.place.sim(registry)?;
                sim.world().deregister(sim.number(), self.place.id).map_err(of_change)
            }
        }

        impl fmt::Debug for $Type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($Type)).field(&self.place.id).finish()
            }
        }
    };
}

macro_rules! reads {
    ($Type:ident) => {
        impl Read for $Type {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buf)
            }
        }

        impl Read for &$Type {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.place.world.read(self.place.id, buf)
            }
        }
    };
}

macro_rules! writes {
    ($Type:ident) => {
        impl Write for $Type {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&*self).write(buf)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Write for &$Type {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.place.world.write(self.place.id, buf)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    };
}

sim_source! {
    /// One end of a simulated connection.
    pub struct Stream {}
}

reads!(Stream);
writes!(Stream);

impl Stream {
    /// Shuts down one half of the connection, or both, as a socket's `shutdown` does.
    ///
    /// # Errors
    ///
    /// None; the method returns a result for likeness with sockets.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.place.world.shutdown(self.place.id, how != Shutdown::Write, how != Shutdown::Read);
        Ok(())
    }

    /// Breaks the connection at this very point of a test: the next operation of each end fails with
    /// `ConnectionReset`, once.
    pub fn reset(&self) {
        self.place.world.reset(self.place.id);
    }
}

sim_source! {
    /// The writing end of a simulated pipe.
    pub struct Sender {}
}

writes!(Sender);

sim_source! {
    /// The reading end of a simulated pipe.
    pub struct Receiver {}
}

reads!(Receiver);

sim_source! {
    /// A simulated socket that accepts connections.
    pub struct Listener { address: Address }
}

impl Listener {
    /// Returns the address for [`Sim::connect`](super::Sim::connect).
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// Accepts the next connection.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: no connection is waiting, or the simulation pretends so; an event follows. `Interrupted`: by the
    /// seed.
    pub fn accept(&self) -> io::Result<Stream> {
        let world = &self.place.world;
        Ok(Stream::new(world, world.accept(self.place.id)?))
    }
}

sim_source! {
    /// A simulated datagram socket.
    pub struct Datagram { address: Address }
}

impl Datagram {
    /// Returns the address that other sockets send to.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// Sends a datagram. As with UDP it can be lost: because no socket has the address, because the receiver's queue
    /// is full, or by the seed.
    ///
    /// # Errors
    ///
    /// `WouldBlock` and `Interrupted`, by the seed.
    pub fn send_to(&self, buf: &[u8], to: Address) -> io::Result<usize> {
        self.place.world.send_to(self.place.id, buf, to)
    }

    /// Receives a datagram, and returns its length and its sender. The part that exceeds `buf` is discarded.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: no datagram has arrived, or the simulation pretends so; an event follows. `Interrupted`: by the
    /// seed.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, Address)> {
        self.place.world.recv_from(self.place.id, buf)
    }
}
