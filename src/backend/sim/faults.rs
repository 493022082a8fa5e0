//! The faults of a simulation, as its user sets them.

/// What a simulation does beside the plain: each is done once in so many times, by the seed, and never for 0.
///
/// The [default](Faults::default) does everything that a program for this library must tolerate without a change in its
/// replies to its peers. Broken connections must be requested.
///
/// ```
/// use wakeful::sim::Faults;
///
/// let rough = Faults { reset: 200, ..Faults::default() };
/// let plain = Faults::NONE;
/// assert!(rough.short > 0 && plain.short == 0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// An event comes later than its reason, by up to 10 ms.
    pub late: u32,
    /// An event comes without a reason.
    pub spurious: u32,
    /// Readable and writable are reported in two events.
    pub split: u32,
    /// An event is left for the next call of `poll`.
    pub postponed: u32,
    /// A read or write moves less than it could. The event for the rest always follows.
    pub short: u32,
    /// A read or write returns `WouldBlock` though it could do something. Its event always follows.
    pub would_block: u32,
    /// `poll` fails with `Interrupted`.
    pub interrupted: u32,
    /// A read or a write fails with `Interrupted`. No kernel interrupts an operation that doesn't block, and tokio
    /// passes the error on.
    pub interrupted_operation: u32,
    /// An operation resets its connection, or a `poll` resets any connection.
    pub reset: u32,
    /// A write shuts down the writing half, behind what was sent before, or a `poll` shuts down that of any connection.
    pub half_close: u32,
    /// A datagram is lost.
    pub lost: u32,
}

impl Faults {
    /// A world in which everything is prompt and whole.
    pub const NONE: Faults = Faults {
        late: 0,
        spurious: 0,
        split: 0,
        postponed: 0,
        short: 0,
        would_block: 0,
        interrupted: 0,
        interrupted_operation: 0,
        reset: 0,
        half_close: 0,
        lost: 0,
    };

    /// The default without what no kernel does: no operation fails with `Interrupted`. For programs on tokio and other
    /// runtimes.
    pub const TOKIO: Faults = Faults { interrupted_operation: 0, ..Faults::ALL };

    const ALL: Faults = Faults {
        late: 4,
        spurious: 20,
        split: 3,
        postponed: 5,
        short: 3,
        would_block: 8,
        interrupted: 30,
        interrupted_operation: 30,
        ..Faults::NONE
    };
}

impl Default for Faults {
    /// Everything but what breaks connections or loses datagrams.
    fn default() -> Faults {
        Faults::ALL
    }
}
