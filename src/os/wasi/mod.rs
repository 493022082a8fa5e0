//! WASI. The first preview (`wasm32-wasip1`) has calls of its own, and no way to make a socket: who starts the program
//! gives it the sockets. The second (`wasm32-wasip2`) is used through its libc, which makes descriptors of it.

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

/// A sleep without a timeout and with nothing that could end it. A runtime would answer `EINVAL`, or trap.
pub(crate) fn endless_sleep() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "nothing could end this sleep: there is no timeout, no wake, and no source that is waited for",
    )
}
