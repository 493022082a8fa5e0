//! The associations on a port that follows illumos' sources, and counts its calls and its events.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use super::super::registrations::{Locked, Registrations};
use super::super::watch::{RearmCause, Registration, Tracking};
use super::*;
use crate::readiness::{Interest, Token};

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
const IN: u32 = libc::POLLIN as u32;
const OUT: u32 = libc::POLLOUT as u32;
const GONE: u32 = libc::POLLNVAL as u32;

/// A port after illumos' sources (usr/src/uts/common/fs/portfs), which counts its calls.
#[derive(Default)]
struct Fake(Mutex<State>);

#[derive(Default)]
struct State {
    associated: BTreeMap<RawFd, (PollMask, u64)>,
    /// Descriptors that the port keeps an event for: `port_associate_fd` in port_fd.c allocates one with the first
    /// association, as `PORT_ALLOC_CACHED`, and only `port_dissociate_fd` and a close free it.
    held_events: BTreeSet<RawFd>,
    /// Notifications that were sent: `port_send` in port.c allocates an event, which a fetch frees.
    sent: usize,
    /// The limit of both together (`port_max_events`), or none.
    limit: Option<usize>,
    /// `PORTQ_ALERT`.
    is_alert: bool,
    /// What the kernel has found for associated descriptors.
    ready: Vec<(RawFd, u32)>,
    calls: usize,
    refuses: bool,
}

impl State {
    /// `port_alloc_event_local` in port_subr.c.
    fn has_room(&self) -> io::Result<()> {
        match self.limit {
            Some(limit) if self.held_events.len() + self.sent >= limit => {
                Err(io::Error::from_raw_os_error(libc::EAGAIN))
            }
            _ => Ok(()),
        }
    }
}

impl PortCalls for Fake {
    fn associate(&self, fd: RawFd, mask: PollMask, user: u64) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.calls += 1;
        if state.refuses {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        if !state.held_events.contains(&fd) {
            state.has_room()?;
            state.held_events.insert(fd);
        }
        state.associated.insert(fd, (mask, user));
        Ok(())
    }

    fn dissociate(&self, fd: RawFd) {
        let mut state = self.0.lock().unwrap();
        state.calls += 1;
        state.associated.remove(&fd);
        state.held_events.remove(&fd);
    }

    fn send(&self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.has_room()?;
        state.sent += 1;
        Ok(())
    }

    fn alert(&self, is_set: bool) -> io::Result<()> {
        self.0.lock().unwrap().is_alert = is_set;
        Ok(())
    }

    /// `port_getn` in port.c: the alert comes first, alone, and as long as it is set.
    fn fetch(
        &self,
        _: usize,
        timeout: Option<Duration>,
        take: &mut dyn FnMut(&mut dyn Iterator<Item = Found>),
    ) -> io::Result<bool> {
        let mut state = self.0.lock().unwrap();
        let mut found = Vec::new();
        if state.is_alert {
            found.push(Found::Alert);
        } else {
            found.resize(std::mem::take(&mut state.sent), Found::Notification);
            for (fd, raw) in std::mem::take(&mut state.ready) {
                // Its event stays allocated: it is cached (`PORT_KEV_WIRED`).
                let (_, user) = state.associated.remove(&fd).expect("an association");
                found.push(Found::Descriptor { user, raw });
            }
        }
        drop(state);
        assert!(timeout.is_some() || !found.is_empty(), "it sleeps for ever");
        take(&mut found.into_iter());
        Ok(false)
    }
}

struct Test {
    port: Arc<Fake>,
    registrations: Registrations<PortState<Fake>>,
    ours: UnixStream,
    theirs: UnixStream,
}

impl Test {
    fn new() -> Test {
        let port = Arc::new(Fake::default());
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        Test { registrations: Registrations::new(PortState::new(Arc::clone(&port))), port, ours, theirs }
    }

    fn fd(&self) -> RawFd {
        self.ours.as_raw_fd()
    }

    fn insert(&self, tracking: Tracking, interest: Interest) -> WatchKey {
        self.try_insert(tracking, interest).unwrap()
    }

