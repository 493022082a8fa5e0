//! kqueue(2): edge-triggered by the kernel (`EV_CLEAR`), which drops its knotes when a descriptor is closed.
//!
//! `logic::knotes`, which is pure, has the changes and the meaning of events; `sys` has the calls.
//!
//! Invariant: `knotes` and the kernel change together, under the lock, and so do `filters` and the kernel.

mod sys;

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use self::sys::{Kevent, KERNEL_BATCH};
use super::poller::{check_mode, describe_bits, Absent, Poller};
use crate::backend::logic::kernel_filters::{FilterCalls, FilterRecord, KernelFilters};
use crate::backend::logic::knotes::{readiness, Change, Filter, Knotes, KqueueCalls, Queue, Sifted, EV_EOF};
use crate::backend::logic::watch::{FilterChange, FilterOwner, RearmCause, Registration, WatchKey};
use crate::backend::name::Backend;
use crate::os::{FileIdentity, KernelFilter, Notifier, RawIo, PIPE_IS_FORCED};
use crate::readiness::{Event, Events, Token};

pub(crate) struct Kqueue {
    kqueue: OwnedFd,
    /// The second kqueue, made with the first registration of a raw descriptor.
    witness: OnceLock<OwnedFd>,
    knotes: Mutex<Knotes>,
    /// The registrations that are no descriptors.
    filters: Mutex<KernelFilters>,
    /// Whether `knotes` has events that the kernel doesn't report. They are rare, so the flag is read without the lock.
    has_pending: AtomicBool,
    /// Whether a registration has, or had, an interest whose events have to be sifted.
    must_sift: AtomicBool,
    wakeup: OnceLock<Wakeup>,
}

/// What ends a wait. Its events are known by their filter, or by their descriptor, which no source has: no token is
/// reserved for it.
enum Wakeup {
    /// A knote of `EVFILT_USER`: no descriptor, and nothing to drain.
    User,
    /// For kernels that lack that filter, or refuse it.
    Pipe(Notifier),
}

impl Poller for Kqueue {
    type OrElse<B: Poller> = Absent;

    fn new() -> io::Result<Kqueue> {
        Ok(Kqueue {
            kqueue: sys::create()?,
            witness: OnceLock::new(),
            knotes: Mutex::default(),
            filters: Mutex::default(),
            has_pending: AtomicBool::new(false),
            must_sift: AtomicBool::new(false),
            wakeup: OnceLock::new(),
        })
    }

    fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let mut timeout = timeout;
        if self.has_pending.load(Ordering::Acquire) {
            self.take_pending(events);
            if events.spare() == 0 {
                return Ok(());
            }
            timeout = Some(Duration::ZERO);
        }
        let mut is_sifting = false;
        loop {
            let asked = events.spare().min(KERNEL_BATCH);
            let mut found = 0;
            sys::wait(self.kqueue.as_fd(), asked, timeout, |raw| {
                found += 1;
                if self.is_wakeup(raw) {
                    return;
                }
                if raw.filter() == Filter::Process {
                    self.note_end(raw);
                }
                // Read with each event: its registration may have set it during this wait.
                if self.must_sift.load(Ordering::Acquire) {
                    let is_first = !mem::replace(&mut is_sifting, true);
                    self.sift(raw, is_first, events);
                } else {
                    events.push(event(raw));
                }
            })
            .or_else(|e| if events.is_empty() { Err(e) } else { Ok(()) })?;
            // A full batch: the kernel may have more, and the caller has space for more than one batch. But a
            // level-triggered knote is behind the others again, and would be reported twice.
            let may_repeat = self.must_sift.load(Ordering::Acquire);
            if found < KERNEL_BATCH || events.spare() == 0 || may_repeat {
                return Ok(());
            }
            timeout = Some(Duration::ZERO);
        }
    }

    fn prepare_notify(&self) -> io::Result<()> {
        // With the lock held, two threads don't make two.
        let _knotes = self.lock();
        self.wakeup().map(|_| ())
    }

    fn notify(&self) -> io::Result<()> {
        match self.wakeup.get() {
            Some(Wakeup::User) => sys::trigger_user(self.kqueue.as_fd()),
            Some(Wakeup::Pipe(notifier)) => notifier.notify(),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn register(&self, io: RawIo, registration: Registration) -> io::Result<Option<WatchKey>> {
        self.prepare(registration)?;
        let mut knotes = self.lock();
        knotes.register(self, io, registration)?;
        self.changed(knotes)?;
        Ok(None)
    }

    fn reregister(&self, io: RawIo, _: Option<WatchKey>, registration: Registration) -> io::Result<()> {
        self.prepare(registration)?;
        let mut knotes = self.lock();
        knotes.reregister(self, io, registration)?;
        self.changed(knotes)
    }

    fn deregister(&self, io: RawIo, _: Option<WatchKey>) -> io::Result<()> {
        self.lock().deregister(self, io)
    }

    fn rearm(&self, _: WatchKey, _: RearmCause) -> io::Result<()> {
        Ok(())
    }

    fn abandon(&self, _: WatchKey) {}

    fn change_filter(
        &self,
        filter: &KernelFilter,
        owner: FilterOwner,
        change: FilterChange,
    ) -> io::Result<()> {
        self.lock_filters().change(self, filter, owner, change)
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.kqueue.as_fd()
    }

    fn describe(raw: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe_bits(raw, &sys::NAMES, f)
    }
}

impl KqueueCalls for Kqueue {
    fn is_open(&self, fd: RawIo) -> io::Result<()> {
        FileIdentity::of(fd).map(|_| ())
    }

    fn apply(&self, queue: Queue, changes: &mut [Change]) -> io::Result<()> {
        let kqueue = match queue {
            Queue::Events => &self.kqueue,
            Queue::Witness => self.witness()?,
        };
        sys::apply(kqueue.as_fd(), queue, changes)
    }
}

impl FilterCalls for Kqueue {
    fn add(&self, record: &FilterRecord) -> io::Result<()> {
        sys::add_filter(self.kqueue.as_fd(), record)
    }

    fn delete(&self, filter: &KernelFilter) -> io::Result<()> {
        sys::delete_filter(self.kqueue.as_fd(), filter)
    }
}

impl Kqueue {
    fn lock_filters(&self) -> MutexGuard<'_, KernelFilters> {
        self.filters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the end of a process, if that is its event.
    #[cold]
    fn note_end(&self, raw: &Kevent) {
        if raw.flags() & EV_EOF != 0 {
            self.lock_filters().process_ended(raw.ident() as u32);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Knotes> {
        self.knotes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks an interest, and makes the waits sift their events if it needs that.
    fn prepare(&self, registration: Registration) -> io::Result<()> {
        if !registration.interest.is_usual() {
            check_mode(registration.interest)?;
            self.must_sift.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Reports an event, if its registration is to have it.
    #[cold]
    fn sift(&self, raw: &Kevent, is_first: bool, events: &mut Events) {
        let event = event(raw);
        let mut knotes = self.lock();
        if is_first {
            knotes.begin_wait();
        }
        match knotes.sift(self, raw.ident() as RawIo, raw.filter(), event.readiness(), events.len()) {
            Sifted::Report => events.push(event),
            Sifted::ReportAs(token) => {
                events.push(Event::new(token, event.readiness(), Backend::Kqueue as u8, raw.summary()));
            }
            Sifted::Merge(index) => {
                if let Some(first) = events.list().get_mut(index) {
                    let (origin, summary) = first.raw();
                    let readiness = first.readiness().union(event.readiness());
                    *first = Event::new(first.token(), readiness, origin, summary | raw.summary());
                }
            }
            Sifted::Drop => {}
        }
        if knotes.has_pending() {
            self.has_pending.store(true, Ordering::Release);
        }
    }

    /// Returns the second kqueue, and makes it at first. The caller holds the lock, so that two threads don't make two.
    fn witness(&self) -> io::Result<&OwnedFd> {
        if self.witness.get().is_none() {
            let _ = self.witness.set(sys::create()?);
        }
        self.witness.get().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    #[inline]
    fn is_wakeup(&self, raw: &Kevent) -> bool {
        match raw.filter() {
            Filter::User => true,
            Filter::Read => match self.wakeup.get() {
                // The pipe isn't drained: each write to it is an edge, and the writer empties a full one.
                Some(Wakeup::Pipe(notifier)) => raw.ident() == notifier.as_raw_fd() as usize,
                _ => false,
            },
            _ => false,
        }
    }

    /// Returns the wakeup, and makes it at first. The caller holds the lock.
    fn wakeup(&self) -> io::Result<&Wakeup> {
        if self.wakeup.get().is_none() {
            let wakeup = match sys::add_user(self.kqueue.as_fd()) {
                Ok(()) if !PIPE_IS_FORCED => Wakeup::User,
                _ => {
                    let notifier = Notifier::new()?;
                    sys::add_reader(self.kqueue.as_fd(), notifier.as_raw_fd())?;
                    Wakeup::Pipe(notifier)
                }
            };
            let _ = self.wakeup.set(wakeup);
        }
        self.wakeup.get().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Ends the wait in progress if the registrations have events that the kernel doesn't report.
    fn changed(&self, knotes: MutexGuard<'_, Knotes>) -> io::Result<()> {
        if knotes.has_pending() {
            self.wakeup()?;
            self.has_pending.store(true, Ordering::Release);
            drop(knotes);
            self.notify()?;
        }
        Ok(())
    }

    #[cold]
    fn take_pending(&self, events: &mut Events) {
        let mut knotes = self.lock();
        let room = events.spare();
        knotes.take_pending(room, |token, readiness| {
            events.push(Event::new(token, readiness, Backend::Kqueue as u8, sys::RAW_READER_GONE));
        });
        self.has_pending.store(knotes.has_pending(), Ordering::Release);
    }
}

#[inline]
fn event(raw: &Kevent) -> Event {
    let readiness = readiness(raw.filter(), raw.flags(), raw.fflags(), sys::OUT_OF_BAND);
    Event::new(Token(raw.data_of_user()), readiness, Backend::Kqueue as u8, raw.summary())
}
