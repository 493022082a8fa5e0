//! Sources that are processes: the end of a child.

mod child_exit;
#[cfg(unix)]
mod described;
#[cfg(unix)]
mod numbered;

pub use self::child_exit::ChildExit;
