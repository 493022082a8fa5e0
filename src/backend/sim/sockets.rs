//! The sockets of hosts, by descriptor: names, connections, and what a socket does that a plain source doesn't.
//!
//! Invariant: a descriptor of the table has a socket, and a socket has at least one descriptor, unless it waits to be
//! accepted.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::errno;
use super::hosts::{as_family, canonical, Bound, Protocol, SocketName};
use super::log::{Endpoint, What};
use super::sources::{Id, Kind, Reset, READ, WRITE};
use super::state::State;
use super::turns::HostNumber;

/// The family of a simulated socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6, and IPv4 by it.
    V6,
    /// Unix-domain.
    Unix,
}

/// The type of a simulated socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketType {
    /// A stream: TCP or Unix-domain.
    Stream,
    /// Datagrams: UDP or Unix-domain.
    Datagram,
}

pub(super) struct Socket {
    pub(super) host: HostNumber,
    pub(super) family: Family,
    pub(super) kind: SocketType,
    pub(super) local: SocketName,
    pub(super) peer: SocketName,
    /// The pending error.
    pub(super) error: Option<i32>,
    /// How many descriptors stand for it.
    pub(super) descriptors: usize,
    /// How many connections may wait to be accepted.
    pub(super) backlog: usize,
    /// The listener, until the connection waits there to be accepted.
    pub(super) listener: Option<Id>,
    /// How many connections wait for the last step before they wait to be accepted.
    pub(super) handshakes: usize,
    /// Whether it takes no IPv4: `IPV6_V6ONLY`.
    pub(super) is_only_v6: bool,
    /// Whether others may bind to the same name.
    pub(super) shares_name: bool,
    /// Whether it is none, but another kind of file: the end of a pipe, or a poll.
    pub(super) is_file: bool,
    /// Which directions of a datagram socket are shut down.
    pub(super) shut: [bool; 2],
    /// The other one of a pair of datagram sockets.
    pub(super) pair: Option<Id>,
    /// The Unix-domain datagram socket whose full queue the last send has found.
    pub(super) waits_for: Option<Id>,
    /// The sockets that may wait for space in this one's queue.
    pub(super) senders: BTreeSet<Id>,
}

impl SocketType {
    pub(super) fn protocol(self) -> Protocol {
        match self {
            SocketType::Stream => Protocol::Stream,
            SocketType::Datagram => Protocol::Datagram,
        }
    }
}

impl State {
    /// Adds a socket of a host.
    pub(super) fn add_socket(&mut self, host: HostNumber, family: Family, kind: SocketType) -> Id {
        let id = self.new_id();
        let (local, peer) = (SocketName::Unnamed, SocketName::Unnamed);
        self.sockets.insert(
            id,
            Socket {
                host,
                family,
                kind,
                local,
                peer,
                error: None,
                descriptors: 0,
                backlog: 0,
                listener: None,
                handshakes: 0,
                is_only_v6: false,
                shares_name: false,
                is_file: false,
                shut: [false; 2],
                pair: None,
                waits_for: None,
                senders: BTreeSet::new(),
            },
        );
        let source = match kind {
            SocketType::Stream => Kind::Idle,
            SocketType::Datagram => Kind::Messages { waiting: VecDeque::new(), len: 0 },
        };
        self.sources.insert(id, source);
        id
    }

