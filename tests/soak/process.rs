//! The system's figures for a process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::io;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of connections, and the fewest since the full number was reached.
#[derive(Copy, Clone, Debug)]
pub struct Held {
    wanted: usize,
    pub now: usize,
    /// Since the full number was reached.
    fewest: Option<usize>,
    most: usize,
}

impl Held {
    pub fn new(wanted: usize) -> Held {
        Held { wanted, now: 0, fewest: None, most: 0 }
    }

    pub fn add(&mut self) {
        self.now += 1;
        self.most = self.most.max(self.now);
        if self.now >= self.wanted {
            self.fewest.get_or_insert(self.now);
        }
    }

    pub fn remove(&mut self) {
        self.now -= 1;
        self.fewest = self.fewest.map(|fewest| fewest.min(self.now));
    }
}

/// A sample of a process.
#[derive(Copy, Clone, Debug, Default)]
pub struct Sample {
    /// The fewest connections since the full number was reached, 0 before.
    pub fewest: usize,
    pub most: usize,
    pub descriptors: usize,
    /// Bytes that are in memory, as the system counts them.
    pub resident: usize,
    /// Allocated bytes, and their number of pieces.
    pub heap: usize,
    pub pieces: usize,
}

impl Sample {
    pub fn now(held: &Held) -> Sample {
        let heap = HEAP.load(Ordering::Relaxed);
        let pieces = PIECES.load(Ordering::Relaxed);
        let (fewest, most) = (held.fewest.unwrap_or(0), held.most);
        Sample { fewest, most, descriptors: open_descriptors(), resident: resident(), heap, pieces }
    }

    /// The format that [`from_str`](FromStr::from_str) parses.
    pub fn line(&self) -> String {
        let Sample { fewest, most, descriptors, resident, heap, pieces } = self;
        format!("{fewest} {most} {descriptors} {resident} {heap} {pieces}")
    }
}

impl FromStr for Sample {
    type Err = String;

    fn from_str(line: &str) -> Result<Sample, String> {
        let numbers: Vec<_> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [fewest, most, descriptors, resident, heap, pieces] => {
                Ok(Sample { fewest, most, descriptors, resident, heap, pieces })
            }
            _ => Err(line.to_owned()),
        }
    }
}

/// The part of the run.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Part {
    #[default]
    Filling,
    /// The first third: whatever grows up to a size, grows to it here.
    First,
    Later,
    /// The connections end.
    Over,
}

/// The maximum of each part: a list of all samples would grow itself.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    pub part: Part,
    last: Option<Sample>,
    first: Peaks,
    later: Peaks,
}

#[derive(Clone, Debug, Default)]
struct Peaks {
    count: usize,
    descriptors: usize,
    resident: usize,
    heap: usize,
    pieces: usize,
}

impl Peaks {
    fn add(&mut self, sample: &Sample) {
        self.count += 1;
        self.descriptors = self.descriptors.max(sample.descriptors);
        self.resident = self.resident.max(sample.resident);
        self.heap = self.heap.max(sample.heap);
        self.pieces = self.pieces.max(sample.pieces);
    }
}

/// The allowed growth of the heap in pieces: lines that are being printed.
const PIECES_SLACK: usize = 16;
/// The allowed growth in bytes, beside a twentieth: a map grows after many removals, though only once. A table that
/// doubles late, since the connections are just fewer than a power of two, would look like a leak.
const HEAP_SLACK: usize = 16 << 10;
/// The allowed growth of memory as the system counts it, beside a fiftieth: it includes fragments of the heap.
const RESIDENT_SLACK: usize = 1 << 20;
/// Fewer samples in a part show nothing.
const ENOUGH: usize = 3;

impl Samples {
    pub fn add(&mut self, sample: Sample) {
        match self.part {
            Part::Filling => {}
            Part::First => self.first.add(&sample),
            Part::Later => self.later.add(&sample),
            Part::Over => return,
        }
        self.last = Some(sample);
    }

    pub fn last(&self) -> Option<Sample> {
        self.last
    }

    /// Returns whether there are enough samples.
    pub fn has_first(&self) -> bool {
        self.first.count >= ENOUGH
    }

    pub fn has_later(&self) -> bool {
        self.later.count >= ENOUGH
    }

    /// Fails if there weren't always `connections` at least, once there were as many; or if after the first third there
    /// was more than within it:
    ///
    /// - pieces on the heap, by more than connections. So a leak at one connection in a thousand shows when some 20,000
    ///   have ended since;
    /// - bytes on the heap or in memory, by more than the slack. So a table shows that grows beyond its spare room.
    ///
    /// Each sample has checked already that there are as many descriptors as connections, and no other.
    pub fn judged(&self, connections: usize) -> String {
        assert!(self.has_first() && self.has_later(), "too short to see anything: {self:?}");
        let (last, first, later) = (self.last.unwrap_or_default(), &self.first, &self.later);
        let shown = format!(
            "{} to {} connections at a time; at most {} descriptors, later {}; \
             heap {} KiB in {} pieces, later {} in {}; memory {} KiB, later {}",
            last.fewest,
            last.most,
            first.descriptors,
            later.descriptors,
            first.heap >> 10,
            first.pieces,
            later.heap >> 10,
            later.pieces,
            first.resident >> 10,
            later.resident >> 10,
        );
        assert!(last.most >= connections, "there never were {connections}: {shown}");
        assert!(last.fewest >= connections, "there weren't {connections} all the time: {shown}");
        let more = later.descriptors.saturating_sub(first.descriptors);
        assert!(later.pieces <= first.pieces + more + PIECES_SLACK, "the heap grows in pieces: {shown}");
        assert!(later.heap <= first.heap + first.heap / 20 + HEAP_SLACK, "the heap grows: {shown}");
        let most = first.resident + first.resident / 50 + RESIDENT_SLACK;
        assert!(later.resident <= most, "memory grows: {shown}");
        shown
    }
}

/// Counts allocations: the system counts pages, in which a small leak doesn't show.
struct Counting;

static HEAP: AtomicUsize = AtomicUsize::new(0);
static PIECES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator; the counters neither allocate nor unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.fetch_add(layout.size(), Ordering::Relaxed);
        PIECES.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HEAP.fetch_sub(layout.size(), Ordering::Relaxed);
        PIECES.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HEAP.fetch_add(size, Ordering::Relaxed);
        HEAP.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allows this process `needed` descriptors, or says what is missing.
///
/// And no more: poll(2) refuses a longer list, which reveals entries that aren't reused.
pub fn allow_descriptors(needed: usize) {
    let needed = needed as libc::rlim_t;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: there is room for what is asked.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
    let hard = limit.rlim_max;
    limit = libc::rlimit { rlim_cur: needed, rlim_max: hard.max(needed) };
    // SAFETY: it is only read.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        let error = io::Error::last_os_error();
        let most = fs::read_to_string("/proc/sys/fs/nr_open").unwrap_or_default();
        panic!(
            "each of two processes needs {needed} descriptors, and may have {hard} ({error}): raise the limit as root \
             (`ulimit -Hn {needed}`, or LimitNOFILE; of that the most is fs.nr_open, now {}), or ask for fewer \
             connections",
            most.trim()
        );
    }
}

pub fn open_descriptors() -> usize {
    // One of them belongs to the search itself.
    fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes << 10
}
