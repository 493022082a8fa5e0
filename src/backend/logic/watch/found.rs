//! What a kernel has found, as flags and as directions.
//!
//! Invariant: each function depends on its arguments alone, so the state machine decides nothing here.

use crate::readiness::{Interest, Readiness};

/// Returns `found` without the flags that follow from others.
pub(super) fn without_derived(found: Readiness) -> Readiness {
    found
        .without(Readiness::READABLE.when(found.intersects(Readiness::DERIVED_READ)))
        .without(Readiness::WRITABLE.when(found.intersects(Readiness::DERIVED_WRITE)))
        .without(Readiness::DERIVED_READ.union(Readiness::DERIVED_WRITE))
}

/// Returns whether a flag of `found` lasts.
pub(super) fn lasts(found: Readiness) -> bool {
    is_hang_up(found) || found.intersects(Readiness::ERROR)
}

/// Returns the flags of `last` that are absent `now` and need not be reported: they were used up.
pub(super) fn lost(last: Readiness, now: Readiness) -> Readiness {
    last.without(now).without(Readiness::READ_CLOSED.union(Readiness::WRITE_CLOSED))
}

/// Returns whether `now` has a flag that `last` did not have, or a half is open again. A flag that was used up is no
/// change.
pub(super) fn has_changed(last: Readiness, now: Readiness) -> bool {
    let last = without_derived(last);
    last.without(lost(last, now)) != now
}

pub(super) fn readiness_of(directions: Interest) -> Readiness {
    Readiness::READABLE
        .when(directions.is_readable() || directions.is_priority() || directions.is_end())
        .union(Readiness::WRITABLE.when(directions.is_writable()))
}

/// Returns the flags that a kernel reports only if it is asked about `directions`.
pub(super) fn flags_of(directions: Interest) -> Readiness {
    let reading = Readiness::READABLE.union(Readiness::READ_CLOSED).union(Readiness::LEFTOVER);
    reading
        .when(directions.is_readable())
        .union(Readiness::WRITABLE.when(directions.is_writable()))
        .union(Readiness::PRIORITY.when(directions.is_priority()))
}

/// Returns `found` without the directions that are not in `wanted`.
pub(super) fn only(wanted: Interest, found: Readiness) -> Readiness {
    let reads = wanted.is_readable() || wanted.is_priority() || wanted.is_end();
    found
        .without(Readiness::READABLE.when(!reads))
        .without(Readiness::WRITABLE.when(!wanted.is_writable()))
        .without(Readiness::PRIORITY.when(!wanted.is_priority()))
}

pub(super) fn has_direction(found: Readiness) -> bool {
    found.intersects(Readiness::READABLE.union(Readiness::WRITABLE).union(Readiness::PRIORITY))
}

/// Returns whether both halves are closed.
pub(super) fn is_hang_up(found: Readiness) -> bool {
    found.intersects(Readiness::READ_CLOSED) && found.intersects(Readiness::WRITE_CLOSED)
}

/// Returns the directions in which an operation would make progress.
pub(super) fn directions(found: Readiness) -> Option<Interest> {
    let mut directions = None;
    for (flag, direction) in [
        (Readiness::READABLE, Interest::READABLE),
        (Readiness::READ_CLOSED, Interest::READABLE),
        (Readiness::WRITABLE, Interest::WRITABLE),
        (Readiness::PRIORITY, Interest::PRIORITY_DATA),
    ] {
        if found.intersects(flag) {
            directions = join(directions, Some(direction));
        }
    }
    directions
}

pub(super) fn join(a: Option<Interest>, b: Option<Interest>) -> Option<Interest> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.union(b)),
        (a, b) => a.or(b),
    }
}
