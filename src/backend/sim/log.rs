//! The log of a world: what happened, when, and on which host.
//!
//! Invariant: the hash is that of all records, on every platform, and computing it allocates nothing.

use std::net::SocketAddr;
use std::time::Duration;

use super::choices::ChoiceKind;

/// One thing that happened in a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The time in the world.
    pub time: Duration,
    /// The number of the host; [`Record::WORLD`] if it happened to none.
    pub host: u32,
    /// The event itself.
    pub what: What,
}

impl Record {
    /// The host of records that belong to the whole world: links, notes of the test, broken invariants.
    pub const WORLD: u32 = u32::MAX;
}

/// An end of a connection, or the address of a datagram socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// An address and a port.
    Ip(SocketAddr),
    /// A Unix-domain socket or an end of a pipe, by its number in the world.
    Unix(u64),
}

/// The events of a world.
///
/// `from` sends or connects, and `to` receives or listens. A `message` is a number that [`Sent`](What::Sent) shares
/// with [`Arrived`](What::Arrived) or [`Lost`](What::Lost): a datagram, or a part of a stream.
#[allow(missing_docs)] // of the fields, which the line above introduces
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A host begins to run.
    HostStarted,
    /// A host's closure has returned.
    HostEnded,
    /// A host has panicked, with this message.
    HostPanicked(String),
    /// The test, or a fault, has stopped a host and closed its sockets.
    HostCrashed,
    /// A crashed host begins again.
    HostRestarted,
    /// A host runs no more until it is resumed.
    HostPaused,
    /// A paused host runs again.
    HostResumed,
    /// A host listens.
    Listen { at: Endpoint },
    /// A host begins to connect.
    Connect { from: Endpoint, to: Endpoint },
    /// A host's connection is established.
    Connected { from: Endpoint, to: Endpoint },
    /// A host's connection is refused.
    Refused { from: Endpoint, to: Endpoint },
    /// A host accepts a connection.
    Accepted { from: Endpoint, to: Endpoint },
    /// A message sets out.
    Sent { message: u64, from: Endpoint, to: Endpoint, bytes: u64 },
    /// A message arrives, and can be read.
    Arrived { message: u64, from: Endpoint, to: Endpoint, bytes: u64 },
    /// A message never arrives.
    Lost { message: u64, from: Endpoint, to: Endpoint },
    /// The host at `to` reads `bytes` of the `waiting` bytes.
    Read { from: Endpoint, to: Endpoint, bytes: u64, waiting: u64 },
    /// The host at `from` writes `bytes` of the `wanted` bytes.
    Wrote { from: Endpoint, to: Endpoint, bytes: u64, wanted: u64 },
    /// The host at `to` reads the end of the stream.
    EndOfStream { from: Endpoint, to: Endpoint },
    /// The host at `from` sends no more.
    Shutdown { from: Endpoint, to: Endpoint },
    /// The host at `from` resets the connection, or a fault does.
    Reset { from: Endpoint, to: Endpoint },
    /// The link from host `a` to host `b` carries nothing until it is healed; the way back is another one.
    LinkCut { a: u32, b: u32 },
    /// The link from host `a` to host `b` carries messages again.
    LinkHealed { a: u32, b: u32 },
    /// A fault hits an operation of the host.
    Fault { kind: ChoiceKind },
    /// A task of the host runs.
    Turn { task: u32 },
    /// A task of the host sleeps for at most this long.
    Slept { length: Duration },
    /// A message of the test or the program.
    Note(String),
    /// The run fails, for this reason: an invariant, a deadlock, a limit of time.
    Failed(String),
}

/// The log of one run.
pub(crate) struct Log {
    hash: Hash,
    is_closed: bool,
    kept: Option<Vec<Record>>,
}

impl Log {
    /// Creates a log that has a hash alone, and if `keeps`, the records too.
    pub(crate) fn new(keeps: bool) -> Log {
        Log { hash: Hash::new(), is_closed: false, kept: keeps.then(Vec::new) }
    }

    pub(crate) fn push(&mut self, time: Duration, host: u32, what: What) {
        if self.is_closed {
            return;
        }
        self.hash.record(time, host, &what);
        if let Some(kept) = &mut self.kept {
            kept.push(Record { time, host, what });
        }
    }

