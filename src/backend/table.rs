//! The registrations of a kernel that keeps none, or forgets each as it answers. No calls to the kernel but through
//! [`Ask`] and [`Asked`].

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::ask::{Ask, List, Wanted};
use super::fd_map::FdMap;
use super::slab::Slab;
use super::watch::{Look, Tracking, Watch, WatchKey};
use super::Backend;
use crate::os::{errors, FileIdentity};
use crate::readiness::{Event, Events, Interest, Readiness, Token};

/// Who is asked for what the registrations want to be told.
pub(super) trait Asked {
    /// How to look at sources without changing anything.
    type Ask: Ask;
    /// Whose events these are.
    const BACKEND: Backend;
    /// The kernel drops a descriptor that is closed, and so never answers for the next one with its number.
    const FORGETS_CLOSED: bool;

    /// Fails for a descriptor that this poll needs itself.
    fn accepts(&self, _fd: RawFd) -> io::Result<()> {
        Ok(())
    }

    /// Replaces what was asked for `key`. Fails if the kernel won't have `fd`.
    fn ask(&mut self, key: WatchKey, fd: RawFd, wanted: Option<Wanted>) -> io::Result<()>;

    /// Forgets what was asked for `key`, whose registration has ended.
    fn forget(&mut self, key: WatchKey, fd: RawFd) {
        // To ask for nothing can't fail in a way that matters.
        let _ = self.ask(key, fd, None);
    }
}

/// Every registration.
pub(super) struct Table<K: Asked> {
    entries: Slab<Entry>,
    /// Who has each registered descriptor.
    by_fd: FdMap,
    pub(super) kernel: K,
    suspects: Suspects,
    /// Kept for its memory: what the suspects are looked at with.
    looks: List<K::Ask>,
}

/// The registrations whose watch has a suspect.
#[derive(Default)]
struct Suspects {
    /// Of those that have gone too, until the next look.
    keys: Vec<WatchKey>,
    /// One has become suspect since the last look.
    has_news: bool,
    /// Whether the last look left no room for others.
    filled_room: bool,
}

/// What a call does beside asking the kernel, and when.
pub(super) struct Turn {
    /// How long the kernel may sleep.
    pub(super) timeout: Option<Duration>,
    had_events: usize,
    suspects_come_last: bool,
}

struct Entry {
    fd: RawFd,
    /// Tells a descriptor that was closed without a word from the next one with its number.
    identity: FileIdentity,
    watch: Watch,
    /// Whether it is in the list of suspects.
    is_suspect: bool,
}

impl Turn {
    /// An error of the kernel's says nothing if there are events to report.
    #[cold]
    pub(super) fn excuse(&self, error: io::Error, events: &Events) -> io::Result<()> {
        if events.len() > self.had_events {
            Ok(())
        } else {
            Err(error)
        }
    }
}

/// By what a registration is found.
#[derive(Copy, Clone)]
pub(super) enum Place {
    Key(WatchKey),
    Fd(RawFd),
}

impl Place {
    pub(super) fn of(fd: RawFd, key: Option<WatchKey>) -> Place {
        key.map_or(Place::Fd(fd), Place::Key)
    }
}

impl<K: Asked> Table<K> {
    pub(super) fn new(kernel: K) -> Table<K> {
        Table {
            entries: Slab::new(),
            by_fd: FdMap::default(),
            kernel,
            suspects: Suspects::default(),
            looks: List::default(),
        }
    }

    pub(super) fn insert(
        &mut self,
        fd: RawFd,
        tracking: Tracking,
        token: Token,
        interest: Interest,
    ) -> io::Result<WatchKey> {
        let identity = FileIdentity::of_watchable(fd, interest.is_priority())?;
        self.kernel.accepts(fd)?;
        if let Some(key) = self.by_fd.get(fd) {
            if self.entries.get(key).is_some_and(|entry| entry.identity == identity) {
                return Err(io::Error::from_raw_os_error(errors::ALREADY_EXISTS));
            }
            // Its descriptor was closed without a word, and this is the next one with that number.
            self.vacate(key);
        }

        let watch = Watch::new(token, interest, tracking);
        let key = self.entries.insert(Entry { fd, identity, watch, is_suspect: false });
        self.by_fd.insert(fd, key);
        if let Err(e) = self.change(Place::Key(key), |_| ()) {
            self.vacate(key);
            return Err(e);
        }
        Ok(key)
    }

    /// Changes a watch by `change`, and asks the kernel after it.
    #[inline]
    pub(super) fn change(&mut self, place: Place, change: impl FnOnce(&mut Watch)) -> io::Result<()> {
        let key = self.find(place)?;
        let entry = self.entries.get_mut(key).ok_or_else(not_found)?;
        change(&mut entry.watch);
        entry.refresh(key, &mut self.kernel, &mut self.suspects)
    }

