//! Sockets: created non-blocking and close-on-exec, and read and written without glibc's cancellation points on
//! Linux, in the fewest calls.
//!
//! Invariant: no call here raises `SIGPIPE`, where the kernel can suppress it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::{calls, check};

/// Writing to a closed connection fails with `EPIPE` and raises no signal. Where the kernel lacks the flag, a socket
/// option does this.
#[cfg(not(any(
    target_vendor = "apple",
    target_os = "aix",
    target_os = "nuttx",
    target_os = "redox",
    target_os = "vita"
)))]
const NO_SIGNAL: libc::c_int = libc::MSG_NOSIGNAL;

/// The flags that create a socket non-blocking and close-on-exec. Kernels without them need other calls.
#[cfg(any(
    target_os = "android",
    target_os = "cygwin",
    target_os = "dragonfly",
    target_os = "freebsd",
    target_os = "fuchsia",
    target_os = "illumos",
    target_os = "linux",
    target_os = "netbsd",
    target_os = "openbsd",
))]
const CREATION_FLAGS: libc::c_int = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;

/// Suppresses `SIGPIPE` for a socket that socket2 has not created.
#[cfg(target_vendor = "apple")]
fn suppress_signal(socket: &OwnedFd) -> io::Result<()> {
    let (value, len) = (1, mem::size_of::<libc::c_int>() as libc::socklen_t);
    let from = (&value as *const libc::c_int).cast();
    // SAFETY: `value` is as long as stated, and only read.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NOSIGPIPE, from, len) })?;
    Ok(())
}

/// For kernels without a call or a flag.
#[allow(dead_code)]
mod fallback {
    use super::*;

    pub(super) const NO_SIGNAL: libc::c_int = 0;
    pub(super) const CREATION_FLAGS: libc::c_int = 0;

    pub(super) fn suppress_signal(_: &OwnedFd) -> io::Result<()> {
        Ok(())
    }

    /// Writes the first non-empty slice: a short write.
    pub(crate) fn send_vectored(socket: &impl AsRawFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        send(socket, bufs.iter().find(|buf| !buf.is_empty()).map_or(&[], |buf| &**buf))
    }

    /// Accepts the next connection, non-blocking and close-on-exec, and returns it with its peer.
    pub(crate) fn accept(listener: &impl AsFd) -> io::Result<(OwnedFd, SockAddr)> {
        let (accepted, peer) = SockRef::from(listener).accept()?;
        accepted.set_nonblocking(true)?;
        Ok((accepted.into(), peer))
    }
}
#[allow(unused_imports)]
pub(crate) use self::fallback::*;

/// Creates a socket, non-blocking and close-on-exec.
pub(crate) fn socket(domain: Domain, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(domain, with_flags(kind), None)?;
    if CREATION_FLAGS == 0 {
        socket.set_nonblocking(true)?;
    }
    Ok(socket)
}

/// Creates two connected Unix-domain sockets, non-blocking and close-on-exec.
pub(crate) fn socket_pair(kind: Type) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: `fds` has room for the two descriptors.
    check(unsafe { libc::socketpair(libc::AF_UNIX, with_flags(kind).into(), 0, fds.as_mut_ptr()) })?;
    // SAFETY: just created, and not owned elsewhere.
    let pair = unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) };
    for socket in [&pair.0, &pair.1] {
        if CREATION_FLAGS == 0 {
            // SAFETY: no memory is passed.
            check(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
            SockRef::from(socket).set_nonblocking(true)?;
        }
        suppress_signal(socket)?;
    }
    Ok(pair)
}