    fn try_insert(&self, tracking: Tracking, interest: Interest) -> io::Result<WatchKey> {
        self.registrations
            .register(self.fd(), Registration { token: Token(7), interest, tracking })
            .map(|(_table, key)| key)
    }

    fn table(&self) -> Locked<'_, PortState<Fake>> {
        self.registrations.lock()
    }

    /// Rechecks what is due, and returns when the next recheck is due.
    fn recheck(&self, events: &mut Events) -> Option<std::time::Duration> {
        self.registrations.recheck_all(self.table(), events).1.unwrap()
    }

    /// Returns what the socket is associated for, if it is.
    fn submitted(&self) -> Option<Interest> {
        self.associated().and_then(|(mask, _)| mask.interest)
    }

    fn associated(&self) -> Option<(PollMask, u64)> {
        self.port.0.lock().unwrap().associated.get(&self.fd()).copied()
    }

    fn calls(&self) -> usize {
        self.port.0.lock().unwrap().calls
    }

    /// Fetches an event from the kernel's queue, which ends the association.
    fn take(&self) -> u64 {
        self.port.0.lock().unwrap().associated.remove(&self.fd()).unwrap().1
    }

    /// Limits the number of the port's events.
    fn limit(&self, limit: usize) {
        self.port.0.lock().unwrap().limit = Some(limit);
    }

    fn fetched(&mut self, user: u64, raw: u32) -> Vec<String> {
        let mut events = Events::with_capacity(8);
        self.table().fetched(Found::Descriptor { user, raw }, &mut events);
        shown(&events)
    }

    /// Reports `raw` for the descriptor that is associated.
    fn reports(&mut self, raw: u32) -> Vec<String> {
        let user = self.take();
        self.fetched(user, raw)
    }
}

fn shown(events: &Events) -> Vec<String> {
    events.iter().map(|event| format!("{} {:?}", event.token().0, event.readiness())).collect()
}

#[test]
fn a_key_survives_the_kernel() {
    for key in [
        WatchKey { slot: 0, generation: NonZeroU32::MIN },
        WatchKey { slot: 1, generation: NonZeroU32::MAX },
        WatchKey { slot: u32::MAX, generation: NonZeroU32::MIN },
    ] {
        assert_eq!(to_key(to_user(key)), Some(key));
    }
}

#[test]
fn a_registration_is_associated_with_its_key() {
    let test = Test::new();
    let key = test.insert(Tracking::Tracked, BOTH);
    let mask = PollMask { interest: Some(BOTH), read_hangup: true };
    assert_eq!(test.associated(), Some((mask, to_user(key))));
    assert_eq!(test.calls(), 1);
}

#[test]
fn after_a_report_only_news_is_associated_again() {
    let mut test = Test::new();
    let key = test.insert(Tracking::Tracked, BOTH);
    assert_eq!(test.reports(OUT), ["7 WRITABLE"]);
    assert_eq!(test.submitted(), Some(READ), "the other direction is still associated");
    assert_eq!(test.reports(IN), ["7 READABLE"]);
    assert_eq!(test.submitted(), None, "both were reported");
    assert!(test.associated().is_some(), "but the end would be news");
    test.table().change(key, |watch| watch.rearm(RearmCause::Direction(READ))).unwrap();
    assert_eq!(test.submitted(), Some(READ));
    assert_eq!(test.calls(), 4, "one for the registration, one for each event, one to arm again");
}

#[test]
fn a_source_at_its_end_is_not_associated() {
    let mut test = Test::new();
    test.insert(Tracking::Tracked, READ);
    let hangup = u32::from((libc::POLLHUP | libc::POLLIN) as u16);
    assert_eq!(test.reports(hangup), ["7 READABLE | READ_CLOSED | WRITE_CLOSED"]);
    assert_eq!(test.associated(), None, "the kernel would report it for as long as it lasts");
}

