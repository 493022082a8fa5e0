//! A world without a kernel, for tests of programs that poll: sources in memory, a clock of its own, and, by a seed,
//! everything that the contract allows and that kernels do rarely.
//!
//! A [`Sim`] makes a [`Poll`] and sources for it. A program that is written against [`Source`], `Read` and `Write`
//! runs on them as it is. Events come late, split, merged, in any order, and for no reason; reads and writes are
//! short, answer `WouldBlock` or `Interrupted`; and if it is asked for, connections break ([`Faults`]).
//!
//! The same seed gives the same run, on every platform, as long as one thread does everything. Time moves in
//! [`Poll::poll`] alone, and as far as the program sleeps: a second of sleep costs nothing. So thousands of runs
//! with thousands of seeds are quick, and the seed of one that fails repeats it: a world whose test panics prints it.
//!
//! A program that sleeps for ever, since it waits for an event that the contract doesn't promise, gets an error from
//! `poll` instead, unless a [`Waker`](crate::Waker) lives: then another thread may come to its help.
//!
//! # Examples
//!
//! A reader that takes it for granted that a message arrives in one piece, and the seed that shows its fault:
//!
//! ```
//! use std::io::{ErrorKind, Read, Write};
//! use wakeful::sim::Sim;
//! use wakeful::{Events, Interest, Token};
//!
//! fn run(seed: u64) -> Result<(), String> {
//!     let sim = Sim::new(seed);
//!     let mut poll = sim.poll();
//!     let mut events = Events::with_capacity(8);
//!     let (mut client, mut server) = sim.stream_pair();
//!     poll.registry().register(&mut server, Token(0), Interest::READABLE).unwrap();
//!
//!     client.write_all(b"hello").map_err(|e| e.to_string())?;
//!     loop {
//!         match poll.poll(&mut events, None) {
//!             Err(e) if e.kind() == ErrorKind::Interrupted => continue,
//!             result => result.map_err(|e| e.to_string())?,
//!         }
//!         loop {
//!             let mut buf = [0; 16];
//!             match server.read(&mut buf) {
//!                 Ok(n) if &buf[..n] == b"hello" => return Ok(()),
//!                 Ok(n) => return Err(format!("not a greeting: {:?}", &buf[..n])),
//!                 Err(e) if e.kind() == ErrorKind::WouldBlock => break,
//!                 Err(e) if e.kind() == ErrorKind::Interrupted => {}
//!                 Err(e) => return Err(e.to_string()),
//!             }
//!         }
//!     }
//! }
//!
//! let failing = (0..1000).find(|&seed| run(seed).is_err()).expect("a seed that shows it");
//! assert_eq!(run(failing), run(failing));
//! ```
//!
//! `examples/simulated.rs` has a line protocol, and replays what it has found.

mod sources;

pub use self::sources::{Datagram, Listener, Receiver, Sender, Stream};
pub use crate::backend::{Address, Faults};

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::{Selector, World};
use crate::poll::Poll;
#[cfg(doc)]
use crate::poll::Source;

/// A simulated world. A clone is another handle of the same.
#[derive(Clone)]
pub struct Sim {
    world: Arc<World>,
}

impl Sim {
    /// The world of `seed`, with the usual [`Faults`].
    #[must_use]
    pub fn new(seed: u64) -> Sim {
        Sim::with_faults(seed, Faults::default())
    }

    /// The world of `seed`, with these faults.
    #[must_use]
    pub fn with_faults(seed: u64, faults: Faults) -> Sim {
        Sim { world: Arc::new(World::new(seed, faults)) }
    }

    /// The seed, for the message of a test that fails. One that panics need not ask: the world says it by itself.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.world.seed()
    }

    /// A `Poll` of this world, for this world's sources. There may be several.
    #[must_use]
    pub fn poll(&self) -> Poll {
        Poll::with_selector(Selector::of_world(&self.world))
    }

    /// What the clock shows: the base for deadlines.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.world.now()
    }

    /// How long the world has been going on.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.world.elapsed()
    }

    /// Two ends of a connection.
    #[must_use]
    pub fn stream_pair(&self) -> (Stream, Stream) {
        let (one, other) = self.world.stream_pair();
        (Stream::new(&self.world, one), Stream::new(&self.world, other))
    }

    /// Two ends of a pipe.
    #[must_use]
    pub fn pipe(&self) -> (Sender, Receiver) {
        let (sender, receiver) = self.world.pipe();
        (Sender::new(&self.world, sender), Receiver::new(&self.world, receiver))
    }

    /// A datagram socket, with an address of its own.
    #[must_use]
    pub fn datagram(&self) -> Datagram {
        let (id, address) = self.world.datagram();
        Datagram::new(&self.world, id, address)
    }

    /// A socket that accepts connections.
    #[must_use]
    pub fn listener(&self) -> Listener {
        let (id, address) = self.world.listener();
        Listener::new(&self.world, id, address)
    }

    /// Connects to a listener.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused`: nobody listens there, or too many wait to be accepted.
    pub fn connect(&self, to: Address) -> io::Result<Stream> {
        Ok(Stream::new(&self.world, self.world.connect(to)?))
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim")
            .field("seed", &self.seed())
            .field("elapsed", &self.elapsed())
            .finish_non_exhaustive()
    }
}
