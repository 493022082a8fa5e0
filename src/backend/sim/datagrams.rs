//! Datagrams: sending, queues and receiving.
//!
//! Invariant: a datagram is received whole or truncated, once, or it is lost.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::choices::ChoiceKind;
use super::errno;
use super::hosts::{as_family, canonical, Protocol, SocketName};
use super::log::{Endpoint, What};
use super::network::Due;
use super::sockets::{bad_descriptor, copy, Family};
use super::sources::{Id, Kind, READ, WRITE};
use super::state::State;
use super::turns::HostNumber;

/// How many bytes a datagram socket queues: `net.core.rmem_default` of Linux.
const DATAGRAM_SPACE: usize = 212_992;

/// What Linux counts for each queued datagram beside its bytes.
const DATAGRAM_OVERHEAD: usize = 768;

/// How many datagrams a Unix-domain socket queues: `net.unix.max_dgram_qlen` of Linux, and one.
const UNIX_DATAGRAMS: usize = 11;

/// The longest datagram over IPv4.
const LONGEST_DATAGRAM: usize = 65_507;

impl State {
    /// Sends a datagram to `to`, or to the peer.
    pub(super) fn send_datagram(
        &mut self,
        id: Id,
        bufs: &[io::IoSlice<'_>],
        to: Option<SocketName>,
    ) -> io::Result<usize> {
        self.take_error(id)?;
        let socket = self.sockets.get(&id).ok_or_else(bad_descriptor)?;
        if socket.shut[WRITE] {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let is_unix = socket.family == Family::Unix;
        let to = to.unwrap_or_else(|| socket.peer.clone());
        let no_peer = if is_unix { errno::NOT_CONNECTED } else { errno::DESTINATION_REQUIRED };
        self.may_fail(id, WRITE)?;
        let bytes: Vec<u8> = bufs.iter().flat_map(|buf| &buf[..]).copied().collect();
        let len = bytes.len();
        match to {
            SocketName::Unnamed => match self.sockets.get(&id).and_then(|socket| socket.pair) {
                Some(peer) => self.send_unix(id, peer, bytes)?,
                None => return Err(errno::error(no_peer)),
            },
            SocketName::Ip(to) if !is_unix => {
                if len > LONGEST_DATAGRAM {
                    return Err(errno::error(errno::MESSAGE_TOO_LONG));
                }
                self.send_udp(id, to, bytes)?;
            }
            SocketName::Unix(_) if is_unix => {
                let host = self.sockets.get(&id).ok_or_else(bad_descriptor)?.host;
                let peer = self.find_unix(host, Protocol::Datagram, &to)?;
                self.send_unix(id, peer, bytes)?;
            }
            _ => return Err(errno::error(errno::FAMILY_NOT_SUPPORTED)),
        }
        Ok(len)
    }

    fn send_udp(&mut self, id: Id, to: SocketAddr, bytes: Vec<u8>) -> io::Result<()> {
        self.bind_for_sending(id)?;
        let socket = &self.sockets[&id];
        let host = socket.host;
        let local = socket.local.clone();
        let from_name = match local {
            SocketName::Ip(local) if local.ip().is_unspecified() => {
                let address = self.source_address(host, socket.family, to.ip());
                SocketName::Ip(SocketAddr::new(address, local.port()))
            }
            local => local,
        };
        let Some(to_host) = self.hosts.find(host, to.ip()) else { return Ok(()) };
        self.next_message += 1;
        let message = self.next_message;
        let to = match to.ip().is_unspecified() {
            true => SocketAddr::new(self.source_address(host, Family::V4, to.ip()), to.port()),
            false => to,
        };
        let (from, endpoint) = (self.name_endpoint(&from_name, id), Endpoint::Ip(to));
        let len = bytes.len() as u64;
        self.log.push(self.now, host, What::Sent { message, from, to: endpoint, bytes: len });
        if self.fault(ChoiceKind::Lost, |faults| faults.lost) {
            self.log.push(self.now, host, What::Lost { message, from, to: endpoint });
            return Ok(());
        }
        let due = self.arrival(host, to_host, bytes.len());
        let to = SocketName::Ip(to);
        self.later(due, Due::Datagram { from: id, from_name, hosts: (host, to_host), to, bytes, message });
        if host == to_host {
            self.run_agenda();
        }
        Ok(())
    }

    fn bind_for_sending(&mut self, id: Id) -> io::Result<()> {
        let socket = &self.sockets[&id];
        if socket.local != SocketName::Unnamed {
            return Ok(());
        }
        let any: IpAddr = match socket.family {
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
            _ => Ipv4Addr::UNSPECIFIED.into(),
        };
        self.bind(id, SocketName::Ip(SocketAddr::new(any, 0)), false)
    }

    fn send_unix(&mut self, id: Id, peer: Id, bytes: Vec<u8>) -> io::Result<()> {
        let from = self.sockets.get(&id).map_or(SocketName::Unnamed, |socket| socket.local.clone());
        // A connected socket receives from its peer alone.
        let receiver = self.sockets.get(&peer);
        let its_peer = receiver.map_or(&SocketName::Unnamed, |receiver| &receiver.peer);
        if *its_peer != SocketName::Unnamed && *its_peer != from {
            return Err(errno::error(errno::NOT_PERMITTED));
        }
        if receiver.is_some_and(|receiver| receiver.shut[READ]) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match self.sources.get_mut(&peer) {
            Some(Kind::Messages { waiting, .. }) if waiting.len() >= UNIX_DATAGRAMS => {
                self.add_sender(peer, id);
                if let Some(socket) = self.sockets.get_mut(&id) {
                    socket.waits_for = Some(peer);
                }
                self.would_block(id, WRITE)
            }
            Some(Kind::Messages { waiting, len }) => {
                *len += bytes.len();
                waiting.push_back((bytes, from));
                self.changed(peer, READ);
                Ok(())
            }
            _ => Err(errno::error(errno::CONNECTION_REFUSED)),
        }
    }

    /// Returns whether a datagram socket can send to its peer, or to the one whose full queue it has found.
    pub(super) fn has_space_at_peer(&self, id: Id) -> bool {
        let Some(socket) = self.sockets.get(&id) else { return true };
        let peer = socket.pair.or_else(|| self.named(socket.host, &socket.peer));
        [peer, socket.waits_for].into_iter().flatten().all(|receiver| match self.sources.get(&receiver) {
            Some(Kind::Messages { waiting, .. }) => waiting.len() < UNIX_DATAGRAMS,
            _ => true,
        })
    }

    /// Returns the socket that a datagram reaches: one that is connected to the sender, else one that isn't connected.
    pub(super) fn find_datagrams(
        &mut self,
        host: HostNumber,
        to: SocketAddr,
        from: &SocketName,
    ) -> Option<Id> {
        let bound = self.hosts.all[host as usize].reached_by(Protocol::Datagram, to);
        let from = plain(from);
        let (mut connected, mut open) = (Vec::new(), Vec::new());
        for id in bound {
            match self.sockets.get(&id).map(|socket| &socket.peer) {
                Some(SocketName::Unnamed) => open.push(id),
                Some(peer) if plain(peer) == from => connected.push(id),
                _ => {}
            }
        }
        let candidates = if connected.is_empty() { open } else { connected };
        // A kernel spreads them over the sockets that share the name.
        match candidates.len() {
            0 | 1 => candidates.first().copied(),
            count => Some(candidates[self.choices.below(ChoiceKind::Which, count)]),
        }
    }

    /// Queues a datagram that has arrived. Returns false if the socket has no space for it.
    pub(super) fn enqueue_datagram(&mut self, id: Id, bytes: Vec<u8>, from: SocketName) -> bool {
        let family = self.sockets.get(&id).map_or(Family::V4, |socket| socket.family);
        let Some(Kind::Messages { waiting, len }) = self.sources.get_mut(&id) else { return false };
        let space = *len + (waiting.len() + 1) * DATAGRAM_OVERHEAD + bytes.len();
        if space > DATAGRAM_SPACE {
            return false;
        }
        *len += bytes.len();
        waiting.push_back((bytes, as_family(from, family)));
        self.changed(id, READ);
        true
    }

    /// Receives a datagram: its length as far as the slices reach, its whole length, and its sender.
    pub(super) fn receive_datagram(
        &mut self,
        id: Id,
        bufs: &mut [io::IoSliceMut<'_>],
        peeks: bool,
    ) -> io::Result<(usize, usize, SocketName)> {
        self.take_error(id)?;
        self.may_fail(id, READ)?;
        let Some(Kind::Messages { waiting, len }) = self.sources.get_mut(&id) else {
            return Err(bad_descriptor());
        };
        let Some((bytes, from)) = waiting.front() else {
            return match self.sockets.get(&id).is_some_and(|socket| socket.shut[READ]) {
                true => Ok((0, 0, SocketName::Unnamed)),
                false => self.would_block(id, READ),
            };
        };
        let (whole, from) = (bytes.len(), from.clone());
        let copied = copy(bytes, bufs);
        if peeks {
            return Ok((copied, whole, from));
        }
        *len -= whole;
        waiting.pop_front();
        let Some(socket) = self.sockets.get_mut(&id) else { return Err(bad_descriptor()) };
        let (host, senders) = (socket.host, socket.senders.clone());
        let (sender, at) = (self.name_endpoint(&from, id), self.endpoint(id));
        let (bytes, waiting) = (copied as u64, whole as u64);
        self.log.push(self.now, host, What::Read { from: sender, to: at, bytes, waiting });
        self.space_in_queue(senders);
        Ok((copied, whole, from))
    }
}

/// Returns a name by which two families of sockets call the same address.
fn plain(name: &SocketName) -> Option<(IpAddr, u16)> {
    match name {
        SocketName::Ip(addr) => Some((canonical(addr.ip()), addr.port())),
        _ => None,
    }
}
