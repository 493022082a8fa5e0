//! The hosts of a world, and the links between them.
//!
//! Invariant: this file has data and lookups alone; `network` has the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::sockets::Family;
use super::sources::Id;
use super::turns::HostNumber;

/// A link between two hosts, the same in both directions.
///
/// ```
/// use std::time::{Duration, Instant};
/// use wakeful::sim::Link;
///
/// let slow = Link { latency: Duration::from_millis(80), bandwidth: Some(125_000), ..Link::default() };
/// assert_eq!(slow.loss, 0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The least time that a message takes.
    pub latency: Duration,
    /// How much longer a message can take, by the seed.
    pub spread: Duration,
    /// A message is lost once in so many times, by the seed; never for 0. TCP sends it again after 200 ms, then 400 ms,
    /// and so on.
    pub loss: u32,
    /// The bytes a second that pass in each direction; unlimited for `None`.
    pub bandwidth: Option<u64>,
}

impl Default for Link {
    /// 500 us to 1 ms, without loss or limit: a local network.
    fn default() -> Link {
        let half = Duration::from_micros(500);
        Link { latency: half, spread: half, loss: 0, bandwidth: None }
    }
}

/// The address of a simulated socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SocketName {
    /// None: an unbound socket, or one of a pair.
    Unnamed,
    /// An Internet address.
    Ip(SocketAddr),
    /// A Unix-domain address: the bytes of a path, or, with a zero byte at first, an abstract one.
    Unix(Vec<u8>),
}

/// What is bound to a name: two protocols can use the same port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    Stream,
    Datagram,
}

pub(super) struct Host {
    pub(super) name: Box<str>,
    pub(super) addresses: Vec<IpAddr>,
    /// By how much the host's clock is ahead of the world's, or behind.
    pub(super) skew: Skew,
    pub(super) next_port: u16,
    /// The random numbers of its programs.
    pub(super) random: u64,
    /// The sockets that are bound to a port, and to which address: IPv4 ones as such. Several may share a name.
    pub(super) ports: BTreeMap<(Protocol, u16), Vec<Bound>>,
    /// The Unix-domain sockets that are bound.
    pub(super) names: BTreeMap<(Protocol, Vec<u8>), Id>,
    /// The real time that stands for the start of the world, by the host's clock. Only a real clock makes an `Instant`.
    pub(super) start: Option<Instant>,
    /// Whether no message reaches it.
    pub(super) is_down: bool,
    /// Paths of Unix-domain sockets that were bound and not unlinked.
    pub(super) paths: BTreeSet<Vec<u8>>,
}

/// A socket that is bound to a port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) address: IpAddr,
    pub(super) is_only_v6: bool,
    pub(super) id: Id,
}

impl Bound {
    /// Returns whether `address` reaches it. All IPv6 addresses include IPv4's, unless the socket takes IPv6 alone.
    pub(super) fn covers(&self, address: IpAddr) -> bool {
        let has_family = self.address.is_ipv6() == address.is_ipv6();
        let is_wide = self.address.is_unspecified();
        self.address == address || is_wide && (has_family || self.address.is_ipv6() && !self.is_only_v6)
    }
}

/// The error of a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Skew {
    pub(super) ahead: Duration,
    pub(super) behind: Duration,
}

impl Skew {
    pub(super) fn of(&self, time: Duration) -> Duration {
        (time + self.ahead).saturating_sub(self.behind)
    }

    /// Returns the world's time for a time of this clock.
    pub(super) fn undo(&self, time: Duration) -> Duration {
        (time + self.behind).saturating_sub(self.ahead)
    }
}

#[derive(Default)]
pub(super) struct Hosts {
    pub(super) all: Vec<Host>,
    by_address: BTreeMap<IpAddr, HostNumber>,
    pub(super) usual: Link,
    links: BTreeMap<(HostNumber, HostNumber), Link>,
    /// Pairs of hosts between which nothing passes, from the first to the second.
    cuts: BTreeSet<(HostNumber, HostNumber)>,
    /// Until when a direction of a link with a limited bandwidth is busy.
    pub(super) busy: BTreeMap<(HostNumber, HostNumber), Duration>,
}

impl Hosts {
    /// Adds a host. Returns `None` if another one has an address of it.
    pub(super) fn add(&mut self, name: &str, addresses: &[IpAddr], random: u64) -> Option<HostNumber> {
        if addresses.iter().any(|address| self.by_address.contains_key(address)) {
            return None;
        }
        let number = self.all.len() as HostNumber;
        for &address in addresses {
            self.by_address.insert(address, number);
        }
        self.all.push(Host {
            name: name.into(),
            addresses: addresses.to_vec(),
            skew: Skew::default(),
            next_port: FIRST_EPHEMERAL,
            random,
            ports: BTreeMap::new(),
            names: BTreeMap::new(),
            start: None,
            is_down: false,
            paths: BTreeSet::new(),
        });
        Some(number)
    }

