//! The rules of Raft, without I/O: each event changes the state, and the caller sends what the state asks for.
//!
//! What must survive a crash is in [`Disk`], and each call leaves it as a reply may promise it. [`Core::grants`] and
//! [`Core::advance`] decide safety: with one line of either broken ([`Broken`]), committed entries get lost.

use std::collections::BTreeSet;

use super::message::{Entry, Position, Reply, Request};

/// The most entries in one message.
const BATCH: usize = 64;

/// The line that is broken, to see a test find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// No line.
    No,
    /// Votes for every candidate of a term. Two candidates at the same time both win.
    VotesTwice,
    /// Forgets at a restart which candidate it voted for. Needs a crash and a restart within one election.
    ForgetsVote,
    /// Votes for candidates whose log lacks committed entries. Needs a partition, or a crash and a restart.
    VotesForAnyLog,
    /// Counts an older term's entry as committed when a majority has it: figure 8 of the Raft paper. Needs several
    /// crashes of leaders.
    CommitsOldTerm,
}

/// The part of a node's state that survives a crash.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub term: u64,
    pub voted_for: Option<u64>,
    pub log: Vec<Entry>,
}

impl Disk {
    fn position(&self, index: u64) -> Option<Position> {
        match index {
            0 => Some(Position::default()),
            _ => self.log.get(index as usize - 1).map(|entry| Position { term: entry.term, index }),
        }
    }

