//! Simulated worlds for unmodified programs: their smallest failing runs, and the stories of them.
//!
//! Invariant: the same binary and the same seed give the same run.
#![deny(missing_docs)]

pub mod foreign;
pub mod shadows;
pub mod shrink;
pub mod story;
