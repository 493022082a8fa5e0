//! Streams and pipes: reading, writing, and how they end.
//!
//! Invariant: each byte is read once, in order, or the connection has failed.

use std::io;

use super::choices::ChoiceKind;
use super::errno;
use super::log::{Endpoint, What};
use super::network::Due;
use super::sockets::copy;
use super::sources::{Id, Kind, Number, Piece, Reset, READ, WRITE};
use super::state::State;

impl State {
    /// Applies the faults that any operation may have.
    pub(super) fn may_fail(&mut self, id: Id, direction: usize) -> io::Result<()> {
        if self.fault(ChoiceKind::Interrupted, |faults| faults.interrupted_operation) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        // Only if an event can follow.
        if self.may_pretend(id, direction) && self.fault(ChoiceKind::WouldBlock, |faults| faults.would_block)
        {
            self.used_up(id, direction, true);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }

    /// Returns how much of `wanted` is moved.
    pub(super) fn share(&mut self, wanted: usize) -> usize {
        wanted - self.extent(ChoiceKind::Short, wanted.saturating_sub(1), |faults| faults.short)
    }

    /// Reads into the slices, in order. Peeking leaves the bytes.
    pub(super) fn read(&mut self, id: Id, bufs: &mut [io::IoSliceMut<'_>], peeks: bool) -> io::Result<usize> {
        if self.fault(ChoiceKind::Reset, |faults| faults.reset) {
            self.reset(id);
        }
        let number = match self.sources.get(&id) {
            Some(&Kind::Bytes { into: Some(number), .. }) => number,
            // Linux: the attempt to connect goes on.
            Some(Kind::Connecting) => return self.would_block(id, READ),
            Some(Kind::Failed) => return self.take_error(id).map(|()| 0),
            Some(Kind::Bytes { .. }) => return Err(errno::error(errno::BAD_DESCRIPTOR)),
            _ => return Err(errno::error(errno::NOT_CONNECTED)),
        };
        let has_bytes = !self.channels[&number].bytes.is_empty();
        let error = self.sockets.get(&id).map(|socket| socket.error);
        // A kernel returns what has arrived before it reports a reset. A simulated source without a socket loses it.
        // Behind the end of the stream, a reset is the writer's alone.
        if error.is_none() || !has_bytes && error != Some(Some(errno::BROKEN_PIPE)) {
            self.take_failure(id)?;
        }
        self.may_fail(id, READ)?;
        let channel = &self.channels[&number];
        let (there, at_end) = (channel.bytes.len(), channel.is_at_end());
        let wanted = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if wanted == 0 {
            return Ok(0);
        }
        if there == 0 && at_end {
            self.log_stream(id, |from, to| What::EndOfStream { from: to, to: from });
            return Ok(0);
        }
        if there == 0 {
            return self.would_block(id, READ);
        }
        let count = self.share(there.min(wanted));
        let Some(channel) = self.channels.get_mut(&number) else { return Ok(0) };
        copy(&channel.bytes.make_contiguous()[..count], bufs);
        if peeks {
            return Ok(count);
        }
        channel.bytes.drain(..count);
        // What the program has not asked for is not left.
        let (bytes, waiting) = (count as u64, there.min(wanted) as u64);
        self.log_stream(id, |to, from| What::Read { from, to, bytes, waiting });
        self.space_made(number);
        if count < wanted {
            self.used_up(id, READ, count < there);
        }
        Ok(count)
    }

    /// Notifies the writer of a channel, at once or by a message.
    fn space_made(&mut self, number: Number) {
        let channel = &self.channels[&number];
        let (writer, hosts) = (channel.writer, channel.hosts);
        match hosts {
            Some((from, to)) if from != to => {
                let due = self.arrival(to, from, 0);
                self.later(due, Due::Window { writer });
            }
            _ => self.changed(writer, WRITE),
        }
    }

    /// Writes the slices, in order.
    pub(super) fn write(&mut self, id: Id, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        if self.fault(ChoiceKind::Reset, |faults| faults.reset) {
            self.reset(id);
        }
        if self.fault(ChoiceKind::HalfClose, |faults| faults.half_close) {
            self.shutdown(id, false, true);
        }
        let Some(&Kind::Bytes { out: Some(number), .. }) = self.sources.get(&id) else {
            return Err(match self.sources.get(&id) {
                // Linux: the attempt to connect goes on.
                Some(Kind::Connecting) => return self.would_block(id, WRITE),
                Some(Kind::Failed) => {
                    self.take_error(id)?;
                    errno::error(errno::BROKEN_PIPE)
                }
                Some(Kind::Bytes { .. }) => errno::error(errno::BAD_DESCRIPTOR),
                Some(Kind::Idle) if self.sockets.contains_key(&id) => errno::error(errno::BROKEN_PIPE),
                _ => errno::error(errno::NOT_CONNECTED),
            });
        };
        self.take_failure(id)?;
        let channel = &self.channels[&number];
        let (room, is_broken, is_remote) = (channel.room(), channel.is_broken(), channel.hosts.is_some());
        if is_broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.may_fail(id, WRITE)?;
        let wanted = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if wanted == 0 {
            return Ok(0);
        }
        if room == 0 {
            return self.would_block(id, WRITE);
        }
        let count = self.share(room.min(wanted));
        let mut left = count;
        let parts = bufs.iter().map(|buf| {
            let part = &buf[..buf.len().min(left)];
            left -= part.len();
            part
        });
        let (len, all) = (count as u64, wanted as u64);
        if is_remote {
            let mut bytes: Vec<u8> = Vec::with_capacity(count);
            parts.for_each(|part| bytes.extend_from_slice(part));
            self.next_message += 1;
            let message = self.next_message;
            self.log_stream(id, |from, to| What::Wrote { from, to, bytes: len, wanted: all });
            self.log_stream(id, |from, to| What::Sent { message, from, to, bytes: len });
            self.transmit(number, Piece::Bytes { bytes, message });
        } else {
            let Some(channel) = self.channels.get_mut(&number) else { return Ok(0) };
            parts.for_each(|part| channel.bytes.extend(part));
            let reader = channel.reader;
            self.log_stream(id, |from, to| What::Wrote { from, to, bytes: len, wanted: all });
            self.changed(reader, READ);
        }
        if count < wanted {
            self.used_up(id, WRITE, count < room);
        }
        Ok(count)
    }

    /// Fails with the pending error of a socket, or with the reset of its connection, once.
    fn take_failure(&mut self, id: Id) -> io::Result<()> {
        self.take_error(id)?;
        match self.take_reset(id) {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }

    /// Logs an event of a stream between hosts, with the ends: this one, and the peer.
    fn log_stream(&mut self, id: Id, what: impl FnOnce(Endpoint, Endpoint) -> What) {
        if let Some(socket) = self.sockets.get(&id) {
            let host = socket.host;
            let what = what(self.endpoint(id), self.peer_endpoint(id));
            self.log.push(self.now, host, what);
        }
    }

    /// Returns whether the reset of a connection is reported now: it is reported once, and then it is the end.
    pub(super) fn take_reset(&mut self, id: Id) -> bool {
        match self.sources.get_mut(&id) {
            Some(Kind::Bytes { reset: reset @ Reset::Unreported, .. }) => {
                *reset = Reset::Reported;
                true
            }
            _ => false,
        }
    }

    pub(super) fn shutdown(&mut self, id: Id, reading: bool, writing: bool) {
        let Some(&Kind::Bytes { out, into, .. }) = self.sources.get(&id) else { return };
        if let Some(number) = out.filter(|_| writing) {
            let Some(channel) = self.channels.get_mut(&number) else { return };
            let was_shut = std::mem::replace(&mut channel.is_shut, true);
            let reader = channel.reader;
            if channel.hosts.is_none() {
                channel.ended = true;
                self.changed(reader, READ);
            } else if !was_shut {
                self.log_stream(id, |from, to| What::Shutdown { from, to });
                self.transmit(number, Piece::End);
            }
            self.changed(id, WRITE);
        }
        if let Some(channel) = into.filter(|_| reading).and_then(|into| self.channels.get_mut(&into)) {
            channel.unread = true;
            let writer = channel.writer;
            if channel.hosts.is_none() {
                self.changed(writer, WRITE);
            }
            self.changed(id, READ);
        }
    }

    /// Resets a connection: what is on the way is lost, and each end that is open gets an event.
    pub(super) fn reset(&mut self, id: Id) {
        let Some(&Kind::Bytes { out: Some(out), into: Some(into), .. }) = self.sources.get(&id) else {
            return;
        };
        for number in [out, into] {
            if let Some(channel) = self.channels.get_mut(&number) {
                channel.bytes.clear();
                channel.flying.clear();
                channel.flying_bytes = 0;
                channel.stalls += 1;
                (channel.ended, channel.unread, channel.is_shut) = (true, true, true);
            }
        }
        let peer = self.channels[&out].reader;
        for end in [id, peer] {
            if let Some(Kind::Bytes { reset: reset @ Reset::No, .. }) = self.sources.get_mut(&end) {
                *reset = Reset::Unreported;
            }
            self.changed(end, READ);
            self.changed(end, WRITE);
        }
    }

    /// Breaks connections while a program waits.
    pub(super) fn break_something(&mut self) {
        if self.fault(ChoiceKind::Reset, |faults| faults.reset) {
            if let Some(id) = self.any_connection() {
                self.reset(id);
            }
        }
        if self.fault(ChoiceKind::HalfClose, |faults| faults.half_close) {
            if let Some(id) = self.any_connection() {
                self.shutdown(id, false, true);
            }
        }
    }

    fn any_connection(&mut self) -> Option<Id> {
        let is_connection = |kind: &Kind| matches!(kind, Kind::Bytes { out: Some(_), into: Some(_), .. });
        let all: Vec<Id> =
            self.sources.iter().filter(|(_, kind)| is_connection(kind)).map(|(id, _)| id).collect();
        all.get(self.choices.below(ChoiceKind::Which, all.len())).copied()
    }

    pub(super) fn close(&mut self, id: Id) {
        // A kernel frees what a closed end has not read, so its peer has room.
        if let Some(&Kind::Bytes { into: Some(into), .. }) = self.sources.get(&id) {
            if let Some(channel) = self.channels.get_mut(&into).filter(|channel| channel.hosts.is_none()) {
                channel.bytes.clear();
            }
        }
        self.shutdown(id, true, true);
        self.close_source(id);
    }

    /// Closes a source without a message to its peer.
    pub(super) fn close_source(&mut self, id: Id) {
        self.unwatch_all(id);
        self.forget_socket(id);
        match self.sources.remove(&id) {
            Some(Kind::Bytes { out, into, .. }) => {
                for number in [out, into].into_iter().flatten() {
                    let lives = |end: &Id| self.sources.contains_key(end);
                    let ends = self.channels.get(&number).map(|channel| [channel.writer, channel.reader]);
                    if ends.is_some_and(|ends| !ends.iter().any(lives)) {
                        self.channels.remove(&number);
                    }
                }
            }
            Some(Kind::Listener { waiting }) => {
                for accepted in waiting {
                    if self.sockets.contains_key(&accepted) {
                        self.abort(accepted);
                    } else {
                        self.reset(accepted);
                        self.close(accepted);
                    }
                }
            }
            _ => {}
        }
    }
}
