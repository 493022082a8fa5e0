//! Sources: what a program registers, and what the library's own have in common.

mod io_source;
#[cfg(any(feature = "net", all(unix, feature = "os-ext")))]
mod macros;
#[cfg(all(not(windows), feature = "os-ext"))]
mod source_fd;

pub use self::io_source::IoSource;
#[cfg(any(feature = "net", all(unix, feature = "os-ext")))]
pub(crate) use self::macros::{read_with, source_type, sum_of, write_rest, write_with};
#[cfg(all(not(windows), feature = "os-ext"))]
pub use self::source_fd::SourceFd;
