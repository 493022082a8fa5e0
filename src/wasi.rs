//! Sources that WASI has beside sockets: descriptors that other code owns, such as standard input.

pub use crate::source::SourceFd;
