//! The contract as a pure model: the state of the kernel's sources, the events that are due, and those that are
//! allowed.
//!
//! Readiness has three values. Readiness that depends on the size of a kernel's buffers is unknown between "just
//! drained" and "has failed with `WouldBlock`": an event is then allowed, and none is due.

use std::collections::{BTreeMap, BTreeSet};

use crate::ops::{Half, Kind, Mode, Want};
use crate::timers::Timers;

pub const READ: usize = 0;
pub const WRITE: usize = 1;
const NAMES: [&str; 2] = ["readable", "writable"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    Ready,
    Not,
    Unknown,
}

/// A backend's promises beyond the contract, and its exceptions.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Events are exact, and come with the next `poll`.
    pub exact: bool,
    /// Events are not repeated without a reason.
    pub terse: bool,
    /// Raw descriptors' events may come late, and again (`PLATFORMS.md`, 14).
    pub raw_is_late: bool,
    /// An error or a hang-up may come in both directions (`PLATFORMS.md`, 7).
    pub ends_in_both_directions: bool,
    /// A closed descriptor with an open duplicate still causes events (`PLATFORMS.md`, 13).
    pub duplicates_live: bool,
    /// A source that was closed while registered, unseen by the backend, is reported for a moment more.
    pub raw_lives: bool,
    /// A raw descriptor may be closed while it is registered: its number may be used again at once.
    pub raw_may_vanish: bool,
    /// A local shutdown of the reading half is reported (`PLATFORMS.md`, 7).
    pub reports_own_shutdown: bool,
    /// Sent data may stay with the sender's kernel for seconds: if the buffers of both ends of a TCP connection are
    /// full, a window update is lost with the data that carries it, and only repeated later.
    pub holds_back: bool,
}

/// An end of a pair: 0 and 1 are the first pair's.
pub type End = usize;

/// The part of an event that the contract covers.
#[derive(Clone, Copy, Debug)]
pub struct Reported {
    pub token: usize,
    pub directions: [bool; 2],
    pub error: bool,
    pub read_closed: bool,
    pub write_closed: bool,
}

#[derive(Default)]
pub struct Contract {
    pairs: BTreeMap<usize, Pair>,
    /// By token.
    registered: BTreeMap<usize, Registration>,
    /// By token: whether it has a wake to report.
    wakers: BTreeMap<usize, bool>,
    pub timers: Timers,
    /// Tokens that may come although no registration has them.
    limbo: BTreeSet<usize>,
    reports_own_shutdown: bool,
    holds_back: bool,
}

#[derive(Debug)]
struct Pair {
    kind: Kind,
    /// From end 0 to end 1, and back.
    channels: [Channel; 2],
    /// The number of descriptors of each end.
    handles: [usize; 2],
    /// A half was shut down or closed.
    is_hurt: bool,
}

/// The data in transit in one direction.
#[derive(Debug, Default)]
struct Channel {
    /// Sizes of datagrams, or one entry for each write of a stream.
    waiting: Vec<usize>,
    /// Since it was last empty.
    writes: usize,
    bytes: usize,
    /// A write has failed with `WouldBlock`, and nothing was read since.
    is_full: bool,
    /// The writer has stopped sending.
    ended: bool,
    /// The reader has shut down its half.
    unread: bool,
    /// A read has failed with `WouldBlock`, although data is left.
    is_held_back: bool,
}

impl Channel {
    fn has_room(&self) -> bool {
        self.writes <= 8 && self.bytes <= 4096
    }
}

#[derive(Debug)]
struct Registration {
    end: End,
    /// In neither direction: in the end alone.
    interest: [bool; 2],
    mode: Mode,
    /// The event of a one-shot registration has come.
    is_spent: bool,
    /// The next readiness must be reported. The end alone counts as readable.
    armed: [bool; 2],
    /// The end of the data was reported: it is behind a short read, and need not be reported again.
    end_reported: bool,
    /// Events since the last operation on the pair.
    repeated: usize,
}

impl Registration {
    fn is_one_shot(&self) -> bool {
        matches!(self.mode, Mode::OneShot | Mode::EdgeOneShot)
    }

    fn is_edge(&self) -> bool {
        matches!(self.mode, Mode::Edge | Mode::Exclusive)
    }

    fn is_of_end(&self) -> bool {
        self.interest == [false; 2]
    }

    /// Makes the next readiness due.
    fn arm(&mut self) {
        self.armed = if self.is_of_end() { [true, false] } else { self.interest };
    }
}

impl Contract {
    pub fn new(rules: Rules) -> Contract {
        Contract {
            reports_own_shutdown: rules.reports_own_shutdown,
            holds_back: rules.holds_back,
            ..Contract::default()
        }
    }

