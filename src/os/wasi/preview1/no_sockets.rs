//! The functions that create sockets, which this preview can't: they fail with `Unsupported`, so that the same
//! program builds.
//!
//! Invariant: `Socket` is a type without a value.

use std::io::{self, ErrorKind};
use std::net::{self, SocketAddr};
use std::os::fd::AsFd;

pub(crate) struct Domain;

impl Domain {
    pub(crate) const fn for_address(_: SocketAddr) -> Domain {
        Domain
    }
}

pub(crate) struct Type;

impl Type {
    pub(crate) const STREAM: Type = Type;
    pub(crate) const DGRAM: Type = Type;
}

pub(crate) enum Socket {}

impl Socket {
    pub(crate) fn set_reuse_address(&self, _: bool) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn bind(&self, _: &SockAddr) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn listen(&self, _: i32) -> io::Result<()> {
        match *self {}
    }
}

macro_rules! from_no_socket {
    ($($Type:ty),*) => {$(
        impl From<Socket> for $Type {
            fn from(socket: Socket) -> $Type {
                match socket {}
            }
        }
    )*};
}

from_no_socket!(net::TcpListener, net::TcpStream, net::UdpSocket);

/// An address. The runtime never reports the peer's, which is therefore the unspecified one.
pub(crate) struct SockAddr(SocketAddr);

impl SockAddr {
    pub(crate) const UNKNOWN: SockAddr =
        SockAddr(SocketAddr::V4(net::SocketAddrV4::new(net::Ipv4Addr::UNSPECIFIED, 0)));

    pub(crate) fn as_socket(&self) -> Option<SocketAddr> {
        Some(self.0)
    }
}

impl From<SocketAddr> for SockAddr {
    fn from(addr: SocketAddr) -> SockAddr {
        SockAddr(addr)
    }
}

pub(crate) struct SockRef;

impl SockRef {
    pub(crate) fn from<T>(_: &T) -> SockRef {
        SockRef
    }

    pub(crate) fn only_v6(&self) -> io::Result<bool> {
        Err(ErrorKind::Unsupported.into())
    }
}

pub(crate) fn socket(_: Domain, _: Type) -> io::Result<Socket> {
    Err(ErrorKind::Unsupported.into())
}

pub(crate) fn bind(_: Type, _: &SockAddr) -> io::Result<Socket> {
    Err(ErrorKind::Unsupported.into())
}

pub(crate) fn connect(_: &SockAddr) -> io::Result<Socket> {
    Err(ErrorKind::Unsupported.into())
}

pub(crate) fn recv_from(_: &impl AsFd, _: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    Err(ErrorKind::Unsupported.into())
}

pub(crate) fn peek_from(_: &impl AsFd, _: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    Err(ErrorKind::Unsupported.into())
}

pub(crate) fn send_to(_: &impl AsFd, _: &[u8], _: SocketAddr) -> io::Result<usize> {
    Err(ErrorKind::Unsupported.into())
}
