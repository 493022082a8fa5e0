//! What wakeful is to cost at most, as ratios to the base of a row, which mostly is mio.

use super::samples::{Row, Spread};

/// By the beginning of a row's name.
const GOALS: &[(&str, f64)] = &[
    ("w1-awake", 0.06),
    ("w1-same", 0.33),
    ("w1-asleep", 1.03),
    ("w2-0-of-1000", 0.80),
    ("w2-1-of-1000", 0.90),
    ("w2-64-of", 1.01),
    ("w2-1000-of", 1.01),
    ("w3-register", 1.00),
    ("w3-reregister", 1.00),
    ("w3-deregister", 1.00),
    ("w3-churn", 0.95),
    ("w4-drain", 0.93),
    ("w5-receive", 0.85),
    ("w6-timeout-50us", 0.10),
    ("w8-one-shot", 1.02),
    ("w8-exclusive", 0.35),
    ("w8-empty-exclusive", 5.0),
    ("w9-one-shot", 0.60),
    ("w9-notify", 0.12),
    ("w9-empty", 0.15),
    ("timers", 1.00),
    ("tokio-echo", 1.00),
    ("smol-echo", 0.90),
    ("w7-heap", 1.00),
    ("w7-build-dev", 1.25),
    ("w7-build-release", 1.40),
    ("w7-size", 1.05),
];

/// Quartiles whose ends are further apart than this, as a ratio, tell nothing of a goal that lies between them.
const TOO_WIDE: f64 = 1.25;

pub struct Verdict {
    pub goal: f64,
    /// The median.
    pub measured: f64,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Met,
    /// The goal lies between the quartiles, as in the next two: another run may say otherwise.
    Barely,
    Nearly,
    /// The quartiles are so far apart that the median says little.
    Unclear,
    Missed,
}

pub fn goal(row: &Row) -> Option<f64> {
    GOALS.iter().find(|(beginning, _)| row.id.starts_with(beginning)).map(|&(_, goal)| goal)
}

/// How wakeful's default backend does in a row that has a goal.
pub fn verdict(row: &Row) -> Option<Verdict> {
    let goal = goal(row)?;
    let ratio = Spread::of(&row.ratios(row.ours()?))?;
    Some(Verdict { goal, measured: ratio.median, outcome: Outcome::of(ratio, goal) })
}

impl Outcome {
    fn of(ratio: Spread, goal: f64) -> Outcome {
        let is_close = ratio.low <= goal && goal <= ratio.high && ratio.low < ratio.high;
        let is_too_wide = ratio.high > ratio.low * TOO_WIDE;
        match (is_close, ratio.median <= goal) {
            (true, _) if is_too_wide => Outcome::Unclear,
            (true, true) => Outcome::Barely,
            (true, false) => Outcome::Nearly,
            (false, true) => Outcome::Met,
            (false, false) => Outcome::Missed,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Outcome::Met => "met",
            Outcome::Barely => "barely met",
            Outcome::Nearly => "nearly met",
            Outcome::Unclear => "unclear",
            Outcome::Missed => "not met",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(low: f64, median: f64, high: f64, goal: f64) -> Outcome {
        Outcome::of(Spread { low, median, high }, goal)
    }

    #[test]
    fn a_close_call_is_one_only_where_the_quartiles_are_near_each_other() {
        assert_eq!(outcome(0.80, 0.85, 0.90, 0.93), Outcome::Met);
        assert_eq!(outcome(0.90, 0.92, 0.95, 0.93), Outcome::Barely);
        assert_eq!(outcome(0.92, 0.94, 0.96, 0.93), Outcome::Nearly);
        assert_eq!(outcome(0.94, 0.96, 0.98, 0.93), Outcome::Missed);
        assert_eq!(outcome(0.93, 0.93, 0.93, 0.93), Outcome::Met);
        // Measured on a busy machine, and once called nearly met.
        assert_eq!(outcome(0.91, 1.75, 2.97, 0.93), Outcome::Unclear);
        assert_eq!(outcome(0.40, 0.90, 2.00, 0.93), Outcome::Unclear);
        // However wide they are, the goal is beyond them.
        assert_eq!(outcome(1.00, 1.75, 2.97, 0.93), Outcome::Missed);
        assert_eq!(outcome(0.10, 0.50, 0.90, 0.93), Outcome::Met);
    }
}
