//! The command line and the figures of a runner.
//!
//! A run counts only if it has done its work: the mean of what the hosts report is printed with the times.

use std::ops::Range;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
pub enum Work {
    Echo,
    Gossip,
    Raft,
}

/// What runs have done, in how much of their worlds' time.
#[derive(Default)]
pub struct Run {
    pub done: u64,
    pub virtual_time: Duration,
}

/// Runs `echo`, `gossip` or `raft` with the seeds from 0 and prints the figures: `<runner> <work> <seeds>`.
pub fn main(run: impl Fn(Work, Range<u64>) -> Run) {
    let arguments: Vec<String> = std::env::args().collect();
    let (work, seeds) = match &arguments[..] {
        [_, work, seeds] => (work.as_str(), seeds.parse().expect("a number of seeds")),
        _ => panic!("echo, gossip or raft, and a number of seeds"),
    };
    let which = match work {
        "echo" => Work::Echo,
        "gossip" => Work::Gossip,
        "raft" => Work::Raft,
        _ => panic!("no such work: {work}"),
    };
    let begin = Instant::now();
    let Run { done, virtual_time } = run(which, 0..seeds);
    let (real, processor) = (begin.elapsed().as_secs_f64(), processor_time());
    let (runs, virtual_time) = (seeds as f64, virtual_time.as_secs_f64());
    println!(
        "{work}: {runs} runs, {virtual_time:.1} virtual s, {real:.3} real s, {:.1} runs/s, {:.0} virtual s / real s, \
         {:.3} ms per run, {:.3} ms of processor time per run, {:.1} done per run",
        runs / real,
        virtual_time / real,
        1000.0 * real / runs,
        1000.0 * processor / runs,
        done as f64 / runs,
    );
}

/// Runs one seed after another.
#[allow(dead_code)] // a runner may have a way of its own
pub fn each(seeds: Range<u64>, run: impl Fn(u64) -> Run) -> Run {
    let mut all = Run::default();
    for seed in seeds {
        let run = run(seed);
        assert!(run.done > 0, "seed {seed} has done nothing");
        all.done += run.done;
        all.virtual_time += run.virtual_time;
    }
    all
}

/// The processor time of this process and of its children that have ended, in seconds: what a loaded machine leaves
/// comparable. Linux counts it in hundredths.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    let ticks = fields.split(' ').skip(11).take(4).map(|field| field.parse::<u64>().expect("a number"));
    ticks.sum::<u64>() as f64 / 100.0
}