#[test]
fn an_unchanged_mask_costs_no_call() {
    let mut test = Test::new();
    let key = test.insert(Tracking::Tracked, READ);
    test.table().change(key, |watch| watch.rearm(RearmCause::Direction(READ))).unwrap();
    test.table().change(key, |watch| watch.replace(Registration::tracked(Token(8), READ))).unwrap();
    assert_eq!(test.calls(), 1);
    assert_eq!(test.reports(IN), ["8 READABLE"], "the token is here, not in the kernel");
}

#[test]
fn a_new_interest_is_associated_at_once() {
    let test = Test::new();
    let key = test.insert(Tracking::Tracked, READ);
    test.table().change(key, |watch| watch.replace(Registration::tracked(Token(7), WRITE))).unwrap();
    assert_eq!(test.submitted(), Some(WRITE));
}

#[test]
fn an_event_that_was_fetched_before_a_deregistration_is_not_reported() {
    let mut test = Test::new();
    let key = test.insert(Tracking::Tracked, READ);
    let user = test.take();
    test.table().remove(key).unwrap();
    assert_eq!(test.fetched(user, IN), [""; 0]);

    let next = test.insert(Tracking::Tracked, READ);
    assert_eq!(next.slot, key.slot);
    assert_eq!(test.fetched(user, IN), [""; 0], "nor for the next registration in its slot");
    assert!(test.associated().is_some(), "whose association is as it was");
    assert_eq!(test.reports(IN), ["7 READABLE"]);
}

#[test]
fn a_deregistered_source_is_dissociated() {
    let test = Test::new();
    let key = test.insert(Tracking::Tracked, BOTH);
    test.table().remove(key).unwrap();
    assert_eq!(test.associated(), None);
    assert_eq!(test.calls(), 2);
}

#[test]
fn a_source_that_the_kernel_refuses_is_not_registered() {
    let test = Test::new();
    test.port.0.lock().unwrap().refuses = true;
    let error = test.try_insert(Tracking::Tracked, READ).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    test.port.0.lock().unwrap().refuses = false;
    test.insert(Tracking::Tracked, READ);
}

#[test]
fn a_descriptor_that_can_not_be_associated_again_was_closed() {
    let mut test = Test::new();
    let key = test.insert(Tracking::Tracked, BOTH);
    test.port.0.lock().unwrap().refuses = true;
    assert_eq!(test.reports(OUT), ["7 WRITABLE"], "an earlier report holds");
    assert_eq!(test.table().remove(key).unwrap_err().raw_os_error(), Some(libc::ENOENT));
}

#[test]
fn a_descriptor_that_is_not_open_is_forgotten() {
    let mut test = Test::new();
    let key = test.insert(Tracking::Untracked, READ);
    assert_eq!(test.reports(GONE), [""; 0]);
    assert!(test.table().remove(key).is_err());
}

#[test]
fn a_raw_descriptor_is_rechecked_after_its_event() {
    let mut test = Test::new();
    test.insert(Tracking::Untracked, READ);
    test.theirs.write_all(b"x").unwrap();
    assert_eq!(test.reports(IN), ["7 READABLE"]);
    assert_eq!(test.submitted(), None);
    test.ours.read_exact(&mut [0]).unwrap();

    let mut events = Events::with_capacity(8);
    test.recheck(&mut events);
    assert_eq!(shown(&events), [""; 0]);
    assert_eq!(test.submitted(), Some(READ), "it was used up: the next change is an event like any other");
}

#[test]
fn a_number_of_another_file_is_not_associated() {
    let mut test = Test::new();
    test.insert(Tracking::Untracked, READ);
    test.theirs.write_all(b"x").unwrap();
    assert_eq!(test.reports(IN), ["7 READABLE"]);
    let number = test.fd();
    // It is closed without deregistration: from now on the number is free, or that of another test.
    test.ours = UnixStream::pair().unwrap().0;

    let mut events = Events::with_capacity(8);
    test.recheck(&mut events);
    assert_eq!(shown(&events), [""; 0]);
    let associated = &test.port.0.lock().unwrap().associated;
    assert!(associated.get(&number).map_or(true, |(mask, _)| mask.interest.is_none()));
}

