//! Helpers of the test programs. Each program uses a part of them.
#![allow(unused)]

#[cfg(windows)]
pub mod handles;
mod random;
mod sockets;
#[cfg(target_os = "linux")]
pub mod strace;
mod tester;

pub use self::random::seeded;
pub use self::sockets::*;
pub use self::tester::*;
