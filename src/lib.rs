//! Fast, low-level, portable readiness for non-blocking I/O.
//!
//! A program registers event sources (sockets, pipes, descriptors) with a [`Poll`], blocks in [`Poll::poll`], and
//! learns which of them are ready. Runtimes, servers and terminal programs are built on this; most other programs are
//! better served by a runtime.
//!
//! The API is mio's, version 1, and one contract holds on every platform. The [guide] has a first program, the
//! contract, and [recipes](guide::recipes) for what programs write by hand around a `Poll`.
//!
//! The package is named `wakeful-io`, the library `wakeful`:
//!
//! ```toml
//! [dependencies]
//! wakeful = { package = "wakeful-io", version = "0.1" }
//! ```
//!
//! ```
//! # #[cfg(feature = "net")]
//! # fn main() -> std::io::Result<()> {
//! use std::io::ErrorKind;
//! use wakeful::{net::UdpSocket, Events, Interest, Poll, Token};
//!
//! let mut poll = Poll::new()?;
//! let mut events = Events::with_capacity(128);
//!
//! let mut socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
//! poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
//! socket.send_to(b"hello", socket.local_addr()?)?;
//!
//! let mut buf = [0; 64];
//! 'received: loop {
//!     match poll.poll(&mut events, None) {
//!         Err(e) if e.kind() == ErrorKind::Interrupted => continue, // by a signal
//!         result => result?,
//!     }
//!     for event in &events {
//!         assert_eq!(event.token(), Token(0));
//!         match socket.recv_from(&mut buf) {
//!             Ok((n, _sender)) => break 'received assert_eq!(&buf[..n], b"hello"),
//!             Err(e) if e.kind() == ErrorKind::WouldBlock => {} // a spurious event: wait for the next
//!             Err(e) => return Err(e),
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "net"))] fn main() {}
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `os-poll` | yes | `Poll`, `Registry`, `Waker`, `IoSource`: everything that needs an operating system |
//! | `net` | yes | TCP, UDP and Unix-domain sockets (module `net`); turns on `os-poll` |
//! | `os-ext` | | `process::ChildExit`, `SourceFd`, pipes (`unix`, `hermit`, `wasi`, `windows`); turns on `os-poll` |
//! | `sim` | | sources, a clock and faults without a kernel, by a seed (module `sim`), to test programs with |
//! | `chaos` | | `Poll::with_chaos`, `WAKEFUL_CHAOS`: all that the contract allows and kernels do rarely, by a seed |
//! | `backends` | | every backend of the target in one build: `Poll::with_backend`, `WAKEFUL_BACKEND` |
//! | `log` | | traces of registration and of the choice of backend, through the `log` crate |
//!
//! With no features, only [`Token`], [`Interest`] and [`Events`] are available.
#![deny(missing_docs, unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// With one backend there is code that only the others use, and without chaos what only that asks. CI builds with all.
#![cfg_attr(not(all(feature = "backends", feature = "chaos")), allow(dead_code))]
// Without `os-poll` there is little to link to.
#![cfg_attr(not(feature = "os-poll"), allow(rustdoc::broken_intra_doc_links))]

/// A trace through the `log` crate, if that feature is on.
#[cfg(feature = "os-poll")]
macro_rules! trace {
    ($($message:tt)*) => {
        #[cfg(feature = "log")]
        log::trace!($($message)*)
    };
}

#[cfg(feature = "os-poll")]
mod backend;
#[cfg(feature = "os-poll")]
mod engine;
#[cfg(feature = "os-poll")]
mod os;
#[cfg(feature = "os-poll")]
mod poll;
mod readiness;
#[cfg(feature = "os-poll")]
mod source;

#[cfg(feature = "os-poll")]
pub mod guide;

/// Events and the trait of their sources.
pub mod event {
    #[cfg(feature = "os-poll")]
    pub use crate::poll::Source;
    pub use crate::readiness::{Event, Events, Iter};
}

/// Ways in for `fuzz/`.
#[cfg(all(fuzzing, feature = "os-poll"))]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::backend::fuzzing::*;
}

#[cfg(feature = "net")]
pub mod net;

#[cfg(feature = "os-ext")]
pub mod process;

#[cfg(feature = "sim")]
pub mod sim;

#[cfg(all(not(any(unix, windows, target_family = "wasm")), feature = "os-ext"))]
pub mod hermit;
#[cfg(all(unix, feature = "os-ext"))]
pub mod unix;
#[cfg(all(target_family = "wasm", not(unix), feature = "os-ext"))]
pub mod wasi;
#[cfg(all(windows, feature = "os-ext"))]
pub mod windows;

#[cfg(feature = "os-poll")]
pub use self::backend::{Backend, UnknownBackend};
#[cfg(feature = "os-poll")]
pub use self::poll::{Poll, Registry, Waker};
pub use self::readiness::{Events, Interest, Token};
#[cfg(feature = "os-poll")]
pub use self::source::{IoSource, Timer};
