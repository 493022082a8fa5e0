//! Sources that only Unix has: pipes, and descriptors that other code owns.

pub mod pipe;

pub use crate::source::SourceFd;
