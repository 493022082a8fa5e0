//! Messages: receiving and sending with flags, addresses and ancillary data.
//!
//! Invariant: ancillary data that would change what arrives is an error, and other ancillary data is ignored.

use libc::{c_int, c_uint, c_void, iovec, mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t, timespec};
use wakeful::sim::{Family, SocketName, Task};

use super::descriptors::{slices, slices_mut};
use super::sockets::patience;
use super::{address, real, returned, set_errno, shadows, task};

shadows!(recv, recvfrom, recvmsg, recvmmsg, send, sendto, sendmsg, sendmmsg);

/// `UDP_SEGMENT` of Linux: one call sends many datagrams.
const UDP_SEGMENT: c_int = 103;

/// What a world doesn't have: the out-of-band byte, and the completions of zero-copy transfers.
const UNKNOWN_FLAGS: c_int = libc::MSG_OOB | libc::MSG_ZEROCOPY;

#[no_mangle]
unsafe extern "C" fn recv(fd: c_int, buf: *mut c_void, len: size_t, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { recvfrom(fd, buf, len, flags, std::ptr::null_mut(), std::ptr::null_mut()) }
}

#[no_mangle]
pub(super) unsafe extern "C" fn recvfrom(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
    addr: *mut sockaddr,
    addr_len: *mut socklen_t,
) -> ssize_t {
    let one = iovec { iov_base: buf, iov_len: len };
    // SAFETY: the caller's promise is that of recvfrom(2).
    match task().and_then(|task| unsafe { receive(task, fd, &one, 1, flags, addr, addr_len) }) {
        Some(result) => returned(result.map(|(len, _)| len as ssize_t)),
        // SAFETY: the caller's promise.
        None => unsafe { real::recvfrom(fd, buf, len, flags, addr, addr_len) },
    }
}

/// Receives, and writes the sender's address. Returns the length, and that of the datagram.
///
/// # Safety
///
/// The slices and the address can be written as far as stated.
unsafe fn receive(
    task: Task,
    fd: c_int,
    iov: *const iovec,
    count: usize,
    flags: c_int,
    addr: *mut sockaddr,
    addr_len: *mut socklen_t,
) -> Option<std::io::Result<(usize, usize)>> {
    let family = task.family(fd)?;
    // SAFETY: the caller's promise.
    let mut bufs = unsafe { slices_mut(iov, count) };
    let (peeks, waits_for_all) = (flags & libc::MSG_PEEK != 0, flags & libc::MSG_WAITALL != 0);
    let patience = || patience(fd, flags, libc::SO_RCVTIMEO);
    let result = task.receive(fd, &mut bufs, peeks, patience)?;
    let _ = waits_for_all;
    Some(result.map(|(len, whole, sender)| {
        match sender {
            // A stream has no sender.
            SocketName::Unnamed if family != Family::Unix => {
                if !addr_len.is_null() {
                    // SAFETY: the caller's promise.
                    unsafe { *addr_len = 0 };
                }
            }
            // SAFETY: the caller's promise.
            sender => unsafe { address::write(&sender, family, addr, addr_len) },
        }
        match flags & libc::MSG_TRUNC {
            0 => (len, whole),
            _ => (whole, whole),
        }
    }))
}

#[no_mangle]
pub(super) unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    let Some(task) = task().filter(|task| task.knows(fd)) else {
        // SAFETY: the caller's promise.
        return unsafe { real::recvmsg(fd, message, flags) };
    };
    // SAFETY: the caller's promise is that of recvmsg(2).
    unsafe {
        let to = &mut *message;
        let (addr, count) = (to.msg_name.cast(), to.msg_iovlen as usize);
        let received = receive(task, fd, to.msg_iov, count, flags, addr, &mut to.msg_namelen);
        let Some(result) = received else { return real::recvmsg(fd, message, flags) };
        to.msg_controllen = 0;
        to.msg_flags = 0;
        if let Ok((len, whole)) = &result {
            if whole > len {
                to.msg_flags |= libc::MSG_TRUNC;
            }
        }
        returned(result.map(|(len, _)| len as ssize_t))
    }
}

