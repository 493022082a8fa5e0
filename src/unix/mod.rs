//! Sources that only Unix has: descriptors that somebody else owns, and pipes. Hermit has the first.

#[cfg(unix)]
pub mod pipe;

pub use crate::poll::SourceFd;