/// Creates a socket that is bound to `addr`, non-blocking and close-on-exec.
pub(crate) fn bind(kind: Type, addr: &SockAddr) -> io::Result<Socket> {
    let socket = socket(addr.domain(), kind)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Creates a stream socket that is connected or connecting to `addr`, non-blocking and close-on-exec.
pub(crate) fn connect(addr: &SockAddr) -> io::Result<Socket> {
    let socket = socket(addr.domain(), Type::STREAM)?;
    match socket.connect(addr) {
        // POSIX: in both cases the attempt continues in the background.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => Ok(socket),
        result => result.map(|()| socket),
    }
}

fn with_flags(kind: Type) -> Type {
    Type::from(libc::c_int::from(kind) | CREATION_FLAGS)
}

#[inline]
pub(crate) fn recv(socket: &impl AsRawFd, buf: &mut [u8]) -> io::Result<usize> {
    recv_with(socket.as_raw_fd(), buf, 0)
}

pub(crate) fn peek(socket: &impl AsRawFd, buf: &mut [u8]) -> io::Result<usize> {
    recv_with(socket.as_raw_fd(), buf, libc::MSG_PEEK)
}

pub(crate) fn recv_vectored(socket: &impl AsRawFd, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    super::io::read_vectored(socket, bufs)
}

/// Uses sendmsg, since writev takes no flags. Miri has no sendmsg.
#[cfg(not(any(miri, target_os = "horizon")))]
pub(crate) fn send_vectored(socket: &impl AsRawFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let fd = socket.as_raw_fd();
    // SAFETY: zeroes are a message without address, data and ancillary data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = bufs.as_ptr().cast_mut().cast();
    message.msg_iovlen = bufs.len().min(super::io::MAX_SLICES) as _;
    // SAFETY: an `IoSlice` has the layout of an iovec; there are at least as many as stated, and they are only read.
    check(unsafe { calls::sendmsg(fd, &message, NO_SIGNAL) }).map(|n| n as usize)
}

#[inline]
pub(crate) fn send(socket: &impl AsRawFd, buf: &[u8]) -> io::Result<usize> {
    let fd = socket.as_raw_fd();
    // SAFETY: `buf` is as long as stated.
    let sent = unsafe { calls::send(fd, buf.as_ptr().cast(), buf.len(), NO_SIGNAL) };
    check(sent).map(|n| n as usize)
}

#[inline]
pub(crate) fn recv_from(socket: &impl AsRawFd, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    recv_from_with(socket.as_raw_fd(), buf, 0)
}

pub(crate) fn peek_from(socket: &impl AsRawFd, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    recv_from_with(socket.as_raw_fd(), buf, libc::MSG_PEEK)
}

#[inline]
pub(crate) fn send_to(socket: &impl AsRawFd, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
    let fd = socket.as_raw_fd();
    let target = SockAddr::from(target);
    // SAFETY: `buf` and `target` are as long as stated.
    let sent = unsafe {
        calls::sendto(fd, buf.as_ptr().cast(), buf.len(), NO_SIGNAL, target.as_ptr().cast(), target.len())
    };
    check(sent).map(|n| n as usize)
}

/// Accepts the next connection, non-blocking and close-on-exec, and returns it with its peer.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn accept(listener: &impl AsRawFd) -> io::Result<(OwnedFd, SockAddr)> {
    let fd = listener.as_raw_fd();
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: `try_init` lends memory that is as long as it states; the kernel sets the length that it used.
    unsafe {
        SockAddr::try_init(|addr, len| {
            let accepted = check(calls::accept4(fd, addr.cast(), len, flags))?;
            // SAFETY: just created, and not owned elsewhere.
            Ok(OwnedFd::from_raw_fd(accepted))
        })
    }
}

#[inline]
fn recv_with(fd: RawFd, buf: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    // SAFETY: `buf` is as long as stated.
    let received = unsafe { calls::recv(fd, buf.as_mut_ptr().cast(), buf.len(), flags) };
    check(received).map(|n| n as usize)
}

#[inline]
fn recv_from_with(fd: RawFd, buf: &mut [u8], flags: libc::c_int) -> io::Result<(usize, SocketAddr)> {
    let mut sender = mem::MaybeUninit::<libc::sockaddr_storage>::uninit();
    let mut len = mem::size_of_val(&sender) as libc::socklen_t;
    // SAFETY: `buf` and `sender` are as long as stated.
    let received = unsafe {
        let sender = sender.as_mut_ptr().cast();
        check(calls::recvfrom(fd, buf.as_mut_ptr().cast(), buf.len(), flags, sender, &mut len))?
    };
    // SAFETY: the kernel has written `len` bytes, or as many as fit.
    match unsafe { internet_address(sender.as_ptr(), len) } {
        Some(sender) => Ok((received as usize, sender)),
        None => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the sender's address is neither IPv4 nor IPv6"))
        }
    }
}

