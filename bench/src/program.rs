//! A contestant that is a program of its own: a line of its standard input says how often to do its work, and a line of
//! its standard output answers how many nanoseconds that took. So engines take turns across processes too.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{bail, Context, Result};

use crate::run::{Batch, Row};

pub struct Program {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Program {
    pub fn start(mut command: Command) -> Result<Program> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("can't start {command:?}"))?;
        let orders = child.stdin.take().context("no standard input")?;
        let answers = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Program { child, orders, answers })
    }

    /// Each time is so many operations.
    pub fn batch(mut self, operations: usize) -> Batch {
        Batch::times_of(operations, move |times| self.work(times).expect("a contestant's program"))
    }

    fn work(&mut self, times: u32) -> Result<f64> {
        writeln!(self.orders, "{times}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer.trim().parse().with_context(|| format!("it answered {answer:?}"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Ours alone, and it has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other end: does what the lines of standard input say, until they end.
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
