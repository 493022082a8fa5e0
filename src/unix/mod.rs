//! Sources that only Unix has: descriptors that somebody else owns, and pipes.

pub mod pipe;

pub use crate::poll::SourceFd;
