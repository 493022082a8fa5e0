//! [wakeful] under mio's name, so that a program written for mio 1.x runs on it as it is:
//!
//! ```toml
//! [patch.crates-io]
//! mio = { path = "<wakeful>/compat/mio" }
//! ```
//!
//! A lock file that was there before keeps the mio that it has, until `cargo update -p mio`. `cargo tree -i mio` shows
//! which one is built: this package stands there with its path.
//!
//! Everything is wakeful's, so its documentation is this one's, and so are its types: a program that uses both names
//! may mix them. It keeps what mio promises; where it does better, or has more, is in wakeful's README.
//!
//! Its version is above every 1.x of mio, so the patch fits any requirement like `mio = "1.2.5"`.
//!
//! `--cfg mio_unsupported_force_poll_poll` chooses the poll(2) backend, as it does for mio, and
//! `--cfg mio_unsupported_force_waker_pipe` has a [`Waker`] end a sleep through a pipe where it would use an eventfd or
//! `EVFILT_USER`. The environment variable `WAKEFUL_BACKEND` chooses a backend without rebuilding.
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
