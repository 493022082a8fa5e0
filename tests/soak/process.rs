//! What the system knows of a process.

use std::fs;
use std::str::FromStr;

/// What a process has at a moment.
#[derive(Copy, Clone, Debug, Default)]
pub struct Sample {
    pub connections: usize,
    pub descriptors: usize,
    /// Bytes that are in memory.
    pub memory: usize,
}

impl Sample {
    pub fn now(connections: usize) -> Sample {
        Sample { connections, descriptors: open_descriptors(), memory: memory() }
    }

    /// What [`from_str`](FromStr::from_str) reads.
    pub fn line(&self) -> String {
        format!("{} {} {}", self.connections, self.descriptors, self.memory)
    }
}

impl FromStr for Sample {
    type Err = String;

    fn from_str(line: &str) -> Result<Sample, String> {
        let numbers: Vec<_> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [connections, descriptors, memory] => Ok(Sample { connections, descriptors, memory }),
            _ => Err(line.to_owned()),
        }
    }
}

#[derive(Debug, Default)]
pub struct Samples(Vec<Sample>);

/// What memory may grow by without being a leak: fragments of the heap.
const SLACK: usize = 1 << 20;

impl Samples {
    pub fn add(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    pub fn last(&self) -> Option<Sample> {
        self.0.last().copied()
    }

    /// Fails if memory has grown once the process was warm. Who counts connections has checked the descriptors.
    pub fn judged(&self) -> String {
        // The first third warms it up.
        let warm = &self.0[self.0.len() / 3..];
        assert!(warm.len() >= 2, "too short to see anything: {self:?}");
        let (first, last) = warm.split_at(warm.len() / 2);
        let most = |samples: &[Sample]| samples.iter().map(|sample| sample.memory).max().unwrap();
        let (first, last) = (most(first), most(last));
        let (fewest, highest) = warm.iter().fold((usize::MAX, 0), |(fewest, highest), sample| {
            (fewest.min(sample.descriptors), highest.max(sample.descriptors))
        });
        let shown = format!(
            "descriptors {fewest} to {highest}, memory {} KiB, later {} KiB",
            first >> 10,
            last >> 10
        );
        assert!(last <= first + first / 50 + SLACK, "memory grows: {shown}");
        shown
    }
}

/// Allows this process as many descriptors as it needs, or says what is missing.
pub fn allow_descriptors(connections: usize) {
    let needed = connections as libc::rlim_t + 100;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: there is room for what is asked.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
    if limit.rlim_cur >= needed {
        return;
    }
    let hard = limit.rlim_max;
    limit = libc::rlimit { rlim_cur: needed, rlim_max: hard.max(needed) };
    // SAFETY: it is only read.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        panic!(
            "{connections} connections need {needed} descriptors in each of two processes, and the limit is {hard}: \
             raise it (`ulimit -Hn {needed}` as root, or LimitNOFILE), or ask for fewer connections"
        );
    }
}

pub fn open_descriptors() -> usize {
    // One of them is that of the search itself.
    fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

fn memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes << 10
}
