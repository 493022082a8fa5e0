//! Simulated worlds for unmodified programs: their smallest failing runs, and the stories of them.
//!
//! Invariant: the same binary and the same seed give the same run.
#![deny(missing_docs)]

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
mod world;

#[cfg(unix)]
pub use self::report::{Failure, Report};
#[cfg(unix)]
pub use self::runs::Runs;
#[cfg(unix)]
pub use self::world::{HostName, World};
pub use wakeful::sim::{Choice, ChoiceKind, Faults, Link};
