//! WASI. The first preview (`wasm32-wasip1`) has its own calls, and can't create sockets: the program's host passes
//! them. The second (`wasm32-wasip2`) is used through its libc, which makes descriptors of its resources.
//!
//! Invariant: an operation that a runtime lacks fails with `Unsupported`.

mod notifier;
#[cfg(not(target_env = "p2"))]
mod preview1;
#[cfg(target_env = "p2")]
mod preview2;
#[cfg(feature = "net")]
mod vectored;

pub(crate) use self::notifier::Notifier;
#[cfg(not(target_env = "p2"))]
pub(crate) use self::preview1::*;
#[cfg(target_env = "p2")]
pub(crate) use self::preview2::*;
#[cfg(feature = "net")]
pub(crate) use self::vectored::*;

use std::io;

/// The error of a sleep without a timeout that nothing could end. A runtime would fail with `EINVAL`, or trap.
pub(crate) fn endless_sleep() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "nothing could end this sleep: there is no timeout, no wake, and no source that is waited for",
    )
}
