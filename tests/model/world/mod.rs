//! A run: does each operation on the library and on the model, and compares the results.

mod actions;
mod polls;
mod timers;

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Instant;

use wakeful::{Interest, Poll, Registry, Timer, Waker};

use crate::contract::{Contract, End as EndId, Rules};
use crate::ends::End;
use crate::ops::{Kind, Mode, Op, Want};
use crate::support::{BOTH, READ, WRITE};

/// The backend of a run.
pub trait Ground {
    fn rules(&self) -> Rules;
    fn poll(&self) -> io::Result<Poll>;
    /// The replacement of a kind that the backend lacks.
    fn kind(&self, kind: Kind) -> Kind {
        kind
    }
    fn pair(&self, kind: Kind) -> io::Result<[Box<dyn End>; 2]>;
    /// The clock of its polls.
    fn now(&self) -> Instant;
    /// Whether other threads can end a `poll`, so that it may have no timeout.
    fn has_threads(&self) -> bool;
    /// Whether all threads are tasks of a world: its time passes for nothing but waits, and it ends a `poll` that waits
    /// for ever.
    fn is_a_host(&self) -> bool {
        false
    }
}

struct World<'a> {
    ground: &'a dyn Ground,
    rules: Rules,
    poll: Poll,
    other: Poll,
    contract: Contract,
    /// By end.
    ends: BTreeMap<EndId, Open>,
    wakers: Vec<(usize, Arc<Waker>)>,
    timers: Vec<(usize, Timer)>,
    next_pair: usize,
    next_token: usize,
}

struct Open {
    kind: Kind,
    end: Option<Box<dyn End>>,
    token: Option<usize>,
    /// The token with which it was closed while a duplicate was open.
    orphan: Option<usize>,
    duplicates: Vec<Box<dyn Any + Send>>,
    /// The positions in the sent and the received stream.
    sent: u64,
    received: u64,
}

/// Runs a sequence, and returns the number of judged operations, or the failure.
pub fn run(ground: &dyn Ground, ops: &[Op]) -> Result<(), String> {
    let rules = ground.rules();
    let poll = ground.poll().map_err(|e| format!("no poll: {e}"))?;
    let other = ground.poll().map_err(|e| format!("no poll: {e}"))?;
    let mut world = World {
        ground,
        rules,
        poll,
        other,
        contract: Contract::new(rules),
        ends: BTreeMap::new(),
        wakers: Vec::new(),
        timers: Vec::new(),
        next_pair: 0,
        next_token: 0,
    };
    for (step, op) in ops.iter().enumerate() {
        world.step(*op).map_err(|e| format!("step {step}, {op:?}: {e}"))?;
    }
    world.settle().map_err(|e| format!("at the end: {e}"))
}

