//! The network between the hosts of a world: what is on its way, and what becomes of it on arrival.
//!
//! Invariant: a connection's pieces arrive in the order in which they were sent, each once, or the connection fails.

use std::time::Duration;

use super::choices::ChoiceKind;
use super::errno;
use super::hosts::{Protocol, SocketName};
use super::log::What;
use super::sources::{Channel, Id, Kind, Number, Piece, Reset, READ, WRITE};
use super::state::State;
use super::turns::HostNumber;

/// The first pause before lost data is sent again, which doubles: the least of Linux.
const FIRST_RETRY: Duration = Duration::from_millis(200);

/// The longest pause: that of Linux.
const LONGEST_RETRY: Duration = Duration::from_secs(120);

/// How often lost data is sent again, which takes about 15 minutes: `tcp_retries2` of Linux.
const RETRIES: u32 = 15;

/// How often an attempt to connect is repeated, after 1 s, 2 s and so on, altogether 127 s: `tcp_syn_retries` of Linux.
const SYN_RETRIES: u32 = 6;

/// How long Linux looks for a neighbour before it fails with `EHOSTUNREACH`.
const NEIGHBOUR_LIMIT: Duration = Duration::from_secs(3);

/// Something that happens at a time.
#[derive(Debug)]
pub(super) enum Due {
    /// The first piece of a channel arrives, if the channel has not stalled since.
    Piece {
        channel: Number,
        stalls: u64,
    },
    /// A stalled channel tries again.
    Retry {
        channel: Number,
        attempt: u32,
    },
    /// The three steps of a connection.
    Syn {
        client: Id,
        attempt: u32,
    },
    SynAck {
        client: Id,
        server: Id,
    },
    Ack {
        listener: Id,
        server: Id,
    },
    /// An attempt to connect fails.
    Refused {
        client: Id,
        error: i32,
    },
    /// The reset of a connection reaches one end.
    Reset {
        end: Id,
    },
    /// The writer learns that the reader has made space.
    Window {
        writer: Id,
    },
    Datagram {
        from: Id,
        from_name: SocketName,
        hosts: (HostNumber, HostNumber),
        to: SocketName,
        bytes: Vec<u8>,
        message: u64,
    },
    /// A datagram found no socket, and its sender learns of it (ICMP).
    Unreachable {
        sender: Id,
    },
}

impl State {
    pub(super) fn later(&mut self, due: Duration, what: Due) {
        self.next_event += 1;
        self.agenda.insert((due, self.next_event), what);
    }

    /// Does everything that is due.
    pub(super) fn run_agenda(&mut self) {
        while let Some((&(due, number), _)) = self.agenda.iter().next() {
            if due > self.now {
                return;
            }
            if let Some(what) = self.agenda.remove(&(due, number)) {
                self.happen(what);
            }
        }
    }

    /// Moves the clock, and does what is due on the way.
    pub(super) fn advance(&mut self, to: Duration) {
        while let Some((&(due, _), _)) = self.agenda.iter().next() {
            if due > to {
                break;
            }
            self.now = self.now.max(due);
            self.run_agenda();
        }
        self.now = self.now.max(to);
        let now = self.now;
        self.turns.expire(now);
    }

    fn happen(&mut self, what: Due) {
        match what {
            Due::Piece { channel, stalls } => self.piece_due(channel, stalls),
            Due::Retry { channel, attempt } => self.retry(channel, attempt),
            Due::Syn { client, attempt } => self.syn(client, attempt),
            Due::SynAck { client, server } => self.syn_ack(client, server),
            Due::Ack { listener, server } => self.ack(listener, server),
            Due::Refused { client, error } => self.fail_connect(client, error),
            Due::Reset { end } => self.reset_arrives(end),
            Due::Window { writer } => self.changed(writer, WRITE),
            Due::Datagram { from, from_name, hosts, to, bytes, message } => {
                self.datagram_arrives(from, from_name, hosts, &to, bytes, message);
            }
            Due::Unreachable { sender } => {
                if self.sockets.get(&sender).is_some_and(|socket| socket.peer != SocketName::Unnamed) {
                    self.set_error(sender, errno::CONNECTION_REFUSED);
                }
            }
        }
    }

