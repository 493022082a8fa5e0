//! The story of a run, from the records of its log: as text, and as a page.
//!
//! Invariant: a story is a function of the records alone, so a golden file holds it on every platform.

mod html;
mod text;

use std::collections::BTreeMap;
use std::mem::discriminant;
use std::net::IpAddr;
use std::time::Duration;

use wakeful::sim::{ChoiceKind, Endpoint, Record, What};

/// The number of lines of a story that fits a test's output.
pub const LINES: usize = 12;

/// The longest message of a program that a line repeats, in characters.
const LONGEST: usize = 200;

/// What happened in a run, in the words of a person.
///
/// ```
/// use std::time::Duration;
/// use wakeful::sim::{Record, What};
/// use wakeful_world::story::{Story, LINES};
///
/// let record = |ms, host, what| Record { time: Duration::from_millis(ms), host, what };
/// let records = [
///     record(0, 0, What::HostStarted),
///     record(5, Record::WORLD, What::LinkCut { a: 0, b: 1 }),
///     record(5, Record::WORLD, What::LinkCut { a: 1, b: 0 }),
///     record(9, 1, What::HostPanicked("no leader".into())),
/// ];
/// let story = Story::new("seed 17", &["10.0.0.1", "10.0.0.2"], &records);
/// let text = "\
/// 0.000 ms  10.0.0.1 starts
/// 5.000 ms  the link 10.0.0.1 - 10.0.0.2 is cut
/// 9.000 ms  10.0.0.2 panics: no leader
/// ";
/// assert_eq!(story.text(LINES), text);
/// ```
#[derive(Debug)]
pub struct Story<'a> {
    title: &'a str,
    /// The name of each host, at the place of its number.
    hosts: Vec<String>,
    /// Up to the failure.
    records: &'a [Record],
    /// The hosts of addresses.
    owners: BTreeMap<Place, u32>,
}

/// The part of an endpoint that names its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place {
    Ip(IpAddr),
    Unix(u64),
    /// A loopback address, which each host has.
    Any,
}

