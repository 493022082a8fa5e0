//! Simulated worlds for unmodified programs: their smallest failing runs, and the stories of them.
//!
//! Invariant: the same binary and the same seed give the same run.
#![deny(missing_docs)]

#[cfg(doc)]
#[doc = include_str!("guide.md")]
pub mod guide {}

#[cfg(unix)]
mod child;
#[cfg(unix)]
mod outcome;
#[cfg(unix)]
mod panics;
#[cfg(unix)]
mod report;
#[cfg(unix)]
mod runs;
pub mod shadows;
pub mod shrink;
pub mod story;
#[cfg(unix)]
mod sys;
#[cfg(unix)]
mod template;
#[cfg(unix)]
mod world;

#[cfg(unix)]
pub use self::report::{Failure, Report};
#[cfg(unix)]
pub use self::runs::Runs;
#[cfg(unix)]
pub use self::world::{HostName, World};
pub use wakeful::sim::{Choice, ChoiceKind, Faults, Link};

/// Binds the calls of this program to the shadows of libc's functions: once in each test program with worlds.
///
/// The clock, random numbers, threads, names and sockets of a host are then the world's. On a thread outside of a world
/// each call is the system's.
#[macro_export]
macro_rules! interpose {
    () => {
        #[used]
        static WAKEFUL_WORLD_SHADOWS: fn() -> bool = $crate::shadows::are_linked;
    };
}
