//! The entry points of the fuzzer.
#![allow(missing_docs)]

use super::knotes::{self, Filter};
use super::watch;
use crate::backend::logic::afd_flags;
use crate::readiness::{Interest, PollFlags, Readiness};

pub fn watch(bytes: &[u8]) {
    watch::fuzzing::any_sequence(bytes);
}

pub fn knotes(bytes: &[u8]) {
    knotes::fuzzing::any_sequence(bytes);
}

/// Checks that the meaning of a kernel's flags keeps its rules, whatever bits are set: poll's flags (epoll has the
/// same), those of Windows' AFD, and a kqueue's filters and flags.
pub fn event_flags(kernel: u8, flags: u32, more: u32) {
    match kernel % 3 {
        0 => poll_flags(flags),
        1 => afd(flags),
        _ => kqueue(more, flags & 0xffff, flags >> 16),
    }
}

const READING: Readiness = Readiness::READABLE;
const WRITING: Readiness = Readiness::WRITABLE;
const ENDINGS: Readiness = Readiness::READ_CLOSED.union(Readiness::WRITE_CLOSED).union(Readiness::ERROR);

/// Checks the rule of every kernel: an event names something that a program can do.
fn check(found: Readiness) {
    let (reads, writes) = (found.intersects(READING), found.intersects(WRITING));
    let is_of_operations = found.intersects(Readiness::AIO.union(Readiness::LIO));
    assert!(found.is_none() || reads || writes || is_of_operations);
    assert!(!found.intersects(Readiness::PRIORITY) || reads);
    assert!(!found.intersects(Readiness::READ_CLOSED) || reads || writes);
}

fn poll_flags(flags: u32) {
    const FLAGS: PollFlags = PollFlags {
        input: 1,
        priority: 2,
        output: 4,
        error: 8,
        hangup: 16,
        socket_output: 0x200,
        read_hangup: 0x2000,
    };
    let found = FLAGS.readiness(flags);
    check(found);
    let (reads, writes) = (found.intersects(READING), found.intersects(WRITING));
    assert_eq!(flags & 0x201f == 0, found.is_none());
    assert!(flags & 1 == 0 || reads);
    assert_eq!(flags & 4 != 0 || flags & 0xd == 8, writes);
    assert!(flags & 0x2018 != 0 || !found.intersects(ENDINGS));
    // Bits that have no meaning change nothing.
    assert_eq!(FLAGS.readiness(flags & 0x221f), found);
}

fn afd(flags: u32) {
    let found = afd_flags::readiness(flags);
    check(found);
    let ended = flags & (afd_flags::ABORT | afd_flags::CONNECT_FAIL) != 0;
    assert_eq!(found.intersects(Readiness::ERROR), ended);
    assert_eq!(found.intersects(Readiness::WRITE_CLOSED), ended);
    assert_eq!(found.intersects(WRITING), ended || flags & afd_flags::SEND != 0);
    // An interest in one direction gets the other only with an end.
    for (interest, other) in [(Interest::READABLE, WRITING), (Interest::WRITABLE, READING)] {
        let answered = afd_flags::readiness(flags & afd_flags::flags(interest));
        assert!(ended || !answered.intersects(other));
    }
}

fn kqueue(filter: u32, flags: u32, fflags: u32) {
    const FILTERS: [Filter; 7] =
        [Filter::Read, Filter::Write, Filter::Except, Filter::Aio, Filter::Lio, Filter::User, Filter::Other];
    let filter = FILTERS[filter as usize % FILTERS.len()];
    // Each kernel's note for out-of-band data.
    let note = if fflags & 1 == 0 { 2 } else { 4 };
    let found = knotes::readiness(filter, flags, fflags, note);
    check(found);
    let has_note = filter == Filter::Except && flags & knotes::EV_EOF == 0 && fflags & note != 0;
    assert_eq!(found.intersects(Readiness::PRIORITY), has_note);
    let (ended, failed) = (flags & knotes::EV_EOF != 0, flags & knotes::EV_ERROR != 0);
    assert!(ended || failed || !found.intersects(ENDINGS));
    assert_eq!(found.intersects(WRITING), filter == Filter::Write);
    assert_eq!(found.intersects(READING), matches!(filter, Filter::Read | Filter::Except));
}

/// Tries random sequences of `len` bytes. An interpreter takes a hundred times as long for each, so it tries fewer.
#[cfg(test)]
pub(super) fn try_random(len: usize, any_sequence: fn(&[u8])) {
    let count = if cfg!(any(miri, target_family = "wasm")) { 1_000 } else { 20_000 };
    let mut random = fastrand::Rng::with_seed(17);
    for _ in 0..count {
        let bytes: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
        let result = std::panic::catch_unwind(|| any_sequence(&bytes));
        assert!(result.is_ok(), "{bytes:?}");
    }
}

#[cfg(test)]
#[test]
fn flags_keep_their_rules() {
    for kernel in 0..3 {
        for number in 0..100_000_u32 {
            let flags = number.wrapping_mul(0x9E37_79B9);
            event_flags(kernel, flags, number);
            event_flags(kernel, number, flags);
        }
    }
}
