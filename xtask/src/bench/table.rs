//! The table in the terminal: ratios to mio, by row and engine.

use super::goals;
use super::samples::{Row, Samples, Spread};
use crate::prelude::*;

pub struct Table<'a>(pub &'a Samples);

/// Whose quartiles are shown too.
const OURS: [&str; 2] = ["wakeful", "tokio on wakeful"];
const OTHERS: [(&str, &str); 7] = [
    ("wakeful spin", "spin"),
    ("wakeful posix_poll", "posix_poll"),
    ("system calls", "calls"),
    ("poll(2)", "poll(2)"),
    ("polling", "polling"),
    ("libuv", "libuv"),
    ("libevent", "libevent"),
];

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{:22} {:>12} {:>21}", "ratios to mio", "mio", "wakeful [quartiles]")?;
        for (_, head) in OTHERS {
            write!(f, " {head:>10}")?;
        }
        writeln!(f, " {:>7}", "at most")?;
        self.0.rows.iter().try_for_each(|row| line(row, f))
    }
}

fn line(row: &Row, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let base = row.base().and_then(|base| Spread::of(&base.values));
    let base = base.map_or("-".to_owned(), |base| format!("{} {}", short(base.median), row.unit));
    let ratio = |names: &[&str]| names.iter().find_map(|name| Spread::of(&row.ratios(row.engine(name)?)));
    let ours = ratio(&OURS).map_or("-".to_owned(), |ratio| {
        format!("{} [{}..{}]", short(ratio.median), short(ratio.low), short(ratio.high))
    });
    write!(f, "{:22} {base:>12} {ours:>21}", row.id)?;
    for (name, _) in OTHERS {
        write!(f, " {:>10}", ratio(&[name]).map_or("-".to_owned(), |ratio| short(ratio.median)))?;
    }
    match goals::verdict(row) {
        Some(verdict) => writeln!(f, " {:>7} {}", short(verdict.goal), verdict.outcome.word()),
        None => writeln!(f),
    }
}

/// Three digits, whatever the size.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
