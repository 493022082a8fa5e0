//! The backends to test, with and without chaos.

use std::io;
use std::time::Instant;

use wakeful::{Backend, Poll};

use crate::contract::Rules;
use crate::ends::{self, End};
use crate::ops::Kind;
use crate::world::Ground;

/// A backend without chaos.
pub struct Kernel(pub Backend);

impl Ground for Kernel {
    fn rules(&self) -> Rules {
        Rules {
            // The kernel of Windows updates a socket's state in the background: late, or with data that was read
            // since.
            exact: !cfg!(windows),
            terse: true,
            raw_is_late: matches!(self.0, Backend::PosixPoll | Backend::Iocp),
            ends_in_both_directions: self.0 == Backend::Epoll,
            duplicates_live: !cfg!(windows),
            raw_lives: false,
            raw_may_vanish: !cfg!(windows),
            reports_own_shutdown: !cfg!(windows),
            holds_back: cfg!(windows),
        }
    }

    fn poll(&self) -> io::Result<Poll> {
        Poll::with_backend(self.0)
    }

    fn kind(&self, kind: Kind) -> Kind {
        match kind {
            Kind::Datagram if cfg!(windows) => Kind::Udp,
            kind => kind,
        }
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

/// A backend under chaos.
pub struct Chaotic(pub Kernel, pub u64);

impl Ground for Chaotic {
    fn rules(&self) -> Rules {
        Rules { exact: false, terse: false, raw_lives: true, ..self.0.rules() }
    }

    fn poll(&self) -> io::Result<Poll> {
        Poll::with_chaos(self.0 .0, self.1)
    }

    fn kind(&self, kind: Kind) -> Kind {
        self.0.kind(kind)
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
