//! The method. Machines are noisy, and noise comes in stretches. So the engines take turns in batches that are short
//! enough (about 150 us) for a stretch to hit one or all alike, and what counts is the ratio of two engines *within
//! one round*. Who reads the numbers takes the median of these ratios.

use std::io::{BufRead, IsTerminal, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};

use crate::batch::Batch;
use crate::engine::Engine;
use crate::engines::{self, Visitor};
use crate::program::Program;

/// What is measured of each engine: one row of the report.
pub struct Row {
    pub id: String,
    pub title: String,
    pub unit: &'static str,
    /// How many rounds, of the usual number: slow rows have fewer.
    pub share: f64,
    /// Sets up all contestants, or the one of this name.
    pub make: Make,
}

pub type Make = Box<dyn Fn(Option<&str>) -> Result<Vec<Contestant>>>;

pub struct Contestant {
    pub name: String,
    pub batch: Batch,
}

/// What makes an engine a contestant.
pub trait Workload: Clone + 'static {
    /// How many operations one time is.
    fn operations(&self) -> usize {
        1
    }

    fn set_up<E: Engine>(&self) -> Result<Batch>;
}

impl Row {
    pub fn new(id: &str, title: &str, unit: &'static str, workload: impl Workload) -> Row {
        let row = id.to_owned();
        let make = move |only: Option<&str>| All::set_up(&row, only, |_| None, workload.clone());
        Row { id: id.into(), title: title.into(), unit, share: 1.0, make: Box::new(make) }
    }

    /// Each engine gets a process of its own: together they would need more descriptors than one may have.
    pub fn apart(id: &str, title: &str, unit: &'static str, workload: impl Workload) -> Row {
        let operations = workload.operations();
        let row = id.to_owned();
        let make = move |only: Option<&str>| {
            let start = |name: &str| {
                only.is_none().then(|| {
                    let mut command = Command::new(std::env::current_exe()?);
                    command.args(["--serve", &row, name]);
                    Ok(Program::start(command)?.batch(operations))
                })
            };
            All::set_up(&row, only, start, workload.clone())
        };
        Row { id: id.into(), title: title.into(), unit, share: 1.0, make: Box::new(make) }
    }

    pub fn share(mut self, share: f64) -> Row {
        self.share = share;
        self
    }
}

/// Sets up the contestants.
struct All<'a, W, F> {
    row: &'a str,
    only: Option<&'a str>,
    /// Another way to set one up.
    otherwise: F,
    workload: W,
    contestants: Vec<Contestant>,
    failed: Option<anyhow::Error>,
}

impl<'a, W: Workload, F: Fn(&str) -> Option<Result<Batch>>> All<'a, W, F> {
    fn set_up(row: &'a str, only: Option<&'a str>, otherwise: F, workload: W) -> Result<Vec<Contestant>> {
        let mut all = All { row, only, otherwise, workload, contestants: Vec::new(), failed: None };
        engines::visit(&mut all);
        match all.failed {
            Some(error) => Err(error),
            None => Ok(all.contestants),
        }
    }
}

impl<W: Workload, F: Fn(&str) -> Option<Result<Batch>>> Visitor for All<'_, W, F> {
    fn visit<E: Engine>(&mut self, name: &'static str) {
        let is_wanted = self.only.map_or_else(|| E::competes(self.row), |only| only == name);
        if self.failed.is_some() || !is_wanted {
            return;
        }
        match (self.otherwise)(name).unwrap_or_else(|| self.workload.set_up::<E>()) {
            Ok(batch) => self.contestants.push(Contestant { name: name.into(), batch }),
            Err(error) => self.failed = Some(error.context(name)),
        }
    }
}

/// How long a batch should take.
const BATCH: Duration = Duration::from_micros(150);
/// The rounds before those that count.
const WARM_UP: usize = 3;

/// Measures a row, and writes it as CSV: a line that begins with `row`, then one for each number.
pub fn run(row: &Row, usual_rounds: usize, out: &mut impl Write) -> Result<()> {
    let mut progress = Progress::new(&row.id);
    let mut contestants: Vec<(Contestant, u32)> = (row.make)(None)?
        .into_iter()
        .map(|mut contestant| {
            let times = calibrate(&mut contestant.batch);
            (contestant, times)
        })
        .collect();
    writeln!(out, "row,{},{},{}", row.id, row.unit, row.title)?;
    let rounds = ((usual_rounds as f64 * row.share) as usize).max(5);
    let count = contestants.len();
    for round in 0..WARM_UP + rounds {
        let counted = round.checked_sub(WARM_UP);
        for step in 0..count {
            // Not always after the same neighbour. In the first round that counts in their own order: the report's.
            let (contestant, times) = &mut contestants[(counted.unwrap_or(0) + step) % count];
            let value = match &mut contestant.batch {
                Batch::Times(operations, batch) => batch(*times) / f64::from(*times) / f64::from(*operations),
                Batch::Value(batch) => batch(),
            };
            if let Some(round) = counted {
                writeln!(out, "{},{},{round},{value:.3}", row.id, contestant.name)?;
            }
        }
        progress.show(round + 1, WARM_UP + rounds);
    }
    out.flush()?;
    Ok(())
}

fn calibrate(batch: &mut Batch) -> u32 {
    let Batch::Times(_, batch) = batch else {
        return 1;
    };
    let mut times = 1;
    while batch(times) < BATCH.as_nanos() as f64 && times < 1 << 16 {
        times *= 2;
    }
    // The last one took up to twice as long.
    times
}

/// A bar on a terminal; elsewhere a line at the end.
struct Progress<'a> {
    name: &'a str,
    start: Instant,
    shown: Option<Instant>,
}

impl Progress<'_> {
    fn new(name: &str) -> Progress<'_> {
        Progress { name, start: Instant::now(), shown: None }
    }

    fn show(&mut self, done: usize, all: usize) {
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() > Duration::from_millis(100));
        let mut stderr = std::io::stderr();
        let took = self.start.elapsed().as_secs_f64();
        // A closed output is no reason to stop.
        if stderr.is_terminal() && (is_due || done == all) {
            self.shown = Some(Instant::now());
            let bar = "#".repeat(done * 30 / all);
            let _ = write!(stderr, "\r{:24} [{bar:30}] {done:4}/{all} {took:6.1} s", self.name);
        }
        if done == all {
            let _ = match stderr.is_terminal() {
                true => writeln!(stderr),
                false => writeln!(stderr, "{:24} {all:4} rounds in {took:.1} s", self.name),
            };
        }
    }
}

/// The other end of a [`Program`]: does what the lines of standard input say, until they end.
pub fn serve(row: &Row, engine: &str) -> Result<()> {
    let mut contestants = (row.make)(Some(engine))?;
    let Batch::Times(_, batch) = &mut contestants.pop().context("no such engine")?.batch else {
        bail!("{} has no times", row.id);
    };
    for line in std::io::stdin().lock().lines() {
        println!("{}", batch(line?.trim().parse()?));
        std::io::stdout().flush()?;
    }
    Ok(())
}