#[test]
fn without_space_a_recheck_is_not_lost() {
    let mut test = Test::new();
    test.insert(Tracking::Untracked, READ);
    test.theirs.write_all(b"x").unwrap();
    assert_eq!(test.reports(IN), ["7 READABLE"]);
    let mut none = Events::with_capacity(0);
    let again = test.recheck(&mut none);
    assert_eq!(again, Some(std::time::Duration::ZERO), "the next recheck is due at once");
}

#[test]
fn a_new_recheck_must_wake_a_sleeping_thread() {
    let mut test = Test::new();
    let key = test.insert(Tracking::Tracked, BOTH);
    assert_eq!(test.reports(OUT), ["7 WRITABLE"]);
    assert!(!test.table().take_new_rechecks());
    test.table().change(key, |watch| watch.rearm(RearmCause::Unknown)).unwrap();
    assert!(test.table().take_new_rechecks());
    drop(test.registrations.recheck_one(test.table(), key));
    assert_eq!(test.submitted(), Some(READ), "it is writable still");
}

#[test]
fn a_notification_is_no_event() {
    let test = Test::new();
    test.insert(Tracking::Tracked, READ);
    let mut events = Events::with_capacity(8);
    test.table().fetched(Found::Notification, &mut events);
    assert!(events.is_empty());
    assert_eq!(test.calls(), 1);
}

/// Returns what a wait without a timeout reports. It must not block for ever.
fn waited(test: &Test) -> Vec<String> {
    let mut events = Events::with_capacity(8);
    wait(&*test.port, &test.registrations, &mut events, None).unwrap();
    shown(&events)
}

#[test]
fn a_full_port_is_woken() {
    let test = Test::new();
    test.limit(1);
    test.insert(Tracking::Tracked, READ);
    for _ in 0..3 {
        notify(&*test.port).unwrap();
        notify(&*test.port).unwrap();
        assert_eq!(waited(&test), [""; 0]);
        assert!(
            !test.port.0.lock().unwrap().is_alert,
            "or no wait would ever sleep, nor fetch anything else"
        );
    }
}

#[test]
fn an_alert_hides_no_event() {
    let test = Test::new();
    test.limit(1);
    test.insert(Tracking::Tracked, READ);
    let fd = test.fd();
    test.port.0.lock().unwrap().ready.push((fd, IN));
    notify(&*test.port).unwrap();
    assert_eq!(waited(&test), ["7 READABLE"]);
}

#[test]
fn a_port_that_is_not_full_needs_no_alert() {
    let test = Test::new();
    test.limit(2);
    test.insert(Tracking::Tracked, READ);
    notify(&*test.port).unwrap();
    assert!(!test.port.0.lock().unwrap().is_alert);
    assert_eq!(waited(&test), [""; 0]);
}

#[test]
fn a_deregistered_source_releases_its_event_of_the_port() {
    let mut test = Test::new();
    test.limit(1);
    for tracking in [Tracking::Tracked, Tracking::Untracked] {
        for event in [None, Some(IN), Some(IN | u32::from(libc::POLLHUP as u16))] {
            let key = test.insert(tracking, READ);
            if let Some(raw) = event {
                assert_eq!(test.reports(raw).len(), 1);
            }
            test.table().remove(key).unwrap();
            assert!(test.port.0.lock().unwrap().held_events.is_empty(), "{tracking:?}, after {event:?}");
        }
    }
}

#[test]
fn a_fetched_descriptor_keeps_its_event_of_the_port() {
    let mut test = Test::new();
    test.limit(1);
    let key = test.insert(Tracking::Tracked, READ);
    let hangup = u32::from((libc::POLLHUP | libc::POLLIN) as u16);
    test.reports(hangup);
    assert_eq!(test.associated(), None);
    // A notification would take an event that it had released.
    assert!(test.port.send().is_err());
    test.table().change(key, |watch| watch.replace(Registration::tracked(Token(8), READ))).unwrap();
    assert_eq!(test.reports(IN), ["8 READABLE"]);
}
