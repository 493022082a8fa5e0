//! The mode of a registration on a one-shot kernel.
//!
//! Invariant: only `Edge` has rechecks, and only its operations re-arm.

use super::Tracking;
use crate::readiness::Interest;

/// How often readiness is reported.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Edge,
    Level,
    OneShot,
    /// One-shot, and the event has come.
    Spent,
}

impl Mode {
    #[cold]
    pub(super) fn of(interest: Interest) -> Mode {
        match (interest.is_level(), interest.is_one_shot()) {
            (true, _) => Mode::Level,
            (_, true) => Mode::OneShot,
            _ => Mode::Edge,
        }
    }

    /// Returns the tracking of a source that was in this mode, after a `SourceFd` has reregistered it. The operations
    /// of an `IoSource` are tracked still, unless the mode was one in which none re-arms.
    #[cold]
    pub(super) fn tracking_by_descriptor(self, before: Tracking) -> Tracking {
        match self {
            Mode::Edge => before,
            _ => Tracking::Untracked,
        }
    }
}
