//! What the fuzzer may call.
#![allow(missing_docs)]

use super::watch;
use crate::readiness::{PollWords, Readiness};

pub fn watch(bytes: &[u8]) {
    watch::fuzzing::any_sequence(bytes);
}

/// Whatever bits the words have, the meaning keeps to its rules.
pub fn event_words(words: u32) {
    const WORDS: PollWords = PollWords {
        input: 1,
        priority: 2,
        output: 4,
        error: 8,
        hangup: 16,
        socket_output: 0x200,
        read_hangup: 0x2000,
    };
    let found = WORDS.readiness(words);
    let (reads, writes) = (found.intersects(Readiness::READABLE), found.intersects(Readiness::WRITABLE));
    assert_eq!(words & 0x201f == 0, found.is_none());
    assert!(found.is_none() || reads || writes);
    assert!(!found.intersects(Readiness::PRIORITY) || reads);
    assert!(words & 1 == 0 || reads);
    assert_eq!(words & 4 != 0 || words & 0xd == 8, writes);
    let closed = Readiness::READ_CLOSED.union(Readiness::WRITE_CLOSED).union(Readiness::ERROR);
    assert!(words & 0x2018 != 0 || !found.intersects(closed));
}
