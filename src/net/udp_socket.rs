//! UDP sockets.
//!
//! Invariant: every operation goes through the `IoSource`, which re-arms the direction after `WouldBlock`.

use std::io;
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{ip_options, socket_type};
use crate::os::{self, SockRef, Type};
use crate::readiness::Interest;

socket_type! {
    /// A UDP socket (RFC 768): sends and receives datagrams.
    ///
    /// [`send_to`](UdpSocket::send_to) and [`recv_from`](UdpSocket::recv_from) exchange datagrams with any peer. On a
    /// socket that is [connected](UdpSocket::connect), [`send`](UdpSocket::send) and [`recv`](UdpSocket::recv)
    /// exchange datagrams with one peer, and the kernel drops those of others.
    ///
    /// One event may stand for several datagrams: after an event, receive until `WouldBlock`. A datagram that is
    /// smaller than the buffer does not mean that the queue is empty.
    ///
    /// # Portability
    ///
    /// The part of a datagram that exceeds the buffer is discarded: silently on Unix, with the error `WSAEMSGSIZE` on
    /// Windows.
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
    ///             // An earlier datagram was refused; others may have arrived.
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
    /// Creates a socket that is bound to `addr`. With port 0 the system chooses a port, which
    /// [`local_addr`](UdpSocket::local_addr) returns.
    ///
    /// # Errors
    ///
    /// `AddrInUse`, `AddrNotAvailable` (not an address of this machine), `PermissionDenied` (a low port), or `EMFILE`
    /// and `ENFILE` (out of descriptors). The full list is in bind(2).
    #[inline]
    pub fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
        Ok(UdpSocket::from_std(os::bind(Type::DGRAM, &addr.into())?.into()))
    }

    /// Sets the peer of [`send`](UdpSocket::send) and [`recv`](UdpSocket::recv). Nothing is sent, so a peer need not
    /// exist.
    ///
    /// # Errors
    ///
    /// Any error of connect(2), such as no route to `addr`.
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

    /// Returns the peer that [`connect`](UdpSocket::connect) has set.
    ///
    /// # Errors
    ///
    /// `NotConnected`: no peer is set.
    #[inline]
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// Sends a datagram to `target`, whole or not at all, and returns its length.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: the send buffer is full. `EMSGSIZE`: the datagram is too long. Otherwise any error of sendto(2).
    #[inline]
    pub fn send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.inner.try_io_with(Interest::WRITABLE, |socket| os::send_to(socket, buf, target))
    }

    /// Receives a datagram, and returns its length and its sender.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: no datagram has arrived. Otherwise any error of recvfrom(2).
    #[inline]
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.inner.try_io_with(Interest::READABLE, |socket| os::recv_from(socket, buf))
    }

    /// Receives a datagram without removing it from the queue, and returns its length and its sender.
    ///
    /// # Errors
    ///
    /// The errors of [`recv_from`](UdpSocket::recv_from).
    #[inline]
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.inner.try_io_with(Interest::READABLE, |socket| os::peek_from(socket, buf))
    }

    /// Sends a datagram to the peer that [`connect`](UdpSocket::connect) has set, and returns its length.
    ///
    /// # Errors
    ///
    /// The errors of [`send_to`](UdpSocket::send_to), and:
    ///
    /// - `NotConnected` or `EDESTADDRREQ`: no peer is set.
    /// - `ConnectionRefused`: an earlier datagram was refused (ICMP).
    #[inline]
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.inner.try_io_with(Interest::WRITABLE, |socket| os::send(socket, buf))
    }

    /// Receives a datagram, and returns its length. On a [connected](UdpSocket::connect) socket it comes from the
    /// peer.
    ///
    /// # Errors
    ///
    /// The errors of [`recv_from`](UdpSocket::recv_from), and `ConnectionRefused`: the peer refused an earlier
    /// datagram (ICMP).
    #[inline]
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.try_io_with(Interest::READABLE, |socket| os::recv(socket, buf))
    }

    /// Receives a datagram without removing it from the queue, and returns its length.
    ///
    /// # Errors
    ///
    /// The errors of [`recv`](UdpSocket::recv).
    #[inline]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.try_io_with(Interest::READABLE, |socket| os::peek(socket, buf))
    }

    /// Sets whether sending to a broadcast address is allowed (`SO_BROADCAST`).
    ///
    /// # Errors
    ///
    /// Any error of setsockopt(2).
    #[inline]
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.inner.set_broadcast(on)
    }

    /// Returns whether sending to a broadcast address is allowed.
    ///
    /// # Errors
    ///
    /// Any error of getsockopt(2).
    #[inline]
    pub fn broadcast(&self) -> io::Result<bool> {
        self.inner.broadcast()
    }

    /// Sets whether multicast datagrams over IPv4 are delivered to this machine's members of the group as well
    /// (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// Any error of setsockopt(2).
    ///
    /// # Portability
    ///
    /// The option applies to the sender on Unix, and to the receiver on Windows.
    #[inline]
    pub fn set_multicast_loop_v4(&self, multicast_loop_v4: bool) -> io::Result<()> {
        self.inner.set_multicast_loop_v4(multicast_loop_v4)
    }

    /// Returns whether multicast datagrams over IPv4 are delivered to this machine as well.
    ///
    /// # Errors
    ///
    /// Any error of getsockopt(2).
    #[inline]
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.inner.multicast_loop_v4()
    }

    /// Sets the number of routers that may forward multicast datagrams over IPv4 (`IP_MULTICAST_TTL`). The default is
    /// 1, which keeps them in the local network.
    ///
    /// # Errors
    ///
    /// Any error of setsockopt(2).
    #[inline]
    pub fn set_multicast_ttl_v4(&self, multicast_ttl_v4: u32) -> io::Result<()> {
        self.inner.set_multicast_ttl_v4(multicast_ttl_v4)
    }

    /// Returns the number of routers that may forward multicast datagrams over IPv4.
    ///
    /// # Errors
    ///
    /// Any error of getsockopt(2).
    #[inline]
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.inner.multicast_ttl_v4()
    }

    /// Sets whether multicast datagrams over IPv6 are delivered to this machine's members of the group as well
    /// (`IPV6_MULTICAST_LOOP`).
    ///
    /// # Errors
    ///
    /// Any error of setsockopt(2), such as a socket that is not IPv6.
    #[inline]
    pub fn set_multicast_loop_v6(&self, multicast_loop_v6: bool) -> io::Result<()> {
        self.inner.set_multicast_loop_v6(multicast_loop_v6)
    }

    /// Returns whether multicast datagrams over IPv6 are delivered to this machine as well.
    ///
    /// # Errors
    ///
    /// Any error of getsockopt(2), such as a socket that is not IPv6.
    #[inline]
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.inner.multicast_loop_v6()
    }

    /// Joins the multicast group `multiaddr` on the interface with the address `interface` (`IP_ADD_MEMBERSHIP`).
    /// With [`Ipv4Addr::UNSPECIFIED`] the system chooses an interface.
    ///
    /// # Errors
    ///
    /// Any error of setsockopt(2): no such interface, not a multicast address, already a member.
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
    /// 3493). With 0 the system chooses an interface.
    ///
    /// # Errors
    ///
    /// Any error of setsockopt(2): no such interface, not a multicast address, already a member.
    #[inline]
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner.join_multicast_v6(multiaddr, interface)
    }

    /// Leaves a group that was joined with [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    ///
    /// # Errors
    ///
    /// Any error of setsockopt(2): not a member.
    #[inline]
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.inner.leave_multicast_v4(multiaddr, interface)
    }

    /// Leaves a group that was joined with [`join_multicast_v6`](UdpSocket::join_multicast_v6).
    ///
    /// # Errors
    ///
    /// Any error of setsockopt(2): not a member.
    #[inline]
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner.leave_multicast_v6(multiaddr, interface)
    }

    /// Returns whether an IPv6 socket excludes IPv4 (`IPV6_V6ONLY`, RFC 3493), so that an IPv4 socket can be bound to
    /// the same port.
    ///
    /// # Errors
    ///
    /// Any error of getsockopt(2), such as a socket that is not IPv6.
    #[inline]
    pub fn only_v6(&self) -> io::Result<bool> {
        SockRef::from(&*self.inner).only_v6()
    }
}
