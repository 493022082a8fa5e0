//! Sockets, by the kernel's functions: socket2 doesn't support Hermit, and std can't connect in the background.
//!
//! Invariant: every socket is non-blocking before the caller sees it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::{self, MaybeUninit};
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::check;

pub(crate) struct Domain(i32);

impl Domain {
    pub(crate) const fn for_address(addr: SocketAddr) -> Domain {
        Domain(if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 })
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Type(i32);

impl Type {
    pub(crate) const STREAM: Type = Type(libc::SOCK_STREAM);
    pub(crate) const DGRAM: Type = Type(libc::SOCK_DGRAM);
}

pub(crate) struct Socket(OwnedFd);

impl Socket {
    pub(crate) fn set_reuse_address(&self, reuse: bool) -> io::Result<()> {
        let (value, len) = (i32::from(reuse), mem::size_of::<i32>() as libc::socklen_t);
        let from = (&value as *const i32).cast();
        let fd = self.0.as_raw_fd();
        // SAFETY: `value` is as long as stated, and only read.
        check(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, from, len) }).map(|_| ())
    }

    pub(crate) fn bind(&self, addr: &SockAddr) -> io::Result<()> {
        // SAFETY: an address is as long as it says.
        addr.lend(|addr, len| unsafe { check(libc::bind(self.0.as_raw_fd(), addr, len)) }).map(|_| ())
    }

    pub(crate) fn listen(&self, backlog: i32) -> io::Result<()> {
        // SAFETY: no memory is passed.
        check(unsafe { libc::listen(self.0.as_raw_fd(), backlog) }).map(|_| ())
    }
}

macro_rules! from_socket {
    ($($Type:ty),*) => {$(
        impl From<Socket> for $Type {
            fn from(socket: Socket) -> $Type {
                socket.0.into()
            }
        }
    )*};
}

from_socket!(net::TcpListener, net::TcpStream, net::UdpSocket);

/// An address in the kernel's form.
pub(crate) enum SockAddr {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
    /// An address of another family.
    Other,
}

impl SockAddr {
    pub(crate) fn as_socket(&self) -> Option<SocketAddr> {
        match self {
            SockAddr::V4(addr) => {
                let ip = Ipv4Addr::from(addr.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(addr.sin_port)).into())
            }
            SockAddr::V6(addr) => {
                let (ip, port) = (Ipv6Addr::from(addr.sin6_addr.s6_addr), u16::from_be(addr.sin6_port));
                Some(SocketAddrV6::new(ip, port, addr.sin6_flowinfo, addr.sin6_scope_id).into())
            }
            SockAddr::Other => None,
        }
    }

    /// Passes the address and its length to `call`.
    fn lend<T>(
        &self,
        call: impl FnOnce(*const libc::sockaddr, libc::socklen_t) -> io::Result<T>,
    ) -> io::Result<T> {
        match self {
            SockAddr::V4(addr) => call((addr as *const libc::sockaddr_in).cast(), len_of(addr)),
            SockAddr::V6(addr) => call((addr as *const libc::sockaddr_in6).cast(), len_of(addr)),
            SockAddr::Other => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Calls `call` with room for an address, and returns its result with the address that it has written.
    fn filled<T>(
        call: impl FnOnce(*mut libc::sockaddr, *mut libc::socklen_t) -> io::Result<T>,
    ) -> io::Result<(T, SockAddr)> {
        let mut room = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        let mut len = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        let result = call(room.as_mut_ptr().cast(), &mut len)?;
        // SAFETY: only numbers, initialised with zeroes.
        let family = unsafe { room.assume_init_ref() }.ss_family;
        // SAFETY: there is room for any address, and the family says which it is.
        let addr = unsafe {
            match i32::from(family) {
                libc::AF_INET => SockAddr::V4(room.as_ptr().cast::<libc::sockaddr_in>().read()),
                libc::AF_INET6 => SockAddr::V6(room.as_ptr().cast::<libc::sockaddr_in6>().read()),
                _ => SockAddr::Other,
            }
        };
        Ok((result, addr))
    }
}

fn len_of<T>(_: &T) -> libc::socklen_t {
    mem::size_of::<T>() as libc::socklen_t
}

impl From<SocketAddr> for SockAddr {
    fn from(addr: SocketAddr) -> SockAddr {
        match addr {
            SocketAddr::V4(addr) => SockAddr::V4(libc::sockaddr_in {
                sin_len: mem::size_of::<libc::sockaddr_in>() as u8,
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: addr.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(addr.ip().octets()) },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(addr) => SockAddr::V6(libc::sockaddr_in6 {
                sin6_len: mem::size_of::<libc::sockaddr_in6>() as u8,
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: addr.port().to_be(),
                sin6_flowinfo: addr.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: addr.ip().octets() },
                sin6_scope_id: addr.scope_id(),
            }),
        }
    }
}

pub(crate) struct SockRef(RawFd);

impl SockRef {
    pub(crate) fn from(socket: &impl AsRawFd) -> SockRef {
        SockRef(socket.as_raw_fd())
    }

    pub(crate) fn only_v6(&self) -> io::Result<bool> {
        let (mut value, mut len) = (0i32, mem::size_of::<i32>() as libc::socklen_t);
        let to = (&mut value as *mut i32).cast();
        // SAFETY: there is as much room as stated.
        check(unsafe { libc::getsockopt(self.0, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, to, &mut len) })?;
        Ok(value != 0)
    }
}

/// Creates a socket, non-blocking.
pub(crate) fn socket(domain: Domain, kind: Type) -> io::Result<Socket> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::socket(domain.0, kind.0 | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: just created, and not owned elsewhere.
    non_blocking(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }).map(Socket)
}

