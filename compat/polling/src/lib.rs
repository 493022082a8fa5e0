#![doc = include_str!("../README.md")]
//!
//! # Examples
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! use std::net::TcpListener;
//! use polling::{Event, Events, Poller};
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! listener.set_nonblocking(true)?;
//! let key = 7;
//!
//! let poller = Poller::new()?;
//! // SAFETY: `delete` comes before the listener is dropped.
//! unsafe { poller.add(&listener, Event::readable(key))? };
//! # std::net::TcpStream::connect(listener.local_addr()?)?;
//!
//! let mut events = Events::new();
//! poller.wait(&mut events, None)?;
//! for event in events.iter() {
//!     assert_eq!(event.key, key);
//!     let (_stream, _address) = listener.accept()?;
//!     poller.modify(&listener, Event::readable(key))?;
//! }
//! poller.delete(&listener)?;
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs, unsafe_code)]

/// A trace through the `tracing` crate, if that feature is on.
macro_rules! trace {
    ($($message:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::trace!($($message)*)
    };
}

// Linked for its shadows of libc's functions, and for the worlds that it makes of threads.
#[cfg(feature = "world")]
use wakeful_world as _;

mod event;
mod events;
mod poller;
mod source;

pub mod os;

pub use self::event::{Event, PollMode};
pub use self::events::Events;
pub use self::poller::Poller;
pub use self::source::{AsRawSource, AsSource};
