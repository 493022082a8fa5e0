//! The table in the terminal: ratios to the base of each row, which mostly is mio, by row and engine.

use super::goals;
use super::samples::{Engine, Row, Samples, Spread};
use crate::prelude::*;

pub struct Table<'a>(pub &'a Samples);

/// The others, and their heads, which are as wide as their columns.
const OTHERS: [(&str, &str); 7] = [
    ("wakeful spin", " spin"),
    ("wakeful posix_poll", "posix"),
    ("system calls", "calls"),
    ("poll(2)", "poll(2)"),
    ("polling", "polling"),
    ("libuv", "libuv"),
    ("libevent", "libevent"),
];

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{:20} {:>10} {:>19}", "ratios to the base", "base", "wakeful [quartiles]")?;
        OTHERS.iter().try_for_each(|(_, head)| write!(f, " {head}"))?;
        writeln!(f, " {:>5}", "goal")?;
        self.0.rows.iter().try_for_each(|row| line(row, f))
    }
}

fn line(row: &Row, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let base = row.base().and_then(|base| Spread::of(&base.values));
    let base = base.map_or("-".to_owned(), |base| format!("{} {}", short(base.median), row.unit));
    let ratio = |engine: Option<&Engine>| Spread::of(&row.ratios(engine?));
    // Ours with its quartiles.
    let ours = ratio(row.ours()).map_or("-".to_owned(), |ratio| {
        format!("{} [{}..{}]", short(ratio.median), short(ratio.low), short(ratio.high))
    });
    write!(f, "{:20} {base:>10} {ours:>19}", row.id)?;
    for (name, head) in OTHERS {
        let ratio = ratio(row.engine(name)).map_or("-".to_owned(), |ratio| short(ratio.median));
        write!(f, " {ratio:>width$}", width = head.len())?;
    }
    match goals::verdict(row) {
        Some(verdict) => writeln!(f, " {:>5} {}", short(verdict.goal), verdict.outcome.word()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_hundred_and_twenty_columns_at_most() {
        let mut csv = String::from("row,w2-1-of-1000-timeout,ns,Poll\n");
        let engines = OTHERS.iter().map(|(name, _)| *name).chain(["mio", "wakeful"]);
        for (number, engine) in engines.enumerate() {
            csv += &format!("w2-1-of-1000-timeout,{engine},0,{}\n", 1234.5 * (number + 1) as f64);
        }
        let table = Table(&Samples::parse(&csv).unwrap()).to_string();
        assert_eq!(table.lines().find(|line| line.len() > 120), None, "{table}");
        assert!(table.contains("w2-1-of-1000-timeout"), "{table}");
    }
}
