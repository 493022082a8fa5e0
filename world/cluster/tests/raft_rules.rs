//! The rules of the Raft without I/O: no schedule of messages and crashes breaks them, and each broken line is found.

use world_cluster::raft::{Broken, Core, Disk, History, Reply, Request};

const NODES: u64 = 5;
const STEPS: u64 = 3_000;
const SEEDS: u64 = 1_000;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (word ^ (word >> 31)) % end
    }
}

/// A request on its way, or with the reply on its way back.
struct Letter {
    from: u64,
    to: u64,
    request: Request,
    reply: Option<Reply>,
}

struct Cluster {
    broken: Broken,
    dice: Dice,
    nodes: Vec<(Core, Disk)>,
    seen: Vec<u64>,
    letters: Vec<Letter>,
    history: History,
}

impl Cluster {
    fn new(seed: u64, broken: Broken) -> Cluster {
        let node = |id| {
            let mut disk = Disk::default();
            (Core::new(id, NODES, broken, &mut disk), disk)
        };
        let nodes = (0..NODES).map(node).collect();
        let seen = vec![0; NODES as usize];
        Cluster { broken, dice: Dice(seed), nodes, seen, letters: Vec::new(), history: History::default() }
    }

    fn step(&mut self, number: u64) {
        let id = self.dice.below(NODES);
        let (core, disk) = &mut self.nodes[id as usize];
        match self.dice.below(100) {
            0..=1 => {
                let request = core.stand(disk);
                self.post(id, |_| Some(request.clone()));
            }
            2..=3 => {
                *core = Core::new(id, NODES, self.broken, disk);
                self.seen[id as usize] = 0;
                // The node's requests on their way are lost, and the answers to them.
                self.letters.retain(|letter| letter.from != id);
            }
            4..=9 => drop(core.put(disk, number)),
            10..=19 => {
                let letters: Vec<_> = (0..NODES).map(|to| core.append(disk, to)).collect();
                self.post(id, |to| letters[to as usize].clone());
            }
            20..=29 if !self.letters.is_empty() => {
                let lost = self.dice.below(self.letters.len() as u64) as usize;
                self.letters.swap_remove(lost);
            }
            _ if !self.letters.is_empty() => {
                let next = self.dice.below(self.letters.len() as u64) as usize;
                let letter = self.letters.swap_remove(next);
                self.deliver(letter);
            }
            _ => {}
        }
    }

    fn post(&mut self, from: u64, request: impl Fn(u64) -> Option<Request>) {
        for to in (0..NODES).filter(|to| *to != from) {
            let letter = request(to).map(|request| Letter { from, to, request, reply: None });
            self.letters.extend(letter);
        }
    }

    fn deliver(&mut self, letter: Letter) {
        let Letter { from, to, request, reply } = letter;
        let id = if reply.is_some() { from } else { to };
        let (core, disk) = &mut self.nodes[id as usize];
        match (reply, &request) {
            (Some(reply), _) => {
                let led = core.leads();
                core.answered(disk, to, &request, reply);
                if core.leads() && !led {
                    self.history.leads(id, disk.term);
                }
            }
            (None, Request::Vote { term, candidate, last }) => {
                let reply = Some(core.vote(disk, *term, *candidate, *last));
                self.letters.push(Letter { from, to, request, reply });
            }
            (None, Request::Append { term, leader, before, commit, entries }) => {
                let reply = Some(core.replicate(disk, (*term, *leader), *before, *commit, entries));
                self.letters.push(Letter { from, to, request, reply });
            }
            (None, Request::Put { .. }) => unreachable!(),
        }
        let (core, disk) = &self.nodes[id as usize];
        for index in self.seen[id as usize] + 1..=core.commit() {
            self.history.commits(id, index, disk.log[index as usize - 1]);
        }
        self.seen[id as usize] = core.commit();
    }
}

/// Runs one seed. Returns the number of committed entries and of terms with a leader, or the violation.
fn run(seed: u64, broken: Broken) -> Result<(usize, usize), String> {
    let mut cluster = Cluster::new(seed, broken);
    for number in 0..STEPS {
        cluster.step(number);
        cluster.history.check()?;
    }
    Ok((cluster.history.len(), cluster.history.terms()))
}

#[test]
fn no_schedule_breaks_the_rules() {
    let (mut committed, mut terms) = (0, 0);
    for seed in 0..SEEDS {
        let (more, led) =
            run(seed, Broken::No).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        committed += more;
        terms += led;
    }
    println!("{committed} entries committed in {terms} terms");
    assert!(committed as u64 > SEEDS && terms as u64 > 2 * SEEDS, "{committed} entries, {terms} terms");
}

#[test]
fn each_broken_line_is_found() {
    for broken in [Broken::VotesTwice, Broken::ForgetsVote, Broken::VotesForAnyLog, Broken::CommitsOldTerm] {
        let found = (0..SEEDS).find_map(|seed| Some((seed, run(seed, broken).err()?)));
        let (seed, violation) = found.unwrap_or_else(|| panic!("{broken:?} passes {SEEDS} seeds"));
        println!("{broken:?}: seed {seed}: {violation}");
    }
}
