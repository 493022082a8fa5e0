//! The meaning of POLLIN and its siblings, once for every kernel that has them.
//!
//! Invariant: a combination of flags means the same on every kernel; only the bits differ.

use super::event::Readiness;

/// The bits that a kernel uses for each of poll(2)'s flags; 0 for a flag that it lacks.
///
/// epoll, poll(2), event ports and WASI differ only in the numbers.
pub(crate) struct PollFlags {
    pub input: u32,
    pub output: u32,
    /// A socket is writable, but never a pipe: Linux's `POLLWRBAND`, of datagram and Unix sockets.
    pub socket_output: u32,
    pub priority: u32,
    /// The peer has shut down its writing half: Linux's `POLLRDHUP`.
    pub read_hangup: u32,
    pub error: u32,
    pub hangup: u32,
}

impl PollFlags {
    /// Translates `raw`.
    ///
    /// A kernel reports errors and hang-ups whatever the interest is, and doesn't return the interest. So readable
    /// and writable come from their own flags as far as those are set:
    ///
    /// - A hang-up alone is the end of a pipe or FIFO seen by its reader: readable.
    /// - An error alone is either a datagram socket's (seen by a reader) or that of a full pipe whose reader has gone
    ///   (seen by a writer): readable and writable, since leaving one out could lose an event.
    ///
    /// An error with room to write is the end of a pipe without a reader, unless the source is known to be a socket:
    /// there an error concerns one datagram, and closes nothing.
    #[inline]
    pub(crate) const fn readiness(&self, raw: u32) -> Readiness {
        let input = raw & self.input != 0;
        let output = raw & self.output != 0;
        let socket_output = raw & self.socket_output != 0;
        let priority = raw & self.priority != 0;
        let read_hangup = raw & self.read_hangup != 0;
        let error = raw & self.error != 0;
        let hangup = raw & self.hangup != 0;
        let lone_error = error && !input && !output;

        Readiness::NONE
            .union(
                Readiness::READABLE
                    .when(input || priority || read_hangup || (hangup && !output) || lone_error),
            )
            .union(Readiness::WRITABLE.when(output || lone_error))
            .union(Readiness::ERROR.when(error))
            .union(Readiness::READ_CLOSED.when(hangup || read_hangup))
            .union(Readiness::WRITE_CLOSED.when(hangup || (error && !input && !socket_output)))
            .union(Readiness::PRIORITY.when(priority))
    }

    /// Translates `raw`, and marks the flags that follow from other flags: for backends that compare one report with
    /// the next.
    #[inline]
    pub(crate) const fn levels(&self, raw: u32) -> Readiness {
        if raw & (self.priority | self.error | self.hangup) == 0 {
            return self.readiness(raw);
        }
        let input = raw & (self.input | self.read_hangup) != 0;
        let output = raw & self.output != 0;
        let leftover = raw & self.hangup != 0 && raw & self.input != 0 && raw & self.read_hangup == 0;
        let found = self.readiness(raw);

        found
            .union(Readiness::DERIVED_READ.when(found.intersects(Readiness::READABLE) && !input))
            .union(Readiness::DERIVED_WRITE.when(found.intersects(Readiness::WRITABLE) && !output))
            .union(Readiness::LEFTOVER.when(leftover))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: PollFlags = PollFlags {
        input: 1,
        priority: 2,
        output: 4,
        error: 8,
        hangup: 16,
        read_hangup: 32,
        socket_output: 64,
    };

    fn readiness(raw: u32) -> String {
        format!("{:?}", FLAGS.readiness(raw))
    }

    #[test]
    fn plain_flags() {
        assert_eq!(readiness(0), "");
        assert_eq!(readiness(1), "READABLE");
        assert_eq!(readiness(4), "WRITABLE");
        assert_eq!(readiness(1 | 4), "READABLE | WRITABLE");
        assert_eq!(readiness(2), "READABLE | PRIORITY");
    }

    #[test]
    fn half_close_leaves_the_other_half_open() {
        assert_eq!(readiness(1 | 32), "READABLE | READ_CLOSED");
        assert_eq!(readiness(1 | 4 | 32), "READABLE | WRITABLE | READ_CLOSED");
    }

    #[test]
    fn a_fifo_with_a_leftover_differs_from_an_empty_one() {
        assert_eq!(readiness(1 | 16), readiness(16));
        assert!(FLAGS.levels(1 | 16).intersects(Readiness::LEFTOVER));
        assert!(!FLAGS.levels(16).intersects(Readiness::LEFTOVER));
        assert!(!FLAGS.levels(1 | 4 | 16 | 32).intersects(Readiness::LEFTOVER));
    }

    #[test]
    fn the_directions_of_a_lone_error_are_derived() {
        let derived = Readiness::DERIVED_READ.union(Readiness::DERIVED_WRITE);
        assert_eq!(FLAGS.levels(8).and(derived), derived);
        assert_eq!(FLAGS.levels(8 | 1).and(derived), Readiness::NONE);
        assert_eq!(FLAGS.levels(8 | 4).and(derived), Readiness::NONE);
        // Priority data and a hang-up are readable, and no input.
        assert_eq!(FLAGS.levels(2).and(derived), Readiness::DERIVED_READ);
        assert_eq!(FLAGS.levels(16).and(derived), Readiness::DERIVED_READ);
        assert_eq!(FLAGS.levels(1 | 2 | 16).and(derived), Readiness::NONE);
        for raw in 0..128 {
            let hidden = derived.union(Readiness::LEFTOVER);
            assert_eq!(FLAGS.levels(raw).without(hidden), FLAGS.readiness(raw));
        }
    }

    #[test]
    fn an_error_is_readable_or_writable_too() {
        for raw in 0..128 {
            let found = FLAGS.readiness(raw);
            if found.intersects(Readiness::ERROR) {
                assert!(found.intersects(Readiness::READABLE) || found.intersects(Readiness::WRITABLE));
            }
        }
    }

    #[test]
    fn only_the_interest_is_reported() {
        // Readable alone was asked for: a reset connection, and the end of a pipe.
        assert!(!FLAGS.readiness(1 | 8 | 16 | 32).intersects(Readiness::WRITABLE));
        assert!(!FLAGS.readiness(16).intersects(Readiness::WRITABLE));
        // Writable alone was asked for: a reset connection, and an unconnected socket.
        assert!(!FLAGS.readiness(4 | 8 | 16).intersects(Readiness::READABLE));
        assert!(!FLAGS.readiness(4 | 16).intersects(Readiness::READABLE));
    }

    #[test]
    fn an_error_of_a_datagram_closes_nothing() {
        assert_eq!(readiness(4 | 8 | 64), "WRITABLE | ERROR");
        assert_eq!(readiness(4 | 8 | 16 | 64), "WRITABLE | ERROR | READ_CLOSED | WRITE_CLOSED");
    }

    #[test]
    fn the_reader_of_a_pipe_has_gone() {
        assert_eq!(readiness(4 | 8), "WRITABLE | ERROR | WRITE_CLOSED");
        assert_eq!(readiness(8), "READABLE | WRITABLE | ERROR | WRITE_CLOSED");
    }
}
