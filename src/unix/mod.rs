//! Sources that only Unix has: descriptors that belong to other code, and pipes.

pub mod pipe;

pub use crate::source::SourceFd;