impl World<'_> {
    fn step(&mut self, op: Op) -> Result<(), String> {
        match op {
            Op::Open(kind) => self.open(kind),
            Op::Register(place, want) => self.on(place, |world, id| world.register(id, want)),
            Op::Reregister(place, want) => self.on(place, |world, id| world.reregister(id, want)),
            Op::Deregister(place) => self.on(place, World::deregister),
            Op::OtherPoll(place) => self.on(place, World::other_poll),
            Op::Write(place, size) => self.on(place, |world, id| world.write(id, size).map(|_| ())),
            Op::Fill(place) => self.on(place, World::fill),
            Op::Read(place, size) => self.on(place, |world, id| world.read(id, size).map(|_| ())),
            Op::Drain(place) => self.on(place, World::drain),
            Op::Shutdown(place, half) => self.on(place, |world, id| world.shutdown(id, half)),
            Op::Close(place) => self.on(place, |world, id| {
                if world.open_end(id).token.is_some() {
                    world.deregister(id)?;
                }
                world.close(id)
            }),
            Op::Vanish(place) => self.on(place, World::vanish),
            Op::Duplicate(place) => self.on(place, World::duplicate),
            Op::CloseDuplicate(place) => self.close_duplicate(place),
            Op::NewWaker => self.new_waker(),
            Op::DropWaker(number) => self.drop_waker(number),
            Op::Wake(number) => self.wake(number, false),
            Op::WakeFromThread(number) => self.wake(number, true),
            Op::NewTimer(want) => self.new_timer(want),
            Op::DropTimer(number) => self.drop_timer(number),
            Op::SetTimer(number, when) => self.set_timer(number, when),
            Op::ReregisterTimer(number, want) => self.reregister_timer(number, want),
            Op::Poll(timeout, capacity) => self.poll(timeout, capacity),
            Op::PollWhileWriting(place) => self.on(place, World::poll_while_writing),
            Op::PollWhileWaking(number) => self.poll_while_waking(number),
            Op::PollWhileRegistering(place, want) => {
                self.on(place, |world, id| world.poll_while_registering(id, want))
            }
            Op::PollWhileDeregistering(place) => self.on(place, World::poll_while_deregistering),
        }
    }

    /// Calls a function with an open end, if there is one.
    fn on(
        &mut self,
        place: usize,
        act: impl FnOnce(&mut Self, EndId) -> Result<(), String>,
    ) -> Result<(), String> {
        let open: Vec<EndId> =
            self.ends.iter().filter(|(_, open)| open.end.is_some()).map(|(&id, _)| id).collect();
        match open.is_empty() {
            true => Ok(()),
            // Prefers the youngest sources, on which operations are likely.
            false => act(self, open[open.len() - 1 - place % open.len()]),
        }
    }

    fn open_end(&mut self, id: EndId) -> &mut Open {
        self.ends.get_mut(&id).expect("an open end")
    }

    fn kind_of(&self, id: EndId) -> Kind {
        self.ends[&id].kind
    }

    fn source(&mut self, id: EndId) -> &mut dyn End {
        &mut **self.open_end(id).end.as_mut().expect("an open end")
    }

    fn open(&mut self, kind: Kind) -> Result<(), String> {
        if self.ends.len() > 12 {
            return Ok(());
        }
        let kind = self.ground.kind(kind);
        let pair = self.next_pair;
        self.next_pair += 1;
        self.contract.open(pair, kind);
        let ends = self.ground.pair(kind).map_err(|e| format!("can't open: {e}"))?;
        for (side, end) in ends.into_iter().enumerate() {
            let open = Open {
                kind,
                end: Some(end),
                token: None,
                orphan: None,
                duplicates: Vec::new(),
                sent: 0,
                received: 0,
            };
            self.ends.insert(2 * pair + side, open);
        }
        Ok(())
    }

    fn new_token(&mut self) -> usize {
        self.next_token += 1;
        // Also the largest numbers, and those that look like pointers.
        match self.next_token % 3 {
            0 => usize::MAX - self.next_token,
            1 => self.next_token << 16,
            _ => self.next_token,
        }
    }
}

fn registry(poll: &Poll) -> Registry {
    poll.registry().try_clone().expect("a registry")
}

fn expect_error(what: &str, result: io::Result<()>, kind: ErrorKind) -> Result<(), String> {
    match result {
        Err(e) if e.kind() == kind => Ok(()),
        other => Err(format!("{what}: {kind:?} was expected, not {other:?}")),
    }
}

fn interest(want: Want) -> Interest {
    let interest = match want.directions {
        [true, false] => READ,
        [false, true] => WRITE,
        [true, true] => BOTH,
        [false, false] => Interest::END,
    };
    match want.mode {
        Mode::Edge => interest,
        Mode::Level => interest.level(),
        Mode::OneShot => interest.one_shot(),
        Mode::EdgeOneShot => interest.edge_one_shot(),
        Mode::Exclusive => interest.exclusive(),
    }
}

fn byte_at(position: u64) -> u8 {
    (position.wrapping_mul(0x9E37_79B9) >> 13) as u8
}
