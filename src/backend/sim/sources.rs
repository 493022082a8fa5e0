//! The parts of sources: channels of bytes or datagrams between ends.
//!
//! Invariant: this file has data alone; `streams`, `network` and `events` have the rules.

use std::collections::VecDeque;
use std::time::Duration;

use super::hosts::SocketName;
use super::log::Endpoint;
use super::turns::HostNumber;
use crate::backend::logic::watch::Tracking;
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
    /// The reader finds the end behind the bytes.
    pub(super) ended: bool,
    /// The writer sends no more: shut down, or closed.
    pub(super) is_shut: bool,
    /// Nothing more is received: shut down, or closed.
    pub(super) unread: bool,
    /// The ends, which are notified of a change.
    pub(super) writer: Id,
    pub(super) reader: Id,
    /// The hosts of the ends, if the network is between them. Then the ends learn of each other by messages alone.
    pub(super) hosts: Option<(HostNumber, HostNumber)>,
    /// The names of the writer and the reader, which may have closed when a piece arrives.
    pub(super) names: [Endpoint; 2],
    /// What is on its way, in order.
    pub(super) flying: VecDeque<Piece>,
    pub(super) flying_bytes: usize,
    /// When the last piece arrives: no piece overtakes another one.
    pub(super) last_due: Duration,
    /// A piece was lost: all wait until it can be sent again.
    pub(super) is_stalled: bool,
    /// How often the channel has stalled: what was due before is void.
    pub(super) stalls: u64,
}

/// What travels through a channel between hosts.
#[derive(Debug)]
pub(super) enum Piece {
    Bytes { bytes: Vec<u8>, message: u64 },
    End,
}

impl Piece {
    pub(super) fn len(&self) -> usize {
        match self {
            Piece::Bytes { bytes, .. } => bytes.len(),
            Piece::End => 0,
        }
    }

    pub(super) fn message(&self) -> u64 {
        match self {
            Piece::Bytes { message, .. } => *message,
            Piece::End => 0,
        }
    }
}

impl Channel {
    pub(super) fn new(writer: Id, reader: Id, capacity: usize) -> Channel {
        Channel {
            bytes: VecDeque::new(),
            capacity,
            ended: false,
            is_shut: false,
            unread: false,
            writer,
            reader,
            hosts: None,
            names: [Endpoint::Unix(writer), Endpoint::Unix(reader)],
            flying: VecDeque::new(),
            flying_bytes: 0,
            last_due: Duration::ZERO,
            is_stalled: false,
            stalls: 0,
        }
    }

    pub(super) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.bytes.len() + self.flying_bytes)
    }

    /// Returns whether the writer's next write fails.
    pub(super) fn is_broken(&self) -> bool {
        self.is_shut || self.unread && self.hosts.is_none()
    }

    /// Returns whether the reader finds the end, once it has read the bytes.
    pub(super) fn is_at_end(&self) -> bool {
        self.ended || self.unread
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
    /// A datagram socket of a host.
    Messages {
        waiting: VecDeque<(Vec<u8>, SocketName)>,
        /// The bytes that wait.
        len: usize,
    },
    /// A stream socket that is neither connected nor listens.
    Idle,
    /// A stream socket whose attempt to connect goes on.
    Connecting,
    /// A stream socket whose attempt to connect has failed.
    Failed,
    /// The descriptor of a poll.
    #[cfg_attr(not(unix), allow(dead_code))] // elsewhere a poll has none
    Poll(Id),
}

/// Whether a connection was reset, and whether its end has seen that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    No,
    Unreported,
    Reported,
}

/// Names a registration: the poll, the source, and the descriptor, or -1 for a source without one.
pub(super) type RegistrationKey = (Id, Id, i32);

/// The state of a registration.
#[derive(Debug)]
pub(super) struct RegistrationState {
    pub(super) token: crate::readiness::Token,
    pub(super) interest: crate::readiness::Interest,
    /// Whether the library sees the operations.
    pub(super) tracking: Tracking,
    /// Whether the event of a one-shot interest has come.
    pub(super) is_spent: bool,
    /// The flags of the last event about the end of its source.
    pub(super) known: Readiness,
    /// An interest in the end alone wants to read.
    pub(super) directions: [DirectionState; 2],
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DirectionState {
    pub(super) wanted: bool,
    /// The next readiness must be reported: the last one was used up, or this is new.
    pub(super) armed: bool,
    /// The time of an event that is on its way, and its place among those of the same time.
    pub(super) due: Option<(Duration, u64)>,
}

/// The state of a source, as poll(2) reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceState {
    /// A read returns at once.
    pub readable: bool,
    /// A write returns at once.
    pub writable: bool,
    /// The peer sends no more, or this end reads no more: `POLLRDHUP`.
    pub read_closed: bool,
    /// Nothing more can be sent. With `read_closed` it is `POLLHUP`.
    pub write_closed: bool,
    /// `POLLERR`.
    pub error: bool,
}

impl SourceState {
    pub(super) fn is_ready(self, direction: usize) -> bool {
        [self.readable, self.writable][direction]
    }

    pub(super) fn is_hung_up(self) -> bool {
        self.read_closed && self.write_closed
    }

    pub(super) fn has_ended(self) -> bool {
        self.read_closed || self.write_closed || self.error
    }

    /// Returns the flags of an event that aren't about a direction.
    pub(super) fn endings(self) -> Readiness {
        Readiness::READ_CLOSED
            .when(self.read_closed)
            .union(Readiness::WRITE_CLOSED.when(self.write_closed))
            .union(Readiness::ERROR.when(self.error))
    }
}

pub(super) const READ: usize = 0;
pub(super) const WRITE: usize = 1;

pub(super) fn readiness(directions: [bool; 2]) -> Readiness {
    Readiness::READABLE.when(directions[READ]).union(Readiness::WRITABLE.when(directions[WRITE]))
}
