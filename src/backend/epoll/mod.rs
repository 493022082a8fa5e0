//! epoll(7): edge-triggered by the kernel, which keeps the registrations.
//!
//! Invariant: this backend keeps nothing for a registration, so `register` returns no key.

mod sys;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use self::sys::EpollEvent;
use super::poller::{check_mode, describe_bits, Absent, Poller};
use crate::backend::logic::watch::{RearmCause, Registration, WatchKey};
use crate::backend::name::Backend;
use crate::os::{Notifier, RawIo, EACH_WRITE_IS_AN_EDGE};
use crate::readiness::{Event, Events, Interest, PollFlags, Readiness, Token};

pub(crate) struct Epoll {
    epoll: OwnedFd,
    /// Opened when first needed: a `Poll` without a waker is one descriptor.
    notifier: OnceLock<Notifier>,
    /// Whether [`NOTIFIER`] may be a user's token: then the notifier is recognised by its flags.
    token_taken: AtomicBool,
    /// The second epoll, through which the notifier is watched once its token was taken.
    nested: Mutex<Option<OwnedFd>>,
}

/// The data of the notifier's events. A user's token may be the same number, see [`Epoll::yield_token`].
const NOTIFIER: u64 = 0x6e6f_7469_6679_2121;

impl Poller for Epoll {
    type OrElse<B: Poller> = Absent;

    fn new() -> io::Result<Epoll> {
        Ok(Epoll {
            epoll: sys::create()?,
            notifier: OnceLock::new(),
            token_taken: AtomicBool::new(false),
            nested: Mutex::new(None),
        })
    }

