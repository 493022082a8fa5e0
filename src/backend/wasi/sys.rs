//! `poll_oneoff`: one subscription for each direction of each source, and one for the clock.
//!
//! # Safety
//!
//! The runtime reads the subscriptions and writes at most as many events.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::backend::logic::oneoff_flags as flags;
use crate::backend::logic::poll_entry::{PollEntry, PollMask};
use crate::backend::name::Backend;
use crate::os::{check, endless_sleep};
use crate::readiness::{Interest, PollFlags};

/// With threads, the longest that a waiting thread may overlook a wake or a registration: WASI can't interrupt a wait.
const SLICE: Duration = Duration::from_millis(10);
/// A longer wait is made of several, since the caller holds the deadline: a runtime may not count that far.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The flags are tested where there is no WASI.
const _: () = assert!(
    flags::TYPE_READ == wasi::EVENTTYPE_FD_READ.raw()
        && flags::TYPE_WRITE == wasi::EVENTTYPE_FD_WRITE.raw()
        && flags::ERRNO_SUCCESS == wasi::ERRNO_SUCCESS.raw()
        && flags::ERRNO_BADF == wasi::ERRNO_BADF.raw()
        && flags::FLAG_HANGUP == wasi::EVENTRWFLAGS_FD_READWRITE_HANGUP
);

/// One descriptor in a poll: what the runtime is asked, and what it has found.
#[derive(Clone)]
pub(crate) struct Entry {
    fd: RawFd,
    interest: Option<Interest>,
    found: u32,
}

impl PollEntry for Entry {
    const BACKEND: Backend = Backend::Wasi;

    const FLAGS: PollFlags = flags::FLAGS;

    const NAMES: &'static [(u32, &'static str)] = &flags::NAMES;

    const INVALID: u32 = flags::INVALID;

    const REPORTS_ENDS: bool = false;

    const NOTHING: Entry = Entry { fd: -1, interest: None, found: 0 };

    type Scratch = Scratch;

    /// A runtime reports nothing unasked.
    fn new(fd: RawFd, mask: PollMask) -> Entry {
        // Like poll(2), which skips a number that no descriptor can have: the notifier's here.
        Entry { fd, interest: mask.interest.filter(|_| fd >= 0), found: 0 }
    }

    #[inline]
    fn found(&self) -> u32 {
        self.found
    }

    fn poll(entries: &mut [Entry], scratch: &mut Scratch, timeout: Option<Duration>) -> io::Result<usize> {
        let has_threads = cfg!(target_feature = "atomics");
        scratch.subscriptions.clear();
        for (index, entry) in entries.iter_mut().enumerate() {
            entry.found = 0;
            scratch.subscriptions.extend(entry.subscriptions(index));
        }
        let asked = scratch.subscriptions.len();
        if asked == 0 && timeout.is_none() && !has_threads {
            return Err(endless_sleep());
        }
        let longest = if has_threads { SLICE } else { LONGEST };
        match timeout {
            Some(timeout) => scratch.subscriptions.push(clock(timeout.min(longest))),
            None if has_threads => scratch.subscriptions.push(clock(SLICE)),
            None => {}
        }

        let events = match scratch.call() {
            Ok(events) => events,
            Err(errno) => {
                // A descriptor that can't be polled has failed the call for all.
                let found = poll_each(entries, scratch);
                return if found > 0 { Ok(found) } else { check(Err(errno)) };
            }
        };
        let results = events.iter().filter(|event| event.userdata != CLOCK);
        // Runtimes made with wasi-common report all of them as ready as soon as one is.
        if asked > 1 && results.clone().count() == asked {
            return Ok(poll_each(entries, scratch));
        }
        let mut found = 0;
        for event in results {
            if let Some(entry) = entries.get_mut(event.userdata as usize) {
                entry.found |= answer(event);
                found += 1;
            }
        }
        Ok(found)
    }
}

impl Entry {
    /// Returns a subscription for each direction that is of interest.
    fn subscriptions(&self, index: usize) -> impl Iterator<Item = wasi::Subscription> {
        let of_fd = wasi::SubscriptionFdReadwrite { file_descriptor: self.fd as wasi::Fd };
        let read = (flags::TYPE_READ, wasi::SubscriptionUU { fd_read: of_fd });
        let write = (flags::TYPE_WRITE, wasi::SubscriptionUU { fd_write: of_fd });
        let reads = self.interest.is_some_and(Interest::is_readable);
        let writes = self.interest.is_some_and(Interest::is_writable);
        [reads.then_some(read), writes.then_some(write)].into_iter().flatten().map(move |(tag, u)| {
            wasi::Subscription { userdata: index as wasi::Userdata, u: wasi::SubscriptionU { tag, u } }
        })
    }
}

/// Polls each subscription alone and without blocking, for a runtime whose result for all can't be used. Returns how
/// many sources have flags.
fn poll_each(entries: &mut [Entry], scratch: &mut Scratch) -> usize {
    let mut found = 0;
    for (index, entry) in entries.iter_mut().enumerate() {
        for subscription in entry.subscriptions(index) {
            scratch.subscriptions.clear();
            scratch.subscriptions.extend([subscription, clock(Duration::ZERO)]);
            entry.found |= match scratch.call() {
                Ok(events) => events.iter().map(answer).fold(0, |all, found| all | found),
                Err(errno) => flags::answer(subscription.u.tag, errno.raw(), 0),
            };
        }
        found += usize::from(entry.found != 0);
    }
    found
}

/// The mark of the clock's subscription. The others have an index of the list.
const CLOCK: wasi::Userdata = wasi::Userdata::MAX;

/// `poll_oneoff` with one subscription to the clock is a sleep.
fn clock(timeout: Duration) -> wasi::Subscription {
    let clock = wasi::SubscriptionClock {
        id: wasi::CLOCKID_MONOTONIC,
        timeout: timeout.as_nanos() as wasi::Timestamp,
        precision: 0,
        flags: 0,
    };
    let u = wasi::SubscriptionU { tag: wasi::EVENTTYPE_CLOCK.raw(), u: wasi::SubscriptionUU { clock } };
    wasi::Subscription { userdata: CLOCK, u }
}

fn answer(event: &wasi::Event) -> u32 {
    flags::answer(event.type_.raw(), event.error.raw(), event.fd_readwrite.flags)
}

/// Memory for the call.
#[derive(Default)]
pub(crate) struct Scratch {
    subscriptions: Vec<wasi::Subscription>,
    events: Vec<wasi::Event>,
}

impl Scratch {
    /// Polls the list of subscriptions, of which there is at least one.
    fn call(&mut self) -> Result<&[wasi::Event], wasi::Errno> {
        self.events.clear();
        self.events.reserve(self.subscriptions.len());
        let (subscriptions, count) = (self.subscriptions.as_ptr(), self.subscriptions.len());
        // SAFETY: as many subscriptions as stated, and room for as many events. The runtime writes those that it
        // counts.
        unsafe {
            let found = wasi::poll_oneoff(subscriptions, self.events.as_mut_ptr(), count)?;
            self.events.set_len(found.min(count));
        }
        Ok(&self.events)
    }
}
