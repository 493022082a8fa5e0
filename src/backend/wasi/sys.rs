//! `poll_oneoff`: one subscription for each direction of each source, and one for the clock.
//!
//! # Safety
//!
//! The runtime reads the subscriptions and writes at most as many events.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use super::super::ask::{Ask, Wanted};
use super::super::Backend;
use crate::os::{check, endless_sleep};
use crate::readiness::{Interest, PollWords};

/// With threads, the longest that a sleeper may not notice a wake or a registration: WASI can't end its sleep.
const SLICE: Duration = Duration::from_millis(10);
/// A longer sleep is made of several, since the caller holds the deadline: a runtime may not count that far.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

const INPUT: u32 = 1 << 0;
const OUTPUT: u32 = 1 << 1;
const HANGUP: u32 = 1 << 2;
const ERROR: u32 = 1 << 3;
const INVALID: u32 = 1 << 4;

/// What the runtime is asked about one descriptor, and its answer.
#[derive(Clone)]
pub(crate) struct Subscribed {
    fd: RawFd,
    interest: Option<Interest>,
    found: u32,
}

impl Ask for Subscribed {
    const BACKEND: Backend = Backend::Wasi;

    const WORDS: PollWords = PollWords {
        input: INPUT,
        output: OUTPUT,
        socket_output: 0,
        priority: 0,
        read_hangup: HANGUP,
        error: ERROR,
        hangup: 0,
    };

    const NAMES: &'static [(u32, &'static str)] = &[
        (INPUT, "FD_READ"),
        (OUTPUT, "FD_WRITE"),
        (HANGUP, "FD_READWRITE_HANGUP"),
        (ERROR, "ERROR"),
        (INVALID, "BADF"),
    ];

    const INVALID: u32 = INVALID;

    const NOTHING: Subscribed = Subscribed { fd: -1, interest: None, found: 0 };

    type Scratch = Scratch;

    /// A runtime tells nothing unasked.
    fn new(fd: RawFd, wanted: Wanted) -> Subscribed {
        // Like poll(2), which passes over a number that none can have: the notifier's here.
        Subscribed { fd, interest: wanted.interest.filter(|_| fd >= 0), found: 0 }
    }

    #[inline]
    fn found(&self) -> u32 {
        self.found
    }

    fn poll(asks: &mut [Subscribed], scratch: &mut Scratch, timeout: Option<Duration>) -> io::Result<()> {
        let has_threads = cfg!(target_feature = "atomics");
        scratch.subscriptions.clear();
        for (index, ask) in asks.iter_mut().enumerate() {
            ask.found = 0;
            ask.subscribe(index, &mut scratch.subscriptions);
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
                // One that can't be asked about has spoiled it for all.
                look_at_each(asks, scratch);
                let is_explained = asks.iter().any(|ask| ask.found != 0);
                return if is_explained { Ok(()) } else { check(Err(errno)) };
            }
        };
        let told = events.iter().filter(|event| event.userdata != CLOCK);
        // Runtimes made with wasi-common call all of them ready as soon as one is.
        if asked > 1 && told.clone().count() == asked {
            look_at_each(asks, scratch);
            return Ok(());
        }
        told.for_each(|event| asks[event.userdata as usize].found |= answer(event));
        Ok(())
    }
}

impl Subscribed {
    fn subscribe(&self, index: usize, to: &mut Vec<wasi::Subscription>) {
        let Some(interest) = self.interest else {
            return;
        };
        let file_descriptor = self.fd as wasi::Fd;
        let of_fd = wasi::SubscriptionFdReadwrite { file_descriptor };
        let userdata = index as wasi::Userdata;
        if interest.is_readable() {
            let u = wasi::SubscriptionUU { fd_read: of_fd };
            let tag = wasi::EVENTTYPE_FD_READ.raw();
            to.push(wasi::Subscription { userdata, u: wasi::SubscriptionU { tag, u } });
        }
        if interest.is_writable() {
            let u = wasi::SubscriptionUU { fd_write: of_fd };
            let tag = wasi::EVENTTYPE_FD_WRITE.raw();
            to.push(wasi::Subscription { userdata, u: wasi::SubscriptionU { tag, u } });
        }
    }
}

/// Asks about each subscription alone and without sleeping, for a runtime whose answer about all can't be used.
fn look_at_each(asks: &mut [Subscribed], scratch: &mut Scratch) {
    let mut alone = Vec::with_capacity(2);
    for (index, ask) in asks.iter_mut().enumerate() {
        ask.subscribe(index, &mut alone);
        for subscription in alone.drain(..) {
            let tag = subscription.u.tag;
            scratch.subscriptions.clear();
            scratch.subscriptions.extend([subscription, clock(Duration::ZERO)]);
            match scratch.call() {
                Ok(events) => {
                    let told = events.iter().filter(|event| event.userdata != CLOCK);
                    told.for_each(|event| ask.found |= answer(event));
                }
                Err(errno) => ask.found |= failure(errno) | direction(tag),
            }
        }
    }
}

/// The mark of the clock's subscription. The others have a place in the list.
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
    let mut found = direction(event.type_.raw());
    if event.error != wasi::ERRNO_SUCCESS {
        found |= failure(event.error);
    } else if event.fd_readwrite.flags & wasi::EVENTRWFLAGS_FD_READWRITE_HANGUP != 0 {
        found |= HANGUP;
    }
    found
}

fn direction(tag: u8) -> u32 {
    if tag == wasi::EVENTTYPE_FD_READ.raw() {
        INPUT
    } else {
        OUTPUT
    }
}

fn failure(errno: wasi::Errno) -> u32 {
    match errno {
        wasi::ERRNO_BADF => INVALID,
        _ => ERROR,
    }
}

/// Memory for the call.
#[derive(Default)]
pub(crate) struct Scratch {
    subscriptions: Vec<wasi::Subscription>,
    events: Vec<wasi::Event>,
}

impl Scratch {
    /// Asks what stands in the list of subscriptions, of which there is at least one.
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
