//! The story as a page: a lane for each host, time downwards, an arrow for each message.
//!
//! Invariant: the page runs no script and loads nothing, and every text of a program passes through `escape`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use wakeful::sim::{Endpoint, Record, What};

use super::{clean, counted, link, weight, Clock, Story, Weight, LINES};

/// The records of a page: ten thousand have three megabytes.
const MOST_ROWS: usize = 10_000;

const ROW: u64 = 20;
/// The space of an idle stretch.
const FOLD: u64 = 36;
const LEFT: u64 = 170;
const HEAD: u64 = 30;

/// The place of a record on the page.
struct Row<'a> {
    record: &'a Record,
    weight: Weight,
    y: u64,
    /// The idle time before it, if that is folded.
    idle: Option<Duration>,
}

/// A link that is cut.
struct Cut<'a> {
    start: &'a Row<'a>,
    directions: BTreeSet<(u32, u32)>,
}

struct Page<'a> {
    story: &'a Story<'a>,
    rows: Vec<Row<'a>>,
    lane: u64,
    height: u64,
    clock: Clock,
    /// How many records come before the first row.
    omitted: usize,
}

pub(super) fn page(story: &Story<'_>) -> String {
    let page = Page::new(story);
    let failure = match story.records.last().map(|record| (&record.what, record)) {
        Some((What::Failed(message) | What::HostPanicked(message), record)) => {
            format!(
                "<p class=\"failure\">{}: {}</p>\n",
                escape(&story.name(record.host)),
                escape(&clean(message))
            )
        }
        _ => String::new(),
    };
    let omitted = match page.omitted {
        0 => String::new(),
        omitted => format!("<p>The first {} are left out.</p>\n", counted(omitted as u64, "record")),
    };
    let (width, height) = (page.text_x() + 900, page.height);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<pre>{text}</pre>\n{omitted}\
         <svg class=\"names\" width=\"{width}\" height=\"{HEAD}\">\n{names}</svg>\n\
         <svg width=\"{width}\" height=\"{height}\">\n{cuts}{lanes}{rows}{messages}</svg>\n\
         {failure}</body>\n</html>\n",
        title = escape(&clean(story.title)),
        text = escape(&story.text(LINES)),
        names = page.names(),
        cuts = page.cuts(),
        lanes = page.lanes(),
        rows = page.rows(),
        messages = page.messages(),
    )
}

impl<'a> Page<'a> {
    fn new(story: &'a Story<'a>) -> Page<'a> {
        let is_shown = |record: &&Record| weight(&record.what) != Weight::Inner;
        let shown: Vec<&Record> = story.records.iter().filter(is_shown).collect();
        let omitted = shown.len().saturating_sub(MOST_ROWS);
        let shown = &shown[omitted..];
        let idle = idle_time(shown);
        let (mut rows, mut y): (Vec<Row<'_>>, u64) = (Vec::new(), ROW);
        for (at, &record) in shown.iter().enumerate() {
            let before = at.checked_sub(1).map_or(Duration::ZERO, |before| shown[before].time);
            let idle = record.time.checked_sub(before).filter(|gap| *gap >= idle);
            y += if idle.is_some() { FOLD } else { 0 };
            let weight = if at + 1 == shown.len() { Weight::Failure } else { weight(&record.what) };
            rows.push(Row { record, weight, y, idle });
            y += ROW;
        }
        let lane = match story.hosts.len() {
            0..=6 => 150,
            7..=12 => 110,
            _ => 80,
        };
        Page { story, rows, lane, height: y, clock: Clock::of(story.records), omitted }
    }

    fn x(&self, host: u32) -> Option<u64> {
        let is_lane = (host as usize) < self.story.hosts.len();
        is_lane.then(|| LEFT + self.lane * u64::from(host))
    }

    /// Returns where the words of the rows begin.
    fn text_x(&self) -> u64 {
        LEFT + self.lane * self.story.hosts.len() as u64
    }

    fn names(&self) -> String {
        let mut out = String::new();
        for (host, name) in (0..).zip(&self.story.hosts) {
            let Some(x) = self.x(host) else { continue };
            let most = self.lane as usize / 8;
            let short = match name.char_indices().nth(most) {
                Some((end, _)) => format!("{}..", &name[..end]),
                None => name.clone(),
            };
            let (name, short) = (escape(name), escape(&short));
            out += &format!("<text x=\"{x}\" y=\"20\"><title>{name}</title>{short}</text>\n");
        }
        out
    }

