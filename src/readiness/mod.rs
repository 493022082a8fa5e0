//! The vocabulary: tokens, interests, events.
//!
//! Invariant: pure data; nothing here names an operating system or makes a system call.

mod event;
mod events;
mod interest;
#[cfg(feature = "os-poll")]
#[allow(dead_code)] // most kernels use it; it is tested everywhere
mod poll_words;
mod token;

pub use self::event::Event;
pub use self::events::{Events, Iter};
pub use self::interest::Interest;
pub use self::token::Token;

#[cfg(feature = "os-poll")]
pub(crate) use self::event::Readiness;
#[cfg(feature = "os-poll")]
#[allow(unused_imports)] // Windows has other flags
pub(crate) use self::poll_words::PollWords;
