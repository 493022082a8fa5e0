//! The calls of a task to the kernel of its world: time, turns, sockets by their descriptors.
//!
//! Invariant: a call on a descriptor that the world doesn't know returns `None` and has no effect.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Shutdown};
use std::time::Duration;

use super::errno;
use super::hosts::{Protocol, SocketName};
use super::log::What;
use super::run::busy_time;
use super::sockets::{Family, SocketType};
use super::sources::{Id, Kind, Reset, SourceState, READ, WRITE};
use super::state::State;
use super::tasks::Current;

/// How long an operation waits that can't act at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It fails with `WouldBlock`.
    None,
    /// It blocks the task until it can act.
    Unlimited,
    /// It blocks the task for as long as this, and fails with `WouldBlock` then.
    Limited(Duration),
}

impl Current {
    /// Acts on a socket: a file of another kind is none.
    fn call_socket<R>(
        &self,
        fd: i32,
        call: impl FnOnce(&mut State, Id) -> io::Result<R>,
    ) -> Option<io::Result<R>> {
        self.call(fd, |state, id| match state.sockets.get(&id) {
            Some(socket) if !socket.is_file => call(state, id),
            _ => Err(errno::error(errno::NOT_SOCKET)),
        })
    }

    fn call<R>(&self, fd: i32, call: impl FnOnce(&mut State, Id) -> R) -> Option<R> {
        let mut state = self.world().state();
        let id = *state.descriptors.get(&fd)?;
        Some(call(&mut state, id))
    }

    /// Runs an operation, again and again as long as `patience` lasts.
    fn operate<R>(
        &self,
        fd: i32,
        direction: usize,
        patience: impl Fn() -> Patience,
        mut operation: impl FnMut(&mut State, Id) -> io::Result<R>,
    ) -> Option<io::Result<R>> {
        let mut deadline = None;
        loop {
            let result = self.call(fd, &mut operation)?;
            match &result {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                _ => return Some(result),
            }
            let mut state = self.world().state();
            let until = match (patience(), deadline) {
                (Patience::None, _) => return Some(result),
                (Patience::Unlimited, _) => None,
                (Patience::Limited(_), Some(deadline)) => Some(deadline),
                (Patience::Limited(limit), None) => Some(state.now.saturating_add(limit)),
            };
            deadline = until;
            if until.is_some_and(|until| until <= state.now) {
                return Some(result);
            }
            let id = *state.descriptors.get(&fd)?;
            if !state.is_ready(id, direction) {
                state.blocked.entry((id, direction)).or_default().push(self.task());
                state = self.world().park(state, self.task(), until).0;
                if let Some(blocked) = state.blocked.get_mut(&(id, direction)) {
                    blocked.retain(|&task| task != self.task());
                    if blocked.is_empty() {
                        state.blocked.remove(&(id, direction));
                    }
                }
            } else {
                // The fault of an operation that could act: the others have a turn before the next attempt.
                let until = state.now + Duration::from_micros(1);
                drop(self.world().park(state, self.task(), Some(until)));
            }
        }
    }

    pub(crate) fn knows(&self, fd: i32) -> bool {
        self.world().state().descriptors.contains_key(&fd)
    }

    pub(crate) fn socket(&self, fd: i32, family: Family, kind: SocketType) {
        let mut state = self.world().state();
        let id = state.add_socket(self.host(), family, kind);
        state.add_descriptor(fd, id);
    }

    pub(crate) fn socket_pair(&self, one: i32, other: i32, kind: SocketType) {
        let mut state = self.world().state();
        let ids = [one, other].map(|fd| {
            let id = state.add_socket(self.host(), Family::Unix, kind);
            state.add_descriptor(fd, id);
            id
        });
        match kind {
            SocketType::Stream => state.join(ids[0], ids[1]),
            SocketType::Datagram => {
                for (id, peer) in [(ids[0], ids[1]), (ids[1], ids[0])] {
                    state.add_sender(peer, id);
                    if let Some(socket) = state.sockets.get_mut(&id) {
                        socket.pair = Some(peer);
                    }
                }
            }
        }
    }

    pub(crate) fn pipe(&self, reader: i32, writer: i32) {
        let mut state = self.world().state();
        let ends = [reader, writer].map(|fd| state.add_file(self.host(), fd, Kind::Idle));
        let channel = state.new_channel(ends[1], ends[0]);
        let end = |out, into| Kind::Bytes { out, into, reset: Reset::No };
        state.sources.insert(ends[0], end(None, Some(channel)));
        state.sources.insert(ends[1], end(Some(channel), None));
    }

    /// Makes a descriptor stand for a stream whose peer sends nothing and lives for ever.
    pub(crate) fn silent_stream(&self, fd: i32) {
        let mut state = self.world().state();
        let id = state.add_socket(self.host(), Family::Unix, SocketType::Stream);
        state.add_descriptor(fd, id);
        let peer = state.new_id();
        let channel = state.new_channel(peer, id);
        state.sources.insert(id, Kind::Bytes { out: None, into: Some(channel), reset: Reset::No });
    }