    /// Returns when a message of `bytes` arrives that leaves now.
    pub(super) fn arrival(&mut self, from: HostNumber, to: HostNumber, bytes: usize) -> Duration {
        if from == to {
            return self.now;
        }
        let link = self.hosts.link(from, to);
        let (latency, spread, bandwidth) = (link.latency, link.spread, link.bandwidth);
        let mut left = self.now;
        if let Some(bandwidth) = bandwidth {
            let busy = self.hosts.busy.entry((from, to)).or_default();
            let sending =
                Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / bandwidth.max(1));
            left = left.max(*busy) + sending;
            *busy = left;
        }
        let spread = spread.as_micros() as usize;
        let more = if spread == 0 { 0 } else { self.choices.below(ChoiceKind::Latency, spread + 1) };
        left + latency + Duration::from_micros(more as u64)
    }

    /// Returns whether a message passes from one host to another.
    fn passes(&mut self, from: HostNumber, to: HostNumber) -> bool {
        if from == to {
            return true;
        }
        if self.hosts.is_cut(from, to) {
            return false;
        }
        let loss = self.hosts.link(from, to).loss;
        !self.choices.chance(ChoiceKind::Loss, loss)
    }

    fn host_of(&self, id: Id) -> HostNumber {
        self.sockets.get(&id).map_or(0, |socket| socket.host)
    }

    /// Sends a piece of a connection.
    pub(super) fn transmit(&mut self, number: Number, piece: Piece) {
        let Some(channel) = self.channels.get(&number) else { return };
        let Some(ends) = channel.hosts else { return };
        let bytes = piece.len();
        let due = match channel.is_stalled {
            true => None,
            false => {
                let last = channel.last_due;
                Some(self.arrival(ends.0, ends.1, bytes).max(last))
            }
        };
        let Some(channel) = self.channels.get_mut(&number) else { return };
        channel.flying_bytes += bytes;
        channel.flying.push_back(piece);
        if let Some(due) = due {
            channel.last_due = due;
            let stalls = channel.stalls;
            self.later(due, Due::Piece { channel: number, stalls });
            if ends.0 == ends.1 {
                self.run_agenda();
            }
        }
    }

    fn piece_due(&mut self, number: Number, stalls: u64) {
        let Some(channel) = self.channels.get(&number).filter(|channel| channel.stalls == stalls) else {
            return;
        };
        let Some((from, to)) = channel.hosts else { return };
        if !self.passes(from, to) {
            let message = self.channels[&number].flying.front().map_or(0, Piece::message);
            self.note_lost(number, message);
            if let Some(channel) = self.channels.get_mut(&number) {
                channel.is_stalled = true;
                channel.stalls += 1;
            }
            self.later(self.now + FIRST_RETRY, Due::Retry { channel: number, attempt: 1 });
            return;
        }
        self.piece_arrives(number);
    }

    fn piece_arrives(&mut self, number: Number) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let Some(piece) = channel.flying.pop_front() else { return };
        channel.flying_bytes -= piece.len();
        let (reader, [from, to]) = (channel.reader, channel.names);
        if !self.sources.contains_key(&reader) {
            // The reader has closed: its kernel answers with a reset.
            if matches!(piece, Piece::Bytes { .. }) {
                self.send_reset(number);
            }
            return;
        }
        match piece {
            Piece::Bytes { bytes, message } => {
                let len = bytes.len();
                let Some(channel) = self.channels.get_mut(&number) else { return };
                channel.bytes.extend(bytes);
                let host = self.host_of(reader);
                self.log.push(self.now, host, What::Arrived { message, from, to, bytes: len as u64 });
            }
            Piece::End => channel.ended = true,
        }
        self.changed(reader, READ);
    }

    /// Answers a piece that arrived at a closed reader.
    fn send_reset(&mut self, number: Number) {
        let Some(channel) = self.channels.get(&number) else { return };
        let (Some((from, to)), end) = (channel.hosts, channel.writer) else { return };
        let due = self.arrival(to, from, 0);
        self.later(due, Due::Reset { end });
    }

    fn retry(&mut self, number: Number, attempt: u32) {
        let Some(channel) = self.channels.get(&number) else { return };
        let Some((from, to)) = channel.hosts else { return };
        if self.passes(from, to) {
            let pieces = channel_len(self.channels.get_mut(&number));
            let due = self.arrival(from, to, 0);
            for _ in 0..pieces {
                let stalls = self.channels[&number].stalls;
                self.later(due, Due::Piece { channel: number, stalls });
            }
            if let Some(channel) = self.channels.get_mut(&number) {
                channel.last_due = due;
            }
            return;
        }
        if attempt > RETRIES {
            let writer = self.channels[&number].writer;
            self.break_end(writer, errno::TIMED_OUT);
            return;
        }
        let pause = FIRST_RETRY.saturating_mul(1 << attempt.min(16)).min(LONGEST_RETRY);
        self.later(self.now + pause, Due::Retry { channel: number, attempt: attempt + 1 });
    }

    /// Begins to connect a stream socket whose local name is set.
    pub(super) fn start_connect(&mut self, client: Id) {
        let Some(socket) = self.sockets.get(&client) else { return };
        let (SocketName::Ip(to), from) = (&socket.peer, socket.host) else { return };
        let Some(host) = self.hosts.find(from, to.ip()) else {
            let error = errno::HOST_UNREACHABLE;
            self.later(self.now + NEIGHBOUR_LIMIT, Due::Refused { client, error });
            return;
        };
        let due = self.arrival(from, host, 0);
        self.later(due, Due::Syn { client, attempt: 0 });
        if from == host {
            self.run_agenda();
        }
    }

    fn syn(&mut self, client: Id, attempt: u32) {
        // The client may have closed meanwhile.
        let Some(Kind::Connecting) = self.sources.get(&client) else { return };
        let Some(socket) = self.sockets.get(&client) else { return };
        let (from, name) = (socket.host, socket.peer.clone());
        let SocketName::Ip(to) = &name else { return };
        let Some(host) = self.hosts.find(from, to.ip()) else { return };
        let retry = |state: &mut State| {
            if attempt == SYN_RETRIES {
                let error = errno::TIMED_OUT;
                state.later(state.now + Duration::from_secs(1 << attempt), Due::Refused { client, error });
                return;
            }
            let pause = Duration::from_secs(1 << attempt);
            state.later(state.now + pause, Due::Syn { client, attempt: attempt + 1 });
        };
        if !self.passes(from, host) || !self.passes(host, from) || self.hosts.is_down(host) {
            retry(self);
            return;
        }
        let mut listeners = self.hosts.all[host as usize].reached_by(Protocol::Stream, *to);
        listeners.retain(|id| matches!(self.sources.get(id), Some(Kind::Listener { .. })));
        let listener = match listeners.len() {
            0 | 1 => listeners.first().copied(),
            // A kernel spreads connections over the listeners that share the name.
            count => Some(listeners[self.choices.below(ChoiceKind::Which, count)]),
        };
        let back = self.arrival(host, from, 0);
        let Some(listener) = listener else {
            self.later(back, Due::Refused { client, error: errno::CONNECTION_REFUSED });
            return self.run_agenda_if(from == host);
        };
        let is_full = match self.sources.get(&listener) {
            Some(Kind::Listener { waiting }) => {
                waiting.len() + self.handshakes(listener) > self.backlog(listener)
            }
            _ => true,
        };
        if is_full {
            // As Linux does: the attempt is dropped, and the client tries again.
            retry(self);
            return;
        }
        let server = self.accept_from(client, listener, host, name);
        self.later(back, Due::SynAck { client, server });
        self.run_agenda_if(from == host);
    }

    fn run_agenda_if(&mut self, is_local: bool) {
        if is_local {
            self.run_agenda();
        }
    }

    fn syn_ack(&mut self, client: Id, server: Id) {
        let Some(server_socket) = self.sockets.get(&server) else { return };
        let (listener, host) = (server_socket.listener, server_socket.host);
        let Some(Kind::Connecting) = self.sources.get(&client) else {
            // The client has closed meanwhile: the server's half fails.
            self.later(self.now, Due::Reset { end: server });
            return;
        };
        self.finish_connect(client, server);
        let due = self.arrival(self.host_of(client), host, 0);
        if let Some(listener) = listener {
            // Nothing that the client sends overtakes this.
            if let Some(&Kind::Bytes { out: Some(out), .. }) = self.sources.get(&client) {
                if let Some(channel) = self.channels.get_mut(&out) {
                    channel.last_due = due;
                }
            }
            self.later(due, Due::Ack { listener, server });
        }
    }

    fn ack(&mut self, listener: Id, server: Id) {
        if let Some(socket) = self.sockets.get_mut(&server) {
            if socket.listener.take().is_some() {
                if let Some(listener) = self.sockets.get_mut(&listener) {
                    listener.handshakes -= 1;
                }
            }
        }
        match self.sources.get_mut(&listener) {
            Some(Kind::Listener { waiting }) => {
                waiting.push_back(server);
                self.changed(listener, READ);
            }
            _ => {
                self.abort(server);
            }
        }
    }

    fn fail_connect(&mut self, client: Id, error: i32) {
        let Some(kind @ Kind::Connecting) = self.sources.get_mut(&client) else { return };
        *kind = Kind::Failed;
        let (from, to) = (self.endpoint(client), self.peer_endpoint(client));
        let host = self.host_of(client);
        self.log.push(self.now, host, What::Refused { from, to });
        if let Some(socket) = self.sockets.get_mut(&client) {
            socket.peer = SocketName::Unnamed;
        }
        self.set_error(client, error);
    }

    /// Sets the pending error of a socket, which is then readable and writable.
    pub(super) fn set_error(&mut self, id: Id, error: i32) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.error = Some(error);
            self.arm(id);
            self.changed(id, READ);
            self.changed(id, WRITE);
        }
    }

    /// Ends a connection on one end, which has this error then.
    pub(super) fn break_end(&mut self, end: Id, error: i32) {
        let Some(&mut Kind::Bytes { out, into, ref mut reset }) = self.sources.get_mut(&end) else { return };
        if *reset != Reset::No {
            return;
        }
        // The error itself is that of the socket.
        *reset = Reset::Reported;
        for number in [out, into].into_iter().flatten() {
            if let Some(channel) = self.channels.get_mut(&number) {
                if channel.writer == end {
                    channel.is_shut = true;
                    channel.flying.clear();
                    (channel.flying_bytes, channel.stalls) = (0, channel.stalls + 1);
                } else {
                    channel.ended = true;
                }
            }
        }
        self.set_error(end, error);
    }

    fn reset_arrives(&mut self, end: Id) {
        let Some(&Kind::Bytes { into, .. }) = self.sources.get(&end) else { return };
        let has_end = into.and_then(|into| self.channels.get(&into)).is_some_and(|channel| channel.ended);
        let (at, from) = (self.endpoint(end), self.peer_endpoint(end));
        let host = self.host_of(end);
        self.log.push(self.now, host, What::Reset { from, to: at });
        // Linux: in the state CLOSE_WAIT it is a broken pipe.
        self.break_end(end, if has_end { errno::BROKEN_PIPE } else { errno::CONNECTION_RESET });
    }

    /// Resets all connections between two hosts, as a device on the way does: both ends get a reset.
    pub(super) fn reset_between(&mut self, one: HostNumber, other: HostNumber) {
        let pair = |hosts: (HostNumber, HostNumber)| hosts == (one, other) || hosts == (other, one);
        let is_between = |kind: &Kind| match kind {
            Kind::Bytes { out: Some(out), .. } => self.channels[out].hosts.is_some_and(pair),
            _ => false,
        };
        let ends = self.sources.iter().filter(|(_, kind)| is_between(kind));
        let ends: Vec<Id> = ends.map(|(id, _)| id).collect();
        for end in ends {
            self.later(self.now, Due::Reset { end });
        }
        self.run_agenda();
    }

    /// Ends a connection from this end: the peer gets a reset.
    pub(super) fn abort(&mut self, id: Id) {
        let out = match self.sources.get(&id) {
            Some(&Kind::Bytes { out: Some(out), .. }) => self.channels.get_mut(&out),
            _ => None,
        };
        let Some(channel) = out else { return self.close_source(id) };
        let peer = channel.reader;
        channel.flying.clear();
        (channel.flying_bytes, channel.stalls) = (0, channel.stalls + 1);
        match channel.hosts {
            Some((from, to)) => {
                let due = self.arrival(from, to, 0);
                self.later(due, Due::Reset { end: peer });
                self.run_agenda_if(from == to);
                self.close_source(id);
            }
            None => {
                // A Unix-domain stream has no network, and its peer still reads all that it has.
                self.close(id);
                self.set_error(peer, errno::CONNECTION_RESET);
            }
        }
    }

    fn datagram_arrives(
        &mut self,
        from: Id,
        from_name: SocketName,
        (from_host, to_host): (HostNumber, HostNumber),
        to: &SocketName,
        bytes: Vec<u8>,
        message: u64,
    ) {
        let (source, target) = (self.name_endpoint(&from_name, from), self.name_endpoint(to, from));
        if !self.passes(from_host, to_host) || self.hosts.is_down(to_host) {
            self.log.push(self.now, from_host, What::Lost { message, from: source, to: target });
            return;
        }
        let found = match to {
            SocketName::Ip(to) => self.find_datagrams(to_host, *to, &from_name),
            _ => None,
        };
        let Some(id) = found else {
            let due = self.arrival(to_host, from_host, 0);
            self.later(due, Due::Unreachable { sender: from });
            return self.run_agenda_if(from_host == to_host);
        };
        let len = bytes.len();
        if self.enqueue_datagram(id, bytes, from_name) {
            self.log.push(
                self.now,
                to_host,
                What::Arrived { message, from: source, to: target, bytes: len as u64 },
            );
        } else {
            self.log.push(self.now, to_host, What::Lost { message, from: source, to: target });
        }
    }

    fn note_lost(&mut self, number: Number, message: u64) {
        let Some(channel) = self.channels.get(&number) else { return };
        let (Some((host, _)), [from, to]) = (channel.hosts, channel.names) else { return };
        self.log.push(self.now, host, What::Lost { message, from, to });
    }
}

/// Ends the stall of a channel. Returns how many pieces wait.
fn channel_len(channel: Option<&mut Channel>) -> usize {
    channel.map_or(0, |channel| {
        channel.is_stalled = false;
        channel.flying.len()
    })
}

#[cfg(test)]
mod tests;