    // Always: see `Poll::poll`. And a wait that doesn't block is less code.
    #[inline(always)]
    fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        if self.wait_once(events, timeout)? {
            self.fill_up(events);
        }
        Ok(())
    }

    fn prepare_notify(&self) -> io::Result<()> {
        if self.notifier.get().is_some() {
            return Ok(());
        }
        let mut nested = self.nested.lock().unwrap_or_else(PoisonError::into_inner);
        if self.notifier.get().is_none() {
            let notifier = Notifier::new()?;
            if self.token_taken.load(Ordering::Acquire) {
                *nested = Some(self.watch_nested(&notifier)?);
            } else {
                sys::add(self.epoll.as_fd(), notifier.as_raw_fd(), sys::NOTIFIER_FLAGS, NOTIFIER)?;
            }
            // With the lock held, no other thread has set it.
            let _ = self.notifier.set(notifier);
        }
        Ok(())
    }

    fn notify(&self) -> io::Result<()> {
        match self.notifier.get() {
            Some(notifier) => notifier.notify(),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    #[inline]
    fn register(&self, io: RawIo, registration: Registration) -> io::Result<Option<WatchKey>> {
        match usual_registration(registration) {
            Some((flags, data)) => sys::add(self.epoll.as_fd(), io, flags, data)?,
            None => self.register_rare(io, registration)?,
        }
        Ok(None)
    }

    #[inline]
    fn reregister(&self, io: RawIo, _: Option<WatchKey>, registration: Registration) -> io::Result<()> {
        match usual_registration(registration) {
            Some((flags, data)) => sys::modify(self.epoll.as_fd(), io, flags, data),
            None => self.reregister_rare(io, registration),
        }
    }

    #[inline]
    fn deregister(&self, io: RawIo, _: Option<WatchKey>) -> io::Result<()> {
        sys::delete(self.epoll.as_fd(), io)
    }

    fn rearm(&self, _: WatchKey, _: RearmCause) -> io::Result<()> {
        Ok(())
    }

    fn abandon(&self, _: WatchKey) {}

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    fn describe(raw: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe_bits(raw, &sys::NAMES, f)
    }
}

impl Epoll {
    /// Registers with an interest or a token for which there is no [`usual_registration`].
    #[cold]
    fn register_rare(&self, io: RawIo, Registration { token, interest, .. }: Registration) -> io::Result<()> {
        check_mode(interest)?;
        let data = self.data(token)?;
        sys::add(self.epoll.as_fd(), io, sys::flags(interest), data).map_err(|e| of_exclusive(e, interest))
    }

    #[cold]
    fn reregister_rare(
        &self,
        io: RawIo,
        Registration { token, interest, .. }: Registration,
    ) -> io::Result<()> {
        check_mode(interest)?;
        let data = self.data(token)?;
        sys::modify(self.epoll.as_fd(), io, sys::flags(interest), data).map_err(|e| of_exclusive(e, interest))
    }

    /// Returns the data of the events of `token`.
    fn data(&self, token: Token) -> io::Result<u64> {
        let data = token.0 as u64;
        if data == NOTIFIER && !self.token_taken.load(Ordering::Acquire) {
            self.yield_token()?;
        }
        Ok(data)
    }

    /// Returns whether there may be more.
    #[inline(always)]
    fn wait_once(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<bool> {
        sys::wait(self.epoll.as_fd(), events, timeout, usual, |raw| self.translate(raw))
    }

    /// Returns `None` for the notifier's event.
    fn translate(&self, raw: &EpollEvent) -> Option<Event> {
        let is_marked = raw.data() == NOTIFIER && !self.token_taken.load(Ordering::Acquire);
        if !is_marked && raw.flags() & sys::NESTED_NOTIFIED == 0 {
            return Some(event(raw, meaning(raw.flags())));
        }
        if !EACH_WRITE_IS_AN_EDGE {
            self.drain_notifier();
        }
        None
    }

    /// Fetches more events, after the notifier was in a full batch: it has taken the space of an event, and the kernel
    /// may have more.
    #[cold]
    fn fill_up(&self, events: &mut Events) {
        // An error doesn't lose the events that are there.
        while let Ok(true) = self.wait_once(events, Some(Duration::ZERO)) {}
    }

    #[cold]
    fn drain_notifier(&self) {
        if let Some(notifier) = self.notifier.get() {
            notifier.drain();
        }
    }

    /// Gives the notifier's token to a user: from now on the notifier is recognised by its flags.
    ///
    /// An eventfd's events look like any other's, but those of an epoll within an epoll can be requested by a flag that
    /// no registration uses (`EPOLLRDNORM`). So the notifier moves behind a second epoll. It is in both for a moment,
    /// and no notification is lost; one that the first epoll has queued already becomes a spurious event.
    #[cold]
    fn yield_token(&self) -> io::Result<()> {
        let mut nested = self.nested.lock().unwrap_or_else(PoisonError::into_inner);
        if self.token_taken.load(Ordering::Acquire) {
            return Ok(());
        }
        if let Some(notifier) = self.notifier.get() {
            // If an earlier attempt has failed half-way, its first half holds.
            if nested.is_none() {
                *nested = Some(self.watch_nested(notifier)?);
            }
            sys::delete(self.epoll.as_fd(), notifier.as_raw_fd())?;
        }
        self.token_taken.store(true, Ordering::Release);
        Ok(())
    }

    fn watch_nested(&self, notifier: &Notifier) -> io::Result<OwnedFd> {
        let nested = sys::create()?;
        sys::add(nested.as_fd(), notifier.as_raw_fd(), sys::NOTIFIER_FLAGS, NOTIFIER)?;
        sys::add(self.epoll.as_fd(), nested.as_raw_fd(), sys::NESTED_FLAGS, NOTIFIER)?;
        Ok(nested)
    }
}

/// Returns the flags and the data of a registration as most are: not exclusive, with a token that isn't the notifier's.
#[inline]
fn usual_registration(Registration { token, interest, .. }: Registration) -> Option<(u32, u64)> {
    let data = token.0 as u64;
    let is_usual = data != NOTIFIER && !interest.is_exclusive();
    is_usual.then(|| (sys::flags(interest), data))
}

/// The kernel refuses exclusive wake-ups from an epoll, which is a source of another, with `EINVAL`.
#[cold]
fn of_exclusive(error: io::Error, interest: Interest) -> io::Error {
    match interest.is_exclusive() && sys::is_exclusive_refused(&error) {
        true => io::Error::new(io::ErrorKind::Unsupported, "the source can't be watched exclusively"),
        false => error,
    }
}

#[inline]
fn event(raw: &EpollEvent, readiness: Readiness) -> Event {
    Event::new(Token(raw.data() as usize), readiness, Backend::Epoll as u8, raw.flags())
}

/// Translates an event of reading and writing alone, as most are, that isn't the notifier's.
#[inline]
fn usual(raw: &EpollEvent) -> Option<Event> {
    if raw.data() == NOTIFIER {
        return None;
    }
    Some(event(raw, usual_meaning(raw.flags())?))
}

#[inline]
fn usual_meaning(flags: u32) -> Option<Readiness> {
    let PollFlags { input, output, socket_output, .. } = sys::FLAGS;
    if flags & !(input | output | socket_output) != 0 {
        return None;
    }
    // One instruction: `Readiness` has the same bits.
    let readable = Readiness::READABLE.when(flags & input != 0);
    Some(readable.union(Readiness::WRITABLE.when(flags & output != 0)))
}

#[inline]
fn meaning(flags: u32) -> Readiness {
    // Five of the flags are the low bits; two are moved beside them.
    let index =
        (flags & 0x1f) | ((flags & sys::FLAGS.read_hangup) >> 8) | ((flags & sys::FLAGS.socket_output) >> 3);
    MEANING[index as usize & (MEANING.len() - 1)]
}

/// What each combination of flags means: a look-up for each event instead of a dozen tests.
static MEANING: [Readiness; 128] = {
    let mut table = [Readiness::NONE; 128];
    let mut index = 0;
    while index < 128 {
        let raw = (index & 0x1f) | ((index & 0x20) << 8) | ((index & 0x40) << 3);
        table[index as usize] = sys::FLAGS.readiness(raw);
        index += 1;
    }
    table
};

/// The numbers are part of Linux's ABI, and illumos and Redox took them over.
const _: () = {
    let PollFlags { input, output, socket_output, priority, read_hangup, error, hangup } = sys::FLAGS;
    assert!(input | output | priority | error | hangup == 0x1f && read_hangup == 0x2000);
    assert!(socket_output == 0x200 || socket_output == 0);
};

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Returns what one `wait` reports of sources that became ready in the order of `tokens`, with the notifier at
    /// `notified`.
    fn reported(tokens: &[u64], notified: usize, capacity: usize) -> Vec<u64> {
        let epoll = Epoll::new().unwrap();
        epoll.prepare_notify().unwrap();
        let mut pairs = Vec::new();
        for (index, &token) in tokens.iter().enumerate() {
            let (reader, mut writer) = UnixStream::pair().unwrap();
            if index == notified {
                epoll.notify().unwrap();
            }
            writer.write_all(b"x").unwrap();
            // The last of them has hung up as well, which takes the general path.
            if index + 1 == tokens.len() {
                drop(writer);
            } else {
                pairs.push(writer);
            }
            let token = Token(token as usize);
            epoll.register(reader.as_raw_fd(), Registration::tracked(token, Interest::READABLE)).unwrap();
            pairs.push(reader);
        }
        let mut events = Events::with_capacity(capacity);
        epoll.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert!(events.iter().all(|event| event.is_readable() && !event.is_writable()));
        events.iter().map(|event| event.token().0 as u64).collect()
    }

    #[test]
    fn the_notifier_leaves_no_gap() {
        for notified in 0..4 {
            assert_eq!(reported(&[3, 1, 2, 0], notified, 8), [3, 1, 2, 0], "notified at {notified}");
        }
    }

    #[test]
    fn the_notifier_takes_the_room_of_no_event() {
        for capacity in 1..4 {
            let tokens = &[3, 1, 2, 0];
            assert_eq!(reported(tokens, 0, capacity), tokens[..capacity]);
        }
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn the_notifiers_mark_is_a_token_like_others() {
        for notified in 0..3 {
            assert_eq!(reported(&[1, NOTIFIER, 2], notified, 8), [1, NOTIFIER, 2], "notified at {notified}");
        }
    }

    #[test]
    fn the_usual_way_is_a_shorter_one_to_the_same() {
        let PollFlags { input, output, socket_output, .. } = sys::FLAGS;
        for flags in [0, input, output, socket_output] {
            for flags in [flags, flags | input, flags | output, flags | socket_output] {
                assert_eq!(usual_meaning(flags), Some(meaning(flags)));
                assert_eq!(meaning(flags), sys::FLAGS.readiness(flags));
            }
        }
        assert_eq!(usual_meaning(sys::FLAGS.error), None);
        assert_eq!(usual_meaning(sys::NESTED_NOTIFIED), None);
    }
}