    pub(crate) fn duplicate(&self, fd: i32, new: i32) -> Option<()> {
        self.call(fd, |state, id| state.add_descriptor(new, id))
    }

    pub(crate) fn close(&self, fd: i32, aborts: impl FnOnce() -> bool) -> Option<()> {
        let mut state = self.world().state();
        state.descriptors.get(&fd)?;
        let aborts = aborts();
        state.close_descriptor(fd, aborts).then_some(())
    }

    pub(crate) fn bind(&self, fd: i32, name: SocketName, shares_name: bool) -> Option<io::Result<()>> {
        self.call_socket(fd, |state, id| state.bind(id, name, shares_name))
    }

    pub(crate) fn set_only_v6(&self, fd: i32, is_only_v6: bool) {
        self.call(fd, |state, id| {
            if let Some(socket) = state.sockets.get_mut(&id) {
                socket.is_only_v6 = is_only_v6;
            }
        });
    }

    pub(crate) fn listen(&self, fd: i32, backlog: usize) -> Option<io::Result<()>> {
        self.call_socket(fd, |state, id| state.listen(id, backlog))
    }

    pub(crate) fn connect(
        &self,
        fd: i32,
        to: SocketName,
        patience: impl Fn() -> Patience,
    ) -> Option<io::Result<()>> {
        let first = self.call_socket(fd, |state, id| state.connect_socket(id, to.clone()))?;
        match &first {
            Err(e) if e.raw_os_error() == Some(errno::IN_PROGRESS) && patience() != Patience::None => {}
            Err(e) if e.raw_os_error() == Some(errno::ALREADY) && patience() != Patience::None => {}
            _ => return Some(first),
        }
        // Blocks until the attempt has ended.
        self.operate(fd, WRITE, patience, |state, id| match state.sources.get(&id) {
            Some(Kind::Connecting) => Err(io::ErrorKind::WouldBlock.into()),
            Some(Kind::Bytes { .. }) => Ok(()),
            _ => {
                if let Some(kind @ Kind::Failed) = state.sources.get_mut(&id) {
                    *kind = Kind::Idle;
                }
                state.take_error(id)?;
                Err(errno::error(errno::CONNECTION_ABORTED))
            }
        })
    }

    /// Accepts a connection, and names it with the descriptor that `open` makes. Returns its peer.
    pub(crate) fn accept(
        &self,
        fd: i32,
        patience: impl Fn() -> Patience,
        open: impl Fn(Family) -> io::Result<i32>,
    ) -> Option<io::Result<(i32, SocketName)>> {
        self.operate(fd, READ, patience, |state, id| {
            let accepted = state.accept_socket(id)?;
            let family = state.sockets.get(&accepted).map_or(Family::V4, |socket| socket.family);
            match open(family) {
                Ok(new) => {
                    state.add_descriptor(new, accepted);
                    let peer = state.sockets.get(&accepted).map(|socket| socket.peer.clone());
                    Ok((new, peer.unwrap_or(SocketName::Unnamed)))
                }
                Err(e) => {
                    // As in a kernel that is out of descriptors: the connection stays in the queue.
                    if let Some(Kind::Listener { waiting }) = state.sources.get_mut(&id) {
                        waiting.push_front(accepted);
                    }
                    Err(e)
                }
            }
        })
    }

