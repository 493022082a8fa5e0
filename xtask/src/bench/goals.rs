//! What wakeful is to cost at most, as ratios to mio.

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
    ("tokio-echo", 1.00),
    ("w7-heap", 1.00),
    ("w7-build", 1.15),
    ("w7-size", 1.15),
];

pub struct Verdict {
    pub goal: f64,
    /// The median.
    pub measured: f64,
    pub is_met: bool,
    /// The goal lies between the quartiles: another run may say otherwise.
    pub is_close: bool,
}

pub fn goal(row: &Row) -> Option<f64> {
    GOALS.iter().find(|(beginning, _)| row.id.starts_with(beginning)).map(|&(_, goal)| goal)
}

/// How wakeful's default backend does in a row that has a goal.
pub fn verdict(row: &Row) -> Option<Verdict> {
    let goal = goal(row)?;
    let engine = row.engine("wakeful").or_else(|| row.engine("tokio on wakeful"))?;
    let ratio = Spread::of(&row.ratios(engine))?;
    let is_close = ratio.low <= goal && goal <= ratio.high && ratio.low < ratio.high;
    Some(Verdict { goal, measured: ratio.median, is_met: ratio.median <= goal, is_close })
}

impl Verdict {
    pub fn word(&self) -> &'static str {
        match (self.is_met, self.is_close) {
            (true, false) => "met",
            (true, true) => "met, barely",
            (false, true) => "nearly met",
            (false, false) => "not met",
        }
    }
}