impl<'a> Story<'a> {
    /// Creates the story of `records`, the last of which is the failure, or is followed by its aftermath alone.
    ///
    /// `title` heads the page. A host's number is the place of its name in `hosts`.
    pub fn new(title: &'a str, hosts: &[impl AsRef<str>], records: &'a [Record]) -> Story<'a> {
        let is_failure = |record: &Record| matches!(record.what, What::Failed(_));
        let is_panic = |record: &Record| matches!(record.what, What::HostPanicked(_));
        let failure = records.iter().position(is_failure).or_else(|| records.iter().rposition(is_panic));
        let records = failure.map_or(records, |failure| &records[..=failure]);
        let hosts: Vec<String> = hosts.iter().map(|name| clean(name.as_ref())).collect();
        let owners = owners(&hosts, records);
        Story { title, hosts, records, owners }
    }

    /// Returns the story as at most `most` lines: what matters to the failure, and the rest in summary. [`LINES`] is a
    /// usual number.
    #[must_use]
    pub fn text(&self, most: usize) -> String {
        text::lines(self, most)
    }

    /// Returns the story as a page that needs no other file and no network: a lane for each host, with every
    /// record but turns and sleeps. Of a very long run it has the end.
    #[must_use]
    pub fn html(&self) -> String {
        html::page(self)
    }

    /// Returns the place of the host that failed, if one did.
    fn failing_host(&self) -> Option<u32> {
        let last = self.records.last()?;
        let panicked =
            || self.records.iter().rev().find(|record| matches!(record.what, What::HostPanicked(_)));
        match last.host {
            Record::WORLD => panicked().map(|record| record.host),
            host => Some(host),
        }
    }

    fn name(&self, host: u32) -> String {
        match self.hosts.get(host as usize) {
            Some(name) => name.clone(),
            None if host == Record::WORLD => "the world".to_owned(),
            None => format!("host {host}"),
        }
    }

    /// Returns the host of an endpoint, as the host of a record sees it.
    fn owner(&self, endpoint: Endpoint, seen_by: u32) -> Option<u32> {
        match place(endpoint) {
            Place::Any => Some(seen_by),
            place => self.owners.get(&place).copied(),
        }
    }

    /// Returns an endpoint's address; a host that has another name than that goes by its name.
    fn endpoint(&self, endpoint: Endpoint) -> String {
        match endpoint {
            Endpoint::Ip(address) => {
                let owner = self.owners.get(&Place::Ip(address.ip()));
                match owner.map(|&owner| self.name(owner)).filter(|name| name.parse::<IpAddr>().is_err()) {
                    Some(name) => format!("{name}:{}", address.port()),
                    None => address.to_string(),
                }
            }
            Endpoint::Unix(number) => format!("Unix socket {number}"),
            other => format!("{other:?}"),
        }
    }

    fn link(&self, from: u32, to: u32) -> String {
        format!("link from {} to {}", self.name(from), self.name(to))
    }

    /// Returns a record in words.
    fn sentence(&self, record: &Record) -> String {
        let host = self.name(record.host);
        let of = |bytes: u64, all: u64| match bytes < all {
            true => format!("{bytes} of {}", counted(all, "byte")),
            false => counted(bytes, "byte"),
        };
        let end = |endpoint: &Endpoint| self.endpoint(*endpoint);
        match &record.what {
            What::HostStarted => format!("{host} starts"),
            What::HostEnded => format!("{host} ends"),
            What::HostPanicked(message) => format!("{host} panics: {}", shortened(message)),
            What::HostCrashed => format!("{host} crashes"),
            What::HostRestarted => format!("{host} starts again"),
            What::HostPaused => format!("{host} pauses"),
            What::HostResumed => format!("{host} resumes"),
            // The host's name alone would repeat the subject.
            What::Listen { at: Endpoint::Ip(address) } => format!("{host} listens at {address}"),
            What::Listen { at } => format!("{host} listens at {}", end(at)),
            What::Connect { to, .. } => format!("{host} connects to {}", end(to)),
            What::Connected { to, .. } => format!("{host} is connected to {}", end(to)),
            What::Refused { to, .. } => format!("{host} is refused by {}", end(to)),
            What::Accepted { from, .. } => format!("{host} accepts {}", end(from)),
            What::Sent { to, bytes, .. } => format!("{host} sends {} to {}", of(*bytes, 0), end(to)),
            What::Arrived { from, bytes, .. } => {
                format!("{host} receives {} from {}", of(*bytes, 0), end(from))
            }
            What::Lost { from, to, .. } => format!("a message from {} to {} is lost", end(from), end(to)),
            What::Read { from, bytes, waiting, .. } => {
                format!("{host} reads {} from {}", of(*bytes, *waiting), end(from))
            }
            What::Wrote { to, bytes, wanted, .. } => {
                format!("{host} writes {} to {}", of(*bytes, *wanted), end(to))
            }
            What::EndOfStream { from, .. } => {
                format!("{host} reads the end of the stream from {}", end(from))
            }
            What::Shutdown { to, .. } => format!("{host} sends no more to {}", end(to)),
            What::Reset { from, to } => format!("the connection {} - {} is reset", end(from), end(to)),
            What::LinkCut { a, b } => format!("the {} is cut", self.link(*a, *b)),
            What::LinkHealed { a, b } => format!("the {} is healed", self.link(*a, *b)),
            What::Fault { kind } => fault(*kind, &host),
            What::Turn { task } => format!("{host} runs its task {task}"),
            What::Slept { length } => format!("{host} sleeps for {length:?} at most"),
            What::Note(message) if record.host == Record::WORLD => format!("note: {}", shortened(message)),
            What::Note(message) => format!("{host} notes: {}", shortened(message)),
            What::Failed(message) if record.host == Record::WORLD => {
                format!("the run fails: {}", shortened(message))
            }
            What::Failed(message) => format!("{host} fails: {}", shortened(message)),
            other => format!("{host}: {other:?}"),
        }
    }
}

/// Returns the hosts of a link that is cut or healed.
fn link(what: &What) -> Option<(u32, u32)> {
    match *what {
        What::LinkCut { a, b } | What::LinkHealed { a, b } => Some((a, b)),
        _ => None,
    }
}

fn fault(kind: ChoiceKind, host: &str) -> String {
    match kind {
        ChoiceKind::Latency => format!("a message of {host} takes longer"),
        ChoiceKind::Loss | ChoiceKind::Lost => format!("a message of {host} is lost"),
        ChoiceKind::Late => format!("an event of {host} is late"),
        ChoiceKind::Spurious => format!("{host} gets a spurious event"),
        ChoiceKind::Split => format!("{host} gets readable and writable in two events"),
        ChoiceKind::Postponed => format!("an event of {host} is postponed"),
        ChoiceKind::Short => format!("a read or write of {host} is short"),
        ChoiceKind::WouldBlock => format!("an operation of {host} returns WouldBlock too early"),
        ChoiceKind::Interrupted => format!("a call of {host} is interrupted"),
        ChoiceKind::Reset => format!("a connection of {host} is reset"),
        ChoiceKind::HalfClose => format!("a writing half of {host} is shut down"),
        other => format!("a fault hits {host}: {other:?}"),
    }
}