    /// Looks at the suspects of one registration, and arms those that were used up. If that fails they stay suspects.
    pub(super) fn look_at(&mut self, key: WatchKey) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        self.looks.asks.clear();
        self.looks.asks.push(look_for::<K>(entry.fd, entry.watch.suspect()));
        if self.looks.poll(Some(Duration::ZERO)).is_err() {
            return;
        }
        let raw = self.looks.asks[0].found();
        if raw & K::Ask::INVALID == 0 {
            entry.watch.acquit(K::Ask::WORDS.readiness(raw));
        }
        // What the kernel has taken before, it takes again; if it is gone, the suspicion shows it.
        let _ = entry.refresh(key, &mut self.kernel, &mut self.suspects);
    }

    pub(super) fn remove(&mut self, place: Place) -> io::Result<()> {
        let key = self.find(place)?;
        let entry = self.vacate(key).ok_or_else(not_found)?;
        // Or the list would grow for those that have gone, where nobody polls.
        if entry.is_suspect && self.suspects.keys.len() == self.suspects.keys.capacity() {
            let entries = &self.entries;
            self.suspects.keys.retain(|&key| entries.get(key).is_some());
        }
        Ok(())
    }

    /// What comes before the kernel is asked. If there is no room for events after it, nothing else is to be done.
    #[inline]
    pub(super) fn begin(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<Turn> {
        let had_events = events.len();
        // Suspects that are always ready could take all the room in each call. When they have, the others come first.
        let suspects_come_last = mem::take(&mut self.suspects.filled_room);
        let mut timeout = timeout;
        if !suspects_come_last {
            if let Some(limit) = self.look_at_suspects(events)? {
                timeout = Some(timeout.map_or(limit, |timeout| timeout.min(limit)));
            }
            self.suspects.filled_room = events.spare() == 0;
        }
        if events.len() > had_events || suspects_come_last {
            timeout = Some(Duration::ZERO);
        }
        Ok(Turn { timeout, had_events, suspects_come_last })
    }

    /// What comes after what the kernel has told.
    #[inline]
    pub(super) fn end(&mut self, turn: &Turn, events: &mut Events) -> io::Result<()> {
        if turn.suspects_come_last && events.spare() > 0 {
            let looked = self.look_at_suspects(events);
            if events.len() == turn.had_events {
                looked?;
            }
        }
        Ok(())
    }

    /// Looks at the suspects, reports those that are due, and answers when to look again.
    #[inline]
    pub(super) fn look_at_suspects(&mut self, events: &mut Events) -> io::Result<Option<Duration>> {
        self.suspects.has_news = false;
        if self.suspects.keys.is_empty() {
            return Ok(None);
        }
        self.look_at_each(events)
    }

    #[inline(never)]
    fn look_at_each(&mut self, events: &mut Events) -> io::Result<Option<Duration>> {
        self.looks.asks.clear();
        self.looks.asks.extend(self.suspects.keys.iter().map(|&key| match self.entries.get(key) {
            Some(Entry { fd, watch, .. }) => look_for::<K>(*fd, watch.suspect()),
            None => K::Ask::NOTHING,
        }));
        self.looks.poll(Some(Duration::ZERO))?;

        let now = Instant::now();
        let mut again: Option<Instant> = None;
        let mut first_without_room = None;
        let mut index = 0;
        while index < self.suspects.keys.len() {
            let raw = self.looks.asks[index].found();
            // Without room for a report a look would be wasted: the next call looks again, at once.
            if raw != 0 && events.spare() == 0 {
                again = Some(now);
                first_without_room = first_without_room.or(Some(index));
                index += 1;
                continue;
            }
            match self.look(self.suspects.keys[index], raw, now, events) {
                Some(due) => {
                    again = Some(again.map_or(due, |again| again.min(due)));
                    index += 1;
                }
                None => {
                    self.suspects.keys.swap_remove(index);
                    self.looks.asks.swap_remove(index);
                }
            }
        }
        // It is the first next time, so that none starves. What was taken from the list since stood behind it.
        if let Some(first) = first_without_room {
            self.suspects.keys.rotate_left(first);
        }
        Ok(again.map(|again| again.saturating_duration_since(now)))
    }

    /// Whether one has become suspect since the last look, or since this was asked.
    #[allow(dead_code)] // who shows lists tells each change
    pub(super) fn take_news_of_suspects(&mut self) -> bool {
        mem::take(&mut self.suspects.has_news)
    }

    /// The kernel has answered `raw` to what was asked for a registration.
    #[inline(never)]
    pub(super) fn answer(&mut self, key: WatchKey, raw: u32, events: &mut Events) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let is_gone = entry.is_gone::<K>(raw, !K::FORGETS_CLOSED);
        if !is_gone {
            if let Some(reported) = entry.watch.ready(K::Ask::WORDS.readiness(raw)) {
                events.push(event::<K>(entry.watch.token(), reported, raw));
            }
        }
        // What the kernel doesn't take again was closed without a word.
        if is_gone || entry.refresh(key, &mut self.kernel, &mut self.suspects).is_err() {
            self.vacate(key);
        }
    }

    /// The kernel has answered `raw` to what was suspect; the time of the next look, if there is to be one.
    fn look(&mut self, key: WatchKey, raw: u32, now: Instant, events: &mut Events) -> Option<Instant> {
        let entry = self.entries.get_mut(key)?;
        // Of a list every answer is looked at so. Another kernel must not be asked about the next owner of a number.
        if entry.is_gone::<K>(raw, raw != 0 || K::FORGETS_CLOSED) {
            self.vacate(key);
            return None;
        }
        let found = K::Ask::WORDS.readiness(raw);
        let mut look = entry.watch.look(found, now);
        if let Look::Report(reported) = look {
            events.push(event::<K>(entry.watch.token(), reported, raw));
            look = entry.watch.look(found, now);
        }
        if entry.refresh(key, &mut self.kernel, &mut self.suspects).is_err() {
            self.vacate(key);
            return None;
        }
        match look {
            Look::Later(due) => Some(due),
            Look::Report(_) => Some(now),
            Look::Clear => {
                entry.is_suspect = false;
                None
            }
        }
    }

    #[inline]
    fn find(&mut self, place: Place) -> io::Result<WatchKey> {
        match place {
            Place::Key(key) => Ok(key),
            Place::Fd(fd) => self.find_fd(fd),
        }
    }

    fn find_fd(&mut self, fd: RawFd) -> io::Result<WatchKey> {
        let identity = FileIdentity::of(fd);
        let Some(key) = self.by_fd.get(fd) else {
            return Err(identity.err().unwrap_or_else(not_found));
        };
        match identity {
            Ok(now) if self.entries.get(key).is_some_and(|entry| entry.identity == now) => Ok(key),
            // It may be there all the same.
            Err(e) if e.raw_os_error() != Some(errors::BAD_DESCRIPTOR) => Err(e),
            // Closed without a word, like epoll forgets it; perhaps another has its number.
            other => {
                self.vacate(key);
                Err(other.err().unwrap_or_else(not_found))
            }
        }
    }

    pub(super) fn key_at(&self, slot: u32) -> Option<WatchKey> {
        self.entries.key_at(slot)
    }

    /// What was there.
    fn vacate(&mut self, key: WatchKey) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.by_fd.remove(entry.fd);
        self.kernel.forget(key, entry.fd);
        Some(entry)
    }
}

