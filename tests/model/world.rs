//! A run: does each operation on the real thing and on the contract, and compares.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use wakeful::{Events, Interest, Poll, Registry, Token, Waker};

use crate::contract::{
    Contract, End as EndId, Is, Rules, Told, READ as READ_DIRECTION, WRITE as WRITE_DIRECTION,
};
use crate::ends::End;
use crate::ops::{Asks, Half, Kind, Op, Timeout};
use crate::rescue;
use crate::support::{BOTH, READ, WRITE};

/// What a run runs on.
pub trait Ground {
    fn rules(&self) -> Rules;
    fn poll(&self) -> io::Result<Poll>;
    /// What it has instead of a kind that it lacks.
    fn kind(&self, kind: Kind) -> Kind {
        kind
    }
    fn pair(&self, kind: Kind) -> io::Result<[Box<dyn End>; 2]>;
    /// The time that its polls go by.
    fn now(&self) -> Instant;
    /// Whether other threads can reach into a `poll`, and `None` may be slept.
    fn has_threads(&self) -> bool;
}

/// What is owed must have come after this long.
const LATEST: Duration = Duration::from_secs(2);

struct World<'a> {
    ground: &'a dyn Ground,
    rules: Rules,
    poll: Poll,
    other: Poll,
    contract: Contract,
    /// By end.
    ends: BTreeMap<EndId, Open>,
    wakers: Vec<(usize, Arc<Waker>)>,
    next_pair: usize,
    next_token: usize,
}

struct Open {
    kind: Kind,
    end: Option<Box<dyn End>>,
    token: Option<usize>,
    /// It was closed with this token while a duplicate lived.
    orphan: Option<usize>,
    duplicates: Vec<Box<dyn Any + Send>>,
    /// Positions in the streams, for what is sent from here and what is received here.
    sent: u64,
    received: u64,
}

/// Runs a sequence; how many operations were judged, or what is wrong.
pub fn run(ground: &dyn Ground, ops: &[Op]) -> Result<(), String> {
    let rules = ground.rules();
    let poll = ground.poll().map_err(|e| format!("no poll: {e}"))?;
    let other = ground.poll().map_err(|e| format!("no poll: {e}"))?;
    let mut world = World {
        ground,
        rules,
        poll,
        other,
        contract: Contract::new(rules),
        ends: BTreeMap::new(),
        wakers: Vec::new(),
        next_pair: 0,
        next_token: 0,
    };
    for (step, op) in ops.iter().enumerate() {
        world.step(*op).map_err(|e| format!("step {step}, {op:?}: {e}"))?;
    }
    world.settle().map_err(|e| format!("at the end: {e}"))
}

