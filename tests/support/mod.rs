//! Helpers of the test programs. Each program uses a part of them.
#![allow(unused)]

#[cfg(windows)]
pub mod handles;
mod sockets;
#[cfg(target_os = "linux")]
pub mod strace;
#[cfg(feature = "net")]
mod tester;

pub use self::sockets::*;
#[cfg(feature = "net")]
pub use self::tester::*;
