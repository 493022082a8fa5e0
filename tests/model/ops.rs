//! The operations of a run. Each is possible in any state, so that any part of a sequence is a sequence.

use fastrand::Rng;

/// One step. Indices and numbers are taken modulo the sources that exist; a step that fits none does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Open(Kind),
    Register(usize, Want),
    Reregister(usize, Want),
    Deregister(usize),
    /// Another `Poll` tries to register, reregister and deregister a source.
    OtherPoll(usize),
    Write(usize, usize),
    Fill(usize),
    Read(usize, usize),
    Drain(usize),
    Shutdown(usize, Half),
    Close(usize),
    /// Closes without `deregister`, even if it is registered.
    Vanish(usize),
    Duplicate(usize),
    CloseDuplicate(usize),
    NewWaker,
    DropWaker(usize),
    Wake(usize),
    WakeFromThread(usize),
    NewTimer(Want),
    DropTimer(usize),
    SetTimer(usize, When),
    ReregisterTimer(usize, Want),
    Poll(Timeout, usize),
    /// Polls while another thread writes to this end.
    PollWhileWriting(usize),
    /// Polls while another thread wakes.
    PollWhileWaking(usize),
    /// Polls while another thread registers or reregisters this end.
    PollWhileRegistering(usize, Want),
    /// Polls while another thread deregisters this end.
    PollWhileDeregistering(usize),
}

/// The deadline of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Passed,
    FarAway,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stream,
    Pipe,
    Datagram,
    Udp,
    /// A stream whose ends are raw descriptors.
    Raw,
    /// A stream whose ends are wrapped by the program.
    Wrapped,
}

/// The directions and the mode of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Reading and writing; neither is an interest in the end alone.
    pub directions: [bool; 2],
    pub mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Edge,
    Level,
    OneShot,
    EdgeOneShot,
    /// Edge-triggered, with exclusive wake-ups.
    Exclusive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    Read,
    Write,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    Zero,
    Microseconds(u64),
    /// Far longer than a due event may take.
    Long,
    Never,
}

impl Op {
    pub fn random(random: &mut Rng) -> Op {
        let place = random.usize(..64);
        match random.usize(..108) {
            0..=5 => Op::Open(match random.usize(..9) {
                0..=2 => Kind::Stream,
                3 => Kind::Pipe,
                4 => Kind::Datagram,
                5 => Kind::Udp,
                6 => Kind::Wrapped,
                _ => Kind::Raw,
            }),
            6..=16 => Op::Register(place, want(random)),
            17..=20 => Op::Reregister(place, want(random)),
            21..=23 => Op::Deregister(place),
            24 => Op::OtherPoll(place),
            25..=36 => Op::Write(place, 1 + random.usize(..40)),
            37..=39 => Op::Fill(place),
            40..=47 => Op::Read(place, 1 + random.usize(..60)),
            48..=57 => Op::Drain(place),
            58..=59 => Op::Shutdown(
                place,
                match random.usize(..3) {
                    0 => Half::Read,
                    1 => Half::Write,
                    _ => Half::Both,
                },
            ),
            60..=61 => Op::Close(place),
            62 => Op::Vanish(place),
            63 => Op::Duplicate(place),
            64 => Op::CloseDuplicate(place),
            65 => Op::NewWaker,
            66 => match random.usize(..3) {
                0 => Op::DropWaker(place),
                _ => Op::NewWaker,
            },
            67..=70 => Op::Wake(place),
            71 => match random.usize(..10) {
                0 => Op::WakeFromThread(place),
                1 => Op::PollWhileWriting(place),
                2 => Op::PollWhileWaking(place),
                3 => Op::PollWhileRegistering(place, want(random)),
                4 => Op::PollWhileDeregistering(place),
                _ => Op::Wake(place),
            },
            72..=76 => Op::SetTimer(
                place,
                match random.usize(..4) {
                    0 => When::Never,
                    1 => When::FarAway,
                    _ => When::Passed,
                },
            ),
            77 => Op::NewTimer(want(random)),
            78 => Op::ReregisterTimer(place, want(random)),
            79 => match random.bool() {
                true => Op::DropTimer(place),
                false => Op::NewTimer(want(random)),
            },
            _ => Op::Poll(
                match random.usize(..100) {
                    0..=69 => Timeout::Zero,
                    70 => Timeout::Microseconds(1 + random.usize(..300) as u64),
                    71..=84 => Timeout::Long,
                    _ => Timeout::Never,
                },
                match random.usize(..4) {
                    0 => 1,
                    1 => 1 + random.usize(..3),
                    _ => 64,
                },
            ),
        }
    }

    pub fn sequence(random: &mut Rng) -> Vec<Op> {
        let count = 20 + random.usize(..200);
        (0..count).map(|_| Op::random(random)).collect()
    }
}

fn want(random: &mut Rng) -> Want {
    let directions = match random.usize(..13) {
        0..=3 => [true, false],
        4..=7 => [false, true],
        8..=11 => [true, true],
        _ => [false, false],
    };
    let mode = match random.usize(..9) {
        0 => Mode::Level,
        1 => Mode::OneShot,
        2 => Mode::EdgeOneShot,
        // An interest in the end can't be exclusive.
        3 if directions != [false, false] => Mode::Exclusive,
        _ => Mode::Edge,
    };
    Want { directions, mode }
}
