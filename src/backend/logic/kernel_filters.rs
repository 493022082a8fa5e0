//! The registrations of a kqueue that watch no descriptor: signals, processes and timers. Pure: no OS.
//!
//! The list is by filter and identifier, apart from the one of descriptors, since a process and a descriptor may have
//! the same number.
//!
//! A registration is renewed in place where that is possible: so a signal that has arrived, or a process that has ended
//! since a one-shot event is not forgotten, and is reported. A timer is deleted and added, since only some kernels
//! restart one that exists. So is a knote that changes its mode, since FreeBSD keeps the flags of one that exists.
//!
//! Invariant: a registration has a record here exactly while the program has registered it and not deregistered it.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

use super::watch::{FilterChange, FilterOwner};
use crate::os::{errors, FilterId, KernelFilter};
use crate::readiness::{Interest, Token};

/// The system calls on one knote.
pub(crate) trait FilterCalls {
    /// Adds the knote, or renews the one that exists.
    fn add(&self, record: &FilterRecord) -> io::Result<()>;

    /// Fails with `NotFound` if the knote doesn't exist.
    fn delete(&self, filter: &KernelFilter) -> io::Result<()>;
}

/// A knote as it was registered.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilterRecord {
    pub filter: KernelFilter,
    pub token: Token,
    pub is_one_shot: bool,
    pub owner: FilterOwner,
}

/// The registrations of one kqueue, and of each whether the kernel has dropped its knote.
#[derive(Debug, Default)]
pub(crate) struct KernelFilters(BTreeMap<FilterId, (FilterRecord, bool)>);

impl KernelFilters {
    pub(crate) fn change(
        &mut self,
        calls: &impl FilterCalls,
        filter: &KernelFilter,
        owner: FilterOwner,
        change: FilterChange,
    ) -> io::Result<()> {
        let id = filter.id();
        let old = self.0.get(&id).copied();
        let is_own = old.is_some_and(|(record, _)| record.owner == owner);
        let record = match (change, old) {
            (FilterChange::Register(..), Some((_, false))) => return Err(ErrorKind::AlreadyExists.into()),
            (FilterChange::Reregister(..) | FilterChange::Deregister, _) if !is_own => {
                return Err(ErrorKind::NotFound.into());
            }
            // Another process may have the number by now. A `KernelFilter` is about whichever has it.
            (FilterChange::Reregister(..), Some((_, true))) if owner != FilterOwner::SHARED => {
                return Err(io::Error::from_raw_os_error(errors::NO_PROCESS));
            }
            (FilterChange::Deregister, _) => {
                self.0.remove(&id);
                return delete(calls, filter);
            }
            (FilterChange::Register(token, interest) | FilterChange::Reregister(token, interest), _) => {
                FilterRecord { filter: *filter, token, is_one_shot: is_one_shot(interest)?, owner }
            }
        };
        match old {
            Some((old, is_gone)) if !record.renews(&old) => {
                delete(calls, filter)?;
                if let Err(e) = add(calls, &record) {
                    if !is_gone {
                        // The error of the change is more important.
                        let _ = add(calls, &old);
                    }
                    return Err(e);
                }
            }
            _ => add(calls, &record)?,
        }
        self.0.insert(id, (record, false));
        Ok(())
    }

    /// Notes that the kernel has dropped the knote of a process, with the event of its end.
    pub(crate) fn process_ended(&mut self, id: u32) {
        if let Some((_, is_gone)) = self.0.get_mut(&FilterId::Process(id)) {
            *is_gone = true;
        }
    }
}

impl FilterRecord {
    /// Returns whether adding this knote renews that of `old`.
    fn renews(&self, old: &FilterRecord) -> bool {
        let is_timer = matches!(self.filter, KernelFilter::Timer { .. });
        !is_timer && self.filter == old.filter && self.is_one_shot == old.is_one_shot
    }
}

/// Returns whether an interest is one-shot, if it is one that these filters can report.
fn is_one_shot(interest: Interest) -> io::Result<bool> {
    match interest.kinds() == Interest::READABLE && !interest.is_level() {
        true => Ok(interest.is_one_shot()),
        false => {
            Err(io::Error::new(ErrorKind::Unsupported, "a `KernelFilter` has edges of `READABLE` alone"))
        }
    }
}

/// Adds a knote, also if a signal interrupts the call.
fn add(calls: &impl FilterCalls, record: &FilterRecord) -> io::Result<()> {
    loop {
        match calls.add(record) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Deletes a knote, if it exists: the kernel drops that of a process which has ended.
fn delete(calls: &impl FilterCalls, filter: &KernelFilter) -> io::Result<()> {
    loop {
        match calls.delete(filter) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            result => return result,
        }
    }
}

/// Returns the notes and the number of an interval: in nanoseconds, if the kernel has that note and the number fits,
/// else in milliseconds. Rounded up, and never zero, which some kernels take for no timer.
pub(crate) fn timer_value(interval: Duration, nanoseconds: Option<u32>) -> (u32, isize) {
    if let (Some(note), Ok(count)) = (nanoseconds, isize::try_from(interval.as_nanos())) {
        return (note, count.max(1));
    }
    let count = (interval.as_nanos() + 999_999) / 1_000_000;
    (0, isize::try_from(count).unwrap_or(isize::MAX).max(1))
}

#[cfg(test)]
mod tests;
