//! Latency, loss with repetitions, bandwidth, partitions, and the order of arrival, on a state without tasks.
//!
//! Invariant: time moves only where a test says so, to the microsecond.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::*;
use crate::backend::sim::choices::{Choice, Choices};
use crate::backend::sim::faults::Faults;
use crate::backend::sim::hosts::Link;
use crate::backend::sim::log::Endpoint;
use crate::backend::sim::sockets::{Family, SocketType};

const MS: Duration = Duration::from_millis(1);

/// 5 ms, and nothing that a choice changes.
const PLAIN: Link =
    Link { latency: Duration::from_millis(5), spread: Duration::ZERO, loss: 0, bandwidth: None };

/// Two hosts, 0 and 1.
struct Net {
    state: State,
    listener: Id,
}

/// The choices of messages that a link loses: these of its kind, counted from 0.
fn losing(which: impl IntoIterator<Item = u64>) -> Vec<Choice> {
    which.into_iter().map(|index| Choice { kind: ChoiceKind::Loss, index, value: 1 }).collect()
}

fn address(host: HostNumber) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, 1 + host as u8).into()
}

fn name(host: HostNumber, port: u16) -> SocketName {
    SocketName::Ip(SocketAddr::new(address(host), port))
}

impl Net {
    fn new(link: Link, choices: Vec<Choice>) -> Net {
        let mut state = State::new(Choices::replay(0, choices), Faults::NONE, true);
        for host in [0, 1] {
            assert_eq!(state.hosts.add(&host.to_string(), &[address(host)], 0), Some(host));
        }
        state.hosts.set_link(1, 0, link);
        let listener = state.add_socket(1, Family::V4, SocketType::Stream);
        state.bind(listener, name(1, 80), false).unwrap();
        state.listen(listener, 1).unwrap();
        Net { state, listener }
    }

    fn advance(&mut self, by: Duration) {
        let to = self.state.now + by;
        self.state.advance(to);
    }

    /// Begins to connect from host 0.
    fn client(&mut self) -> Id {
        let client = self.state.add_socket(0, Family::V4, SocketType::Stream);
        let begun = self.state.connect_socket(client, name(1, 80));
        assert_eq!(begun.unwrap_err().raw_os_error(), Some(errno::IN_PROGRESS));
        client
    }

    fn is_connected(&self, client: Id) -> bool {
        matches!(self.state.sources[&client], Kind::Bytes { .. })
    }

    /// A connection, with the client's end first.
    fn connection(&mut self) -> [Id; 2] {
        let client = self.client();
        self.advance(MS * 60_000);
        [client, self.state.accept_socket(self.listener).unwrap()]
    }

    fn write(&mut self, id: Id, bytes: &[u8]) -> usize {
        self.state.write(id, &[io::IoSlice::new(bytes)]).unwrap()
    }

    /// Reads what has arrived.
    fn read(&mut self, id: Id) -> Vec<u8> {
        let mut buf = [0; 1000];
        match self.state.read(id, &mut [io::IoSliceMut::new(&mut buf)], false) {
            Ok(n) => buf[..n].to_vec(),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Vec::new(),
            Err(e) => panic!("{e}"),
        }
    }

    /// The times since `start` at which something arrived, with the first byte of each piece.
    fn arrivals(&mut self, id: Id, limit: Duration) -> Vec<(u128, Vec<u8>)> {
        let (start, mut found) = (self.state.now, Vec::new());
        while self.state.now < start + limit {
            let next = self.state.agenda.keys().next().map(|&(due, _)| due);
            let Some(next) = next.filter(|next| *next <= start + limit) else { break };
            self.state.advance(next);
            let bytes = self.read(id);
            if !bytes.is_empty() {
                found.push(((self.state.now - start).as_micros(), bytes));
            }
        }
        found
    }

    fn error(&mut self, id: Id) -> Option<i32> {
        self.state.take_error(id).err().and_then(|error| error.raw_os_error())
    }
}

#[test]
fn a_message_takes_the_latency_and_its_choice_of_the_spread() {
    let link = Link { spread: MS * 4, ..PLAIN };
    let mut net = Net::new(link.clone(), Vec::new());
    let [client, server] = net.connection();
    net.write(client, b"there");
    assert_eq!(net.arrivals(server, MS * 100), [(5_000, b"there".to_vec())]);
    net.write(server, b"back");
    assert_eq!(net.arrivals(client, MS * 100), [(5_000, b"back".to_vec())]);
    // The three steps of the connection draw first.
    let choice = |index, value| Choice { kind: ChoiceKind::Latency, index, value };
    for (value, expected) in [(1, 5_001), (4_000, 9_000), (9_999, 9_000)] {
        let mut net = Net::new(link.clone(), vec![choice(3, value)]);
        let [client, server] = net.connection();
        net.write(client, b"there");
        assert_eq!(net.arrivals(server, MS * 100), [(expected, b"there".to_vec())]);
    }
}

