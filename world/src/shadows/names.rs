//! Names: getaddrinfo(3) knows the hosts of the world, and asks no server.
//!
//! Invariant: each entry is one piece of memory, as libc's own are, so that libc's freeaddrinfo(3) frees them.

use std::ffi::CStr;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use libc::{addrinfo, c_char, c_int, sockaddr_in6, socklen_t};
use wakeful::sim::{Family, SocketName, Task};

use super::{address, real, shadows, task};

shadows!(getaddrinfo);

#[no_mangle]
unsafe extern "C" fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    found: *mut *mut addrinfo,
) -> c_int {
    let Some(task) = task() else {
        // SAFETY: the caller's promise.
        return unsafe { real::getaddrinfo(node, service, hints, found) };
    };
    // SAFETY: the caller's promise is that of getaddrinfo(3).
    let (node, service, hints) = unsafe { (text(node), text(service), hints.as_ref()) };
    let Some(port) = port_of(service) else { return libc::EAI_SERVICE };
    let (domain, is_passive) =
        hints.map_or((libc::AF_UNSPEC, false), |h| (h.ai_family, h.ai_flags & libc::AI_PASSIVE != 0));
    let addresses: Vec<IpAddr> = addresses(task, node, is_passive)
        .into_iter()
        .filter(|address| match domain {
            libc::AF_INET => address.is_ipv4(),
            libc::AF_INET6 => address.is_ipv6(),
            _ => true,
        })
        .collect();
    if addresses.is_empty() {
        return libc::EAI_NONAME;
    }
    let kinds = match hints.map_or((0, 0), |hints| (hints.ai_socktype, hints.ai_protocol)) {
        (0, 0) => vec![(libc::SOCK_STREAM, libc::IPPROTO_TCP), (libc::SOCK_DGRAM, libc::IPPROTO_UDP)],
        kind => vec![kind],
    };
    let mut list: *mut addrinfo = std::ptr::null_mut();
    for &address in addresses.iter().rev() {
        for &(kind, protocol) in kinds.iter().rev() {
            let entry = entry(SocketAddr::new(address, port), kind, protocol, list);
            if entry.is_null() {
                return libc::EAI_MEMORY;
            }
            list = entry;
        }
    }
    // SAFETY: the caller's promise.
    unsafe { *found = list };
    0
}

/// Returns a text of C.
///
/// # Safety
///
/// `text` is null, or ends with a zero byte and lives.
unsafe fn text<'a>(text: *const c_char) -> Option<&'a str> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_str().unwrap_or(""))
}

/// Returns the port of a service.
fn port_of(service: Option<&str>) -> Option<u16> {
    match service {
        None | Some("") => Some(0),
        Some("http") => Some(80),
        Some("https") => Some(443),
        Some(number) => number.parse().ok(),
    }
}

/// Returns the addresses of a node, for a server or for a client.
fn addresses(task: Task, node: Option<&str>, is_passive: bool) -> Vec<IpAddr> {
    match node {
        None if is_passive => vec![Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()],
        None => vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()],
        Some("localhost") => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        Some(name) => match name.parse() {
            Ok(address) => vec![address],
            Err(_) => task.resolve(name).unwrap_or_default(),
        },
    }
}

/// Allocates an entry of the list. Returns null if there is no memory.
fn entry(addr: SocketAddr, kind: c_int, protocol: c_int, next: *mut addrinfo) -> *mut addrinfo {
    let size = mem::size_of::<addrinfo>();
    // SAFETY: the memory is used only if there is some: first the entry, and behind it its address, for which there is
    // space and which is aligned less than the entry. Zeroes are an entry.
    unsafe {
        let entry = libc::calloc(1, size + mem::size_of::<sockaddr_in6>()).cast::<addrinfo>();
        if entry.is_null() {
            return entry;
        }
        let place = entry.add(1).cast();
        let mut len = mem::size_of::<sockaddr_in6>() as socklen_t;
        address::write(&SocketName::Ip(addr), Family::V4, place, &mut len);
        (*entry).ai_family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        (*entry).ai_socktype = kind;
        (*entry).ai_protocol = protocol;
        (*entry).ai_addrlen = len;
        (*entry).ai_addr = place;
        (*entry).ai_next = next;
        entry
    }
}
