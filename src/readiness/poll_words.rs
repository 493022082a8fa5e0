//! What POLLIN and its siblings mean, once for every kernel that speaks them.

use super::event::Readiness;

/// The bits that a kernel with poll(2)'s vocabulary uses for each of its words; 0 for a word that it lacks.
///
/// epoll, poll(2), event ports and WASI differ in the numbers alone, so the meaning of a combination stands
/// here and nowhere else.
pub(crate) struct PollWords {
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

impl PollWords {
    /// What `raw` tells.
    ///
    /// A kernel reports errors and hang-ups even if nobody asked, and doesn't say what was asked. So readable
    /// and writable are taken from the words for them as far as those are there:
    ///
    /// - A hang-up alone is the end of a pipe or FIFO seen by its reader: reading answers at once.
    /// - An error alone is either a datagram socket's (seen by a reader) or a full pipe's whose reader has gone
    ///   (seen by a writer): both, since to miss one would be to lose an event.
    ///
    /// An error with room to write is the end of a pipe without a reader, unless it is known to be a socket's: there an
    /// error is the fate of one datagram, and closes nothing.
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
            .union(Readiness::LEFTOVER.when(hangup && input && !read_hangup))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: PollWords = PollWords {
        input: 1,
        priority: 2,
        output: 4,
        error: 8,
        hangup: 16,
        read_hangup: 32,
        socket_output: 64,
    };

    fn readiness(raw: u32) -> String {
        format!("{:?}", WORDS.readiness(raw))
    }

    #[test]
    fn plain_words() {
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
    fn a_fifo_with_a_leftover_is_told_from_an_empty_one() {
        assert_eq!(readiness(1 | 16), readiness(16));
        assert!(WORDS.readiness(1 | 16) != WORDS.readiness(16));
        assert!(
            WORDS.readiness(1 | 4 | 16 | 32) == WORDS.readiness(1 | 4 | 16 | 32).without(Readiness::LEFTOVER)
        );
    }

    #[test]
    fn an_error_is_readable_or_writable_too() {
        for raw in 0..128 {
            let found = WORDS.readiness(raw);
            if found.intersects(Readiness::ERROR) {
                assert!(found.intersects(Readiness::READABLE) || found.intersects(Readiness::WRITABLE));
            }
        }
    }

    #[test]
    fn what_was_not_asked_is_not_reported() {
        // Readable alone was asked: a reset connection, and the end of a pipe.
        assert!(!WORDS.readiness(1 | 8 | 16 | 32).intersects(Readiness::WRITABLE));
        assert!(!WORDS.readiness(16).intersects(Readiness::WRITABLE));
        // Writable alone was asked: a reset connection, and an unconnected socket.
        assert!(!WORDS.readiness(4 | 8 | 16).intersects(Readiness::READABLE));
        assert!(!WORDS.readiness(4 | 16).intersects(Readiness::READABLE));
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
