//! Sources that only Unix has: pipes, descriptors that other code owns, and what else a kqueue watches.

pub mod pipe;

pub use crate::os::KernelFilter;
pub use crate::source::SourceFd;
