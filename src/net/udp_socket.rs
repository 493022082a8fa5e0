use std::io;
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{ip_options, socket_type};
use crate::os::{self, SockRef, Type};
use crate::readiness::Interest;

socket_type! {
    /// A UDP socket (RFC 768): sends and receives datagrams.
    ///
    /// With [`send_to`](UdpSocket::send_to) and [`recv_from`](UdpSocket::recv_from) it talks to anybody. Once it is
    /// [connected](UdpSocket::connect), [`send`](UdpSocket::send) and [`recv`](UdpSocket::recv) talk to one peer, and
    /// datagrams of others are dropped.
    ///
    /// One event may stand for several datagrams: after it receive until `WouldBlock`. A datagram that is smaller than
    /// the buffer says nothing about the next one.
    ///
    /// # Portability
    ///
    /// What of a datagram doesn't fit into the buffer is lost. Unix says nothing; Windows answers an error
    /// (`WSAEMSGSIZE`).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::io::ErrorKind;
    /// use wakeful::{net::UdpSocket, Events, Interest, Poll, Token};
    ///
    /// let mut poll = Poll::new()?;
    /// let mut events = Events::with_capacity(16);
    /// let mut socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
    ///
    /// let sender = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// sender.send_to(b"hello", socket.local_addr()?)?;
    ///
    /// let mut buf = [0; 1500];
    /// let mut received = 0;
    /// while received == 0 {
    ///     match poll.poll(&mut events, None) {
    ///         Err(e) if e.kind() == ErrorKind::Interrupted => continue,
    ///         result => result?,
    ///     }
    ///     loop {
    ///         match socket.recv_from(&mut buf) {
    ///             Ok((n, from)) => {
    ///                 assert_eq!((&buf[..n], from), (&b"hello"[..], sender.local_addr()?));
    ///                 received += 1;
    ///             }
    ///             Err(e) if e.kind() == ErrorKind::WouldBlock => break,
    ///             // It is about a datagram that was sent earlier, and more may have arrived.
    ///             Err(e) if e.kind() == ErrorKind::ConnectionRefused => {}
    ///             Err(e) => return Err(e),
    ///         }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub struct UdpSocket(net::UdpSocket, SocketAddr);
}

ip_options!(UdpSocket);