    /// Adds a file that isn't a socket, behind a descriptor.
    pub(super) fn add_file(&mut self, host: HostNumber, fd: i32, kind: Kind) -> Id {
        let id = self.add_socket(host, Family::Unix, SocketType::Stream);
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.is_file = true;
        }
        self.sources.insert(id, kind);
        self.add_descriptor(fd, id);
        id
    }

    /// Shuts down directions of a datagram socket.
    pub(super) fn shutdown_datagrams(&mut self, id: Id, reading: bool, writing: bool) -> io::Result<()> {
        let Some(socket) = self.sockets.get_mut(&id) else { return Err(bad_descriptor()) };
        socket.shut[READ] |= reading;
        socket.shut[WRITE] |= writing;
        let is_connected = socket.peer != SocketName::Unnamed || socket.pair.is_some();
        self.changed(id, READ);
        self.changed(id, WRITE);
        match is_connected {
            true => Ok(()),
            // Linux: and yet it is shut down.
            false => Err(errno::error(errno::NOT_CONNECTED)),
        }
    }

    /// Lets a descriptor stand for a socket.
    pub(super) fn add_descriptor(&mut self, fd: i32, id: Id) {
        // A descriptor that was closed without a call of this world names its old socket until now.
        if self.descriptors.contains_key(&fd) {
            self.close_descriptor(fd, false);
        }
        self.descriptors.insert(fd, id);
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.descriptors += 1;
        }
    }

    /// Closes a descriptor, and with the last one its socket. `aborts`: by a reset (`SO_LINGER` with 0).
    pub(super) fn close_descriptor(&mut self, fd: i32, aborts: bool) -> bool {
        let Some(id) = self.descriptors.remove(&fd) else { return false };
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.descriptors -= 1;
            if socket.descriptors == 0 {
                self.close_socket(id, aborts);
            }
        }
        true
    }

    /// Closes a socket as a kernel does: with unread bytes, by a reset.
    pub(super) fn close_socket(&mut self, id: Id, aborts: bool) {
        let (has_unread, is_tcp, peer) = match self.sources.get(&id) {
            Some(&Kind::Bytes { into: Some(into), out: Some(_), .. }) => {
                let into = &self.channels[&into];
                (!into.bytes.is_empty(), into.hosts.is_some(), Some(into.writer))
            }
            _ => (false, false, None),
        };
        match is_tcp && (aborts || has_unread) {
            true => self.abort(id),
            false => self.close(id),
        }
        if let Some(peer) = peer.filter(|_| has_unread && !is_tcp) {
            self.set_error(peer, errno::CONNECTION_RESET);
        }
    }

    /// Removes a socket's names.
    pub(super) fn forget_socket(&mut self, id: Id) {
        let Some(socket) = self.sockets.remove(&id) else { return };
        if let Some(host) = self.hosts.all.get_mut(socket.host as usize) {
            host.remove_bound(socket.kind.protocol(), &socket.local, id);
        }
        if let Some(listener) = socket.listener.and_then(|listener| self.sockets.get_mut(&listener)) {
            listener.handshakes -= 1;
        }
        for receiver in [socket.pair, socket.waits_for, self.named(socket.host, &socket.peer)] {
            if let Some(receiver) = receiver.and_then(|receiver| self.sockets.get_mut(&receiver)) {
                receiver.senders.remove(&id);
            }
        }
        // Those that wait for space in its queue find it gone.
        self.space_in_queue(socket.senders);
    }

    /// Returns the Unix-domain datagram socket of this name.
    pub(super) fn named(&self, host: HostNumber, name: &SocketName) -> Option<Id> {
        let SocketName::Unix(path) = name else { return None };
        self.hosts.all[host as usize].names.get(&(Protocol::Datagram, path.clone())).copied()
    }

    pub(super) fn space_in_queue(&mut self, senders: BTreeSet<Id>) {
        for sender in senders {
            if let Some(socket) = self.sockets.get_mut(&sender) {
                socket.waits_for = None;
            }
            self.changed(sender, WRITE);
        }
    }

    pub(super) fn backlog(&self, listener: Id) -> usize {
        self.sockets.get(&listener).map_or(0, |socket| socket.backlog)
    }

    /// Returns how many connections a listener has whose last step is on its way.
    pub(super) fn handshakes(&self, listener: Id) -> usize {
        self.sockets.get(&listener).map_or(0, |socket| socket.handshakes)
    }

    /// Binds a socket. With port 0 the host chooses one.
    pub(super) fn bind(&mut self, id: Id, name: SocketName, shares_name: bool) -> io::Result<()> {
        let socket = self.sockets.get(&id).ok_or_else(bad_descriptor)?;
        if socket.local != SocketName::Unnamed {
            return Err(errno::error(errno::INVALID));
        }
        let (number, protocol) = (socket.host, socket.kind.protocol());
        let (is_unix, is_only_v6) = (socket.family == Family::Unix, socket.is_only_v6);
        let host = &mut self.hosts.all[number as usize];
        let name = match name {
            SocketName::Ip(mut addr) if !is_unix => {
                if !host.has(addr.ip()) {
                    return Err(errno::error(errno::ADDRESS_NOT_AVAILABLE));
                }
                if addr.port() == 0 {
                    let port = host.free_port(protocol);
                    addr.set_port(port.ok_or_else(|| errno::error(errno::ADDRESS_IN_USE))?);
                }
                SocketName::Ip(addr)
            }
            SocketName::Unix(path) if is_unix => {
                if path.first() != Some(&0) && !host.paths.insert(path.clone()) {
                    return Err(errno::error(errno::ADDRESS_IN_USE));
                }
                SocketName::Unix(path)
            }
            // Linux gives it an abstract address.
            SocketName::Unnamed if is_unix => SocketName::Unix(format!("\0{id:05x}").into_bytes()),
            _ => return Err(errno::error(errno::INVALID)),
        };
        let shares = |other: &Id| self.sockets.get(other).is_some_and(|other| other.shares_name);
        let host = &self.hosts.all[number as usize];
        let is_taken = match &name {
            SocketName::Ip(addr) => {
                let new = Bound { address: canonical(addr.ip()), is_only_v6, id };
                let bound = host.ports.get(&(protocol, addr.port())).map_or(&[][..], |bound| bound);
                bound.iter().any(|other| {
                    let conflicts = other.covers(new.address) || new.covers(other.address);
                    conflicts && !(shares_name && shares(&other.id))
                })
            }
            SocketName::Unix(path) => host.names.contains_key(&(protocol, path.clone())),
            SocketName::Unnamed => false,
        };
        if is_taken {
            return Err(errno::error(errno::ADDRESS_IN_USE));
        }
        self.hosts.all[number as usize].add_bound(protocol, &name, is_only_v6, id);
        if let Some(socket) = self.sockets.get_mut(&id) {
            (socket.local, socket.shares_name) = (name, shares_name);
        }
        Ok(())
    }

    /// Binds a socket that has no name to a port of its host's choice, at the address from which `peer` is reached.
    fn bind_for(&mut self, id: Id, peer: IpAddr) -> io::Result<()> {
        let socket = self.sockets.get(&id).ok_or_else(bad_descriptor)?;
        if socket.local != SocketName::Unnamed {
            return Ok(());
        }
        let address = self.source_address(socket.host, socket.family, peer);
        self.bind(id, SocketName::Ip(SocketAddr::new(address, 0)), false)
    }

    /// Returns the address with which a host sends to `peer`.
    pub(super) fn source_address(&self, host: HostNumber, family: Family, peer: IpAddr) -> IpAddr {
        let host = &self.hosts.all[host as usize];
        let is_v6 = family == Family::V6;
        if peer.is_loopback() || peer.is_unspecified() || host.addresses.contains(&peer) {
            return match (peer.is_unspecified(), peer) {
                (false, peer) => peer,
                (true, IpAddr::V4(_)) => Ipv4Addr::LOCALHOST.into(),
                (true, IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
            };
        }
        let own = host.addresses.iter().find(|address| address.is_ipv6() == peer.is_ipv6());
        let own = own.copied().unwrap_or(match is_v6 {
            true => Ipv6Addr::LOCALHOST.into(),
            false => Ipv4Addr::LOCALHOST.into(),
        });
        match own {
            IpAddr::V4(v4) if is_v6 => v4.to_ipv6_mapped().into(),
            own => own,
        }
    }

    pub(super) fn listen(&mut self, id: Id, backlog: usize) -> io::Result<()> {
        let socket = self.sockets.get_mut(&id).ok_or_else(bad_descriptor)?;
        if socket.kind != SocketType::Stream {
            return Err(errno::error(errno::NOT_SUPPORTED));
        }
        // Linux takes 4096 at most (`net.core.somaxconn`).
        socket.backlog = backlog.min(4096);
        let (host, family) = (socket.host, socket.family);
        match self.sources.get_mut(&id) {
            Some(Kind::Listener { .. }) => return Ok(()),
            Some(kind @ Kind::Idle) => *kind = Kind::Listener { waiting: VecDeque::new() },
            _ => return Err(errno::error(errno::INVALID)),
        }
        if self.sockets[&id].local == SocketName::Unnamed {
            let any: IpAddr = match family {
                Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
                Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
                Family::Unix => return Err(errno::error(errno::INVALID)),
            };
            self.bind(id, SocketName::Ip(SocketAddr::new(any, 0)), false)?;
        }
        let at = self.endpoint(id);
        self.log.push(self.now, host, What::Listen { at });
        Ok(())
    }

    /// Connects a socket, or begins to. `EINPROGRESS`: it goes on.
    pub(super) fn connect_socket(&mut self, id: Id, to: SocketName) -> io::Result<()> {
        let socket = self.sockets.get(&id).ok_or_else(bad_descriptor)?;
        match (socket.kind, socket.family, to) {
            (SocketType::Datagram, _, to) => self.connect_datagrams(id, to),
            (SocketType::Stream, Family::Unix, SocketName::Unix(path)) => self.connect_unix(id, path),
            (SocketType::Stream, Family::V4 | Family::V6, SocketName::Ip(to)) => self.connect_tcp(id, to),
            _ => Err(errno::error(errno::FAMILY_NOT_SUPPORTED)),
        }
    }

    fn connect_tcp(&mut self, id: Id, mut to: SocketAddr) -> io::Result<()> {
        match self.sources.get(&id) {
            Some(Kind::Idle) => {}
            Some(Kind::Connecting) => return Err(errno::error(errno::ALREADY)),
            Some(Kind::Bytes { .. }) => return Err(errno::error(errno::IS_CONNECTED)),
            Some(Kind::Failed) => {
                // Linux reports the failure once more, by this call. The next one begins anew.
                self.sources.insert(id, Kind::Idle);
                let error = self.sockets.get_mut(&id).and_then(|socket| socket.error.take());
                return Err(errno::error(error.unwrap_or(errno::CONNECTION_ABORTED)));
            }
            _ => return Err(errno::error(errno::INVALID)),
        }
        // Linux: the address of no interface is the host itself.
        if to.ip().is_unspecified() {
            to.set_ip(match to {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        self.bind_for(id, to.ip())?;
        let Some(socket) = self.sockets.get_mut(&id) else { return Err(bad_descriptor()) };
        if let SocketName::Ip(local) = &mut socket.local {
            if local.ip().is_unspecified() {
                let (host, family) = (socket.host, socket.family);
                let address = self.source_address(host, family, to.ip());
                self.rename(id, address);
            }
        }
        let Some(socket) = self.sockets.get_mut(&id) else { return Err(bad_descriptor()) };
        socket.peer = SocketName::Ip(to);
        let host = socket.host;
        self.sources.insert(id, Kind::Connecting);
        // It is neither readable nor writable any more: what comes next is reported.
        self.used_up(id, READ, false);
        self.used_up(id, WRITE, false);
        let (from, to) = (self.endpoint(id), self.peer_endpoint(id));
        self.log.push(self.now, host, What::Connect { from, to });
        self.start_connect(id);
        Err(errno::error(errno::IN_PROGRESS))
    }

    /// Gives a socket that is bound to all addresses the one of its connection.
    fn rename(&mut self, id: Id, address: IpAddr) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let host = &mut self.hosts.all[socket.host as usize];
        host.remove_bound(Protocol::Stream, &socket.local, id);
        if let SocketName::Ip(local) = &mut socket.local {
            local.set_ip(address);
        }
        host.add_bound(Protocol::Stream, &socket.local, socket.is_only_v6, id);
    }

    /// Makes the server's half of a connection that `client` begins to the listener at `name`.
    pub(super) fn accept_from(&mut self, client: Id, listener: Id, host: HostNumber, name: SocketName) -> Id {
        let family = self.sockets.get(&listener).map_or(Family::V4, |socket| socket.family);
        let server = self.add_socket(host, family, SocketType::Stream);
        let (client_name, client_host) = match self.sockets.get(&client) {
            Some(client) => (client.local.clone(), client.host),
            None => (SocketName::Unnamed, host),
        };
        if let Some(socket) = self.sockets.get_mut(&server) {
            socket.local = as_family(name, family);
            socket.peer = as_family(client_name, family);
            socket.listener = Some(listener);
        }
        if let Some(socket) = self.sockets.get_mut(&listener) {
            socket.handshakes += 1;
        }
        let (there, back) = (self.new_channel(client, server), self.new_channel(server, client));
        let (from, to) = (self.endpoint(client), self.endpoint(server));
        for (number, hosts, names) in
            [(there, (client_host, host), [from, to]), (back, (host, client_host), [to, from])]
        {
            if let Some(channel) = self.channels.get_mut(&number) {
                (channel.hosts, channel.names) = (Some(hosts), names);
                channel.last_due = self.now;
            }
        }
        self.sources.insert(server, Kind::Bytes { out: Some(back), into: Some(there), reset: Reset::No });
        server
    }

    /// Connects the client's half.
    pub(super) fn finish_connect(&mut self, client: Id, server: Id) {
        let Some(&Kind::Bytes { out: Some(back), into: Some(there), .. }) = self.sources.get(&server) else {
            return;
        };
        self.sources.insert(client, Kind::Bytes { out: Some(there), into: Some(back), reset: Reset::No });
        let (from, to) = (self.endpoint(client), self.peer_endpoint(client));
        let host = self.sockets.get(&client).map_or(0, |socket| socket.host);
        self.log.push(self.now, host, What::Connected { from, to });
        self.changed(client, WRITE);
        self.changed(client, READ);
    }

    fn connect_unix(&mut self, id: Id, path: Vec<u8>) -> io::Result<()> {
        match self.sources.get(&id) {
            Some(Kind::Idle) => {}
            Some(Kind::Bytes { .. }) => return Err(errno::error(errno::IS_CONNECTED)),
            _ => return Err(errno::error(errno::INVALID)),
        }
        let socket = self.sockets.get(&id).ok_or_else(bad_descriptor)?;
        let (host, local) = (socket.host, socket.local.clone());
        let name = SocketName::Unix(path);
        let listener = self.find_unix(host, Protocol::Stream, &name)?;
        let Some(Kind::Listener { waiting }) = self.sources.get(&listener) else {
            return Err(errno::error(errno::CONNECTION_REFUSED));
        };
        if waiting.len() > self.backlog(listener) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let server = self.add_socket(host, Family::Unix, SocketType::Stream);
        self.join(id, server);
        if let Some(socket) = self.sockets.get_mut(&server) {
            (socket.local, socket.peer) = (name.clone(), local);
        }
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.peer = name;
        }
        if let Some(Kind::Listener { waiting }) = self.sources.get_mut(&listener) {
            waiting.push_back(server);
        }
        self.changed(listener, READ);
        Ok(())
    }

    /// Returns the socket at a Unix-domain address of the host.
    pub(super) fn find_unix(
        &self,
        host: HostNumber,
        protocol: Protocol,
        name: &SocketName,
    ) -> io::Result<Id> {
        let host = &self.hosts.all[host as usize];
        let SocketName::Unix(path) = name else { return Err(errno::error(errno::FAMILY_NOT_SUPPORTED)) };
        host.names.get(&(protocol, path.clone())).copied().ok_or_else(|| {
            let is_missing = path.first() != Some(&0) && !host.paths.contains(path);
            errno::error(if is_missing { errno::NO_ENTRY } else { errno::CONNECTION_REFUSED })
        })
    }

    /// Connects two sockets of a host directly.
    pub(super) fn join(&mut self, one: Id, other: Id) {
        let (there, back) = (self.new_channel(one, other), self.new_channel(other, one));
        self.sources.insert(one, Kind::Bytes { out: Some(there), into: Some(back), reset: Reset::No });
        self.sources.insert(other, Kind::Bytes { out: Some(back), into: Some(there), reset: Reset::No });
        for id in [one, other] {
            self.changed(id, WRITE);
        }
    }

    fn connect_datagrams(&mut self, id: Id, to: SocketName) -> io::Result<()> {
        match &to {
            SocketName::Ip(addr) => {
                let ip = addr.ip();
                self.bind_for(id, ip)?;
            }
            SocketName::Unix(_) => {
                let host = self.sockets.get(&id).ok_or_else(bad_descriptor)?.host;
                let receiver = self.find_unix(host, Protocol::Datagram, &to)?;
                self.add_sender(receiver, id);
            }
            SocketName::Unnamed => {}
        }
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.peer = to;
        }
        Ok(())
    }

    pub(super) fn add_sender(&mut self, receiver: Id, sender: Id) {
        if let Some(socket) = self.sockets.get_mut(&receiver) {
            socket.senders.insert(sender);
        }
    }

    /// Takes the next connection of a listener, whose socket has no descriptor yet.
    pub(super) fn accept_socket(&mut self, id: Id) -> io::Result<Id> {
        if !matches!(self.sources.get(&id), Some(Kind::Listener { .. })) {
            return Err(errno::error(errno::INVALID));
        }
        self.may_fail(id, READ)?;
        let accepted = match self.sources.get_mut(&id) {
            Some(Kind::Listener { waiting }) => waiting.pop_front(),
            _ => None,
        };
        let Some(accepted) = accepted else { return self.would_block(id, READ) };
        let host = self.sockets.get(&accepted).map_or(0, |socket| socket.host);
        let (to, from) = (self.endpoint(accepted), self.peer_endpoint(accepted));
        self.log.push(self.now, host, What::Accepted { from, to });
        Ok(accepted)
    }

    /// Fails with the pending error of a socket, once.
    pub(super) fn take_error(&mut self, id: Id) -> io::Result<()> {
        match self.sockets.get_mut(&id).and_then(|socket| socket.error.take()) {
            Some(error) => {
                self.arm(id);
                Err(errno::error(error))
            }
            None => Ok(()),
        }
    }

    pub(super) fn endpoint(&self, id: Id) -> Endpoint {
        match self.sockets.get(&id) {
            Some(socket) => self.name_endpoint(&socket.local, id),
            None => Endpoint::Unix(id),
        }
    }

    pub(super) fn peer_endpoint(&self, id: Id) -> Endpoint {
        match self.sockets.get(&id) {
            Some(socket) => self.name_endpoint(&socket.peer, id),
            None => Endpoint::Unix(id),
        }
    }

    pub(super) fn name_endpoint(&self, name: &SocketName, id: Id) -> Endpoint {
        match name {
            SocketName::Ip(addr) => Endpoint::Ip(*addr),
            _ => Endpoint::Unix(id),
        }
    }
}

pub(super) fn bad_descriptor() -> io::Error {
    errno::error(errno::BAD_DESCRIPTOR)
}

/// Copies bytes into slices, in order, as far as they reach. Returns how many.
pub(super) fn copy(mut bytes: &[u8], bufs: &mut [io::IoSliceMut<'_>]) -> usize {
    let mut copied = 0;
    for buf in bufs {
        let count = buf.len().min(bytes.len());
        buf[..count].copy_from_slice(&bytes[..count]);
        bytes = &bytes[count..];
        copied += count;
    }
    copied
}