    pub fn open(&mut self, pair: usize, kind: Kind) {
        let channels = [Channel::default(), Channel::default()];
        self.pairs.insert(pair, Pair { kind, channels, handles: [1; 2], is_hurt: false });
    }

    pub fn register(&mut self, end: End, token: usize, want: Want) {
        self.limbo.remove(&token);
        let Want { directions, mode } = want;
        let mut registration = Registration {
            end,
            interest: directions,
            mode,
            is_spent: false,
            armed: [false; 2],
            end_reported: false,
            repeated: 0,
        };
        registration.arm();
        self.registered.insert(token, registration);
    }

    /// Makes level-triggered readiness due again, as each `poll` does.
    pub fn renew_levels(&mut self) {
        for registration in self.registered.values_mut().filter(|found| found.mode == Mode::Level) {
            registration.arm();
        }
        self.timers.renew_levels();
    }

    pub fn deregister(&mut self, token: usize) {
        self.registered.remove(&token);
    }

    /// The token may still come.
    pub fn tolerate(&mut self, token: usize) {
        self.limbo.insert(token);
    }

    /// The token must not come any more.
    pub fn tolerate_no_more(&mut self, token: usize) {
        self.limbo.remove(&token);
    }

    pub fn add_waker(&mut self, token: usize) {
        self.wakers.insert(token, false);
    }

    pub fn drop_waker(&mut self, token: usize) {
        self.wakers.remove(&token);
    }

    pub fn wake(&mut self, token: usize) {
        self.wakers.insert(token, true);
    }

    /// `wanted` bytes were offered; `None` stands for `WouldBlock`. A sum of several writes says so by `count`.
    pub fn wrote(&mut self, end: End, wanted: usize, written: Option<usize>) {
        let (pair, side) = (end / 2, end % 2);
        self.stir(pair);
        let Some(Pair { kind, channels, .. }) = self.pairs.get_mut(&pair) else { return };
        let channel = &mut channels[side];
        match written {
            Some(n) => {
                channel.waiting.push(n);
                channel.writes += 1;
                channel.bytes += n;
                if n < wanted && rearms_on_short(*kind) {
                    self.used_up_short(end, WRITE);
                }
            }
            None => {
                // The operation may have pretended to block.
                channel.is_full = !channel.has_room();
                self.used_up(end, WRITE);
            }
        }
    }

    /// Returns the number of bytes that a read of `wanted` bytes must return at least.
    pub fn readable_bytes(&self, end: End, wanted: usize) -> Option<usize> {
        let pair = &self.pairs[&(end / 2)];
        let channel = &pair.channels[1 - end % 2];
        if pair.is_hurt {
            return None;
        }
        match is_stream(pair.kind) {
            true => Some(channel.waiting.iter().sum::<usize>().min(wanted)),
            false => Some(channel.waiting.first().map_or(0, |&size| size.min(wanted))),
        }
    }

    /// `read` is the result of a read of `wanted` bytes, `None` for `WouldBlock`.
    pub fn read(&mut self, end: End, wanted: usize, read: Option<usize>) {
        let (pair, side) = (end / 2, end % 2);
        self.stir(pair);
        let Some(Pair { kind, channels, .. }) = self.pairs.get_mut(&pair) else { return };
        let (kind, channel) = (*kind, &mut channels[1 - side]);
        let is_stream = is_stream(kind);
        let Some(read) = read else {
            channel.is_held_back = self.holds_back && !channel.waiting.is_empty();
            return self.used_up(end, READ);
        };
        channel.is_full = false;
        if is_stream {
            let mut left = read;
            while left > 0 && !channel.waiting.is_empty() {
                let first = channel.waiting[0];
                if first > left {
                    channel.waiting[0] -= left;
                    left = 0;
                } else {
                    left -= first;
                    channel.waiting.remove(0);
                }
            }
        } else if !channel.waiting.is_empty() {
            channel.waiting.remove(0);
        }
        if channel.waiting.is_empty() {
            (channel.writes, channel.bytes, channel.is_held_back) = (0, 0, false);
        }
        if rearms_on_short(kind) && read > 0 && read < wanted {
            self.used_up_short(end, READ);
        }
    }

    pub fn shutdown(&mut self, end: End, half: Half) {
        let (pair, side) = (end / 2, end % 2);
        self.stir(pair);
        if let Some(pair) = self.pairs.get_mut(&pair) {
            pair.is_hurt = true;
            pair.channels[side].ended |= half != Half::Read;
            pair.channels[1 - side].unread |= half != Half::Write;
        }
    }