impl UdpSocket {
    /// A socket that is bound to `addr`. Port 0 lets the system choose one: [`local_addr`](UdpSocket::local_addr)
    /// tells which.
    ///
    /// # Errors
    ///
    /// `AddrInUse`, `AddrNotAvailable` (no address of this machine), `PermissionDenied` (a low port), or descriptors
    /// have run out. The list is in bind(2).
    #[inline]
    pub fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
        Ok(UdpSocket::from_std(os::bind(Type::DGRAM, &addr.into())?.into()))
    }

    /// Chooses one peer for [`send`](UdpSocket::send) and [`recv`](UdpSocket::recv). Nothing is sent by this, so
    /// nobody need be there.
    ///
    /// # Errors
    ///
    /// Those of connect(2), such as no route to `addr`.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// # use wakeful::net::UdpSocket;
    /// let server = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// let client = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// client.connect(server.local_addr()?)?;
    /// assert_eq!(client.send(b"question")?, 8);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn connect(&self, addr: SocketAddr) -> io::Result<()> {
        self.inner.connect(addr)
    }

    /// The peer that was chosen with [`connect`](UdpSocket::connect).
    ///
    /// # Errors
    ///
    /// `NotConnected`: none was chosen.
    #[inline]
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// Sends a datagram to `target`: all of it or nothing. How many bytes that was.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: there is no room at the moment. A datagram that is too long is `EMSGSIZE`. Otherwise those of
    /// sendto(2).
    #[inline]
    pub fn send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.inner.try_io_with(Interest::WRITABLE, |socket| os::send_to(socket, buf, target))
    }

    /// Receives a datagram: how many bytes, and from whom.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: none has come. Otherwise those of recvfrom(2).
    #[inline]
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.inner.try_io_with(Interest::READABLE, |socket| os::recv_from(socket, buf))
    }

    /// Looks at the next datagram without taking it: how many bytes, and from whom.
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](UdpSocket::recv_from).
    #[inline]
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.inner.try_io_with(Interest::READABLE, |socket| os::peek_from(socket, buf))
    }

    /// Sends a datagram to the peer that was chosen with [`connect`](UdpSocket::connect).
    ///
    /// # Errors
    ///
    /// Those of [`send_to`](UdpSocket::send_to), and:
    ///
    /// - `NotConnected` or `EDESTADDRREQ`: none was chosen.
    /// - `ConnectionRefused`: an earlier datagram found nobody there.
    #[inline]
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.inner.try_io_with(Interest::WRITABLE, |socket| os::send(socket, buf))
    }

    /// Receives a datagram. On a [connected](UdpSocket::connect) socket it is the peer's.
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](UdpSocket::recv_from), and `ConnectionRefused`: an earlier datagram found nobody at the
    /// chosen peer.
    #[inline]
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.try_io_with(Interest::READABLE, |socket| os::recv(socket, buf))
    }

    /// Looks at the next datagram without taking it.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](UdpSocket::recv).
    #[inline]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.try_io_with(Interest::READABLE, |socket| os::peek(socket, buf))
    }

    /// Allows sending to a broadcast address (`SO_BROADCAST`).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    #[inline]
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.inner.set_broadcast(on)
    }

    /// Whether sending to a broadcast address is allowed.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    #[inline]
    pub fn broadcast(&self) -> io::Result<bool> {
        self.inner.broadcast()
    }

    /// Brings multicast datagrams over IPv4 back to this machine's own members of the group (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    ///
    /// # Portability
    ///
    /// On Unix it is the sender's option, on Windows the receiver's.
    #[inline]
    pub fn set_multicast_loop_v4(&self, multicast_loop_v4: bool) -> io::Result<()> {
        self.inner.set_multicast_loop_v4(multicast_loop_v4)
    }

    /// Whether multicast datagrams over IPv4 come back to this machine.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    #[inline]
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.inner.multicast_loop_v4()
    }

    /// Sets how many routers may pass on multicast datagrams over IPv4 (`IP_MULTICAST_TTL`). It is 1 at first: they
    /// stay in the local network.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    #[inline]
    pub fn set_multicast_ttl_v4(&self, multicast_ttl_v4: u32) -> io::Result<()> {
        self.inner.set_multicast_ttl_v4(multicast_ttl_v4)
    }

    /// How many routers may pass on multicast datagrams over IPv4.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    #[inline]
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.inner.multicast_ttl_v4()
    }

    /// Brings multicast datagrams over IPv6 back to this machine's own members of the group (`IPV6_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2): it must be an IPv6 socket.
    #[inline]
    pub fn set_multicast_loop_v6(&self, multicast_loop_v6: bool) -> io::Result<()> {
        self.inner.set_multicast_loop_v6(multicast_loop_v6)
    }

    /// Whether multicast datagrams over IPv6 come back to this machine.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2): it must be an IPv6 socket.
    #[inline]
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.inner.multicast_loop_v6()
    }

    /// Joins the multicast group `multiaddr` on the interface with the address `interface` (`IP_ADD_MEMBERSHIP`).
    /// [`Ipv4Addr::UNSPECIFIED`] lets the system choose one.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2): no such interface, no multicast address, a member already.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn main() -> std::io::Result<()> {
    /// use std::net::Ipv4Addr;
    /// use wakeful::net::UdpSocket;
    ///
    /// let mdns = UdpSocket::bind("0.0.0.0:5353".parse().unwrap())?;
    /// mdns.join_multicast_v4(&Ipv4Addr::new(224, 0, 0, 251), &Ipv4Addr::UNSPECIFIED)?;
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.inner.join_multicast_v4(multiaddr, interface)
    }

    /// Joins the multicast group `multiaddr` on the interface with the index `interface` (`IPV6_JOIN_GROUP`, RFC
    /// 3493). 0 lets the system choose one.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2): no such interface, no multicast address, a member already.
    #[inline]
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner.join_multicast_v6(multiaddr, interface)
    }

    /// Leaves a group that was joined with [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2): no member.
    #[inline]
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.inner.leave_multicast_v4(multiaddr, interface)
    }

    /// Leaves a group that was joined with [`join_multicast_v6`](UdpSocket::join_multicast_v6).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2): no member.
    #[inline]
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner.leave_multicast_v6(multiaddr, interface)
    }

    /// Whether an IPv6 socket leaves IPv4 alone (`IPV6_V6ONLY`, RFC 3493), so that another may be bound to the same
    /// port.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2): it must be an IPv6 socket.
    #[inline]
    pub fn only_v6(&self) -> io::Result<bool> {
        SockRef::from(&*self.inner).only_v6()
    }
}
