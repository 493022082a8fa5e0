//! Shortens a failing sequence: removes parts as long as it still fails.

use std::time::{Duration, Instant};

use crate::ops::Op;

/// A failure may take several runs to show.
const LONGEST: Duration = Duration::from_secs(40);

/// Returns the shortest failing sequence that was found, and its failure. `fails` returns the failure of a sequence,
/// if any.
pub fn shortest(
    mut ops: Vec<Op>,
    mut fault: String,
    fails: impl Fn(&[Op]) -> Option<String>,
) -> (Vec<Op>, String) {
    let start = Instant::now();
    let mut part = ops.len() / 2;
    while part > 0 {
        let mut at = 0;
        let mut has_shrunk = false;
        while at < ops.len() {
            if start.elapsed() > LONGEST {
                return (ops, fault);
            }
            let end = (at + part).min(ops.len());
            let mut without = ops.clone();
            without.drain(at..end);
            match fails(&without) {
                Some(new) => {
                    (ops, fault) = (without, new);
                    has_shrunk = true;
                }
                None => at = end,
            }
        }
        // A single step may have become superfluous by leaving out a later one.
        if part > 1 || !has_shrunk {
            part /= 2;
        }
    }
    (ops, fault)
}

#[test]
fn only_what_is_needed_is_left() {
    let ops: Vec<Op> = (0..100).map(Op::Drain).collect();
    let needed = [Op::Drain(17), Op::Drain(71)];
    let fails = |ops: &[Op]| needed.iter().all(|op| ops.contains(op)).then(|| "fault".to_owned());
    assert_eq!(shortest(ops, "fault".into(), fails).0, needed);
}
