//! The polls of a run, alone and beside a thread that operates meanwhile.

use std::io::ErrorKind;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use wakeful::{Events, Token, Waker};

use super::{byte_at, interest, registry, World};
use crate::contract::{End as EndId, Is, Reported, Rules, READ as READ_DIRECTION, WRITE as WRITE_DIRECTION};
use crate::ops::{Kind, Timeout, Want};
use crate::rescue::{self, Limit, LATEST};

impl World<'_> {
    pub(super) fn poll(&mut self, timeout: Timeout, capacity: usize) -> Result<(), String> {
        self.contract.renew_levels();
        let is_due = !self.contract.due().is_empty();
        let (timeout, must_come) = match timeout {
            Timeout::Zero => (Some(Duration::ZERO), false),
            Timeout::Microseconds(time) => (Some(Duration::from_micros(time)), false),
            Timeout::Long if is_due => (Some(LATEST), true),
            Timeout::Never if is_due => (None, true),
            _ => (Some(Duration::ZERO), false),
        };
        self.poll_for(timeout, capacity, must_come).map(|_| ())
    }

    /// Polls once, judges the events, and returns their number.
    pub(super) fn poll_for(
        &mut self,
        timeout: Option<Duration>,
        capacity: usize,
        must_come: bool,
    ) -> Result<usize, String> {
        let due = self.contract.due_at_once(self.rules);
        let mut events = Events::with_capacity(capacity);
        let limit = Limit::start();
        let _rescue = match timeout {
            None if !self.ground.is_a_host() => Some(rescue::after(limit, self.poll.registry())),
            _ => None,
        };
        let reported = loop {
            let (start, limit_of_this) = (self.ground.now(), Limit::start());
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted && events.is_empty() => return Ok(0),
                Err(e) => return Err(format!("poll: {e}")),
            }
            if events.iter().any(|event| event.token() == rescue::TOKEN) {
                return Err(format!("poll blocked on, though {:?} were due", self.contract.due()));
            }
            let took = self.ground.now().saturating_duration_since(start);
            let reported = reported(&events);
            if reported.is_empty() {
                match timeout {
                    None => return Err("poll returned empty, without a timeout".into()),
                    Some(timeout) if took < timeout => return Err(format!("early: {took:?} of {timeout:?}")),
                    Some(_) if must_come && !self.had_time(&limit) => continue,
                    Some(_) if must_come => return Err(format!("lost: {:?}", self.contract.due())),
                    Some(_) => {}
                }
            }
            if must_come && took >= LATEST && self.had_time(&limit_of_this) {
                return Err(format!(
                    "poll blocked until its timeout, though {:?} were due",
                    self.contract.due()
                ));
            }
            break reported;
        };
        if reported.len() > capacity {
            return Err(format!("{} events, though the capacity is {capacity}", reported.len()));
        }
        if reported.len() < capacity {
            let is_missing = |(token, direction): &&(usize, usize)| {
                !reported.iter().any(|event| event.token == *token && event.directions[*direction])
            };
            if let Some(missing) = due.iter().find(is_missing) {
                return Err(format!("{missing:?} was due, and there was room; reported: {reported:?}"));
            }
        }
        self.contract.check(&reported, self.rules)?;
        Ok(reported.len())
    }

    /// Whether an event that is missing at the timeout had enough time. Simulated time passes for nothing else.
    fn had_time(&self, limit: &Limit) -> bool {
        !self.ground.has_threads() || self.ground.is_a_host() || limit.had_time()
    }

    /// Every due event comes, in any number of calls.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        let limit = Limit::start();
        let mut calls = 0;
        while !self.contract.due().is_empty() {
            // While a level-triggered source is ready no call blocks, and an event may be late by time: in a world by
            // 10 ms, and there 16 calls of a busy task move the clock by 64 us at most.
            if calls >= 10_000 && self.had_time(&limit) {
                return Err(format!("{calls} calls have not reported {:?}", self.contract.due()));
            }
            self.poll_for(Some(LATEST), 7, true)?;
            calls += 1;
        }
        Ok(())
    }

    pub(super) fn poll_while_writing(&mut self, id: EndId) -> Result<(), String> {
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
        let waker = Waker::new(self.poll.registry(), rescue::TOKEN).map_err(|e| format!("no waker: {e}"))?;
        let writer = thread::spawn(move || {
            thread::sleep(Duration::from_micros(100));
            let result = source.write(&[byte_at(position)]);
            // A Windows pipe that isn't registered yet, or whose last write is not known to be done, takes nothing.
            // Then no event is due.
            let woken = if matches!(result, Ok(1)) { Ok(()) } else { waker.wake() };
            // Dropping the waker would lose the wake.
            (source, result, woken.map(|()| waker))
        });
        // The event is due as soon as the byte arrives, and nothing keeps the byte from arriving.
        let is_clear = self.contract.is(id, WRITE_DIRECTION) == Is::Ready && !self.contract.is_hurt(id);
        let must_come = is_clear && self.contract.awaits(peer, READ_DIRECTION);
        let polled = self.poll_beside_thread(must_come);
        let (source, result, woken) = writer.join().map_err(|_| "the writing thread has died")?;
        self.open_end(id).end = Some(source);
        let mut events = polled?;
        events.retain(|event| event.token != rescue::TOKEN.0);
        drop(woken.map_err(|e| format!("wake: {e}"))?);
        match result {
            Ok(n) => {
                self.open_end(id).sent += n as u64;
                self.contract.wrote(id, 1, Some(n));
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                if self.rules.exact && is_clear {
                    return Err("there is room, but writing would block".into());
                }
                self.contract.wrote(id, 1, None);
            }
            Err(_) => {}
        }
        self.contract.check(&events, Rules { exact: false, terse: false, ..self.rules })?;
        self.settle()
    }

    pub(super) fn poll_while_waking(&mut self, number: usize) -> Result<(), String> {
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
        self.contract.check(&polled?, Rules { exact: false, terse: false, ..self.rules })?;
        self.settle()
    }

    pub(super) fn poll_while_registering(&mut self, id: EndId, want: Want) -> Result<(), String> {
        if !self.ground.has_threads() {
            return Ok(());
        }
        self.settle()?;
        let want = self.possible(id, want);
        let old = self.open_end(id).token;
        let token = self.new_token();
        let registry = registry(&self.poll);
        let mut source = self.open_end(id).end.take().expect("an open end");
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_micros(100));
            let result = match old {
                Some(_) => registry.reregister(&mut *source, Token(token), interest(want)),
                None => registry.register(&mut *source, Token(token), interest(want)),
            };
            (source, result)
        });
        self.contract.register(id, token, want);
        let is_ready = self.contract.due().iter().any(|(due, _)| *due == token);
        let polled = self.poll_beside_thread(is_ready);
        let (source, result) = thread.join().map_err(|_| "the registering thread has died")?;
        self.open_end(id).end = Some(source);
        result.map_err(|e| format!("register: {e}"))?;
        self.open_end(id).token = Some(token);
        self.contract.check(&polled?, Rules { exact: false, terse: false, ..self.rules })?;
        if let Some(old) = old {
            self.contract.deregister(old);
        }
        self.settle()
    }

    pub(super) fn poll_while_deregistering(&mut self, id: EndId) -> Result<(), String> {
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
        self.contract.check(&polled?, Rules { exact: false, terse: false, ..self.rules })?;
        self.open_end(id).token = None;
        self.contract.deregister(token);
        Ok(())
    }

    /// Polls while a thread does an operation that causes an event, or may cause none.
    pub(super) fn poll_beside_thread(&mut self, must_come: bool) -> Result<Vec<Reported>, String> {
        let timeout = if must_come { LATEST } else { Duration::from_millis(1) };
        let (start, limit) = (Instant::now(), Limit::start());
        let mut events = Events::with_capacity(64);
        loop {
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(format!("poll: {e}")),
                Ok(()) if must_come && start.elapsed() >= LATEST && self.had_time(&limit) => {
                    return Err("poll blocked on, though another thread made something ready".into());
                }
                Ok(()) if must_come && events.is_empty() && start.elapsed() >= LATEST => {}
                Ok(()) => return Ok(reported(&events)),
            }
        }
    }
}

fn reported(events: &Events) -> Vec<Reported> {
    let reported = |event: &wakeful::event::Event| Reported {
        token: event.token().0,
        directions: [event.is_readable(), event.is_writable()],
        error: event.is_error(),
        read_closed: event.is_read_closed(),
        write_closed: event.is_write_closed(),
    };
    events.iter().map(reported).collect()
}