    pub fn duplicate(&mut self, end: End) {
        if let Some(pair) = self.pairs.get_mut(&(end / 2)) {
            pair.handles[end % 2] += 1;
        }
    }

    /// Closes one descriptor of the end, and returns whether it was the last.
    pub fn close(&mut self, end: End) -> bool {
        let (pair, side) = (end / 2, end % 2);
        self.stir(pair);
        let Some(state) = self.pairs.get_mut(&pair) else { return true };
        state.handles[side] -= 1;
        let is_last = state.handles[side] == 0;
        if is_last {
            state.is_hurt = true;
            state.channels[side].ended = true;
            state.channels[1 - side].unread = true;
        }
        if state.handles == [0, 0] {
            self.pairs.remove(&pair);
        }
        is_last
    }

    /// Whether a direction of this end must be reported as soon as it is ready.
    pub fn awaits(&self, end: End, direction: usize) -> bool {
        let is_awaited = |found: &Registration| found.interest[direction] && found.armed[direction];
        self.registered.values().any(|found| found.end == end && is_awaited(found))
    }

    /// Whether a half was shut down or closed.
    pub fn is_hurt(&self, end: End) -> bool {
        self.pairs.get(&(end / 2)).map_or(true, |pair| pair.is_hurt)
    }

    pub fn is(&self, end: End, direction: usize) -> Is {
        let Some(pair) = self.pairs.get(&(end / 2)) else { return Is::Unknown };
        let side = end % 2;
        let (out, into) = (&pair.channels[side], &pair.channels[1 - side]);
        let peer_has_gone = pair.handles[1 - side] == 0;
        let by_room = match out {
            Channel { is_full: true, .. } => Is::Not,
            out if out.has_room() => Is::Ready,
            _ => Is::Unknown,
        };
        match (pair.kind, direction) {
            // The end of the pipe of the other direction.
            (Kind::Pipe, READ) if side == 0 => unknown_if(pair.is_hurt, Is::Not),
            (Kind::Pipe, WRITE) if side == 1 => unknown_if(pair.is_hurt, Is::Not),
            (Kind::Datagram | Kind::Udp, _) if pair.is_hurt => Is::Unknown,
            (Kind::Datagram, WRITE) if !out.is_full && out.writes > 4 => Is::Unknown,
            (_, READ) if into.is_held_back => Is::Unknown,
            (_, READ) if !into.waiting.is_empty() || into.ended => Is::Ready,
            (_, READ) if into.unread => unknown_if(!self.reports_own_shutdown, Is::Ready),
            (_, READ) => Is::Not,
            (_, _) if peer_has_gone => Is::Ready,
            (_, _) => unknown_if(pair.is_hurt && by_room != Is::Ready, by_room),
        }
    }

    /// Whether the end has come that an interest in the end alone is for.
    fn has_ended(&self, end: End) -> Is {
        let Some(pair) = self.pairs.get(&(end / 2)) else { return Is::Unknown };
        let into = &pair.channels[1 - end % 2];
        // Wine 8 reports an end once the data before it was read (`PLATFORMS.md`, 22).
        let is_hidden = cfg!(windows) && !into.waiting.is_empty();
        match pair.is_hurt {
            false => Is::Not,
            true if is_stream(pair.kind) && into.ended && !is_hidden => Is::Ready,
            true => Is::Unknown,
        }
    }

    /// The events that must come.
    pub fn due(&self) -> Vec<(usize, usize)> {
        let mut due = Vec::new();
        for (&token, registration) in &self.registered {
            for direction in [READ, WRITE] {
                let is = match registration.is_of_end() {
                    true => self.has_ended(registration.end),
                    false => self.is(registration.end, direction),
                };
                if registration.armed[direction] && is == Is::Ready {
                    due.push((token, direction));
                }
            }
        }
        due.extend(self.wakers.iter().filter(|(_, &woken)| woken).map(|(&token, _)| (token, READ)));
        due.extend(self.timers.due().map(|token| (token, READ)));
        due
    }

    /// The events that must come with the next `poll` that has room.
    pub fn due_at_once(&self, rules: Rules) -> Vec<(usize, usize)> {
        let mut due = self.due();
        due.retain(|(token, _)| {
            rules.exact
                && self.registered.get(token).map_or(true, |registration| {
                    match self.pairs.get(&(registration.end / 2)).map(|pair| pair.kind) {
                        // Only edges have to be made by checking again.
                        Some(Kind::Raw) => !rules.raw_is_late || !registration.is_edge(),
                        // The kernel hands packets over by an interrupt, which may be busy.
                        Some(Kind::Udp) | None => false,
                        Some(_) => true,
                    }
                })
        });
        due
    }

