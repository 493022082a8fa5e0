//! The parts of sources: channels of bytes or datagrams between ends.
//!
//! Invariant: this file has data alone; `state` has the rules.

use std::collections::VecDeque;

use crate::readiness::Readiness;

/// Names a source within its world.
pub(crate) type Id = u64;

/// The address by which other simulated sockets reach one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub(super) Id);

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) bytes: VecDeque<u8>,
    pub(super) capacity: usize,
    /// Nothing more is sent: shut down, or closed.
    pub(super) ended: bool,
    /// Nothing more is received: shut down, or closed.
    pub(super) unread: bool,
    /// The ends, which are notified of a change.
    pub(super) writer: Id,
    pub(super) reader: Id,
}

impl Channel {
    pub(super) fn new(writer: Id, reader: Id, capacity: usize) -> Channel {
        Channel { bytes: VecDeque::new(), capacity, ended: false, unread: false, writer, reader }
    }

    pub(super) fn room(&self) -> usize {
        self.capacity - self.bytes.len()
    }
}

/// The number of a channel.
pub(super) type Number = Id;

#[derive(Debug)]
pub(super) enum Kind {
    /// A stream's end has both; a pipe's one.
    Bytes {
        out: Option<Number>,
        into: Option<Number>,
        reset: Reset,
    },
    Datagrams {
        address: Address,
        waiting: VecDeque<(Vec<u8>, Address)>,
    },
    Listener {
        waiting: VecDeque<Id>,
    },
}

/// Whether a connection was reset, and whether its end has seen that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    No,
    Unreported,
    Reported,
}

/// The state of a registration.
#[derive(Debug)]
pub(super) struct RegistrationState {
    pub(super) poll: Id,
    pub(super) token: crate::readiness::Token,
    pub(super) interest: crate::readiness::Interest,
    /// Whether the event of a one-shot interest has come.
    pub(super) is_spent: bool,
    /// An interest in the end alone wants to read.
    pub(super) directions: [DirectionState; 2],
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DirectionState {
    pub(super) wanted: bool,
    /// The next readiness must be reported: the last one was used up, or this is new.
    pub(super) armed: bool,
    /// The time of an event that is on its way.
    pub(super) due: Option<std::time::Duration>,
}

pub(super) const READ: usize = 0;
pub(super) const WRITE: usize = 1;

pub(super) fn readiness(directions: [bool; 2]) -> Readiness {
    Readiness::READABLE.when(directions[READ]).union(Readiness::WRITABLE.when(directions[WRITE]))
}
