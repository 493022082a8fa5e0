//! Sources that Hermit has beside sockets: descriptors that belong to other code.

pub use crate::source::SourceFd;
