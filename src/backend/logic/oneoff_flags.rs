//! The results of `poll_oneoff`, the call by which WASI's first preview polls, and their meaning. Pure: no OS.
//!
//! Each subscription has a result, with a type, an error and flags of its own. The results of one source are joined as
//! flags.
//!
//! Invariant: a subscription that has failed makes its direction ready, since an operation would return the error.

use crate::readiness::PollFlags;

pub(crate) const INPUT: u32 = 1 << 0;
pub(crate) const OUTPUT: u32 = 1 << 1;
pub(crate) const HANGUP: u32 = 1 << 2;
pub(crate) const ERROR: u32 = 1 << 3;
/// The descriptor isn't open.
pub(crate) const INVALID: u32 = 1 << 4;

pub(crate) const FLAGS: PollFlags = PollFlags {
    input: INPUT,
    output: OUTPUT,
    socket_output: 0,
    priority: 0,
    read_hangup: HANGUP,
    error: ERROR | INVALID,
    hangup: 0,
};

pub(crate) const NAMES: [(u32, &str); 5] = [
    (INPUT, "FD_READ"),
    (OUTPUT, "FD_WRITE"),
    (HANGUP, "FD_READWRITE_HANGUP"),
    (ERROR, "ERROR"),
    (INVALID, "BADF"),
];

/// The numbers of WASI's interface.
pub(crate) const TYPE_READ: u8 = 1;
pub(crate) const TYPE_WRITE: u8 = 2;
pub(crate) const ERRNO_SUCCESS: u16 = 0;
pub(crate) const ERRNO_BADF: u16 = 8;
pub(crate) const FLAG_HANGUP: u16 = 1;

/// Returns the flags of one result: that the subscription's direction is ready, or why it can't be waited for. Then it
/// is ready too, since an operation would return the error.
pub(crate) const fn answer(of_type: u8, errno: u16, flags: u16) -> u32 {
    let direction = match of_type {
        TYPE_READ => INPUT,
        TYPE_WRITE => OUTPUT,
        _ => return 0,
    };
    match errno {
        ERRNO_SUCCESS if flags & FLAG_HANGUP != 0 => direction | HANGUP,
        ERRNO_SUCCESS => direction,
        ERRNO_BADF => direction | INVALID,
        _ => direction | ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::{Event, Token};

    const TYPE_CLOCK: u8 = 0;

    fn event(flags: u32) -> Event {
        Event::new(Token(0), FLAGS.readiness(flags), 0, flags)
    }

    /// All of them, except for Miri, which would take minutes.
    const ERRNOS: u16 = if cfg!(miri) { 99 } else { u16::MAX };

    #[test]
    fn a_direction_is_ready() {
        let read = event(answer(TYPE_READ, 0, 0));
        assert!(read.is_readable() && !read.is_writable() && !read.is_read_closed() && !read.is_error());
        let written = event(answer(TYPE_WRITE, 0, 0));
        assert!(written.is_writable() && !written.is_readable() && !written.is_write_closed());
    }

    #[test]
    fn a_hang_up_is_the_end_of_reading() {
        let read = event(answer(TYPE_READ, 0, FLAG_HANGUP));
        assert!(read.is_readable() && read.is_read_closed());
        assert!(!read.is_writable() && !read.is_write_closed() && !read.is_error());
        let written = event(answer(TYPE_WRITE, 0, FLAG_HANGUP));
        assert!(written.is_writable() && written.is_read_closed() && !written.is_write_closed());
        // Unknown flags mean nothing.
        assert!(!event(answer(TYPE_READ, 0, !FLAG_HANGUP)).is_read_closed());
    }

    /// Whatever the errno, the source has an error event, in the direction that was requested.
    #[test]
    fn a_failed_subscription_is_an_error_of_its_source() {
        for errno in 1..=ERRNOS {
            let read = event(answer(TYPE_READ, errno, 0));
            assert!(read.is_readable() && read.is_error() && !read.is_writable(), "{errno}");
            let written = event(answer(TYPE_WRITE, errno, 0));
            assert!(written.is_writable() && written.is_error() && !written.is_readable(), "{errno}");
        }
    }

    #[test]
    fn only_a_descriptor_that_is_not_open_is_invalid() {
        for errno in 0..=ERRNOS {
            assert_eq!(answer(TYPE_READ, errno, FLAG_HANGUP) & INVALID != 0, errno == ERRNO_BADF, "{errno}");
        }
    }

    /// The flags of a failed subscription mean nothing.
    #[test]
    fn a_failure_is_no_hang_up() {
        assert!(!event(answer(TYPE_READ, ERRNO_BADF, FLAG_HANGUP)).is_read_closed());
    }

    #[test]
    fn the_clock_has_no_flags() {
        assert_eq!(answer(TYPE_CLOCK, 0, 0), 0);
        assert_eq!(answer(TYPE_CLOCK, ERRNO_BADF, 0), 0);
    }

    #[test]
    fn both_directions_of_a_source_are_put_together() {
        let both = event(answer(TYPE_READ, 0, FLAG_HANGUP) | answer(TYPE_WRITE, 28, 0));
        assert!(both.is_readable() && both.is_writable() && both.is_read_closed() && both.is_error());
    }
}
