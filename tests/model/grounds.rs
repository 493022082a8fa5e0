//! The kernels, plain and shaken.

use std::io;
use std::time::Instant;

use wakeful::{Backend, Poll};

use crate::contract::Rules;
use crate::ends::{self, End};
use crate::ops::Kind;
use crate::world::Ground;

/// A kernel.
pub struct Kernel(pub Backend);

impl Ground for Kernel {
    fn rules(&self) -> Rules {
        Rules {
            exact: true,
            raw_is_late: self.0 == Backend::PosixPoll,
            ends_in_both_directions: self.0 == Backend::Epoll,
            duplicates_live: true,
            raw_lives: false,
        }
    }

    fn poll(&self) -> io::Result<Poll> {
        Poll::with_backend(self.0)
    }

    fn pair(&self, kind: Kind) -> io::Result<[Box<dyn End>; 2]> {
        ends::pair(kind)
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn has_threads(&self) -> bool {
        true
    }
}

/// A kernel with all that the contract allows on top.
pub struct Chaotic(pub Kernel, pub u64);

impl Ground for Chaotic {
    fn rules(&self) -> Rules {
        Rules { exact: false, raw_lives: true, ..self.0.rules() }
    }

    fn poll(&self) -> io::Result<Poll> {
        Poll::with_chaos(self.0 .0, self.1)
    }

    fn pair(&self, kind: Kind) -> io::Result<[Box<dyn End>; 2]> {
        self.0.pair(kind)
    }

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn has_threads(&self) -> bool {
        true
    }
}