impl Entry {
    /// Asks the kernel for what the watch wants.
    #[inline]
    fn refresh<K: Asked>(
        &mut self,
        key: WatchKey,
        kernel: &mut K,
        suspects: &mut Suspects,
    ) -> io::Result<()> {
        if !self.is_suspect && self.watch.suspect().is_some() {
            self.is_suspect = true;
            suspects.keys.push(key);
            suspects.has_news = true;
        }
        kernel.ask(key, self.fd, Wanted::of(&self.watch))
    }

    /// Whether the source that the kernel has answered `raw` for is there no more. An `IoSource` says when it goes:
    /// that its descriptor isn't open is an error like others. But a raw one may have been closed without a word, and
    /// its number may have a new owner, who must not wake the old one's token.
    fn is_gone<K: Asked>(&self, raw: u32, may_be_another: bool) -> bool {
        self.watch.tracking() == Tracking::Levels
            && (raw & K::Ask::INVALID != 0 || may_be_another && self.identity.has_left(self.fd))
    }
}

#[cold]
fn not_found() -> io::Error {
    io::Error::from_raw_os_error(errors::NOT_FOUND)
}

fn look_for<K: Asked>(fd: RawFd, suspect: Option<Interest>) -> K::Ask {
    match suspect {
        Some(_) => K::Ask::new(fd, Wanted { interest: suspect, read_hangup: false }),
        None => K::Ask::NOTHING,
    }
}

fn event<K: Asked>(token: Token, readiness: Readiness, raw: u32) -> Event {
    Event::new(token, readiness, K::BACKEND as u8, raw)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::backend::Blocked;

    /// Takes everything.
    struct Kernel;

    impl Asked for Kernel {
        type Ask = libc::pollfd;
        const BACKEND: Backend = Backend::PosixPoll;
        const FORGETS_CLOSED: bool = false;

        fn ask(&mut self, _: WatchKey, _: RawFd, _: Option<Wanted>) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn suspects_that_have_gone_fill_no_memory_where_nobody_polls() {
        let (one, _other) = UnixStream::pair().unwrap();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let mut table = Table::new(Kernel);
        for _ in 0..1000 {
            let key = table.insert(one.as_raw_fd(), Tracking::Operations, Token(1), interest).unwrap();
            // It was told of, and then blocked in a direction that isn't known.
            table.answer(key, libc::POLLIN as u32 | libc::POLLOUT as u32, &mut Events::with_capacity(1));
            table.change(Place::Key(key), |watch| watch.rearm(Blocked::Unknown)).unwrap();
            assert!(table.take_news_of_suspects());
            table.remove(Place::Key(key)).unwrap();
        }
        assert!(table.suspects.keys.capacity() < 10);
        assert!(table.look_at_suspects(&mut Events::with_capacity(1)).unwrap().is_none());
        assert!(table.suspects.keys.is_empty());
    }
}
