//! [wakeful] under mio's name, so that a program written for mio 1.x runs on it unchanged:
//!
//! ```toml
//! [patch.crates-io]
//! mio = { path = "<wakeful>/compat/mio" }
//! ```
//!
//! An existing lock file keeps its mio until `cargo update -p mio`. `cargo tree -i mio` shows which mio is built:
//! this package has a path there.
//!
//! Everything is re-exported from wakeful, documentation included, and the types are the same: a program that uses
//! both names may mix them. This package keeps mio's promises; wakeful's README lists the additions.
//!
//! Its version is above every 1.x of mio, so the patch satisfies any requirement such as `mio = "1.2.5"`.
//!
//! `--cfg mio_unsupported_force_poll_poll` chooses the poll(2) backend, as it does for mio, and `--cfg
//! mio_unsupported_force_waker_pipe` makes a [`Waker`] use a pipe instead of an eventfd or `EVFILT_USER`. The
//! environment variable `WAKEFUL_BACKEND` chooses a backend without rebuilding.
#![deny(missing_docs)]

pub use wakeful::*;

pub mod features {
    //! The features of this package, which are mio's.
    //!
    //! | feature | what it brings |
    //! |---|---|
    //! | `os-poll` | nothing: `Poll` and all that belongs to it is always there |
    //! | `net` | the module `net`: TCP, UDP and Unix-domain sockets |
    //! | `os-ext` | the module `unix`: `SourceFd` and pipes; on Windows the module `windows`, on Hermit `hermit` and on WASI `wasi`: `SourceFd` |
    //! | `log` (default) | traces through the `log` crate |
}