#[test]
fn a_connection_takes_a_round_trip_and_a_half() {
    let mut net = Net::new(PLAIN, Vec::new());
    let client = net.client();
    net.advance(MS * 10 - Duration::from_micros(1));
    assert!(!net.is_connected(client));
    net.advance(Duration::from_micros(1));
    assert!(net.is_connected(client));
    assert_eq!(net.state.accept_socket(net.listener).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    net.advance(MS * 5);
    net.state.accept_socket(net.listener).unwrap();
}

#[test]
fn a_host_reaches_itself_at_once() {
    let mut net = Net::new(PLAIN, Vec::new());
    let client = net.state.add_socket(1, Family::V4, SocketType::Stream);
    let _ = net.state.connect_socket(client, name(1, 80));
    let server = net.state.accept_socket(net.listener).unwrap();
    net.write(client, b"at once");
    assert_eq!(net.read(server), b"at once");
    assert_eq!(net.state.now, Duration::ZERO);
}

#[test]
fn a_piece_does_not_overtake_another_one() {
    // The first of three pieces is the slowest.
    let link = Link { spread: MS * 4, ..PLAIN };
    let choices = vec![Choice { kind: ChoiceKind::Latency, index: 3, value: 4_000 }];
    let mut net = Net::new(link, choices);
    let [client, server] = net.connection();
    for piece in [b"one, ", b"two, ", b"three"] {
        net.write(client, piece);
        net.advance(MS);
    }
    net.state.shutdown(client, false, true);
    assert_eq!(net.arrivals(server, MS * 100), [(6_000, b"one, two, three".to_vec())]);
    assert!(net.state.readiness(server).read_closed);
}

#[test]
fn a_lost_piece_is_sent_again_and_those_behind_it_wait() {
    // The first message of the connection that a link may lose is the attempt to connect and its answer.
    let mut net = Net::new(Link { loss: 1_000, ..PLAIN }, losing([2, 3]));
    let [client, server] = net.connection();
    net.write(client, b"one, ");
    net.advance(MS);
    net.write(client, b"two");
    // Lost at 5 ms, sent again after 200 ms and lost again, and after 400 ms more, which arrives in 5 ms.
    let first = net.arrivals(server, MS * 1_000);
    assert_eq!(first, [(609_000, b"one, two".to_vec())]);
}

#[test]
fn an_attempt_to_connect_is_repeated_for_127_seconds() {
    // Lost twice: it is repeated after 1 s and after 2 s more.
    let mut net = Net::new(Link { loss: 1_000, ..PLAIN }, losing([0, 1]));
    let client = net.client();
    net.advance(MS * 3_009);
    assert!(!net.is_connected(client));
    net.advance(MS);
    assert!(net.is_connected(client));

    let mut net = Net::new(PLAIN, Vec::new());
    net.state.hosts.cut(0, 1, true);
    let client = net.client();
    net.advance(MS * 127_004);
    assert_eq!(net.error(client), None);
    net.advance(MS);
    assert_eq!(net.error(client), Some(errno::TIMED_OUT));
}

#[test]
fn messages_queue_for_the_bandwidth() {
    // 1,000 bytes take 10 ms.
    let mut net = Net::new(Link { bandwidth: Some(100_000), ..PLAIN }, Vec::new());
    let [client, server] = net.connection();
    for byte in [1, 2, 3] {
        net.write(client, &[byte; 1000]);
    }
    // The other direction is not busy.
    net.write(server, &[4; 100]);
    assert_eq!(net.arrivals(client, MS * 6), [(6_000, vec![4; 100])]);
    let times = |net: &mut Net| {
        let all = net.arrivals(server, MS * 100);
        all.iter().map(|(time, bytes)| (*time, bytes[0], bytes.len())).collect::<Vec<_>>()
    };
    assert_eq!(times(&mut net), [(9_000, 1, 1000), (19_000, 2, 1000), (29_000, 3, 1000)]);
    // A link that was idle owes nothing.
    net.write(client, &[5; 500]);
    assert_eq!(times(&mut net), [(10_000, 5, 500)]);
}

#[test]
fn a_partition_stops_a_connection_until_it_is_healed() {
    let mut net = Net::new(PLAIN, Vec::new());
    let [client, server] = net.connection();
    net.state.hosts.cut(0, 1, true);
    net.write(client, b"held");
    net.write(server, b"passes");
    assert_eq!(net.arrivals(client, MS * 10), [(5_000, b"passes".to_vec())]);
    // Attempts after 200, 400 and 800 ms more, then 1,600.
    net.advance(MS * 1_500);
    assert_eq!(net.read(server), b"");
    net.state.hosts.cut(0, 1, false);
    assert_eq!(net.arrivals(server, MS * 10_000), [(1_500_000, b"held".to_vec())]);
}

#[test]
fn a_connection_over_a_dead_link_fails_in_the_end() {
    let mut net = Net::new(PLAIN, Vec::new());
    let [client, _server] = net.connection();
    net.state.hosts.cut(0, 1, true);
    net.write(client, b"never");
    // 200 ms, doubled up to 120 s, 15 times: a quarter of an hour.
    net.advance(MS * 1_000 * 60 * 15);
    assert_eq!(net.error(client), None);
    net.advance(MS * 1_000 * 60 * 2);
    assert_eq!(net.error(client), Some(errno::TIMED_OUT));
}

#[test]
fn a_cut_direction_loses_datagrams_alone_of_its_own() {
    let mut net = Net::new(PLAIN, Vec::new());
    let sockets = [0, 1].map(|host| {
        let id = net.state.add_socket(host, Family::V4, SocketType::Datagram);
        net.state.bind(id, name(host, 9), false).unwrap();
        id
    });
    let ask = |net: &mut Net| {
        for (socket, to) in [(0, 1), (1, 0)] {
            net.state.send_datagram(sockets[socket], &[io::IoSlice::new(b"?")], Some(name(to, 9))).unwrap();
        }
        net.advance(MS * 5);
        sockets.map(|id| {
            let mut buf = [0; 9];
            net.state.receive_datagram(id, &mut [io::IoSliceMut::new(&mut buf)], false).is_ok()
        })
    };
    assert_eq!(ask(&mut net), [true, true]);
    net.state.hosts.cut(0, 1, true);
    assert_eq!(ask(&mut net), [true, false]);
    net.state.hosts.cut(0, 1, false);
    assert_eq!(ask(&mut net), [true, true]);
}

#[test]
fn what_no_socket_takes_is_refused_after_the_way_there_and_back() {
    let mut net = Net::new(PLAIN, Vec::new());
    let client = net.state.add_socket(0, Family::V4, SocketType::Stream);
    let _ = net.state.connect_socket(client, name(1, 81));
    net.advance(MS * 10 - Duration::from_micros(1));
    assert_eq!(net.error(client), None);
    net.advance(Duration::from_micros(1));
    assert_eq!(net.error(client), Some(errno::CONNECTION_REFUSED));
    // No host has the address: its neighbours are asked for 3 s.
    let client = net.state.add_socket(0, Family::V4, SocketType::Stream);
    let _ = net.state.connect_socket(client, name(8, 80));
    net.advance(MS * 2_999);
    assert_eq!(net.error(client), None);
    net.advance(MS);
    assert_eq!(net.error(client), Some(errno::HOST_UNREACHABLE));
}

#[test]
fn a_full_queue_drops_attempts_and_they_come_again() {
    // A backlog of 1 is a queue of 2, as on Linux.
    let mut net = Net::new(PLAIN, Vec::new());
    let clients = [(); 3].map(|()| net.client());
    net.advance(MS * 15);
    assert_eq!(clients.map(|client| net.is_connected(client)), [true, true, false]);
    net.state.accept_socket(net.listener).unwrap();
    net.advance(MS * 1_000);
    assert_eq!(clients.map(|client| net.is_connected(client)), [true, true, true]);
}

#[test]
fn what_a_closed_socket_has_sent_keeps_its_name_and_its_way() {
    let names = |net: &Net| {
        let lost = net.state.log.kept().iter().rev().find_map(|record| match record.what {
            What::Lost { from, to, .. } => Some((record.host, from, to)),
            _ => None,
        });
        let (host, from, to) = lost.expect("a lost message");
        (host, [from, to].map(|end| matches!(end, Endpoint::Ip(_))))
    };
    let mut net = Net::new(Link { loss: 1_000, ..PLAIN }, losing([2]));
    let [client, server] = net.connection();
    net.write(client, b"farewell");
    net.state.close_socket(client, false);
    net.advance(MS * 5);
    assert_eq!(names(&net), (0, [true, true]));
    assert_eq!(net.arrivals(server, MS * 1_000), [(205_000, b"farewell".to_vec())]);

    // Host 1 sends, so a lost sender is not taken for host 0.
    let mut net = Net::new(PLAIN, Vec::new());
    let [from, to] = [1, 0].map(|host| {
        let id = net.state.add_socket(host, Family::V4, SocketType::Datagram);
        net.state.bind(id, name(host, 9), false).unwrap();
        id
    });
    net.state.hosts.cut(1, 0, true);
    net.state.send_datagram(from, &[io::IoSlice::new(b"?")], Some(name(0, 9))).unwrap();
    net.state.close_socket(from, false);
    net.advance(MS * 5);
    assert_eq!(names(&net), (1, [true, true]));
    assert!(!net.state.readiness(to).readable);
}
