//! Sources that only Unix has.

mod source_fd;

pub use self::source_fd::SourceFd;
