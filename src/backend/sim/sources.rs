//! What sources are made of: channels of bytes or datagrams between ends.

use std::collections::VecDeque;

use crate::readiness::Readiness;

/// Names a source within its world.
pub(crate) type Id = u64;

/// Where a simulated socket is found by others.
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
    /// The ends, for who must be told of a change.
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

/// A number of a channel.
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

/// Whether a connection was reset, and its end knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    No,
    Untold,
    Told,
}

/// What a registration is told.
#[derive(Debug)]
pub(super) struct RegistrationState {
    pub(super) poll: Id,
    pub(super) token: crate::readiness::Token,
    pub(super) directions: [DirectionState; 2],
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DirectionState {
    pub(super) asked: bool,
    /// The next readiness must be told: the last one was used up, or this is new.
    pub(super) armed: bool,
    /// An event is on its way, and is there at this time.
    pub(super) due: Option<std::time::Duration>,
}

pub(super) const READ: usize = 0;
pub(super) const WRITE: usize = 1;

pub(super) fn readiness(directions: [bool; 2]) -> Readiness {
    Readiness::READABLE.when(directions[READ]).union(Readiness::WRITABLE.when(directions[WRITE]))
}