    pub(crate) fn receive(
        &self,
        fd: i32,
        bufs: &mut [IoSliceMut<'_>],
        peeks: bool,
        patience: impl Fn() -> Patience,
    ) -> Option<io::Result<(usize, usize, SocketName)>> {
        self.operate(fd, READ, patience, |state, id| match state.sources.get(&id) {
            Some(Kind::Messages { .. }) => state.receive_datagram(id, bufs, peeks),
            _ => {
                let read = state.read(id, bufs, peeks)?;
                Ok((read, read, SocketName::Unnamed))
            }
        })
    }

    pub(crate) fn send(
        &self,
        fd: i32,
        bufs: &[IoSlice<'_>],
        to: Option<&SocketName>,
        patience: impl Fn() -> Patience,
    ) -> Option<io::Result<usize>> {
        self.operate(fd, WRITE, patience, |state, id| match state.sources.get(&id) {
            Some(Kind::Messages { .. }) => state.send_datagram(id, bufs, to.cloned()),
            _ => state.write(id, bufs),
        })
    }

    pub(crate) fn shutdown(&self, fd: i32, how: Shutdown) -> Option<io::Result<()>> {
        let (reading, writing) = (how != Shutdown::Write, how != Shutdown::Read);
        self.call_socket(fd, |state, id| match state.sources.get(&id) {
            Some(Kind::Bytes { reset: Reset::No, .. }) => {
                state.shutdown(id, reading, writing);
                Ok(())
            }
            Some(Kind::Messages { .. }) => state.shutdown_datagrams(id, reading, writing),
            _ => Err(errno::error(errno::NOT_CONNECTED)),
        })
    }

    pub(crate) fn local_name(&self, fd: i32) -> Option<io::Result<SocketName>> {
        self.call_socket(fd, |state, id| {
            let socket = state.sockets.get(&id);
            Ok(socket.map_or(SocketName::Unnamed, |socket| socket.local.clone()))
        })
    }

    pub(crate) fn local_family(&self, fd: i32) -> Option<Family> {
        self.call(fd, |state, id| state.sockets.get(&id).map_or(Family::Unix, |socket| socket.family))
    }

    pub(crate) fn peer_name(&self, fd: i32) -> Option<io::Result<SocketName>> {
        self.call_socket(fd, |state, id| {
            let socket = state.sockets.get(&id).ok_or_else(super::sockets::bad_descriptor)?;
            let is_connected = match state.sources.get(&id) {
                Some(Kind::Bytes { reset, .. }) => *reset == Reset::No,
                Some(Kind::Messages { .. }) => socket.peer != SocketName::Unnamed || socket.pair.is_some(),
                _ => false,
            };
            match is_connected {
                true => Ok(socket.peer.clone()),
                false => Err(errno::error(errno::NOT_CONNECTED)),
            }
        })
    }

    pub(crate) fn take_error(&self, fd: i32) -> Option<Option<i32>> {
        self.call(fd, |state, id| state.take_error(id).err().and_then(|error| error.raw_os_error()))
    }

    /// Returns how many bytes can be read.
    pub(crate) fn waiting(&self, fd: i32) -> Option<usize> {
        self.call(fd, |state, id| match state.sources.get(&id) {
            Some(Kind::Bytes { into: Some(into), .. }) => {
                state.channels.get(into).map_or(0, |channel| channel.bytes.len())
            }
            Some(Kind::Messages { waiting, .. }) => waiting.front().map_or(0, |(bytes, _)| bytes.len()),
            _ => 0,
        })
    }

    pub(crate) fn readiness(&self, fd: i32) -> Option<SourceState> {
        self.call(fd, |state, id| state.readiness(id))
    }

    /// Removes the path of a Unix-domain socket. Returns whether there was one.
    pub(crate) fn unlink(&self, path: &[u8]) -> bool {
        let mut state = self.world().state();
        let host = &mut state.hosts.all[self.host() as usize];
        let was_there = host.paths.remove(path);
        for protocol in [Protocol::Stream, Protocol::Datagram] {
            host.names.remove(&(protocol, path.to_vec()));
        }
        was_there
    }

    pub(crate) fn time(&self) -> Duration {
        self.world().read_clock(self)
    }

    /// Waits until `deadline` by the host's clock, or until another task calls `unpark`. Returns whether it was that.
    pub(crate) fn park(&self, deadline: Option<Duration>) -> bool {
        let state = self.world().state();
        let skew = state.hosts.all[self.host() as usize].skew;
        let deadline = deadline.map(|deadline| skew.undo(deadline));
        self.world().park(state, self.task(), deadline).1
    }

    pub(crate) fn abandon(&self) {
        self.world().state().turns.finish(self.task());
    }

    pub(crate) fn yield_turn(&self) {
        let state = self.world().state();
        // Time must pass for a task that yields until something happens.
        let count = self.count_looks();
        let until = state.now + busy_time(count);
        drop(self.world().park(state, self.task(), Some(until)));
        self.set_looks(count + 1);
    }

    pub(crate) fn unpark(&self) -> bool {
        self.world().unpark(self.task())
    }

    pub(crate) fn random(&self, buf: &mut [u8]) {
        let mut state = self.world().state();
        let random = &mut state.hosts.all[self.host() as usize].random;
        for bytes in buf.chunks_mut(8) {
            *random = random.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let number = super::choices::mixed(*random).to_le_bytes();
            bytes.copy_from_slice(&number[..bytes.len()]);
        }
    }

    pub(crate) fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
        let state = self.world().state();
        let host = state.hosts.find_name(name)?;
        Some(state.hosts.all[host as usize].addresses.clone())
    }

    pub(crate) fn note(&self, what: What) {
        self.world().log(self.host(), what);
    }

    pub(crate) fn fail(&self, reason: String) {
        self.world().fail(self.host(), reason);
    }
}

impl State {
    /// Ends everything that a host has: its tasks get no further turn, and its sockets are closed as a kernel does.
    pub(super) fn crash(&mut self, host: u32, is_power_lost: bool) {
        for task in self.turns.of_host(host) {
            self.turns.finish(task);
        }
        let descriptors: Vec<i32> = self.descriptors.iter().map(|(fd, _)| fd).collect();
        for fd in descriptors {
            let id = self.descriptors[&fd];
            if self.sockets.get(&id).is_some_and(|socket| socket.host == host) {
                match is_power_lost {
                    true => {
                        self.descriptors.remove(&fd);
                        self.close_source(id);
                    }
                    false => drop(self.close_descriptor(fd, false)),
                }
            }
        }
        let polls: Vec<Id> =
            self.polls.iter().filter(|(_, poll)| poll.host == Some(host)).map(|(id, _)| id).collect();
        for poll in polls {
            self.remove_poll(poll);
        }
        self.hosts.all[host as usize].paths.clear();
        self.hosts.all[host as usize].is_down = is_power_lost;
        let now = self.now;
        self.log.push(now, host, What::HostCrashed);
    }
}