    fn last(&self) -> Position {
        self.position(self.log.len() as u64).unwrap()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Role {
    Follower,
    /// The nodes that have voted for it, itself included.
    Candidate(BTreeSet<u64>),
    /// For each node, the length of the log that agrees, and the index of the entry to send next.
    Leader {
        matched: Vec<u64>,
        next: Vec<u64>,
    },
}

/// One node's state, apart from its disk.
#[derive(Debug)]
pub struct Core {
    id: u64,
    nodes: u64,
    broken: Broken,
    role: Role,
    leader: Option<u64>,
    commit: u64,
}

impl Core {
    /// Starts node `id` of `0..nodes` with what its disk holds.
    pub fn new(id: u64, nodes: u64, broken: Broken, disk: &mut Disk) -> Core {
        if broken == Broken::ForgetsVote {
            disk.voted_for = None;
        }
        Core { id, nodes, broken, role: Role::Follower, leader: None, commit: 0 }
    }

    pub fn leads(&self) -> bool {
        matches!(self.role, Role::Leader { .. })
    }

    /// The leader of this term, as far as it is known.
    pub fn leader(&self) -> Option<u64> {
        self.leader
    }

    /// The number of entries that are known to be committed.
    pub fn commit(&self) -> u64 {
        self.commit
    }

    /// Starts an election: the leader wasn't heard for too long. Returns the request for the other nodes.
    pub fn stand(&mut self, disk: &mut Disk) -> Request {
        self.follow(disk, disk.term + 1);
        disk.voted_for = Some(self.id);
        self.role = Role::Candidate(BTreeSet::from([self.id]));
        Request::Vote { term: disk.term, candidate: self.id, last: disk.last() }
    }

    /// Takes a client's value, if this node leads. Returns the entry's position.
    pub fn put(&mut self, disk: &mut Disk, value: u64) -> Option<Position> {
        let Role::Leader { matched, .. } = &mut self.role else { return None };
        disk.log.push(Entry { term: disk.term, value });
        matched[self.id as usize] = disk.log.len() as u64;
        Some(disk.last())
    }

    /// The next message for a follower, if this node leads.
    pub fn append(&self, disk: &Disk, to: u64) -> Option<Request> {
        let Role::Leader { next, .. } = &self.role else { return None };
        let next = next[to as usize];
        let entries = disk.log.iter().skip(next as usize - 1).take(BATCH).copied().collect();
        let before = disk.position(next - 1).expect("a leader's log only grows");
        Some(Request::Append { term: disk.term, leader: self.id, before, commit: self.commit, entries })
    }

    /// Returns true if `to` lacks entries, so that waiting for the next heartbeat would lose time.
    pub fn lacks(&self, disk: &Disk, to: u64) -> bool {
        match &self.role {
            Role::Leader { matched, .. } => matched[to as usize] < disk.log.len() as u64,
            _ => false,
        }
    }

    /// Handles another node's request for a vote.
    pub fn vote(&mut self, disk: &mut Disk, term: u64, candidate: u64, last: Position) -> Reply {
        if term > disk.term {
            self.follow(disk, term);
        }
        let ok = term == disk.term && self.grants(disk, candidate, last);
        if ok {
            disk.voted_for = Some(candidate);
        }
        Reply { term: disk.term, ok, index: 0 }
    }

    /// Decides whether a candidate of this term gets the vote: it is the only one, and its log has all that may be
    /// committed.
    fn grants(&self, disk: &Disk, candidate: u64, last: Position) -> bool {
        let is_free = disk.voted_for.unwrap_or(candidate) == candidate;
        let is_complete = last >= disk.last();
        (is_free || self.broken == Broken::VotesTwice)
            && (is_complete || self.broken == Broken::VotesForAnyLog)
    }

    /// Handles the leader's message: takes the entries that follow what both logs have.
    pub fn replicate(
        &mut self,
        disk: &mut Disk,
        (term, leader): (u64, u64),
        before: Position,
        commit: u64,
        entries: &[Entry],
    ) -> Reply {
        if term < disk.term {
            return Reply { term: disk.term, ok: false, index: 0 };
        }
        self.follow(disk, term);
        self.leader = Some(leader);
        if disk.position(before.index) != Some(before) {
            let index = before.index.saturating_sub(1).min(disk.log.len() as u64);
            return Reply { term, ok: false, index };
        }
        for (at, entry) in (before.index as usize..).zip(entries) {
            // Only an entry that differs ends the log here: an old message may bring less than there is.
            if disk.log.get(at).map(|own| own.term) != Some(entry.term) {
                disk.log.truncate(at);
                disk.log.push(*entry);
            }
        }
        let index = before.index + entries.len() as u64;
        self.commit = self.commit.max(commit.min(index));
        Reply { term, ok: true, index }
    }

    /// Handles a reply of another node to `request`.
    pub fn answered(&mut self, disk: &mut Disk, from: u64, request: &Request, reply: Reply) {
        if reply.term > disk.term {
            return self.follow(disk, reply.term);
        }
        match (request, &mut self.role) {
            (Request::Vote { term, .. }, Role::Candidate(votes)) if *term == disk.term && reply.ok => {
                votes.insert(from);
                if 2 * votes.len() as u64 > self.nodes {
                    let length = disk.log.len() as u64;
                    let mut matched = vec![0; self.nodes as usize];
                    matched[self.id as usize] = length;
                    self.role = Role::Leader { matched, next: vec![length + 1; self.nodes as usize] };
                    self.leader = Some(self.id);
                }
            }
            (Request::Append { term, .. }, Role::Leader { matched, next }) if *term == disk.term => {
                let (matched, next) = (&mut matched[from as usize], &mut next[from as usize]);
                if reply.ok {
                    *matched = reply.index.max(*matched);
                    *next = *matched + 1;
                    self.advance(disk);
                } else {
                    *next = (reply.index + 1).max(*matched + 1);
                }
            }
            _ => {} // of an earlier term, or an election that is over
        }
    }

    /// Commits what a majority has, if it ends with an entry of this term: an older one can still be replaced.
    fn advance(&mut self, disk: &Disk) {
        let Role::Leader { matched, .. } = &self.role else { return };
        let mut matched = matched.clone();
        matched.sort_unstable();
        let majority = disk.position(matched[(matched.len() - 1) / 2]).expect("no follower has more");
        let is_own = majority.term == disk.term || self.broken == Broken::CommitsOldTerm;
        if is_own && majority.index > self.commit {
            self.commit = majority.index;
        }
    }

    /// Follows in `term`, which is this or a later one. In a later one this node hasn't voted yet.
    fn follow(&mut self, disk: &mut Disk, term: u64) {
        if term > disk.term {
            disk.term = term;
            disk.voted_for = None;
            self.leader = None;
        }
        self.role = Role::Follower;
    }
}
