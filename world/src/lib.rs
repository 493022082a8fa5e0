//! Simulated worlds for unmodified programs: their smallest failing runs, and the stories of them.
//!
//! Invariant: the same binary and the same seed give the same run.
// Elsewhere the package is empty: the shadows are those of glibc's functions, of which 32-bit systems have two by some
// names, with the old and the new width of times.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
#![deny(missing_docs)]

#[cfg(doc)]
#[doc = include_str!("guide.md")]
pub mod guide {}

mod child;
pub mod foreign;
mod outcome;
mod panics;
mod report;
mod runs;
pub mod shadows;
pub mod shrink;
pub mod story;
mod sys;
mod template;
mod world;

pub use self::report::{Failure, Report};
pub use self::runs::Runs;
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
