//! The real sockets that stand behind the descriptors of simulated ones.
//!
//! A real socket answers every call that a program may make on its descriptor: options, modes, duplicates. But to make
//! and to close one takes longer than all that a world does for a connection. So a new descriptor is a duplicate of a
//! socket that many share, until the program changes something: then it gets a socket of its own.
//!
//! Invariant: a shared socket is as it was made. What changes it calls [`own`] first.

use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

use libc::c_int;

use super::real;
use super::sockets::option;

/// Whether a descriptor is a duplicate of a shared socket, and of which mode. Others never are, nor are higher numbers.
static SHARED: [AtomicU8; 1 << 16] = {
    #[allow(clippy::declare_interior_mutable_const)] // copied into each place
    const FIRST: AtomicU8 = AtomicU8::new(OWN);
    [FIRST; 1 << 16]
};

const OWN: u8 = 0;
const BLOCKING: u8 = 1;
const NON_BLOCKING: u8 = 2;

/// The shared sockets: for each family, type and mode one, made when it is first needed.
static SOCKETS: [AtomicI32; 12] = {
    #[allow(clippy::declare_interior_mutable_const)] // copied into each place
    const NONE: AtomicI32 = AtomicI32::new(-1);
    [NONE; 12]
};

/// Where the numbers of shared sockets begin: out of the way of those that a program opens.
const FIRST: libc::c_long = 700;

/// Opens a placeholder. Returns -1, and sets `errno`, as socket(2) does.
pub(super) fn open(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    match shared(domain, kind, protocol).and_then(|socket| duplicate(socket, kind)) {
        Some(fd) => fd,
        // SAFETY: no memory is passed.
        None => unsafe { real::socket(domain, kind, protocol) },
    }
}

/// Returns the shared socket of this kind.
fn shared(domain: c_int, kind: c_int, protocol: c_int) -> Option<c_int> {
    let family = [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX].iter().position(|&known| known == domain)?;
    let is_stream = kind & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) == libc::SOCK_STREAM;
    let usual = if is_stream { libc::IPPROTO_TCP } else { libc::IPPROTO_UDP };
    if protocol != 0 && (protocol != usual || domain == libc::AF_UNIX) {
        return None;
    }
    let place = family * 4 + usize::from(is_stream) * 2 + usize::from(kind & libc::SOCK_NONBLOCK != 0);
    let found = SOCKETS[place].load(Ordering::Acquire);
    if found >= 0 {
        return Some(found);
    }
    // SAFETY: no memory is passed, and the first number is used nowhere else.
    let made = unsafe {
        let low = real::socket(domain, kind | libc::SOCK_CLOEXEC, 0);
        let high = real::fcntl(low, libc::F_DUPFD_CLOEXEC, FIRST);
        real::close(low);
        high
    };
    if made < 0 {
        return None;
    }
    match SOCKETS[place].compare_exchange(-1, made, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(made),
        Err(other) => {
            // SAFETY: just opened, and used nowhere else.
            unsafe { real::close(made) };
            Some(other)
        }
    }
}

fn duplicate(socket: c_int, kind: c_int) -> Option<c_int> {
    let command = if kind & libc::SOCK_CLOEXEC != 0 { libc::F_DUPFD_CLOEXEC } else { libc::F_DUPFD };
    // SAFETY: no memory is passed.
    let fd = unsafe { real::fcntl(socket, command, 0) };
    let mode = if kind & libc::SOCK_NONBLOCK != 0 { NON_BLOCKING } else { BLOCKING };
    match state(fd) {
        Some(state) => {
            state.store(mode, Ordering::Relaxed);
            Some(fd)
        }
        None if fd >= 0 => {
            // SAFETY: just opened, and used nowhere else.
            unsafe { real::close(fd) };
            None
        }
        None => None,
    }
}

fn state(fd: c_int) -> Option<&'static AtomicU8> {
    SHARED.get(usize::try_from(fd).ok()?)
}

/// Returns whether operations on the descriptor don't block, if its socket is shared.
pub(super) fn mode(fd: c_int) -> Option<bool> {
    match state(fd)?.load(Ordering::Relaxed) {
        OWN => None,
        mode => Some(mode == NON_BLOCKING),
    }
}

/// Notes that the descriptor is closed, or stands for another file.
pub(super) fn forget(fd: c_int) {
    if let Some(state) = state(fd) {
        state.store(OWN, Ordering::Relaxed);
    }
}

/// Gives the descriptor a socket of its own. Returns false, and sets `errno`, if the system has none left.
pub(super) fn own(fd: c_int) -> bool {
    let Some(is_non_blocking) = mode(fd) else { return true };
    let mode = if is_non_blocking { libc::SOCK_NONBLOCK } else { 0 };
    let domain = option(fd, libc::SOL_SOCKET, libc::SO_DOMAIN);
    let kind = option(fd, libc::SOL_SOCKET, libc::SO_TYPE);
    // SAFETY: no memory is passed. The new socket takes the place of one that nothing was done with.
    unsafe {
        let flags =
            if real::fcntl(fd, libc::F_GETFD, 0) & libc::FD_CLOEXEC != 0 { libc::O_CLOEXEC } else { 0 };
        let new = real::socket(domain, kind | mode | libc::SOCK_CLOEXEC, 0);
        if new < 0 {
            return false;
        }
        let result = real::dup3(new, fd, flags);
        real::close(new);
        if result < 0 {
            return false;
        }
    }
    forget(fd);
    true
}