#[no_mangle]
unsafe extern "C" fn recvmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    _: *mut timespec,
) -> c_int {
    let mut received = 0;
    while received < count {
        // SAFETY: the caller's promise is that there are `count` messages.
        let message = unsafe { &mut *messages.add(received as usize) };
        let flags = if received > 0 { flags | libc::MSG_DONTWAIT } else { flags };
        // SAFETY: the caller's promise.
        match unsafe { recvmsg(fd, &mut message.msg_hdr, flags) } {
            len if len >= 0 => message.msg_len = len as c_uint,
            _ if received > 0 => break,
            _ => return -1,
        }
        received += 1;
    }
    received as c_int
}

#[no_mangle]
unsafe extern "C" fn send(fd: c_int, buf: *const c_void, len: size_t, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { sendto(fd, buf, len, flags, std::ptr::null(), 0) }
}

#[no_mangle]
pub(super) unsafe extern "C" fn sendto(
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    flags: c_int,
    addr: *const sockaddr,
    addr_len: socklen_t,
) -> ssize_t {
    let one = iovec { iov_base: buf.cast_mut(), iov_len: len };
    // SAFETY: the caller's promise is that of sendto(2).
    match task().and_then(|task| unsafe { transmit(task, fd, &one, 1, flags, addr, addr_len) }) {
        Some(result) => returned(result),
        // SAFETY: the caller's promise.
        None => unsafe { real::sendto(fd, buf, len, flags, addr, addr_len) },
    }
}

/// Sends the slices.
///
/// # Safety
///
/// The slices and the address can be read as far as stated.
unsafe fn transmit(
    task: Task,
    fd: c_int,
    iov: *const iovec,
    count: usize,
    flags: c_int,
    addr: *const sockaddr,
    addr_len: socklen_t,
) -> Option<std::io::Result<ssize_t>> {
    if !task.knows(fd) {
        return None;
    }
    if flags & UNKNOWN_FLAGS != 0 {
        return Some(Err(std::io::Error::from_raw_os_error(libc::EOPNOTSUPP)));
    }
    let to = match addr.is_null() || addr_len == 0 {
        true => None,
        // SAFETY: the caller's promise.
        false => match unsafe { address::read(addr, addr_len) } {
            Ok(to) => Some(to),
            Err(e) => return Some(Err(e)),
        },
    };
    // SAFETY: the caller's promise.
    let bufs = unsafe { slices(iov, count) };
    let result = task.send(fd, &bufs, to.as_ref(), || patience(fd, flags, libc::SO_SNDTIMEO))?;
    Some(result.map(|len| len as ssize_t))
}

#[no_mangle]
pub(super) unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    let Some(task) = task().filter(|task| task.knows(fd)) else {
        // SAFETY: the caller's promise.
        return unsafe { real::sendmsg(fd, message, flags) };
    };
    // SAFETY: the caller's promise is that of sendmsg(2).
    unsafe {
        let from = &*message;
        if let Some(what) = changes_delivery(from) {
            task.note(format!("sends {what}, which a world doesn't have"));
            set_errno(libc::EINVAL);
            return -1;
        }
        let count = from.msg_iovlen as usize;
        match transmit(task, fd, from.msg_iov, count, flags, from.msg_name.cast(), from.msg_namelen) {
            Some(result) => returned(result),
            None => real::sendmsg(fd, message, flags),
        }
    }
}

/// Returns the ancillary data of a message that changes what arrives.
///
/// # Safety
///
/// The message's ancillary data can be read.
unsafe fn changes_delivery(message: &msghdr) -> Option<&'static str> {
    // SAFETY: the caller's promise. The macros of libc walk the list within its length.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(message);
        while let Some(header) = next.as_ref() {
            match (header.cmsg_level, header.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => return Some("descriptors (SCM_RIGHTS)"),
                (libc::SOL_UDP, UDP_SEGMENT) => return Some("segments (UDP_SEGMENT)"),
                _ => next = libc::CMSG_NXTHDR(message, header),
            }
        }
    }
    None
}

#[no_mangle]
unsafe extern "C" fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int {
    let mut sent = 0;
    while sent < count {
        // SAFETY: the caller's promise is that there are `count` messages.
        let message = unsafe { &mut *messages.add(sent as usize) };
        // SAFETY: the caller's promise.
        match unsafe { sendmsg(fd, &message.msg_hdr, flags) } {
            len if len >= 0 => message.msg_len = len as c_uint,
            _ if sent > 0 => break,
            _ => return -1,
        }
        sent += 1;
    }
    sent as c_int
}