    /// Draws a band between two lanes for as long as their link is cut, in one direction at least.
    fn cuts(&self) -> String {
        let mut out = String::new();
        let mut open: BTreeMap<(u32, u32), Cut<'_>> = BTreeMap::new();
        for row in &self.rows {
            let Some((a, b)) = link(&row.record.what) else { continue };
            let pair = (a.min(b), a.max(b));
            if let What::LinkCut { .. } = row.record.what {
                let cut = open.entry(pair).or_insert(Cut { start: row, directions: BTreeSet::new() });
                cut.directions.insert((a, b));
            } else if let Some(cut) = open.get_mut(&pair) {
                cut.directions.remove(&(a, b));
                if cut.directions.is_empty() {
                    let until = self.clock.time(row.record.time);
                    out += &self.band(pair, cut.start, row.y, &until);
                    open.remove(&pair);
                }
            }
        }
        for (pair, cut) in open {
            out += &self.band(pair, cut.start, self.height, "the end");
        }
        out
    }

    fn band(&self, (a, b): (u32, u32), start: &Row<'_>, end: u64, until: &str) -> String {
        let (Some(one), Some(other)) = (self.x(a), self.x(b)) else { return String::new() };
        let (y, x, width, height) = (start.y, one.min(other), one.abs_diff(other), end - start.y);
        let from = self.clock.time(start.record.time);
        let title =
            escape(&format!("{} - {} is cut, {from} to {until}", self.story.name(a), self.story.name(b)));
        let place = format!("x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"");
        format!("<rect class=\"cut\" {place}><title>{title}</title></rect>\n")
    }

    /// Draws the lanes: solid while a host runs, dashed while it is paused, faint while it is down.
    fn lanes(&self) -> String {
        let mut out = String::new();
        for host in 0..self.story.hosts.len() as u32 {
            let Some(x) = self.x(host) else { continue };
            let of_host = || self.rows.iter().filter(|row| row.record.host == host);
            let starts = |row: &Row<'_>| matches!(row.record.what, What::HostStarted);
            let (mut from, mut state) = (0, if of_host().any(starts) { "down" } else { "up" });
            let mut line = |from: u64, to: u64, state: &str| {
                let ends = format!("x1=\"{x}\" x2=\"{x}\" y1=\"{from}\" y2=\"{to}\"");
                out += &format!("<line class=\"lane {state}\" {ends}/>\n");
            };
            for row in of_host() {
                let next = match row.record.what {
                    What::HostStarted | What::HostRestarted | What::HostResumed => "up",
                    What::HostPaused => "paused",
                    What::HostEnded | What::HostCrashed | What::HostPanicked(_) => "down",
                    _ => continue,
                };
                line(from, row.y, state);
                (from, state) = (row.y, next);
            }
            line(from, self.height, state);
        }
        out
    }

    fn rows(&self) -> String {
        let (mut out, mut last_time) = (String::new(), None);
        let text_x = self.text_x();
        for row in &self.rows {
            let (y, record) = (row.y, row.record);
            if let Some(idle) = row.idle {
                let (line, text) = (y - ROW / 2 - FOLD / 2, y - FOLD / 2 - 6);
                out +=
                    &format!("<line class=\"fold\" x1=\"0\" x2=\"{text_x}\" y1=\"{line}\" y2=\"{line}\"/>\n");
                let idle = self.clock.time(idle);
                out += &format!(
                    "<text class=\"fold\" x=\"{text_x}\" y=\"{text}\">{idle} without an event</text>\n"
                );
            }
            let class = class(row);
            let time = self.clock.time(record.time);
            let sentence = self.story.sentence(record);
            let title = escape(&format!("{time}  {sentence}"));
            out += &format!("<g class=\"{class}\"><title>{title}</title>");
            let (top, base) = (y - ROW / 2, y + 4);
            out += &format!("<rect class=\"hit\" x=\"0\" y=\"{top}\" width=\"100%\" height=\"{ROW}\"/>");
            if last_time != Some(record.time) {
                out += &format!("<text class=\"time\" x=\"110\" y=\"{base}\">{time}</text>");
                last_time = Some(record.time);
            }
            if let Some(x) = self.x(record.host) {
                out += &mark(&record.what, row.weight, x, y);
            }
            out += &format!("<text x=\"{text_x}\" y=\"{base}\">{}</text></g>\n", escape(&sentence));
        }
        out
    }

    /// Draws an arrow from each message's start to its arrival. A lost one ends in a cross on the way, and one that is
    /// on the way at the end of the run has no head.
    fn messages(&self) -> String {
        let mut out = String::new();
        let mut on_the_way = HashMap::new();
        for (at, row) in self.rows.iter().enumerate() {
            match row.record.what {
                What::Sent { message, .. } => drop(on_the_way.insert(message, at)),
                What::Arrived { message, .. } | What::Lost { message, .. } => {
                    if let Some(sent) = on_the_way.remove(&message) {
                        self.message(&mut out, &self.rows[sent], Some(row));
                    }
                }
                _ => {}
            }
        }
        let mut rest: Vec<usize> = on_the_way.into_values().collect();
        rest.sort_unstable();
        rest.into_iter().for_each(|sent| self.message(&mut out, &self.rows[sent], None));
        out
    }

    fn message(&self, out: &mut String, sent: &Row<'_>, end: Option<&Row<'_>>) {
        let What::Sent { message, from, to, bytes } = sent.record.what else { return };
        let Some(x1) = self.x(sent.record.host) else { return };
        let arrives = end.is_some_and(|row| matches!(row.record.what, What::Arrived { .. }));
        let target = match end.filter(|_| arrives) {
            Some(row) => self.x(row.record.host),
            None => self.target(to, sent.record.host),
        };
        // Beyond the lanes, if nothing is known of the receiver.
        let x2 = target.unwrap_or(x1 + self.lane / 2);
        let (y1, x2, y2) = match end {
            Some(row) if arrives => (sent.y, x2, row.y),
            Some(row) => (sent.y, (x1 + x2) / 2, row.y),
            None => (sent.y, (x1 + x2) / 2, sent.y + ROW),
        };
        let (class, fate) = match end {
            Some(row) if arrives => ("message", format!("arrives at {}", self.clock.time(row.record.time))),
            Some(_) => ("message lost", "is lost".to_owned()),
            None => ("message underway", "is on the way at the end".to_owned()),
        };
        let title = format!(
            "message {message}: {} from {} to {}, sent at {}, {fate}",
            counted(bytes, "byte"),
            self.story.endpoint(from),
            self.story.endpoint(to),
            self.clock.time(sent.record.time)
        );
        let path = match x1 == x2 {
            // To itself, or to a host of the same lane.
            true => format!("M{x1} {y1}C{0} {y1} {0} {y2} {x2} {y2}", x1 + 40),
            false => format!("M{x1} {y1}L{x2} {y2}"),
        };
        *out += &format!("<g class=\"{class}\"><title>{}</title><path d=\"{path}\"/>", escape(&title));
        if arrives {
            *out += &head(x1, y1, x2, y2);
        } else if end.is_some() {
            *out += &cross(x2, y2);
        }
        *out += "</g>\n";
    }

    fn target(&self, to: Endpoint, seen_by: u32) -> Option<u64> {
        self.story.owner(to, seen_by).and_then(|host| self.x(host))
    }
}

/// Returns from which length a time without a record is folded: far above what is usual in this run.
fn idle_time(records: &[&Record]) -> Duration {
    let gaps = records.windows(2).map(|pair| pair[1].time.saturating_sub(pair[0].time));
    let mut gaps: Vec<Duration> = gaps.filter(|gap| !gap.is_zero()).collect();
    gaps.sort_unstable();
    let median = gaps.get(gaps.len() / 2).copied().unwrap_or_default();
    (median * 10).max(Duration::from_millis(1))
}

fn class(row: &Row<'_>) -> &'static str {
    use What::{HostRestarted, HostResumed, LinkHealed, Note};

    match row.weight {
        Weight::Failure => "row failing",
        // These matter as much as a fault, and are none.
        _ if matches!(row.record.what, Note(_) | LinkHealed { .. } | HostResumed | HostRestarted) => {
            "row step"
        }
        Weight::LastAct | Weight::Step | Weight::Setup => "row step",
        Weight::Fault => "row fault",
        Weight::Traffic | Weight::Inner => "row",
    }
}

fn mark(what: &What, weight: Weight, x: u64, y: u64) -> String {
    match what {
        What::HostCrashed | What::HostPanicked(_) | What::Failed(_) | What::Reset { .. } => cross(x, y),
        What::HostEnded => format!("<path class=\"end\" d=\"M{} {y}h16\"/>", x - 8),
        _ if weight == Weight::Traffic => format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"3\"/>"),
        _ => format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"5\"/>"),
    }
}