    /// Returns the host that `address` names for `viewer`, whose own are the loopback addresses.
    pub(super) fn find(&self, viewer: HostNumber, address: IpAddr) -> Option<HostNumber> {
        match canonical(address) {
            local if local.is_loopback() || local.is_unspecified() => Some(viewer),
            other => self.by_address.get(&other).copied(),
        }
    }

    pub(super) fn find_name(&self, name: &str) -> Option<HostNumber> {
        let found = self.all.iter().position(|host| &*host.name == name);
        found.map(|number| number as HostNumber)
    }

    pub(super) fn link(&self, a: HostNumber, b: HostNumber) -> &Link {
        self.links.get(&(a.min(b), a.max(b))).unwrap_or(&self.usual)
    }

    pub(super) fn set_link(&mut self, a: HostNumber, b: HostNumber, link: Link) {
        self.links.insert((a.min(b), a.max(b)), link);
    }

    pub(super) fn is_cut(&self, from: HostNumber, to: HostNumber) -> bool {
        !self.cuts.is_empty() && self.cuts.contains(&(from, to))
    }

    pub(super) fn is_down(&self, host: HostNumber) -> bool {
        self.all[host as usize].is_down
    }

    /// Cuts one direction of a link, or mends it. Returns whether that changes it.
    pub(super) fn cut(&mut self, from: HostNumber, to: HostNumber, is_cut: bool) -> bool {
        match is_cut {
            true => from != to && self.cuts.insert((from, to)),
            false => self.cuts.remove(&(from, to)),
        }
    }
}

/// Returns an IPv4 address that is mapped into IPv6 as what it is.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// The first port that a host gives a socket without one (RFC 6335).
const FIRST_EPHEMERAL: u16 = 49152;

impl Host {
    /// Returns whether `address` is the host's own.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        let address = canonical(address);
        address.is_unspecified() || address.is_loopback() || self.addresses.contains(&address)
    }

    /// Returns a port that no socket of the protocol has; `None` if all are taken.
    pub(super) fn free_port(&mut self, protocol: Protocol) -> Option<u16> {
        for _ in FIRST_EPHEMERAL..=u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL);
            if !self.ports.contains_key(&(protocol, port)) {
                return Some(port);
            }
        }
        None
    }

    /// Adds a socket that is bound.
    pub(super) fn add_bound(&mut self, protocol: Protocol, name: &SocketName, is_only_v6: bool, id: Id) {
        match name {
            SocketName::Ip(addr) => {
                let bound = self.ports.entry((protocol, addr.port())).or_default();
                bound.push(Bound { address: canonical(addr.ip()), is_only_v6, id });
            }
            SocketName::Unix(path) => drop(self.names.insert((protocol, path.clone()), id)),
            SocketName::Unnamed => {}
        }
    }

    /// Removes a socket that is bound.
    pub(super) fn remove_bound(&mut self, protocol: Protocol, name: &SocketName, id: Id) {
        match name {
            SocketName::Ip(addr) => {
                let key = (protocol, addr.port());
                let Some(bound) = self.ports.get_mut(&key) else { return };
                bound.retain(|other| other.id != id);
                if bound.is_empty() {
                    self.ports.remove(&key);
                }
            }
            SocketName::Unix(path) => {
                let key = (protocol, path.clone());
                if self.names.get(&key) == Some(&id) {
                    self.names.remove(&key);
                }
            }
            SocketName::Unnamed => {}
        }
    }

    /// Returns the sockets that `addr` reaches: those with the exact address first, then those with all addresses.
    pub(super) fn reached_by(&self, protocol: Protocol, addr: SocketAddr) -> Vec<Id> {
        let address = canonical(addr.ip());
        let bound = self.ports.get(&(protocol, addr.port())).map_or(&[][..], |bound| bound);
        let exact = bound.iter().filter(|bound| bound.address == address);
        let wide = bound.iter().filter(|bound| bound.address != address && bound.covers(address));
        exact.chain(wide).map(|bound| bound.id).collect()
    }
}

/// Returns an IPv4 address as an IPv6 socket reports it.
pub(super) fn as_family(name: SocketName, family: Family) -> SocketName {
    match (name, family) {
        (SocketName::Ip(SocketAddr::V4(v4)), Family::V6) => {
            SocketName::Ip(SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()))
        }
        (SocketName::Ip(SocketAddr::V6(v6)), Family::V4) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketName::Ip(SocketAddr::new(v4.into(), v6.port())),
            None => SocketName::Ip(SocketAddr::V6(v6)),
        },
        (name, _) => name,
    }
}
