//! A contestant that is a program of its own: a line of its standard input says how often to do its work, and a line of
//! its standard output answers how many nanoseconds that took. So engines take turns across processes too.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};

use crate::batch::Batch;

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