fn cross(x: u64, y: u64) -> String {
    format!("<path class=\"cross\" d=\"M{} {}l12 12m0 -12l-12 12\"/>", x - 6, y - 6)
}

/// Draws an arrow's head, turned by the arrow's direction; whole numbers are the same on every platform.
fn head(x1: u64, y1: u64, x2: u64, y2: u64) -> String {
    let (right, down) = (x2 as i64 - x1 as i64, y2 as i64 - y1 as i64);
    // To itself: the curve comes from the right.
    let (right, down) = if right == 0 { (-1, 0) } else { (right, down) };
    let length = ((right * right + down * down) as f64).sqrt();
    let (right, down) = (right as f64 / length, down as f64 / length);
    let corner = |along: f64, aside: f64| {
        let x = x2 as f64 - along * right - aside * down;
        let y = y2 as f64 - along * down + aside * right;
        format!("{} {}", x.round() as i64, y.round() as i64)
    };
    format!(
        "<path class=\"head\" d=\"M{}L{}L{}z\"/>",
        corner(3.0, 0.0),
        corner(12.0, 4.0),
        corner(12.0, -4.0)
    )
}

/// Returns a text that a page shows as it is, in an element or in an attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c => out.push(c),
        }
    }
    out
}

const STYLE: &str = "\
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --quiet: #6e7781; --line: #afb8c1; --hit: #eef1f4;
  --message: #2f6fb4; --fault: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --back: #0f1318; --text: #e6edf3; --quiet: #8b949e; --line: #484f58;
  --hit: #1c232b; --message: #6cb0f5; --fault: #ff6b63; } }
