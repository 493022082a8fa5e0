//! The words: tokens, interests, events. Pure; knows no operating system.

mod event;
mod events;
mod interest;
#[cfg(feature = "os-poll")]
mod poll_words;
mod token;

pub use self::event::Event;
pub use self::events::{Events, Iter};
pub use self::interest::Interest;
pub use self::token::Token;

#[cfg(feature = "os-poll")]
pub(crate) use self::{event::Readiness, poll_words::PollWords};
