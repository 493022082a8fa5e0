//! The words: tokens, interests, events. Pure; knows no operating system.

mod event;
mod events;
mod interest;
#[cfg(feature = "os-poll")]
#[allow(dead_code)] // most kernels', but tested everywhere
mod poll_flags;
mod token;

pub use self::event::Event;
pub use self::events::{Events, Iter};
pub use self::interest::Interest;
pub use self::token::Token;

#[cfg(feature = "os-poll")]
pub(crate) use self::event::Readiness;
#[cfg(feature = "os-poll")]
#[allow(unused_imports)] // Windows speaks other words
pub(crate) use self::poll_flags::PollFlags;