body { margin: 1.5em; background: var(--back); color: var(--text); font: 14px/1.4 system-ui, sans-serif; }
h1 { font-size: 1.3em; }
svg { display: block; }
svg text { fill: var(--text); font-size: 12px; white-space: pre; }
.names { position: sticky; top: 0; background: var(--back); }
.names text { text-anchor: middle; font-weight: 600; }
.lane { stroke: var(--line); stroke-width: 2; }
.lane.paused { stroke-dasharray: 2 5; }
.lane.down { stroke-width: 1; stroke-dasharray: 1 8; }
.row circle { fill: var(--quiet); }
.row text { fill: var(--quiet); }
.row .time { text-anchor: end; font-variant-numeric: tabular-nums; }
.row.step circle { fill: var(--text); }
.row.step text { fill: var(--text); }
.row.fault circle, .row.failing circle { fill: var(--fault); }
.row.fault text, .row.failing text { fill: var(--fault); }
.row.failing text { font-weight: 700; }
.end { stroke: var(--text); stroke-width: 3; }
.cross { stroke: var(--fault); stroke-width: 3; fill: none; }
.hit { fill: transparent; }
.row:hover .hit { fill: var(--hit); }
.fold { stroke: var(--line); stroke-dasharray: 6 6; }
text.fold { stroke: none; fill: var(--quiet); font-style: italic; }
.cut { fill: var(--fault); fill-opacity: 0.13; stroke: var(--fault); stroke-dasharray: 4 4; }
.message path { stroke: var(--message); stroke-width: 1.5; fill: none; }
.message .head { fill: var(--message); }
.message.lost path { stroke: var(--fault); }
.message.underway path { stroke-dasharray: 3 3; }
.message:hover path { stroke-width: 3; }
.failure { color: var(--fault); font-weight: 700; }
";