impl World<'_> {
    fn step(&mut self, op: Op) -> Result<(), String> {
        match op {
            Op::Open(kind) => self.open(kind),
            Op::Register(place, asks) => self.on(place, |world, id| world.register(id, asks)),
            Op::Reregister(place, asks) => self.on(place, |world, id| world.reregister(id, asks)),
            Op::Deregister(place) => self.on(place, World::deregister),
            Op::OtherPoll(place) => self.on(place, World::other_poll),
            Op::Write(place, size) => self.on(place, |world, id| world.write(id, size).map(|_| ())),
            Op::Fill(place) => self.on(place, World::fill),
            Op::Read(place, size) => self.on(place, |world, id| world.read(id, size).map(|_| ())),
            Op::Drain(place) => self.on(place, World::drain),
            Op::Shutdown(place, half) => self.on(place, |world, id| world.shutdown(id, half)),
            Op::Close(place) => self.on(place, |world, id| {
                if world.open_end(id).token.is_some() {
                    world.deregister(id)?;
                }
                world.close(id)
            }),
            Op::Vanish(place) => self.on(place, World::vanish),
            Op::Duplicate(place) => self.on(place, World::duplicate),
            Op::CloseDuplicate(place) => self.close_duplicate(place),
            Op::NewWaker => self.new_waker(),
            Op::DropWaker(number) => self.drop_waker(number),
            Op::Wake(number) => self.wake(number, false),
            Op::WakeFromThread(number) => self.wake(number, true),
            Op::Poll(timeout, capacity) => self.poll(timeout, capacity),
            Op::PollWhileWriting(place) => self.on(place, World::poll_while_writing),
            Op::PollWhileWaking(number) => self.poll_while_waking(number),
            Op::PollWhileRegistering(place, asks) => {
                self.on(place, |world, id| world.poll_while_registering(id, asks))
            }
            Op::PollWhileDeregistering(place) => self.on(place, World::poll_while_deregistering),
        }
    }

    /// Does something with an open end, if there is one.
    fn on(
        &mut self,
        place: usize,
        act: impl FnOnce(&mut Self, EndId) -> Result<(), String>,
    ) -> Result<(), String> {
        let open: Vec<EndId> =
            self.ends.iter().filter(|(_, open)| open.end.is_some()).map(|(&id, _)| id).collect();
        match open.is_empty() {
            true => Ok(()),
            // The youngest are the ones that something is likely to happen to.
            false => act(self, open[open.len() - 1 - place % open.len()]),
        }
    }

    fn open_end(&mut self, id: EndId) -> &mut Open {
        self.ends.get_mut(&id).expect("an open end")
    }

    fn kind_of(&self, id: EndId) -> Kind {
        self.ends[&id].kind
    }

    fn source(&mut self, id: EndId) -> &mut dyn End {
        &mut **self.open_end(id).end.as_mut().expect("an open end")
    }

    fn open(&mut self, kind: Kind) -> Result<(), String> {
        if self.ends.len() > 12 {
            return Ok(());
        }
        let kind = self.ground.kind(kind);
        let pair = self.next_pair;
        self.next_pair += 1;
        self.contract.open(pair, kind);
        let ends = self.ground.pair(kind).map_err(|e| format!("can't open: {e}"))?;
        for (side, end) in ends.into_iter().enumerate() {
            let open = Open {
                kind,
                end: Some(end),
                token: None,
                orphan: None,
                duplicates: Vec::new(),
                sent: 0,
                received: 0,
            };
            self.ends.insert(2 * pair + side, open);
        }
        Ok(())
    }

    fn new_token(&mut self) -> usize {
        self.next_token += 1;
        // Also the numbers at the end of what there is, and those that look like pointers.
        match self.next_token % 3 {
            0 => usize::MAX - self.next_token,
            1 => self.next_token << 16,
            _ => self.next_token,
        }
    }

    fn register(&mut self, id: EndId, asks: Asks) -> Result<(), String> {
        let token = self.new_token();
        let registered = self.open_end(id).token;
        let registry = registry(&self.poll);
        let result = registry.register(self.source(id), Token(token), interest(asks));
        match (registered, result) {
            (None, Ok(())) => {
                self.open_end(id).token = Some(token);
                self.contract.register(id, token, directions(asks));
                Ok(())
            }
            (Some(_), result) => expect_error("a second register", result, ErrorKind::AlreadyExists),
            (None, Err(e)) => Err(format!("register: {e}")),
        }
    }

    fn reregister(&mut self, id: EndId, asks: Asks) -> Result<(), String> {
        let token = self.new_token();
        let registered = self.open_end(id).token;
        let registry = registry(&self.poll);
        let result = registry.reregister(self.source(id), Token(token), interest(asks));
        match (registered, result) {
            (Some(old), Ok(())) => {
                self.open_end(id).token = Some(token);
                self.contract.deregister(old);
                self.contract.register(id, token, directions(asks));
                Ok(())
            }
            (None, result) => expect_error("reregister", result, ErrorKind::NotFound),
            (Some(_), Err(e)) => Err(format!("reregister: {e}")),
        }
    }

    fn deregister(&mut self, id: EndId) -> Result<(), String> {
        let registered = self.open_end(id).token;
        let registry = registry(&self.poll);
        let result = registry.deregister(self.source(id));
        match (registered, result) {
            (Some(token), Ok(())) => {
                self.open_end(id).token = None;
                self.contract.deregister(token);
                Ok(())
            }
            (None, result) => expect_error("deregister", result, ErrorKind::NotFound),
            (Some(_), Err(e)) => Err(format!("deregister: {e}")),
        }
    }

    fn other_poll(&mut self, id: EndId) -> Result<(), String> {
        // A raw descriptor may be registered with several.
        if self.open_end(id).kind == Kind::Raw {
            return Ok(());
        }
        let registry = registry(&self.other);
        let is_registered = self.open_end(id).token.is_some();
        let source = self.source(id);
        expect_error("elsewhere", registry.deregister(source), ErrorKind::NotFound)?;
        let result = registry.reregister(source, Token(1), READ);
        expect_error("reregister elsewhere", result, ErrorKind::NotFound)?;
        if is_registered {
            let result = registry.register(source, Token(1), READ);
            expect_error("register elsewhere", result, ErrorKind::AlreadyExists)?;
        }
        Ok(())
    }

    /// Writes once; whether more may be written.
    fn write(&mut self, id: EndId, size: usize) -> Result<bool, String> {
        let open = self.open_end(id);
        let (kind, position) = (open.kind, open.sent);
        if kind == Kind::Udp && self.contract.is(id ^ 1, 0) == Is::Ready {
            // What a full buffer drops would have to be known.
            return Ok(false);
        }
        let bytes: Vec<u8> = (position..position + size as u64).map(byte_at).collect();
        match self.source(id).write(&bytes) {
            Ok(n) => {
                if n == 0 || n > size {
                    return Err(format!("{n} bytes of {size} written"));
                }
                self.open_end(id).sent += n as u64;
                self.contract.wrote(id, size, Some(n));
                Ok(n == size)
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                if self.rules.exact && self.contract.is(id, 1) == Is::Ready {
                    return Err("there is room, but writing would block".into());
                }
                self.contract.wrote(id, size, None);
                Ok(false)
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(true),
            // The end of it, or the wrong end of a pipe.
            Err(_) => {
                self.contract.stir(id / 2);
                Ok(false)
            }
        }
    }

    fn fill(&mut self, id: EndId) -> Result<(), String> {
        let size = match self.open_end(id).kind {
            // A kernel drops what is too much, and never blocks.
            Kind::Udp => return self.write(id, 10).map(|_| ()),
            Kind::Datagram => 10,
            _ => 30_000,
        };
        while self.write(id, size)? {}
        self.write(id, 1)?;
        Ok(())
    }

    /// Reads once; whether there may be more.
    fn read(&mut self, id: EndId, size: usize) -> Result<bool, String> {
        let mut buf = vec![0; size];
        let expected = self.contract.readable_bytes(id, size);
        match self.source(id).read(&mut buf) {
            Ok(n) => {
                let open = self.open_end(id);
                let is_stream = !matches!(open.kind, Kind::Datagram | Kind::Udp);
                if is_stream {
                    let good = buf[..n].iter().zip(open.received..).all(|(&byte, at)| byte == byte_at(at));
                    if !good {
                        return Err("bytes that nobody sent".into());
                    }
                    open.received += n as u64;
                }
                let is_right = match expected {
                    Some(expected) if self.rules.exact => n == expected,
                    Some(expected) => n <= expected && n > 0,
                    None => true,
                };
                if !is_right {
                    return Err(format!("{n} bytes were read, not {expected:?}"));
                }
                self.contract.read(id, size, Some(n));
                Ok(n > 0)
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                if self.rules.exact && expected.is_some_and(|expected| expected > 0) {
                    if self.open_end(id).kind == Kind::Udp {
                        return Ok(false);
                    }
                    return Err(format!("{expected:?} bytes wait, but reading would block"));
                }
                self.contract.read(id, size, None);
                Ok(false)
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(true),
            Err(_) => {
                self.contract.stir(id / 2);
                Ok(false)
            }
        }
    }

    fn drain(&mut self, id: EndId) -> Result<(), String> {
        while self.read(id, 64 << 10)? {}
        Ok(())
    }

    fn shutdown(&mut self, id: EndId, half: Half) -> Result<(), String> {
        let how = match half {
            Half::Read => Shutdown::Read,
            Half::Write => Shutdown::Write,
            Half::Both => Shutdown::Both,
        };
        // It may be shut down already.
        if let Ok(true) = self.source(id).shutdown(how) {
            self.contract.shutdown(id, half);
        }
        Ok(())
    }

    fn vanish(&mut self, id: EndId) -> Result<(), String> {
        let open = self.open_end(id);
        if open.kind == Kind::Raw && open.token.is_some() && !self.rules.raw_may_vanish {
            self.deregister(id)?;
        }
        self.close(id)
    }

    fn close(&mut self, id: EndId) -> Result<(), String> {
        let open = self.open_end(id);
        open.end = None;
        let token = open.token.take();
        let is_last = open.duplicates.is_empty();
        self.contract.close(id);
        if let Some(token) = token {
            self.contract.deregister(token);
            if self.rules.raw_lives && self.kind_of(id) == Kind::Raw {
                self.contract.tolerate(token);
            }
            if !is_last && self.rules.duplicates_live {
                self.contract.tolerate(token);
                self.open_end(id).orphan = Some(token);
            }
        }
        if is_last {
            self.ends.remove(&id);
        }
        Ok(())
    }

    fn duplicate(&mut self, id: EndId) -> Result<(), String> {
        if let Some(duplicate) = self.source(id).duplicate() {
            self.open_end(id).duplicates.push(duplicate);
            self.contract.duplicate(id);
        }
        Ok(())
    }

    fn close_duplicate(&mut self, place: usize) -> Result<(), String> {
        let ids: Vec<EndId> =
            self.ends.iter().filter(|(_, open)| !open.duplicates.is_empty()).map(|(&id, _)| id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let id = ids[place % ids.len()];
        let open = self.open_end(id);
        open.duplicates.pop();
        let is_last = open.duplicates.is_empty() && open.end.is_none();
        let orphan = open.orphan;
        self.contract.close(id);
        if is_last {
            self.ends.remove(&id);
            if let Some(token) = orphan.filter(|_| !self.rules.raw_lives) {
                self.contract.tolerate_no_more(token);
            }
        }
        Ok(())
    }

    fn new_waker(&mut self) -> Result<(), String> {
        if self.wakers.len() > 70 {
            return Ok(());
        }
        let token = self.new_token();
        let waker = Waker::new(self.poll.registry(), Token(token)).map_err(|e| format!("no waker: {e}"))?;
        self.wakers.push((token, Arc::new(waker)));
        self.contract.add_waker(token);
        Ok(())
    }

    fn drop_waker(&mut self, number: usize) -> Result<(), String> {
        if !self.wakers.is_empty() {
            let (token, _) = self.wakers.swap_remove(number % self.wakers.len());
            self.contract.drop_waker(token);
        }
        Ok(())
    }

    fn wake(&mut self, number: usize, elsewhere: bool) -> Result<(), String> {
        if self.wakers.is_empty() {
            return Ok(());
        }
        let (token, waker) = &self.wakers[number % self.wakers.len()];
        let (token, waker) = (*token, Arc::clone(waker));
        self.contract.wake(token);
        let result = match elsewhere {
            true => thread::spawn(move || waker.wake()).join().map_err(|_| "the waking thread has died")?,
            false => waker.wake(),
        };
        result.map_err(|e| format!("wake: {e}"))
    }

    fn poll(&mut self, timeout: Timeout, capacity: usize) -> Result<(), String> {
        let is_due = !self.contract.owed().is_empty();
        let (timeout, must_come) = match timeout {
            Timeout::Zero => (Some(Duration::ZERO), false),
            Timeout::Microseconds(time) => (Some(Duration::from_micros(time)), false),
            Timeout::Long if is_due => (Some(LATEST), true),
            Timeout::Never if is_due => (None, true),
            _ => (Some(Duration::ZERO), false),
        };
        self.poll_for(timeout, capacity, must_come).map(|_| ())
    }

    /// Polls once and judges; how many events came.
    fn poll_for(
        &mut self,
        timeout: Option<Duration>,
        capacity: usize,
        must_come: bool,
    ) -> Result<usize, String> {
        let owed = self.contract.owed_at_once(self.rules);
        let mut events = Events::with_capacity(capacity);
        let start = self.ground.now();
        let _rescue = match timeout {
            None => Some(rescue::after(LATEST, self.poll.registry())),
            Some(_) => None,
        };
        match self.poll.poll(&mut events, timeout) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted && events.is_empty() => return Ok(0),
            Err(e) => return Err(format!("poll: {e}")),
        }
        if events.iter().any(|event| event.token() == rescue::TOKEN) {
            return Err(format!("it slept on, though due were {:?}", self.contract.owed()));
        }
        let took = self.ground.now().saturating_duration_since(start);
        let told = told(&events);
        if told.is_empty() {
            match timeout {
                None => return Err("it came back empty, without a timeout".into()),
                Some(timeout) if took < timeout => return Err(format!("early: {took:?} of {timeout:?}")),
                Some(_) if must_come => return Err(format!("lost: {:?}", self.contract.owed())),
                Some(_) => {}
            }
        }
        if must_come && took >= LATEST {
            return Err(format!(
                "it slept until its time was over, though due were {:?}",
                self.contract.owed()
            ));
        }
        if told.len() > capacity {
            return Err(format!("{} events, though the capacity is {capacity}", told.len()));
        }
        if told.len() < capacity {
            let is_missing = |(token, direction): &&(usize, usize)| {
                !told.iter().any(|event| event.token == *token && event.directions[*direction])
            };
            if let Some(missing) = owed.iter().find(is_missing) {
                return Err(format!("{missing:?} was due, and there was room; told was {told:?}"));
            }
        }
        self.contract.told(&told, self.rules)?;
        Ok(told.len())
    }

    /// Everything that is owed comes, in whatever number of calls.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..1000 {
            if self.contract.owed().is_empty() {
                return Ok(());
            }
            self.poll_for(Some(LATEST), 7, true)?;
        }
        Err(format!("a thousand calls have not brought {:?}", self.contract.owed()))
    }

    fn poll_while_writing(&mut self, id: EndId) -> Result<(), String> {
        // Only a clear case: the other end sleeps, and is then written to.
        let peer = id ^ 1;
        let sleeps = self.ends.get(&peer).is_some_and(|open| open.end.is_some() && open.token.is_some());
        if !self.ground.has_threads() || !sleeps || self.open_end(id).kind == Kind::Pipe && id % 2 == 1 {
            return Ok(());
        }
        self.drain(peer)?;
        self.settle()?;
        let position = self.open_end(id).sent;
        let mut source = self.open_end(id).end.take().expect("an open end");
        let writer = thread::spawn(move || {
            thread::sleep(Duration::from_micros(100));
            let result = source.write(&[byte_at(position)]);
            (source, result)
        });
        // What it is told of as soon as it is there, and nothing keeps from being there.
        let must_come = self.contract.awaits(peer, READ_DIRECTION)
            && self.contract.is(id, WRITE_DIRECTION) == Is::Ready
            && !self.contract.is_hurt(id);
        let polled = self.poll_beside_thread(must_come);
        let (source, result) = writer.join().map_err(|_| "the writing thread has died")?;
        self.open_end(id).end = Some(source);
        let events = polled?;
        match result {
            Ok(n) => {
                self.open_end(id).sent += n as u64;
                self.contract.wrote(id, 1, Some(n));
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.contract.wrote(id, 1, None),
            Err(_) => {}
        }
        self.contract.told(&events, Rules { exact: false, terse: false, ..self.rules })?;
        self.settle()
    }

    fn poll_while_waking(&mut self, number: usize) -> Result<(), String> {
        if !self.ground.has_threads() || self.wakers.is_empty() {
            return Ok(());
        }
        self.settle()?;
        let (token, waker) = &self.wakers[number % self.wakers.len()];
        let (token, waker) = (*token, Arc::clone(waker));
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_micros(100));
            waker.wake()
        });
        self.contract.wake(token);
        let polled = self.poll_beside_thread(true);
        thread.join().map_err(|_| "the waking thread has died")?.map_err(|e| format!("wake: {e}"))?;
        self.contract.told(&polled?, Rules { exact: false, terse: false, ..self.rules })?;
        self.settle()
    }

    fn poll_while_registering(&mut self, id: EndId, asks: Asks) -> Result<(), String> {
        if !self.ground.has_threads() {
            return Ok(());
        }
        self.settle()?;
        let old = self.open_end(id).token;
        let token = self.new_token();
        let registry = registry(&self.poll);
        let mut source = self.open_end(id).end.take().expect("an open end");
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_micros(100));
            let result = match old {
                Some(_) => registry.reregister(&mut *source, Token(token), interest(asks)),
                None => registry.register(&mut *source, Token(token), interest(asks)),
            };
            (source, result)
        });
        self.contract.register(id, token, directions(asks));
        let is_ready = self.contract.owed().iter().any(|(owed, _)| *owed == token);
        let polled = self.poll_beside_thread(is_ready);
        let (source, result) = thread.join().map_err(|_| "the registering thread has died")?;
        self.open_end(id).end = Some(source);
        result.map_err(|e| format!("register: {e}"))?;
        self.open_end(id).token = Some(token);
        self.contract.told(&polled?, Rules { exact: false, terse: false, ..self.rules })?;
        if let Some(old) = old {
            self.contract.deregister(old);
        }
        self.settle()
    }

    fn poll_while_deregistering(&mut self, id: EndId) -> Result<(), String> {
        let Some(token) = self.open_end(id).token else { return Ok(()) };
        if !self.ground.has_threads() {
            return Ok(());
        }
        let registry = registry(&self.poll);
        let mut source = self.open_end(id).end.take().expect("an open end");
        let thread = thread::spawn(move || {
            let result = registry.deregister(&mut *source);
            (source, result)
        });
        let polled = self.poll_beside_thread(false);
        let (source, result) = thread.join().map_err(|_| "the deregistering thread has died")?;
        self.open_end(id).end = Some(source);
        result.map_err(|e| format!("deregister: {e}"))?;
        self.contract.told(&polled?, Rules { exact: false, terse: false, ..self.rules })?;
        self.open_end(id).token = None;
        self.contract.deregister(token);
        Ok(())
    }

    /// Polls while a thread does something that gives an event or, as far as is known, may give none.
    fn poll_beside_thread(&mut self, must_come: bool) -> Result<Vec<Told>, String> {
        let timeout = if must_come { LATEST } else { Duration::from_millis(1) };
        let start = Instant::now();
        let mut events = Events::with_capacity(64);
        loop {
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(format!("poll: {e}")),
                Ok(()) if must_come && start.elapsed() >= LATEST => {
                    return Err("it slept on, though another thread made something ready".into());
                }
                Ok(()) => return Ok(told(&events)),
            }
        }
    }
}

fn told(events: &Events) -> Vec<Told> {
    let told = |event: &wakeful::event::Event| Told {
        token: event.token().0,
        directions: [event.is_readable(), event.is_writable()],
        error: event.is_error(),
        read_closed: event.is_read_closed(),
        write_closed: event.is_write_closed(),
    };
    events.iter().map(told).collect()
}

fn registry(poll: &Poll) -> Registry {
    poll.registry().try_clone().expect("a registry")
}

fn expect_error(what: &str, result: io::Result<()>, kind: ErrorKind) -> Result<(), String> {
    match result {
        Err(e) if e.kind() == kind => Ok(()),
        other => Err(format!("{what}: {kind:?} was expected, not {other:?}")),
    }
}

fn interest(asks: Asks) -> Interest {
    match asks {
        Asks::Read => READ,
        Asks::Write => WRITE,
        Asks::Both => BOTH,
    }
}

fn directions(asks: Asks) -> [bool; 2] {
    [asks != Asks::Write, asks != Asks::Read]
}

fn byte_at(position: u64) -> u8 {
    (position.wrapping_mul(0x9E37_79B9) >> 13) as u8
}