    /// Judges the events of a `poll`.
    pub fn check(&mut self, events: &[Reported], rules: Rules) -> Result<(), String> {
        for event in events {
            match self.timers.check(event) {
                Some(result) => result?,
                None => self.check_one(event, rules)?,
            }
            if let Some(registration) = self.registered.get_mut(&event.token) {
                for direction in [READ, WRITE] {
                    registration.armed[direction] &= !event.directions[direction];
                }
                registration.end_reported |= event.error || event.read_closed || event.write_closed;
                // The kernel doesn't name a half-close to it: only a read that finds the end shows that.
                registration.end_reported |= registration.mode == Mode::Exclusive
                    && self.pairs.get(&(registration.end / 2)).is_some_and(|pair| pair.is_hurt);
                registration.repeated += 1;
                if registration.is_one_shot() {
                    registration.is_spent = true;
                    registration.armed = [false; 2];
                }
            }
            if let Some(woken) = self.wakers.get_mut(&event.token) {
                *woken = false;
            }
        }
        Ok(())
    }

    fn check_one(&self, event: &Reported, rules: Rules) -> Result<(), String> {
        if event.directions == [false; 2] {
            return Err(format!("an event without a direction: {event:?}"));
        }
        if self.limbo.contains(&event.token) {
            return Ok(());
        }
        if let Some(&woken) = self.wakers.get(&event.token) {
            if !woken {
                return Err(format!("a wake without a waker: {event:?}"));
            }
            return Ok(());
        }
        let Some(registration) = self.registered.get(&event.token) else {
            return Err(format!("a token without a registration: {event:?}"));
        };
        if registration.is_spent {
            return Err(format!("a second event of a one-shot registration: {event:?}"));
        }
        let Some(pair) = self.pairs.get(&(registration.end / 2)) else {
            return Err(format!("its source has gone: {event:?}"));
        };
        if registration.is_of_end() && self.has_ended(registration.end) == Is::Not {
            return Err(format!("an event for data, though the interest is in the end: {event:?}"));
        }
        for direction in [READ, WRITE] {
            if !event.directions[direction] || registration.is_of_end() {
                continue;
            }
            let may_come = pair.is_hurt && rules.ends_in_both_directions;
            if !registration.interest[direction] && !may_come {
                return Err(format!("no interest in {}: {event:?}", NAMES[direction]));
            }
            if rules.exact && !pair.is_hurt && self.is(registration.end, direction) == Is::Not {
                return Err(format!("it is not {}: {event:?}", NAMES[direction]));
            }
        }
        if !pair.is_hurt && (event.error || event.read_closed || event.write_closed) {
            return Err(format!("nothing was closed: {event:?}"));
        }
        // Unseen operations cause repeated events. A hang-up with data left may get a new writer, and is repeated for
        // some time; an end may be repeated after each operation.
        let most = match (rules.raw_is_late, pair.is_hurt) {
            _ if registration.mode == Mode::Level => usize::MAX,
            (true, true) => 14,
            (true, false) if pair.kind == Kind::Raw => usize::MAX,
            _ => 3,
        };
        if rules.terse && registration.repeated >= most {
            return Err(format!("repeated too often: {event:?}"));
        }
        Ok(())
    }

    /// A stream has transferred less than it could.
    fn used_up_short(&mut self, end: End, direction: usize) {
        for registration in self.registered.values_mut() {
            let may_arm = registration.interest[direction] && !registration.is_spent;
            if registration.end == end && may_arm && !registration.end_reported {
                registration.armed[direction] = true;
            }
        }
    }

    fn used_up(&mut self, end: End, direction: usize) {
        for registration in self.registered.values_mut() {
            if registration.end == end && registration.interest[direction] && !registration.is_spent {
                registration.armed[direction] = true;
            }
        }
    }

    /// An operation on a pair, which may cause events.
    pub fn stir(&mut self, pair: usize) {
        for registration in self.registered.values_mut() {
            if registration.end / 2 == pair {
                registration.repeated = 0;
            }
        }
    }
}

fn is_stream(kind: Kind) -> bool {
    !matches!(kind, Kind::Datagram | Kind::Udp)
}

/// Whether a short read or write re-arms the source. The library doesn't count the bytes that pass through
/// `try_io_with`.
fn rearms_on_short(kind: Kind) -> bool {
    is_stream(kind) && kind != Kind::Wrapped
}

fn unknown_if(condition: bool, is: Is) -> Is {
    match condition {
        true => Is::Unknown,
        false => is,
    }
}