/// Returns the ends of a connection, or of a message.
fn ends(what: &What) -> Option<(Endpoint, Endpoint)> {
    match *what {
        What::Connect { from, to }
        | What::Connected { from, to }
        | What::Refused { from, to }
        | What::Accepted { from, to }
        | What::Sent { from, to, .. }
        | What::Arrived { from, to, .. }
        | What::Lost { from, to, .. }
        | What::Read { from, to, .. }
        | What::Wrote { from, to, .. }
        | What::EndOfStream { from, to }
        | What::Shutdown { from, to }
        | What::Reset { from, to } => Some((from, to)),
        _ => None,
    }
}

fn place(endpoint: Endpoint) -> Place {
    match endpoint {
        Endpoint::Ip(address) if address.ip().is_loopback() || address.ip().is_unspecified() => Place::Any,
        Endpoint::Ip(address) => Place::Ip(address.ip()),
        Endpoint::Unix(number) => Place::Unix(number),
        _ => Place::Any,
    }
}

/// Returns the hosts of addresses: by the names that are addresses, and by what hosts do at them.
fn owners(hosts: &[String], records: &[Record]) -> BTreeMap<Place, u32> {
    let mut owners = BTreeMap::new();
    for (host, name) in (0..).zip(hosts) {
        if let Ok(ip) = name.parse() {
            owners.insert(Place::Ip(ip), host);
        }
    }
    for record in records.iter().filter(|record| record.host != Record::WORLD) {
        let own = match record.what {
            What::Listen { at } => at,
            What::Connect { from, .. } | What::Connected { from, .. } | What::Sent { from, .. } => from,
            What::Wrote { from, .. } | What::Shutdown { from, .. } => from,
            What::Accepted { to, .. } | What::Arrived { to, .. } | What::Read { to, .. } => to,
            _ => continue,
        };
        owners.entry(place(own)).or_insert(record.host);
    }
    owners
}

/// Returns whether two records are the same act, with other numbers.
fn is_alike(one: &Record, other: &Record) -> bool {
    let places = |(from, to)| (place(from), place(to));
    let is_same = match (ends(&one.what), ends(&other.what)) {
        (Some(one_ends), Some(other_ends)) => {
            discriminant(&one.what) == discriminant(&other.what) && places(one_ends) == places(other_ends)
        }
        _ => one.what == other.what,
    };
    is_same && one.host == other.host
}

/// How much a record matters, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Failure,
    /// One of the last things that the failing host did.
    LastAct,
    /// Something goes wrong, or the test intervenes.
    Fault,
    /// A connection begins or ends, or a host ends.
    Step,
    /// A host starts or listens, as it does in every run.
    Setup,
    /// A whole message, read or write.
    Traffic,
    /// Nothing that a peer could notice.
    Inner,
}

/// Returns the weight that a record has by itself.
fn weight(what: &What) -> Weight {
    match what {
        What::Failed(_) => Weight::Failure,
        What::HostStarted | What::Listen { .. } => Weight::Setup,
        What::HostEnded | What::EndOfStream { .. } | What::Shutdown { .. } => Weight::Step,
        What::Connect { .. } | What::Connected { .. } | What::Accepted { .. } => Weight::Step,
        What::Sent { .. } | What::Arrived { .. } => Weight::Traffic,
        What::Read { bytes, waiting, .. } if bytes >= waiting => Weight::Traffic,
        What::Wrote { bytes, wanted, .. } if bytes >= wanted => Weight::Traffic,
        What::Turn { .. } | What::Slept { .. } => Weight::Inner,
        // What such a fault does has a record of its own.
        What::Fault { kind: ChoiceKind::Short | ChoiceKind::Reset } => Weight::Inner,
        What::Fault { kind: ChoiceKind::Loss | ChoiceKind::Lost } => Weight::Inner,
        _ => Weight::Fault,
    }
}

/// The unit of a story's times: milliseconds, or seconds if it takes ten or more.
#[derive(Clone, Copy)]
struct Clock {
    is_long: bool,
}

impl Clock {
    fn of(records: &[Record]) -> Clock {
        Clock { is_long: records.last().is_some_and(|last| last.time.as_secs() >= 10) }
    }

    fn time(self, time: Duration) -> String {
        match self.is_long {
            true => format!("{}.{:03} s", time.as_secs(), time.subsec_millis()),
            false => format!("{}.{:03} ms", time.as_millis(), time.subsec_micros() % 1000),
        }
    }
}

fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// Returns a text in one line, without control characters.
fn clean(text: &str) -> String {
    let is_space = |c: char| c.is_whitespace() || c.is_control();
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Returns the beginning of a text in one line.
fn shortened(text: &str) -> String {
    let text = clean(text);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}
