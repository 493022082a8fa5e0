#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub use wakeful::*;
// Linked for its shadows of libc's functions, and for the worlds that it makes of threads.
#[cfg(feature = "world")]
use wakeful_world as _;

pub mod features {
    //! The features of this package: mio's, and four of wakeful's that mio lacks.
    //!
    //! | feature | what it brings |
    //! |---|---|
    //! | `os-poll` | nothing: `Poll` and all that belongs to it is always there |
    //! | `net` | the module `net`: TCP, UDP and Unix-domain sockets |
    //! | `os-ext` | the module `unix` or `windows`, with pipes; on Hermit `hermit`, on WASI `wasi` |
    //! | `log` (default) | traces through the `log` crate |
    //! | `chaos` | `Poll::with_chaos` and the environment variable `WAKEFUL_CHAOS` |
    //! | `backends` | `Poll::with_backend` and the environment variable `WAKEFUL_BACKEND` |
    //! | `sim` | the module `sim`: sources, a clock and faults without a kernel |
    //! | `world` | each thread that makes a `Poll` is a host of a world, if `WAKEFUL_WORLD_SEED` has a seed |
}
