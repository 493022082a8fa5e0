//! `Poll` with the feature `world`: it makes the world of its thread first.
//!
//! Invariant: all else is done by the `Poll` within.

use std::io;
use std::ops::{Deref, DerefMut};
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// Waits for events; a `wakeful::Poll`, whose methods it has.
#[derive(Debug)]
pub struct Poll(wakeful::Poll);

impl Poll {
    /// Creates a `Poll`. With a seed in `WAKEFUL_WORLD_SEED` the calling thread is the host of a world from now on: see
    /// `wakeful_world::foreign::enter`.
    ///
    /// # Errors
    ///
    /// The errors of `wakeful::Poll::new`.
    pub fn new() -> io::Result<Poll> {
        wakeful_world::foreign::enter();
        wakeful::Poll::new().map(Poll)
    }
}

impl Deref for Poll {
    type Target = wakeful::Poll;

    fn deref(&self) -> &wakeful::Poll {
        &self.0
    }
}

impl DerefMut for Poll {
    fn deref_mut(&mut self) -> &mut wakeful::Poll {
        &mut self.0
    }
}

#[cfg(unix)]
impl AsRawFd for Poll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(unix)]
impl AsFd for Poll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
