//! The operations on sources and wakers, and their immediate results.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::sync::Arc;
use std::thread;

use wakeful::{Token, Waker};

use super::{byte_at, expect_error, interest, registry, World};
use crate::contract::{End as EndId, Is};
use crate::ops::{Half, Kind, Want};
use crate::support::READ;

impl World<'_> {
    /// Returns what an end can be registered for. Windows reports no end of a pipe by itself.
    pub(super) fn possible(&self, id: EndId, want: Want) -> Want {
        match cfg!(windows) && self.kind_of(id) == Kind::Pipe && want.directions == [false; 2] {
            true => Want { directions: [true, false], ..want },
            false => want,
        }
    }

    pub(super) fn register(&mut self, id: EndId, want: Want) -> Result<(), String> {
        let want = self.possible(id, want);
        let token = self.new_token();
        let registered = self.open_end(id).token;
        let registry = registry(&self.poll);
        let result = registry.register(self.source(id), Token(token), interest(want));
        match (registered, result) {
            (None, Ok(())) => {
                self.open_end(id).token = Some(token);
                self.contract.register(id, token, want);
                Ok(())
            }
            (Some(_), result) => expect_error("a second register", result, ErrorKind::AlreadyExists),
            (None, Err(e)) => Err(format!("register: {e}")),
        }
    }

    pub(super) fn reregister(&mut self, id: EndId, want: Want) -> Result<(), String> {
        let want = self.possible(id, want);
        let token = self.new_token();
        let registered = self.open_end(id).token;
        let registry = registry(&self.poll);
        let result = registry.reregister(self.source(id), Token(token), interest(want));
        match (registered, result) {
            (Some(old), Ok(())) => {
                self.open_end(id).token = Some(token);
                self.contract.deregister(old);
                self.contract.register(id, token, want);
                Ok(())
            }
            (None, result) => expect_error("reregister", result, ErrorKind::NotFound),
            (Some(_), Err(e)) => Err(format!("reregister: {e}")),
        }
    }

    pub(super) fn deregister(&mut self, id: EndId) -> Result<(), String> {
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

    pub(super) fn other_poll(&mut self, id: EndId) -> Result<(), String> {
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

    /// Writes once, and returns whether more may be written.
    pub(super) fn write(&mut self, id: EndId, size: usize) -> Result<bool, String> {
        let open = self.open_end(id);
        let (kind, position) = (open.kind, open.sent);
        if kind == Kind::Udp && self.contract.is(id ^ 1, 0) == Is::Ready {
            // The model doesn't know which datagrams a full buffer drops.
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

    pub(super) fn fill(&mut self, id: EndId) -> Result<(), String> {
        let size = match self.open_end(id).kind {
            // A kernel drops datagrams without room, and never blocks.
            Kind::Udp => return self.write(id, 10).map(|_| ()),
            Kind::Datagram => 10,
            _ => 30_000,
        };
        while self.write(id, size)? {}
        self.write(id, 1)?;
        Ok(())
    }

    /// Reads once, and returns whether there may be more.
    pub(super) fn read(&mut self, id: EndId, size: usize) -> Result<bool, String> {
        let mut buf = vec![0; size];
        let expected = self.contract.readable_bytes(id, size);
        match self.source(id).read(&mut buf) {
            Ok(n) => {
                let open = self.open_end(id);
                let is_stream = !matches!(open.kind, Kind::Datagram | Kind::Udp);
                if is_stream {
                    let good = buf[..n].iter().zip(open.received..).all(|(&byte, at)| byte == byte_at(at));
                    if !good {
                        return Err("bytes that were not sent".into());
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

    pub(super) fn drain(&mut self, id: EndId) -> Result<(), String> {
        while self.read(id, 64 << 10)? {}
        Ok(())
    }

    pub(super) fn shutdown(&mut self, id: EndId, half: Half) -> Result<(), String> {
        let how = match half {
            Half::Read => Shutdown::Read,
            Half::Write => Shutdown::Write,
            Half::Both => Shutdown::Both,
        };
        // The half may be shut down already.
        if let Ok(true) = self.source(id).shutdown(how) {
            self.contract.shutdown(id, half);
        }
        Ok(())
    }

    pub(super) fn vanish(&mut self, id: EndId) -> Result<(), String> {
        let open = self.open_end(id);
        if open.kind == Kind::Raw && open.token.is_some() && !self.rules.raw_may_vanish {
            self.deregister(id)?;
        }
        self.close(id)
    }

    pub(super) fn close(&mut self, id: EndId) -> Result<(), String> {
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

    pub(super) fn duplicate(&mut self, id: EndId) -> Result<(), String> {
        if let Some(duplicate) = self.source(id).duplicate() {
            self.open_end(id).duplicates.push(duplicate);
            self.contract.duplicate(id);
        }
        Ok(())
    }

    pub(super) fn close_duplicate(&mut self, place: usize) -> Result<(), String> {
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

    pub(super) fn new_waker(&mut self) -> Result<(), String> {
        if self.wakers.len() > 70 {
            return Ok(());
        }
        let token = self.new_token();
        let waker = Waker::new(self.poll.registry(), Token(token)).map_err(|e| format!("no waker: {e}"))?;
        self.wakers.push((token, Arc::new(waker)));
        self.contract.add_waker(token);
        Ok(())
    }

    pub(super) fn drop_waker(&mut self, number: usize) -> Result<(), String> {
        if !self.wakers.is_empty() {
            let (token, _) = self.wakers.swap_remove(number % self.wakers.len());
            self.contract.drop_waker(token);
        }
        Ok(())
    }

    pub(super) fn wake(&mut self, number: usize, elsewhere: bool) -> Result<(), String> {
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
}
