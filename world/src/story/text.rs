//! The story as a few lines.
//!
//! Invariant: the failure is the last line, and of each kind of fault the latest comes before a second one of another.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::mem::discriminant;

use wakeful::sim::{Record, What};

use super::{counted, ends, is_alike, link, place, weight, Clock, Story, Weight};

/// How many of the failing host's last acts have a line though they are usual.
const LAST_ACTS: usize = 3;

/// How many records with other numbers have a line each: more are one line.
const MOST_ALIKE: usize = 3;

/// How many links a line names.
const MOST_LINKS: usize = 4;

/// Records in a row that make one line.
struct Group {
    places: Vec<usize>,
    weight: Weight,
}

/// One line: the record from which it takes its time, and the words.
type Line = (usize, String);

pub(super) fn lines(story: &Story<'_>, most: usize) -> String {
    let groups = groups(story);
    let (setup, groups): (Vec<Group>, Vec<Group>) =
        groups.into_iter().partition(|group| group.weight == Weight::Setup);
    let mut by_rank: Vec<usize> = (0..groups.len()).collect();
    let rounds = rounds(story, &groups);
    by_rank.sort_by_key(|&at| (groups[at].weight, rounds[at], Reverse(at)));
    let shown: BTreeSet<usize> = by_rank.into_iter().take(most).collect();

    let mut lines: Vec<Line> = shown.iter().map(|&at| line(story, &groups[at])).collect();
    let mut summaries = summaries(story, &groups, &shown);
    summaries.sort_by_key(|(count, (at, _))| (Reverse(*count), *at));
    summaries.truncate(most - lines.len());
    lines.extend(summaries.into_iter().map(|(_, line)| line));
    // A part of the setup would only raise the question of the rest.
    if lines.len() + setup.len() <= most {
        lines.extend(setup.iter().map(|group| line(story, group)));
    }
    lines.sort();

    let clock = Clock::of(story.records);
    let times: Vec<String> = lines.iter().map(|(at, _)| clock.time(story.records[*at].time)).collect();
    let width = times.iter().map(String::len).max().unwrap_or(0);
    times.iter().zip(&lines).map(|(time, (_, words))| format!("{time:>width$}  {words}\n")).collect()
}

/// Returns the records that may have a line of their own.
fn groups(story: &Story<'_>) -> Vec<Group> {
    let records = story.records;
    let last_acts = last_acts(story);
    let mut groups: Vec<Group> = Vec::new();
    for (at, record) in records.iter().enumerate() {
        let weight = match weight(&record.what) {
            _ if at + 1 == records.len() => Weight::Failure,
            _ if repeats_itself(record, records.last()) => Weight::Inner,
            weight if last_acts.contains(&at) => weight.min(Weight::LastAct),
            weight => weight,
        };
        if weight >= Weight::Traffic {
            continue;
        }
        // A setup stands alone: it may be left out.
        match groups.last_mut().filter(|group| (group.weight == Weight::Setup) == (weight == Weight::Setup)) {
            Some(group) if weight != Weight::Failure && is_one_act(&records[group.places[0]], record) => {
                group.places.push(at);
                group.weight = group.weight.min(weight);
            }
            _ => groups.push(Group { places: vec![at], weight }),
        }
    }
    groups.into_iter().flat_map(|group| split(story, group)).collect()
}

/// Returns whether a record notes the panic that ends the story: its place is in the failure's reason.
fn repeats_itself(record: &Record, last: Option<&Record>) -> bool {
    match (&record.what, last.map(|last| &last.what)) {
        (What::Note(note), Some(What::HostPanicked(message))) => {
            note.starts_with("panic at ") && note.ends_with(message.as_str())
        }
        _ => false,
    }
}

/// Returns a few records with numbers of their own as a line each.
fn split(story: &Story<'_>, group: Group) -> Vec<Group> {
    if group.places.len() > MOST_ALIKE || is_uniform(story, &group) {
        return vec![group];
    }
    let alone = |place: usize| Group { places: vec![place], weight: group.weight };
    group.places.into_iter().map(alone).collect()
}

/// Returns whether one line says the same of all records.
fn is_uniform(story: &Story<'_>, group: &Group) -> bool {
    let mut records = group.places.iter().map(|&place| &story.records[place]);
    let first = records.next().map(|first| story.sentence(first));
    link(&story.records[group.places[0]].what).is_some()
        || records.all(|record| Some(story.sentence(record)) == first)
}

/// Returns whether records in a row make one line: acts that are alike, and links that are cut or healed together.
fn is_one_act(one: &Record, other: &Record) -> bool {
    match (link(&one.what), link(&other.what)) {
        (Some(_), Some(_)) => one.time == other.time && discriminant(&one.what) == discriminant(&other.what),
        _ => is_alike(one, other),
    }
}

/// Returns the places of what the failing host did last.
fn last_acts(story: &Story<'_>) -> BTreeSet<usize> {
    let Some(failing) = story.failing_host() else { return BTreeSet::new() };
    let records = story.records;
    let is_act = |at: &usize| {
        let record = &records[*at];
        let is_act = match &record.what {
            // A line about the write is one about its message.
            What::Sent { .. } => write_of(records, *at).is_none(),
            What::Arrived { .. } | What::Lost { .. } => false,
            what => ends(what).is_some() || matches!(what, What::Listen { .. }),
        };
        is_act && record.host == failing
    };
    (0..records.len().saturating_sub(1)).rev().filter(is_act).take(LAST_ACTS).collect()
}

