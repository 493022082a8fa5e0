//! Socket addresses, as the system writes them and as a world does.
//!
//! Invariant: an address that is written and read again is the same.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use libc::{
    c_int, sa_family_t, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, sockaddr_un, socklen_t,
};
use wakeful::sim::{Family, SocketName};

/// Where the path of a Unix-domain address begins.
fn path_offset() -> usize {
    mem::size_of::<sa_family_t>()
}

/// Reads an address.
///
/// # Safety
///
/// `len` bytes at `addr` can be read.
pub(super) unsafe fn read(addr: *const sockaddr, len: socklen_t) -> io::Result<SocketName> {
    let len = len as usize;
    if addr.is_null() || len < mem::size_of::<sa_family_t>() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: each structure is read as far as the caller has promised; it may lie anywhere.
    unsafe {
        match c_int::from((addr.cast::<sa_family_t>()).read_unaligned()) {
            libc::AF_INET if len >= mem::size_of::<sockaddr_in>() => {
                let addr = addr.cast::<sockaddr_in>().read_unaligned();
                let ip = Ipv4Addr::from(u32::from_be(addr.sin_addr.s_addr));
                Ok(SocketName::Ip(SocketAddrV4::new(ip, u16::from_be(addr.sin_port)).into()))
            }
            libc::AF_INET6 if len >= mem::size_of::<sockaddr_in6>() => {
                let addr = addr.cast::<sockaddr_in6>().read_unaligned();
                let (ip, port) = (Ipv6Addr::from(addr.sin6_addr.s6_addr), u16::from_be(addr.sin6_port));
                Ok(SocketName::Ip(SocketAddrV6::new(ip, port, addr.sin6_flowinfo, addr.sin6_scope_id).into()))
            }
            libc::AF_UNIX => {
                let path = std::slice::from_raw_parts(addr.cast::<u8>(), len);
                let path = &path[path_offset()..];
                Ok(match path.first() {
                    None => SocketName::Unnamed,
                    Some(0) => SocketName::Unix(path.to_vec()),
                    Some(_) => {
                        let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
                        SocketName::Unix(path[..end].to_vec())
                    }
                })
            }
            libc::AF_UNSPEC => Ok(SocketName::Unnamed),
            _ => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        }
    }
}

/// Writes an address, as far as there is space, and its length. Without a place it does nothing.
///
/// # Safety
///
/// `addr` is null, or `len` says how many bytes at `addr` can be written.
pub(super) unsafe fn write(name: &SocketName, family: Family, addr: *mut sockaddr, len: *mut socklen_t) {
    if addr.is_null() || len.is_null() {
        return;
    }
    // SAFETY: zeroes are an address.
    let mut storage: sockaddr_storage = unsafe { mem::zeroed() };
    let place = std::ptr::addr_of_mut!(storage);
    // SAFETY: the storage has space for each kind of address, and is aligned for it.
    let written = unsafe {
        match (name, family) {
            (SocketName::Ip(SocketAddr::V4(name)), _) => {
                let to = place.cast::<sockaddr_in>();
                (*to).sin_family = libc::AF_INET as sa_family_t;
                (*to).sin_port = name.port().to_be();
                (*to).sin_addr.s_addr = u32::from(*name.ip()).to_be();
                mem::size_of::<sockaddr_in>()
            }
            (SocketName::Ip(SocketAddr::V6(name)), _) => {
                let to = place.cast::<sockaddr_in6>();
                (*to).sin6_family = libc::AF_INET6 as sa_family_t;
                (*to).sin6_port = name.port().to_be();
                (*to).sin6_addr.s6_addr = name.ip().octets();
                (*to).sin6_flowinfo = name.flowinfo();
                (*to).sin6_scope_id = name.scope_id();
                mem::size_of::<sockaddr_in6>()
            }
            (SocketName::Unix(path), _) => {
                let to = place.cast::<sockaddr_un>();
                (*to).sun_family = libc::AF_UNIX as sa_family_t;
                let most = (*to).sun_path.len();
                for (to, &from) in (*to).sun_path.iter_mut().zip(path) {
                    *to = from as _;
                }
                // A path is followed by a zero byte, if there is space.
                let end = usize::from(path.first() != Some(&0) && path.len() < most);
                path_offset() + path.len().min(most) + end
            }
            (SocketName::Unnamed, Family::Unix) => {
                (*place).ss_family = libc::AF_UNIX as sa_family_t;
                path_offset()
            }
            (SocketName::Unnamed, Family::V4) => {
                (*place).ss_family = libc::AF_INET as sa_family_t;
                mem::size_of::<sockaddr_in>()
            }
            (SocketName::Unnamed, Family::V6) => {
                (*place).ss_family = libc::AF_INET6 as sa_family_t;
                mem::size_of::<sockaddr_in6>()
            }
        }
    };
    // SAFETY: the caller's promise, and the storage is longer than what was written.
    unsafe {
        let space = (*len as usize).min(written);
        std::ptr::copy_nonoverlapping(place.cast::<u8>(), addr.cast::<u8>(), space);
        *len = written as socklen_t;
    }
}
