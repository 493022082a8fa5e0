//! What nodes and clients send to each other, and its form as words.
//!
//! Every request has exactly one reply, on the same connection and in the same order.

use std::io;

use super::super::wire::malformed;

/// A value that a client appended, and the term of the leader that took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub term: u64,
    pub value: u64,
}

/// A place in a log. The first entry has index 1; index 0 is the start of every log.
///
/// The order is Raft's: of two logs, the one whose last entry has the later term is the more complete one, and of
/// equal terms the longer one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub term: u64,
    pub index: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for a vote. `last` is the end of the candidate's log.
    Vote { term: u64, candidate: u64, last: Position },
    /// Replicates `entries`, which follow `before`; without entries it only keeps the leader in office.
    Append { term: u64, leader: u64, before: Position, commit: u64, entries: Vec<Entry> },
    /// A client's value. The reply comes when the value is committed, or this node doesn't lead.
    Put { value: u64 },
}

/// The answer to any request.
///
/// `index` depends on the request. `Append`: the length of the log that agrees with the leader's, or after a refusal
/// the length at which the leader tries next. `Put`: after a refusal the leader, as far as the node knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    pub term: u64,
    pub ok: bool,
    pub index: u64,
}

impl Request {
    pub fn words(&self) -> Vec<u64> {
        match self {
            Request::Vote { term, candidate, last } => vec![0, *term, *candidate, last.term, last.index],
            Request::Append { term, leader, before, commit, entries } => {
                let mut words = vec![1, *term, *leader, before.term, before.index, *commit];
                words.extend(entries.iter().flat_map(|entry| [entry.term, entry.value]));
                words
            }
            Request::Put { value } => vec![2, *value],
        }
    }

    pub fn parse(words: &[u64]) -> io::Result<Request> {
        match *words {
            [0, term, candidate, last_term, index] => {
                Ok(Request::Vote { term, candidate, last: Position { term: last_term, index } })
            }
            [1, term, leader, before_term, index, commit, ref entries @ ..] if entries.len() % 2 == 0 => {
                let before = Position { term: before_term, index };
                let entries = entries.chunks(2).map(|pair| Entry { term: pair[0], value: pair[1] }).collect();
                Ok(Request::Append { term, leader, before, commit, entries })
            }
            [2, value] => Ok(Request::Put { value }),
            _ => Err(malformed()),
        }
    }
}

impl Reply {
    pub fn words(&self) -> [u64; 3] {
        [self.term, self.ok.into(), self.index]
    }

    pub fn parse(words: &[u64]) -> io::Result<Reply> {
        match *words {
            [term, ok, index] => Ok(Reply { term, ok: ok == 1, index }),
            _ => Err(malformed()),
        }
    }
}