/// Returns the place of the write by which the message at a place is sent; a datagram has none.
fn write_of(records: &[Record], at: usize) -> Option<usize> {
    let sent = &records[at];
    let is_write = |place: &usize| {
        let Record { time, what, .. } = &records[*place];
        matches!(what, What::Wrote { .. }) && (*time, ends(what)) == (sent.time, ends(&sent.what))
    };
    // They are logged in one step.
    (at.saturating_sub(4)..at).rev().find(is_write)
}

/// Returns how many groups of the same kind follow each.
fn rounds(story: &Story<'_>, groups: &[Group]) -> Vec<usize> {
    let mut following = HashMap::new();
    let mut rounds: Vec<usize> = groups
        .iter()
        .rev()
        .map(|group| {
            let count = following.entry(kind(&story.records[group.places[0]])).or_insert(0);
            *count += 1;
            *count
        })
        .collect();
    rounds.reverse();
    rounds
}

/// Returns what records of a kind have in common; the texts of notes and the hosts of links differ.
fn kind(record: &Record) -> impl Eq + Hash {
    let fault = match record.what {
        What::Fault { kind } => Some(kind),
        _ => None,
    };
    let places = ends(&record.what).map(|(from, to)| (place(from), place(to)));
    (discriminant(&record.what), record.host, places, fault)
}

fn line(story: &Story<'_>, group: &Group) -> Line {
    let first = group.places[0];
    if link(&story.records[first].what).is_some() {
        return (first, links(story, group));
    }
    let mut words = story.sentence(&story.records[first]);
    if let [_, .., last] = group.places[..] {
        let until = Clock::of(story.records).time(story.records[last].time);
        words += &match group.places.len() - 1 {
            more if !is_uniform(story, group) => format!(", and {more} more of this kind until {until}"),
            1 => format!(", and once more at {until}"),
            more => format!(", and {more} times more until {until}"),
        };
    }
    (first, words)
}

/// Returns the words for links that are cut or healed together. Both ways between two hosts are one link.
fn links(story: &Story<'_>, group: &Group) -> String {
    let links = || group.places.iter().filter_map(|&place| link(&story.records[place].what));
    let all: BTreeSet<(u32, u32)> = links().collect();
    let (mut names, mut hosts) = (Vec::new(), BTreeSet::new());
    for (a, b) in links() {
        hosts.extend([a, b]);
        match all.contains(&(b, a)) {
            true if a < b => names.push(format!("{} - {}", story.name(a), story.name(b))),
            true => {}
            false => names.push(format!("from {} to {}", story.name(a), story.name(b))),
        }
    }
    let done = match story.records[group.places[0]].what {
        What::LinkHealed { .. } => "healed",
        _ => "cut",
    };
    match &names[..] {
        [name] => format!("the link {name} is {done}"),
        [names @ .., last] if names.len() < MOST_LINKS => {
            format!("the links {} and {last} are {done}", names.join(", "))
        }
        names => format!("{} links between {} hosts are {done}", names.len(), hosts.len()),
    }
}

/// Returns a line for each gap between those that are shown, and how many records it is about.
fn summaries(story: &Story<'_>, groups: &[Group], shown: &BTreeSet<usize>) -> Vec<(usize, Line)> {
    let mut is_shown = vec![false; story.records.len()];
    let mut starts = vec![false; story.records.len()];
    let mut is_event = vec![false; story.records.len()];
    for (at, group) in groups.iter().enumerate() {
        for place in &group.places {
            is_shown[*place] = shown.contains(&at);
            is_event[*place] = true;
        }
        starts[group.places[0]] = shown.contains(&at);
    }
    let mut summaries = Vec::new();
    let mut gap = Gap::default();
    for (at, record) in story.records.iter().enumerate() {
        if starts[at] {
            summaries.extend(std::mem::take(&mut gap).summary(story));
        }
        let is_sent = matches!(record.what, What::Sent { .. });
        let is_written = is_sent && write_of(story.records, at).is_some_and(|write| is_shown[write]);
        if !is_shown[at] && !is_written {
            gap.add(story, at, record, is_event[at]);
        }
    }
    summaries.extend(gap.summary(story));
    summaries
}

/// What happens between two lines.
#[derive(Default)]
struct Gap {
    first: Option<usize>,
    messages: u64,
    bytes: u64,
    hosts: BTreeSet<u32>,
    others: u64,
}

impl Gap {
    fn add(&mut self, story: &Story<'_>, at: usize, record: &Record, is_event: bool) {
        if let What::Sent { to, bytes, .. } = record.what {
            self.messages += 1;
            self.bytes += bytes;
            self.hosts.insert(record.host);
            self.hosts.extend(story.owner(to, record.host));
        } else if is_event {
            self.others += 1;
        } else {
            return;
        }
        self.first.get_or_insert(at);
    }

    fn summary(self, story: &Story<'_>) -> Option<(usize, Line)> {
        let mut parts = Vec::new();
        if self.messages > 0 {
            let hosts: Vec<String> = self.hosts.iter().map(|&host| story.name(host)).collect();
            let between = match &hosts[..] {
                [host] => format!("within {host}"),
                [one, other] => format!("between {one} and {other}"),
                all => format!("between {} hosts", all.len()),
            };
            let (messages, bytes) = (counted(self.messages, "message"), counted(self.bytes, "byte"));
            parts.push(format!("{messages} {between}, {bytes}"));
        }
        if self.others > 0 {
            parts.push(counted(self.others, "other event"));
        }
        Some(((self.messages + self.others) as usize, (self.first?, format!("({})", parts.join("; ")))))
    }
}