/// Converts an address that the kernel has written. socket2's type costs more: its 128 bytes are cleared first, and
/// moved twice.
///
/// # Safety
///
/// The first `len` bytes are initialised, if there are so many.
#[inline]
unsafe fn internet_address(addr: *const libc::sockaddr_storage, len: libc::socklen_t) -> Option<SocketAddr> {
    let len = len as usize;
    if len < mem::size_of::<libc::sockaddr_in>() {
        return None;
    }
    // SAFETY: each structure is read as far as it is initialised, and the storage is aligned for all of them.
    unsafe {
        match libc::c_int::from((*addr).ss_family) {
            libc::AF_INET => {
                let addr = &*addr.cast::<libc::sockaddr_in>();
                let ip = Ipv4Addr::from(u32::from_be(addr.sin_addr.s_addr));
                Some(SocketAddrV4::new(ip, u16::from_be(addr.sin_port)).into())
            }
            libc::AF_INET6 if len >= mem::size_of::<libc::sockaddr_in6>() => {
                let addr = &*addr.cast::<libc::sockaddr_in6>();
                let (ip, port) = (Ipv6Addr::from(addr.sin6_addr.s6_addr), u16::from_be(addr.sin6_port));
                Some(SocketAddrV6::new(ip, port, addr.sin6_flowinfo, addr.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{mem, ptr};

    use super::super::io::MAX_SLICES;
    use super::*;

    /// Runs `operation`, and returns whether it raised a SIGPIPE.
    fn signals(operation: impl FnOnce()) -> bool {
        // SAFETY: the sets outlive the calls. Only this thread's mask is changed, and SIGPIPE goes to the thread that
        // caused it.
        unsafe {
            let mut set = mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGPIPE);
            assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut()), 0);
            operation();
            let mut pending = mem::zeroed();
            assert_eq!(libc::sigpending(&mut pending), 0);
            libc::sigismember(&pending, libc::SIGPIPE) == 1
        }
    }

    #[test]
    fn sending_to_a_closed_connection_is_an_error_and_no_signal() {
        let (one, other) = socket_pair(Type::STREAM).unwrap();
        drop(other);
        assert!(!signals(|| {
            assert_eq!(send(&one, b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            let bufs = [IoSlice::new(b"x"), IoSlice::new(b"y")];
            assert_eq!(send_vectored(&one, &bufs).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }));
    }

    #[test]
    fn an_address_is_read_as_it_was_written() {
        let read = |addr: &SockAddr, len| {
            // SAFETY: the storage is initialised throughout.
            unsafe { internet_address(addr.as_ptr().cast(), len) }
        };
        let v4 = SocketAddr::from(([192, 0, 2, 1], 4711));
        let v6 = SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 2, 3, 4), 4712, 5, 6).into();
        for addr in [v4, v6] {
            let written = SockAddr::from(addr);
            assert_eq!(read(&written, written.len()), Some(addr));
            assert_eq!(read(&written, written.len() - 1), None);
            assert_eq!(read(&written, 0), None);
        }
        let path = SockAddr::unix("/a/path/that/is/longer/than/an/address").unwrap();
        assert_eq!(read(&path, path.len()), None);
    }

    #[test]
    fn more_slices_than_the_kernel_takes_are_a_short_write() {
        let (one, other) = socket_pair(Type::STREAM).unwrap();
        assert_eq!(send_vectored(&one, &vec![IoSlice::new(b"x"); MAX_SLICES + 1]).unwrap(), MAX_SLICES);

        let mut bytes = vec![0; MAX_SLICES + 1];
        let mut bufs: Vec<_> = bytes.chunks_mut(1).map(IoSliceMut::new).collect();
        assert_eq!(recv_vectored(&other, &mut bufs).unwrap(), MAX_SLICES);
        assert_eq!(bytes[MAX_SLICES - 1..], *b"x\0");
    }
}
