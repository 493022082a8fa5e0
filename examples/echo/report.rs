//! The output for a person.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use wakeful::Backend;

use crate::server::Served;

/// Prints a line. A closed output (`| head`) is not an error.
pub fn say(text: &str) {
    print(io::stdout(), text);
}

/// Prints a message to standard error.
pub fn complain(text: &str) {
    print(io::stderr(), text);
}

/// In one write, so that the lines of two threads, on two streams to one file, don't mix.
fn print(mut stream: impl Write, text: &str) {
    let _ = stream.write_all(format!("{text}\n").as_bytes());
}

/// The counts of one transport.
#[derive(Default)]
pub struct Tally {
    pub connections: u64,
    pub messages: u64,
    pub bytes: u64,
    /// Datagrams that had no answer in time, and answers that came after all.
    pub sent_again: u64,
    pub late: u64,
    latency: Latencies,
}

impl Tally {
    pub fn answer(&mut self, bytes: usize, latency: Duration) {
        self.messages += 1;
        self.bytes += bytes as u64;
        self.latency.add(latency);
    }
}

pub struct Report {
    backend: Backend,
    seconds: u32,
    connections: usize,
    transports: Vec<(&'static str, String)>,
    is_terminal: bool,
    elapsed: Duration,
    /// When the next line is due, and what the last one counted.
    next: Duration,
    last: (Duration, u64),
}

impl Report {
    pub fn new(backend: Backend, seconds: u32, connections: usize) -> Report {
        let is_terminal = io::stdout().is_terminal();
        let next = Duration::from_millis(if is_terminal { 100 } else { 1000 });
        let (elapsed, last) = (Duration::ZERO, (Duration::ZERO, 0));
        Report { backend, seconds, connections, transports: Vec::new(), is_terminal, elapsed, next, last }
    }

    pub fn transport(&mut self, name: &'static str, address: &str) {
        self.transports.push((name, address.to_string()));
    }

    pub fn begin(&self) {
        let plural = |n| if n == 1 { "" } else { "s" };
        let (n, s) = (self.connections, self.seconds);
        let (ns, ss) = (plural(n), plural(s as usize));
        say(&format!("Echo over {n} connection{ns} for {s} second{ss}, backend {}.\n", self.backend));
        for (name, address) in &self.transports {
            say(&format!("  {name:<5} {address}"));
        }
        say("");
    }

    /// Prints a line that is rewritten on a terminal, else one line a second.
    pub fn progress(&mut self, elapsed: Duration, tallies: &[Tally]) {
        if elapsed < self.next {
            return;
        }
        let messages: u64 = tallies.iter().map(|tally| tally.messages).sum();
        let bytes = tallies.iter().map(|tally| tally.bytes).sum();
        let rate = (messages - self.last.1) as f64 / (elapsed - self.last.0).as_secs_f64();
        let line = format!(
            "  {:4.1} s  {:>12} messages  {:>9}/s  {:>9} checked",
            elapsed.as_secs_f64(),
            thousands(messages),
            thousands(rate as u64),
            size(bytes)
        );
        if self.is_terminal {
            let mut out = io::stdout();
            let _ = write!(out, "\r{line}  ").and_then(|()| out.flush());
            self.next = elapsed + Duration::from_millis(100);
        } else {
            say(&line);
            self.next = elapsed + Duration::from_secs(1);
        }
        self.last = (elapsed, messages);
    }

    pub fn elapsed(&mut self, elapsed: Duration) {
        self.elapsed = elapsed;
    }

