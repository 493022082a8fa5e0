//! A simulated world without a kernel, for tests of programs that poll: sources in memory, a simulated clock, and,
//! chosen by a seed, everything that the contract allows but kernels do rarely.
//!
//! A [`Sim`] creates a [`Poll`] and sources for it. A program that is written against [`Source`], `Read` and `Write`
//! runs on them unchanged. Events come late, split, merged, reordered and spuriously; reads and writes are short, or
//! fail with `WouldBlock` or `Interrupted`; and on request connections break ([`Faults`]).
//!
//! The same seed gives the same run, on every platform, as long as one thread does everything. Time advances only in
//! [`Poll::poll`], by as much as the program sleeps, so a sleep of a second takes no real time. Thousands of seeds
//! run quickly, and a failing seed repeats its failure: a world that is dropped by a panic prints its seed.
//!
//! If a program would sleep for ever, because it waits for an event that the contract doesn't promise, `poll` returns
//! an error instead. The exception is a world with a living [`Waker`](crate::Waker): another thread may still wake the
//! program.
//!
//! # Examples
//!
//! A reader that assumes that a message arrives in one piece, and a search for a seed that shows the mistake:
//!
//! ```
//! use std::io::{ErrorKind, Read, Write};
//! use wakeful::sim::Sim;
//! use wakeful::{Events, Interest, Token};
//!
//! fn run(seed: u64) -> Result<(), String> {
//!     let sim = Sim::new(seed);
//!     let mut poll = sim.new_poll();
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
//! let failing = (0..1000).find(|&seed| run(seed).is_err()).expect("a seed that fails");
//! assert_eq!(run(failing), run(failing));
//! ```
//!
//! `examples/simulated.rs` tests a line protocol, and replays the failures that it finds.

mod host;
mod sources;
mod task;

pub use self::host::Host;
pub use self::sources::{Datagram, Listener, Receiver, Sender, Stream};
pub use self::task::{before_each_poll, Task};
pub use crate::backend::{
    seat_tasks_by, Address, Choice, ChoiceKind, Director, End, Endpoint, Family, Faults, Link, Patience,
    Record, Seat, SocketName, SocketType, SourceState, What,
};

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::{Choices, Selector, World};
use crate::poll::Poll;
#[cfg(doc)]
use crate::poll::Source;

/// A simulated world. A clone is another handle to the same world.
#[derive(Clone)]
pub struct Sim {
    world: Arc<World>,
}

impl Sim {
    /// Creates the world of `seed`, with the default [`Faults`].
    #[must_use]
    pub fn new(seed: u64) -> Sim {
        Sim::with_faults(seed, Faults::default())
    }

    /// Creates the world of `seed`, with the given faults.
    #[must_use]
    pub fn with_faults(seed: u64, faults: Faults) -> Sim {
        Sim::of(Choices::of_seed(seed), faults)
    }

    /// Creates the world of `seed`, and records its [`choices`](Sim::choices).
    #[must_use]
    pub fn recorded(seed: u64, faults: Faults) -> Sim {
        Sim::of(Choices::of_seed(seed).recorded(), faults)
    }

    /// Creates a world that repeats the given choices, and records those that have an effect. All others are plain: no
    /// fault, the first of a queue, no delay.
    ///
    /// The whole record of a run repeats the run. A part of it is a simpler run, so removing choices from the list for
    /// as long as a test still fails finds the few that matter.
    #[must_use]
    pub fn replayed(seed: u64, faults: Faults, choices: &[Choice]) -> Sim {
        Sim::of(Choices::replay(seed, choices.to_vec()).recorded(), faults)
    }

    /// Creates a world that repeats the given choices as [`replayed`](Sim::replayed) does, or, without any, draws and
    /// records them, and keeps its [`log`](Sim::log).
    #[must_use]
    pub fn with_log(seed: u64, faults: Faults, choices: Option<&[Choice]>) -> Sim {
        let choices = match choices {
            Some(choices) => Choices::replay(seed, choices.to_vec()),
            None => Choices::of_seed(seed),
        };
        Sim { world: Arc::new(World::new(choices.recorded(), faults, true)) }
    }

    fn of(choices: Choices, faults: Faults) -> Sim {
        Sim { world: Arc::new(World::new(choices, faults, false)) }
    }

    /// Returns the choices, so far, that weren't plain. A world that doesn't record them returns none.
    #[must_use]
    pub fn choices(&self) -> Vec<Choice> {
        self.world.recorded_choices()
    }

    /// Returns the seed, for the message of a failing test. A test that panics doesn't need it: the world prints it.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.world.seed()
    }

    /// Creates a `Poll` for this world's sources. A world can have several.
    #[must_use]
    pub fn new_poll(&self) -> Poll {
        Poll::with_selector(Selector::of_world(&self.world))
    }

    /// Returns the simulated time: the base for deadlines.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.world.now()
    }

    /// Returns the simulated time since the world was created.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.world.elapsed()
    }

    /// Creates the two ends of a connection.
    #[must_use]
    pub fn stream_pair(&self) -> (Stream, Stream) {
        let (one, other) = self.world.stream_pair();
        (Stream::new(&self.world, one), Stream::new(&self.world, other))
    }

    /// Creates the two ends of a pipe.
    #[must_use]
    pub fn pipe(&self) -> (Sender, Receiver) {
        let (sender, receiver) = self.world.pipe();
        (Sender::new(&self.world, sender), Receiver::new(&self.world, receiver))
    }

    /// Creates a datagram socket with a new address.
    #[must_use]
    pub fn datagram(&self) -> Datagram {
        let (id, address) = self.world.datagram();
        Datagram::new(&self.world, id, address)
    }

    /// Creates a listener with a new address.
    #[must_use]
    pub fn listener(&self) -> Listener {
        let (id, address) = self.world.listener();
        Listener::new(&self.world, id, address)
    }

    /// Connects to a listener.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused`: no listener has this address, or its queue is full.
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
