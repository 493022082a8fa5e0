//! Sources that Hermit has beside sockets: descriptors that other code owns.

pub use crate::source::SourceFd;
