//! Fast, low-level, portable readiness for non-blocking I/O.
#![deny(missing_docs, unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

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
mod os;
#[cfg(feature = "os-poll")]
mod poll;
mod readiness;

#[cfg(feature = "os-poll")]
pub mod guide {
    //! guide
}

/// Events, and what can give them.
pub mod event {
    #[cfg(feature = "os-poll")]
    pub use crate::poll::Source;
    pub use crate::readiness::{Event, Events, Iter};
}

#[cfg(feature = "net")]
pub mod net;

#[cfg(all(unix, feature = "os-ext"))]
pub mod unix;

#[cfg(feature = "os-poll")]
pub use self::backend::{Backend, UnknownBackend};
#[cfg(feature = "os-poll")]
pub use self::poll::{IoSource, Poll, Registry, Waker};
pub use self::readiness::{Events, Interest, Token};
