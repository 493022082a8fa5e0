//! W6: how much later than asked a timeout ends.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::batch::Batch;
use crate::engine::Engine;
use crate::run::{Row, Workload};

pub fn rows() -> Vec<Row> {
    [50, 1_500, 10_000]
        .into_iter()
        .map(|asked| {
            Row::new(
                &format!("w6-timeout-{asked}us"),
                &format!("How late a timeout of {asked} us ends"),
                "us",
                Timeout { asked: Duration::from_micros(asked) },
            )
            .share(if asked < 10_000 { 0.7 } else { 0.2 })
        })
        .collect()
}

#[derive(Clone)]
struct Timeout {
    asked: Duration,
}

impl Workload for Timeout {
    fn set_up<E: Engine>(&self) -> Result<Batch> {
        let asked = self.asked;
        let mut engine = E::open()?;
        let mut events = E::events();
        Ok(Batch::value(move || {
            let start = Instant::now();
            // libuv may come back a little early (it counts in milliseconds): then there is still time to wait.
            engine.poll(&mut events, Some(asked));
            let took = start.elapsed();
            (took.as_nanos() as f64 - asked.as_nanos() as f64).abs() / 1_000.0
        }))
    }
}
