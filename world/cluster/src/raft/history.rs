//! What an observer of all nodes has seen, and whether Raft's promises hold in it.
//!
//! A history only grows, and a violation stays: it is enough to check now and then.

use std::collections::{BTreeMap, BTreeSet};

use super::message::Entry;

/// The leaders, the committed entries and the acknowledged values of a cluster, as its nodes and clients report them.
#[derive(Debug, Default)]
pub struct History {
    leaders: BTreeMap<u64, u64>,
    committed: Vec<Entry>,
    values: BTreeSet<u64>,
    violation: Option<String>,
}

impl History {
    /// Records that a node leads in a term.
    pub fn leads(&mut self, node: u64, term: u64) {
        let first = *self.leaders.entry(term).or_insert(node);
        if first != node {
            self.violated(format!("nodes {first} and {node} both lead in term {term}"));
        }
    }

    /// Records that a node takes the entry at `index` for committed. A node reports its entries in order.
    pub fn commits(&mut self, node: u64, index: u64, entry: Entry) {
        match self.committed.get(index as usize - 1) {
            None => {
                self.committed.push(entry);
                self.values.insert(entry.value);
            }
            Some(first) if *first == entry => {}
            Some(first) => {
                let first = *first;
                self.violated(format!(
                    "node {node} commits {entry:?} as number {index}, which was {first:?}"
                ));
            }
        }
    }

    /// Records that a client's value was acknowledged as committed.
    pub fn acknowledged(&mut self, value: u64) {
        if !self.values.contains(&value) {
            self.violated(format!("{value} was acknowledged and not committed"));
        }
    }

    /// The number of committed entries.
    pub fn len(&self) -> usize {
        self.committed.len()
    }

    pub fn is_empty(&self) -> bool {
        self.committed.is_empty()
    }

    /// The number of terms that had a leader.
    pub fn terms(&self) -> usize {
        self.leaders.len()
    }

    /// Fails with the first violation: two leaders of a term, two entries committed as the same number, or a value
    /// that was acknowledged without being committed.
    pub fn check(&self) -> Result<(), String> {
        self.violation.clone().map_or(Ok(()), Err)
    }

    fn violated(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }
}