    pub fn end(&self, tallies: &[Tally], served: &Served) {
        let seconds = self.elapsed.as_secs_f64();
        let per_second = |count: u64| thousands((count as f64 / seconds) as u64);
        let mut table = vec![[
            "".to_string(),
            "connections".into(),
            "messages".into(),
            "bytes".into(),
            "messages/s".into(),
            "p50".into(),
            "p99".into(),
            "wakes".into(),
            "backend".into(),
        ]];
        let mut total = Tally::default();
        for (((name, _), tally), &wakes) in self.transports.iter().zip(tallies).zip(&served.wakes) {
            table.push([
                name.to_string(),
                thousands(tally.connections),
                thousands(tally.messages),
                size(tally.bytes),
                per_second(tally.messages),
                time(tally.latency.quantile(0.50)),
                time(tally.latency.quantile(0.99)),
                thousands(wakes),
                self.backend.to_string(),
            ]);
            total.connections += tally.connections;
            total.messages += tally.messages;
            total.bytes += tally.bytes;
            total.sent_again += tally.sent_again;
            total.late += tally.late;
            total.latency.merge(&tally.latency);
        }
        table.push([
            "all".into(),
            thousands(total.connections),
            thousands(total.messages),
            size(total.bytes),
            per_second(total.messages),
            time(total.latency.quantile(0.50)),
            time(total.latency.quantile(0.99)),
            thousands(served.polls),
            self.backend.to_string(),
        ]);

        if self.is_terminal {
            say("");
        }
        say("");
        let widths: Vec<usize> = (0..table[0].len())
            .map(|column| table.iter().map(|row| row[column].len()).max().unwrap_or(0))
            .collect();
        for row in &table {
            let mut line = format!("  {:<width$}", row[0], width = widths[0]);
            for (cell, &width) in row.iter().zip(&widths).skip(1) {
                line += &format!("   {cell:>width$}");
            }
            say(line.trim_end());
        }

        let each = served.events as f64 / served.polls.max(1) as f64;
        say(&format!(
            "\nOne `Poll` served all of it: {} polls, {} events, {each:.1} a poll. A wake of a transport is a poll \
             that\nbrought it something. Every byte came back as it was sent.",
            thousands(served.polls),
            thousands(served.events),
        ));
        if total.sent_again > 0 {
            say(&format!(
                "{} datagrams had no answer within 200 ms and were sent again (a receive buffer was full, most \
                 likely);\n{} answers came late.",
                thousands(total.sent_again),
                thousands(total.late)
            ));
        }
    }
}

/// A histogram of times whose buckets are 3 % wide or less.
struct Latencies {
    counts: Vec<u64>,
}

/// Buckets for each power of two.
const BUCKETS: u64 = 32;

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies { counts: vec![0; 64 * BUCKETS as usize] }
    }
}

impl Latencies {
    fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.counts[Latencies::bucket(nanos)] += 1;
    }

    fn merge(&mut self, other: &Latencies) {
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            *count += other;
        }
    }

    fn bucket(nanos: u64) -> usize {
        let exponent = u64::from((nanos / BUCKETS).checked_ilog2().map_or(0, |log| log + 1));
        let step = nanos >> exponent.saturating_sub(1);
        (exponent * BUCKETS + step % BUCKETS) as usize
    }

    /// Returns the lowest time of the quantile's bucket.
    fn quantile(&self, part: f64) -> Option<Duration> {
        let all: u64 = self.counts.iter().sum();
        let wanted = (all as f64 * part) as u64;
        let mut seen = 0;
        for (bucket, &count) in self.counts.iter().enumerate() {
            seen += count;
            if seen > wanted {
                let (exponent, step) = (bucket as u64 / BUCKETS, bucket as u64 % BUCKETS);
                let nanos = if exponent == 0 { step } else { (BUCKETS + step) << (exponent - 1) };
                return Some(Duration::from_nanos(nanos));
            }
        }
        None
    }
}

/// Formats 1234567 as 1,234,567.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        _ if bytes < 1e6 => format!("{:.1} kB", bytes / 1e3),
        _ if bytes < 1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.2} GB", bytes / 1e9),
    }
}

fn time(time: Option<Duration>) -> String {
    match time {
        None => "-".into(),
        Some(time) if time < Duration::from_millis(1) => format!("{} us", time.as_micros()),
        Some(time) => format!("{:.2} ms", time.as_secs_f64() * 1e3),
    }
}
