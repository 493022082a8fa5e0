//! The flags of `AFD_POLL`, by which Windows' sockets are polled, and their meaning. Pure: no OS.
//!
//! Invariant: each flag that is polled for has a meaning.

use crate::readiness::{Interest, Readiness};

/// Data has arrived.
pub(crate) const RECEIVE: u32 = 0x001;
/// An urgent byte has arrived. Never polled for: as on Unix it is no data, and a program that doesn't read it would
/// spin.
pub(crate) const RECEIVE_EXPEDITED: u32 = 0x002;
/// There is space to send, and the connection is made.
pub(crate) const SEND: u32 = 0x004;
/// The peer has shut down its writing half.
pub(crate) const DISCONNECT: u32 = 0x008;
/// The connection was reset.
pub(crate) const ABORT: u32 = 0x010;
/// The socket was closed while it was polled.
pub(crate) const LOCAL_CLOSE: u32 = 0x020;
/// The connection is made; `SEND` comes with it.
pub(crate) const CONNECT: u32 = 0x040;
/// A connection can be accepted.
pub(crate) const ACCEPT: u32 = 0x080;
/// No connection could be made.
pub(crate) const CONNECT_FAIL: u32 = 0x100;

pub(crate) const NAMES: [(u32, &str); 9] = [
    (RECEIVE, "AFD_POLL_RECEIVE"),
    (RECEIVE_EXPEDITED, "AFD_POLL_RECEIVE_EXPEDITED"),
    (SEND, "AFD_POLL_SEND"),
    (DISCONNECT, "AFD_POLL_DISCONNECT"),
    (ABORT, "AFD_POLL_ABORT"),
    (LOCAL_CLOSE, "AFD_POLL_LOCAL_CLOSE"),
    (CONNECT, "AFD_POLL_CONNECT"),
    (ACCEPT, "AFD_POLL_ACCEPT"),
    (CONNECT_FAIL, "AFD_POLL_CONNECT_FAIL"),
];

/// Returns the flags to poll for. The end of a connection concerns both directions, and the end of the socket every
/// interest.
pub(crate) const fn flags(interest: Interest) -> u32 {
    let mut flags = END;
    if interest.is_readable() {
        flags |= RECEIVE | ACCEPT | DISCONNECT;
    }
    if interest.is_writable() {
        flags |= SEND;
    }
    flags
}

/// What is reported for every interest.
pub(crate) const END: u32 = ABORT | CONNECT_FAIL | LOCAL_CLOSE;

/// Flags that an operation doesn't use up: they count once the kernel has reported them, even if it does so only once.
pub(crate) const LASTING: u32 = END | DISCONNECT;

/// The flags of an error.
pub(crate) const ERRORS: u32 = ABORT | CONNECT_FAIL;

/// Returns the readiness of a result. A poll returns more flags than requested at the end of a connection: the caller
/// leaves out the direction that it hasn't asked for.
pub(crate) const fn readiness(flags: u32) -> Readiness {
    let has_ended = flags & (ABORT | CONNECT_FAIL) != 0;
    let at_end = flags & DISCONNECT != 0;
    let input = flags & (RECEIVE | ACCEPT) != 0;

    Readiness::NONE
        .union(Readiness::READABLE.when(input || at_end || has_ended))
        .union(Readiness::WRITABLE.when(flags & SEND != 0 || has_ended))
        .union(Readiness::ERROR.when(has_ended))
        .union(Readiness::READ_CLOSED.when(at_end || has_ended))
        .union(Readiness::WRITE_CLOSED.when(has_ended))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(flags: u32) -> String {
        format!("{:?}", readiness(flags))
    }

    #[test]
    fn plain_flags() {
        assert_eq!(says(0), "");
        assert_eq!(says(RECEIVE), "READABLE");
        assert_eq!(says(ACCEPT), "READABLE");
        assert_eq!(says(SEND), "WRITABLE");
        assert_eq!(says(SEND | CONNECT), "WRITABLE");
        assert_eq!(says(RECEIVE | SEND), "READABLE | WRITABLE");
    }

    #[test]
    fn half_close_leaves_the_other_half_open() {
        assert_eq!(says(DISCONNECT), "READABLE | READ_CLOSED");
        assert_eq!(says(DISCONNECT | RECEIVE | SEND), "READABLE | WRITABLE | READ_CLOSED");
    }

    #[test]
    fn the_end_of_a_connection_concerns_both_directions() {
        let end = "READABLE | WRITABLE | ERROR | READ_CLOSED | WRITE_CLOSED";
        assert_eq!(says(ABORT), end);
        assert_eq!(says(CONNECT_FAIL), end);
        for interest in [Interest::READABLE, Interest::WRITABLE] {
            assert_eq!(flags(interest) & (ABORT | CONNECT_FAIL), ABORT | CONNECT_FAIL);
        }
    }

    /// A flag that is polled for and has no meaning would be polled for again at once, for ever.
    #[test]
    fn each_flag_that_is_polled_for_has_a_meaning() {
        for interest in [Interest::READABLE, Interest::WRITABLE] {
            let polled = flags(interest) & !LOCAL_CLOSE;
            for (flag, name) in NAMES {
                assert!(polled & flag == 0 || !readiness(flag).is_none(), "{name}");
            }
        }
    }

    #[test]
    fn no_direction_outside_of_the_interest_is_polled_for() {
        assert_eq!(flags(Interest::READABLE) & SEND, 0);
        assert_eq!(flags(Interest::WRITABLE) & (RECEIVE | ACCEPT | DISCONNECT), 0);
        assert_eq!(flags(Interest::READABLE | Interest::WRITABLE) & RECEIVE_EXPEDITED, 0);
    }
}
