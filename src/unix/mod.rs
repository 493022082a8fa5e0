//! Sources that only Unix has: descriptors that somebody else owns, and pipes.

pub mod pipe;
mod source_fd;

pub use self::source_fd::SourceFd;
