//! Sources: the types around a descriptor or socket that a program registers, and the macros that define more of them.
//!
//! Invariant: a source keeps no `Poll` alive.

mod io_source;
#[cfg(any(feature = "net", all(unix, feature = "os-ext")))]
mod macros;
#[cfg(all(not(windows), feature = "os-ext"))]
mod source_fd;
mod timer;

pub use self::io_source::IoSource;
#[cfg(any(feature = "net", all(unix, feature = "os-ext")))]
pub(crate) use self::macros::{continue_write_all, impl_read, impl_source, impl_write, total_len};
#[cfg(all(not(windows), feature = "os-ext"))]
pub use self::source_fd::SourceFd;
pub use self::timer::Timer;
