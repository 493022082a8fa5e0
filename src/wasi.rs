//! Sources that WASI has beside sockets: descriptors that somebody else owns, standard input for one.

pub use crate::source::SourceFd;