    /// Ends the log: what happens from now on is no part of the run.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Returns the hash of everything so far: the same for the same records, on every platform.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.0
    }

    pub(crate) fn kept(&self) -> &[Record] {
        self.kept.as_deref().unwrap_or_default()
    }
}

/// A hash by words: one multiplication for each eight bytes, of which FNV-1a takes eight.
struct Hash(u64);

impl Hash {
    const fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    fn word(&mut self, word: u64) {
        // Both steps can be undone: of two states that differ, no word makes one.
        self.0 = (self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 ^= self.0 >> 32;
    }

    fn text(&mut self, text: &str) {
        self.word(text.len() as u64);
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    fn time(&mut self, time: Duration) {
        self.word(time.as_secs());
        self.word(time.subsec_nanos().into());
    }

    fn endpoint(&mut self, endpoint: Endpoint) {
        match endpoint {
            Endpoint::Unix(number) => {
                self.word(1 << 32);
                self.word(number);
            }
            Endpoint::Ip(SocketAddr::V4(address)) => {
                self.word(4 << 32 | u64::from(u32::from(*address.ip())));
                self.word(address.port().into());
            }
            Endpoint::Ip(SocketAddr::V6(address)) => {
                let bits = u128::from(*address.ip());
                self.word(6 << 32 | u64::from(address.scope_id()));
                self.word((bits >> 64) as u64);
                self.word(bits as u64);
                self.word(address.port().into());
            }
        }
    }

    /// Adds a record. The numbers of the events are part of the hash, so a new event takes a new number.
    fn record(&mut self, time: Duration, host: u32, what: &What) {
        let (number, ends, numbers, text) = parts(what);
        self.time(time);
        self.word(number << 32 | u64::from(host));
        for endpoint in ends.into_iter().flatten() {
            self.endpoint(endpoint);
        }
        for number in numbers {
            self.word(number);
        }
        self.text(text);
    }
}

/// The parts of an event: its number, its ends, its figures and its text.
type Parts<'a> = (u64, [Option<Endpoint>; 2], [u64; 3], &'a str);

fn parts(what: &What) -> Parts<'_> {
    const NONE: [Option<Endpoint>; 2] = [None; 2];
    fn said(number: u64, text: &str) -> Parts<'_> {
        (number, NONE, [0; 3], text)
    }
    let plain = |number| (number, NONE, [0; 3], "");
    let of_ends = |number, from, to| (number, [Some(from), Some(to)], [0; 3], "");
    match *what {
        What::HostStarted => plain(0),
        What::HostEnded => plain(1),
        What::HostPanicked(ref message) => said(2, message),
        What::HostCrashed => plain(3),
        What::HostRestarted => plain(4),
        What::HostPaused => plain(5),
        What::HostResumed => plain(6),
        What::Listen { at } => (7, [Some(at), None], [0; 3], ""),
        What::Connect { from, to } => of_ends(8, from, to),
        What::Connected { from, to } => of_ends(9, from, to),
        What::Refused { from, to } => of_ends(10, from, to),
        What::Accepted { from, to } => of_ends(11, from, to),
        What::Sent { message, from, to, bytes } => (12, [Some(from), Some(to)], [message, bytes, 0], ""),
        What::Arrived { message, from, to, bytes } => (13, [Some(from), Some(to)], [message, bytes, 0], ""),
        What::Lost { message, from, to } => (14, [Some(from), Some(to)], [message, 0, 0], ""),
        What::Read { from, to, bytes, waiting } => (15, [Some(from), Some(to)], [bytes, waiting, 0], ""),
        What::Wrote { from, to, bytes, wanted } => (16, [Some(from), Some(to)], [bytes, wanted, 0], ""),
        What::EndOfStream { from, to } => of_ends(17, from, to),
        What::Shutdown { from, to } => of_ends(18, from, to),
        What::Reset { from, to } => of_ends(19, from, to),
        What::LinkCut { a, b } => (20, NONE, [a.into(), b.into(), 0], ""),
        What::LinkHealed { a, b } => (21, NONE, [a.into(), b.into(), 0], ""),
        What::Fault { kind } => (22, NONE, [kind as u64, 0, 0], ""),
        What::Turn { task } => (23, NONE, [task.into(), 0, 0], ""),
        What::Slept { length } => (24, NONE, [length.as_secs(), length.subsec_nanos().into(), 0], ""),
        What::Note(ref message) => said(25, message),
        What::Failed(ref message) => said(26, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Record> {
        let from = Endpoint::Ip("10.0.0.2:40000".parse().unwrap());
        let to = Endpoint::Ip("[fd00::1]:80".parse().unwrap());
        let unix = Endpoint::Unix(80);
        let v4 = Endpoint::Ip("0.0.0.0:80".parse().unwrap());
        let v6 = Endpoint::Ip("[::]:80".parse().unwrap());
        let (message, bytes) = (7, 100);
        let all = [
            What::HostStarted,
            What::HostEnded,
            What::HostPanicked(String::new()),
            What::HostPanicked("eight by".into()),
            What::HostPanicked("eight byt".into()),
            What::HostPanicked("eight byt\0".into()),
            What::HostCrashed,
            What::HostRestarted,
            What::HostPaused,
            What::HostResumed,
            What::Listen { at: from },
            What::Listen { at: to },
            What::Listen { at: unix },
            What::Listen { at: v4 },
            What::Listen { at: v6 },
            What::Connect { from, to },
            What::Connect { from: to, to: from },
            What::Connected { from, to },
            What::Refused { from, to },
            What::Accepted { from, to },
            What::Sent { message, from, to, bytes },
            What::Sent { message: bytes, from, to, bytes: message },
            What::Arrived { message, from, to, bytes },
            What::Lost { message, from, to },
            What::Read { from, to, bytes, waiting: 200 },
            What::Read { from, to, bytes, waiting: 100 },
            What::Wrote { from, to, bytes, wanted: 200 },
            What::Wrote { from, to, bytes, wanted: 100 },
            What::EndOfStream { from, to },
            What::Shutdown { from, to },
            What::Reset { from, to },
            What::LinkCut { a: 1, b: 2 },
            What::LinkCut { a: 2, b: 1 },
            What::LinkHealed { a: 1, b: 2 },
            What::Fault { kind: ChoiceKind::Short },
            What::Fault { kind: ChoiceKind::Reset },
            What::Turn { task: 0 },
            What::Turn { task: 1 },
            What::Slept { length: Duration::from_secs(1) },
            What::Slept { length: Duration::from_nanos(1) },
            What::Note("a".into()),
            What::Failed("a".into()),
        ];
        let record = |(second, what)| Record { time: Duration::from_secs(second), host: 3, what };
        (0..).zip(all).map(record).collect()
    }

    fn log_of(records: &[Record], keeps: bool) -> Log {
        let mut log = Log::new(keeps);
        for Record { time, host, what } in records {
            log.push(*time, *host, what.clone());
        }
        log
    }

    #[test]
    fn the_hash_is_the_same_everywhere() {
        let hash = log_of(&all(), false).hash();
        assert_eq!(hash, 0xc6ae_7cd7_44d8_bc6f, "{hash:#x}");
    }

    #[test]
    fn records_are_kept_on_request() {
        assert_eq!(log_of(&all(), true).kept(), all());
        assert_eq!(log_of(&all(), false).kept(), []);
        assert_eq!(log_of(&all(), true).hash(), log_of(&all(), false).hash());
    }

    #[test]
    fn each_part_of_a_record_and_their_order_change_the_hash() {
        let mut hashes = Vec::new();
        let mut variants: Vec<Record> = all();
        variants.iter_mut().for_each(|record| record.time = Duration::ZERO);
        for what in [What::HostStarted, What::HostPaused] {
            for host in [1, 2, Record::WORLD] {
                for time in [Duration::from_nanos(1), Duration::from_secs(1), Duration::new(1, 1)] {
                    variants.push(Record { time, host, what: what.clone() });
                }
            }
        }
        for record in &variants {
            hashes.push(log_of(std::slice::from_ref(record), false).hash());
        }
        for pair in all().windows(2) {
            hashes.push(log_of(pair, false).hash());
            hashes.push(log_of(&[pair[1].clone(), pair[0].clone()], false).hash());
        }
        let count = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
    }
}