/// Creates a socket that is bound to `addr`, non-blocking.
pub(crate) fn bind(kind: Type, addr: &SockAddr) -> io::Result<Socket> {
    let socket = socket(domain_of(addr), kind)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Creates a stream socket that is connected or connecting to `addr`, non-blocking.
pub(crate) fn connect(addr: &SockAddr) -> io::Result<Socket> {
    let socket = socket(domain_of(addr), Type::STREAM)?;
    // SAFETY: an address is as long as it says.
    match addr.lend(|addr, len| unsafe { check(libc::connect(socket.0.as_raw_fd(), addr, len)) }) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINPROGRESS | libc::EAGAIN)) => Ok(socket),
        result => result.map(|_| socket),
    }
}

/// Accepts the next connection, non-blocking, and returns it with its peer.
pub(crate) fn accept(listener: &impl AsFd) -> io::Result<(OwnedFd, SockAddr)> {
    let fd = listener.as_fd().as_raw_fd();
    // SAFETY: there is as much room for an address as stated.
    let (accepted, peer) = SockAddr::filled(|addr, len| unsafe { check(libc::accept(fd, addr, len)) })?;
    // SAFETY: just created, and not owned elsewhere.
    let accepted = non_blocking(unsafe { OwnedFd::from_raw_fd(accepted as RawFd) })?;
    Ok((accepted, peer))
}

pub(crate) fn recv(socket: &impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buf` is as long as stated.
    check(unsafe { libc::recv(socket.as_fd().as_raw_fd(), buf.as_mut_ptr(), buf.len(), 0) })
}

pub(crate) fn peek(socket: &impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buf` is as long as stated.
    check(unsafe { libc::recv(socket.as_fd().as_raw_fd(), buf.as_mut_ptr(), buf.len(), libc::MSG_PEEK) })
}

pub(crate) fn recv_vectored(socket: &impl AsFd, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: an `IoSliceMut` has the layout of an iovec; there are as many as stated.
    check(unsafe { libc::readv(fd, bufs.as_mut_ptr().cast(), bufs.len()) })
}

pub(crate) fn send(socket: &impl AsFd, buf: &[u8]) -> io::Result<usize> {
    // SAFETY: `buf` is as long as stated.
    check(unsafe { libc::send(socket.as_fd().as_raw_fd(), buf.as_ptr().cast(), buf.len(), 0) })
}

pub(crate) fn send_vectored(socket: &impl AsFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: an `IoSlice` has the layout of an iovec; there are as many as stated.
    check(unsafe { libc::writev(fd, bufs.as_ptr().cast(), bufs.len()) })
}

pub(crate) fn recv_from(socket: &impl AsFd, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    recv_from_with(socket, buf, 0)
}

pub(crate) fn peek_from(socket: &impl AsFd, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    recv_from_with(socket, buf, libc::MSG_PEEK)
}

pub(crate) fn send_to(socket: &impl AsFd, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: `buf` and the address are as long as stated.
    SockAddr::from(target)
        .lend(|addr, len| unsafe { check(libc::sendto(fd, buf.as_ptr().cast(), buf.len(), 0, addr, len)) })
}

fn recv_from_with(socket: &impl AsFd, buf: &mut [u8], flags: i32) -> io::Result<(usize, SocketAddr)> {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: `buf` is as long as stated, and there is as much room for an address as stated.
    let (received, sender) = SockAddr::filled(|addr, len| unsafe {
        check(libc::recvfrom(fd, buf.as_mut_ptr().cast(), buf.len(), flags, addr, len))
    })?;
    match sender.as_socket() {
        Some(sender) => Ok((received, sender)),
        None => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the sender's address is neither IPv4 nor IPv6"))
        }
    }
}

fn domain_of(addr: &SockAddr) -> Domain {
    Domain(if matches!(addr, SockAddr::V6(_)) { libc::AF_INET6 } else { libc::AF_INET })
}

fn non_blocking(fd: OwnedFd) -> io::Result<OwnedFd> {
    let mut on = 1i32;
    // SAFETY: a number to read.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONBIO, (&mut on as *mut i32).cast()) })?;
    Ok(fd)
}
