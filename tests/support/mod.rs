//! What the test programs share. Each uses a part of it.
#![allow(unused)]

#[cfg(windows)]
pub mod handles;
mod random;
mod sockets;
#[cfg(target_os = "linux")]
pub mod strace;
#[cfg(feature = "net")]
mod tester;

pub use self::random::seeded;
pub use self::sockets::*;
#[cfg(feature = "net")]
pub use self::tester::*;
