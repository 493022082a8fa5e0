//! Sockets: how they are made, named and connected.
//!
//! Invariant: the descriptor of a simulated socket is a real socket of the same family and type, without a connection.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use libc::{c_int, c_void, sockaddr, socklen_t};
use wakeful::sim::{Family, Patience, SocketName, SocketType, Task};

use super::{address, placeholders, real, returned, set_errno, shadows, task};

shadows!(
    socket,
    socketpair,
    pipe,
    pipe2,
    bind,
    listen,
    connect,
    accept,
    accept4,
    getsockname,
    getpeername,
    getsockopt,
    setsockopt,
    shutdown,
    poll,
    epoll_create1,
    epoll_create,
);

/// Returns what a world calls a family of sockets.
fn family_of(domain: c_int) -> Option<Family> {
    match domain {
        libc::AF_INET => Some(Family::V4),
        libc::AF_INET6 => Some(Family::V6),
        libc::AF_UNIX => Some(Family::Unix),
        _ => None,
    }
}

fn domain_of(family: Family) -> c_int {
    match family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
        Family::Unix => libc::AF_UNIX,
    }
}

fn type_of(kind: c_int) -> Option<SocketType> {
    match kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) {
        libc::SOCK_STREAM => Some(SocketType::Stream),
        libc::SOCK_DGRAM => Some(SocketType::Datagram),
        _ => None,
    }
}

/// Returns a number that is an option of a real socket; 0 if the call fails.
pub(super) fn option(fd: c_int, level: c_int, name: c_int) -> c_int {
    let mut value: c_int = 0;
    let mut len = std::mem::size_of_val(&value) as socklen_t;
    let place = std::ptr::addr_of_mut!(value).cast();
    // SAFETY: the value is as long as stated.
    match unsafe { real::getsockopt(fd, level, name, place, &mut len) } {
        0 => value,
        _ => 0,
    }
}

/// Returns how long an operation on a descriptor waits, by the modes of the real socket.
pub(super) fn patience(fd: c_int, flags: c_int, limit: c_int) -> Patience {
    let is_non_blocking = || match placeholders::mode(fd) {
        Some(is_non_blocking) => is_non_blocking,
        // SAFETY: no memory is passed.
        None => unsafe { real::fcntl(fd, libc::F_GETFL, 0) & libc::O_NONBLOCK != 0 },
    };
    if flags & libc::MSG_DONTWAIT != 0 || is_non_blocking() {
        return Patience::None;
    }
    let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let mut len = std::mem::size_of_val(&time) as socklen_t;
    let place = std::ptr::addr_of_mut!(time).cast();
    // SAFETY: the time is as long as stated.
    let result = unsafe { real::getsockopt(fd, libc::SOL_SOCKET, limit, place, &mut len) };
    match Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64) {
        limit if result == 0 && !limit.is_zero() => Patience::Limited(limit),
        _ => Patience::Unlimited,
    }
}

#[no_mangle]
unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    let (Some(task), Some(family)) = (task(), family_of(domain)) else {
        // Other families have no network: what the kernel says of its interfaces, for example.
        // SAFETY: no memory is passed.
        return unsafe { real::socket(domain, kind, protocol) };
    };
    let Some(of) = type_of(kind) else {
        // Raw sockets and sequences of packets: never a real connection.
        set_errno(libc::EPROTONOSUPPORT);
        return -1;
    };
    let fd = placeholders::open(domain, kind, protocol);
    if fd >= 0 {
        task.socket(fd, family, of);
    }
    fd
}

#[no_mangle]
unsafe extern "C" fn socketpair(domain: c_int, kind: c_int, protocol: c_int, fds: *mut c_int) -> c_int {
    let (Some(task), libc::AF_UNIX, Some(of)) = (task(), domain, type_of(kind)) else {
        // SAFETY: the caller's promise.
        return unsafe { real::socketpair(domain, kind, protocol, fds) };
    };
    let one = placeholders::open(domain, kind, protocol);
    if one < 0 {
        return -1;
    }
    let other = placeholders::open(domain, kind, protocol);
    if other < 0 {
        placeholders::forget(one);
        // SAFETY: just opened, and not used elsewhere.
        unsafe { real::close(one) };
        set_errno(libc::EMFILE);
        return -1;
    }
    task.socket_pair(one, other, of);
    // SAFETY: the caller's promise is that there is space for two.
    unsafe {
        *fds = one;
        *fds.add(1) = other;
    }
    0
}

#[no_mangle]
unsafe extern "C" fn pipe(fds: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { pipe2(fds, 0) }
}

#[no_mangle]
unsafe extern "C" fn pipe2(fds: *mut c_int, flags: c_int) -> c_int {
    // SAFETY: the caller's promise.
    let result = unsafe { real::pipe2(fds, flags) };
    if let Some(task) = task().filter(|_| result == 0) {
        // SAFETY: pipe(2) has written both.
        unsafe { task.pipe(*fds, *fds.add(1)) };
    }
    result
}

#[no_mangle]
unsafe extern "C" fn bind(fd: c_int, addr: *const sockaddr, len: socklen_t) -> c_int {
    let Some(task) = task().filter(|task| task.knows(fd)) else {
        if !placeholders::own(fd) {
            return -1;
        }
        // SAFETY: the caller's promise.
        return unsafe { real::bind(fd, addr, len) };
    };
    let shares_name = option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT) != 0;
    task.set_only_v6(fd, option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) != 0);
    // SAFETY: the caller's promise is that of bind(2).
    let name = unsafe { address::read(addr, len) };
    let result = name.and_then(|name| task.bind(fd, name, shares_name).unwrap_or(Ok(())));
    returned(result.map(|()| 0))
}

#[no_mangle]
unsafe extern "C" fn listen(fd: c_int, backlog: c_int) -> c_int {
    match task().and_then(|task| task.listen(fd, usize::try_from(backlog).unwrap_or(4096))) {
        Some(result) => returned(result.map(|()| 0)),
        None if !placeholders::own(fd) => -1,
        // SAFETY: no memory is passed.
        None => unsafe { real::listen(fd, backlog) },
    }
}

#[no_mangle]
pub(super) unsafe extern "C" fn connect(fd: c_int, addr: *const sockaddr, len: socklen_t) -> c_int {
    let Some(task) = task().filter(|task| task.knows(fd)) else {
        if !placeholders::own(fd) {
            return -1;
        }
        // SAFETY: the caller's promise.
        return unsafe { real::connect(fd, addr, len) };
    };
    // SAFETY: the caller's promise is that of connect(2).
    let name = unsafe { address::read(addr, len) };
    let patience = || patience(fd, 0, libc::SO_SNDTIMEO);
    let result = name.and_then(|name| task.connect(fd, name, patience).unwrap_or(Ok(())));
    returned(result.map(|()| 0))
}

#[no_mangle]
unsafe extern "C" fn accept(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { accept4(fd, addr, len, 0) }
}

#[no_mangle]
pub(super) unsafe extern "C" fn accept4(
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
    flags: c_int,
) -> c_int {
    let Some(task) = task() else {
        // SAFETY: the caller's promise.
        return unsafe { real::accept4(fd, addr, len, flags) };
    };
    let open = |family| match placeholders::open(domain_of(family), libc::SOCK_STREAM | flags, 0) {
        -1 => Err(io::Error::last_os_error()),
        new => Ok(new),
    };
    match task.accept(fd, || patience(fd, 0, libc::SO_RCVTIMEO), open) {
        Some(Ok((new, peer))) => {
            let family = task.family(new).unwrap_or(Family::V4);
            // SAFETY: the caller's promise is that of accept(2).
            unsafe { address::write(&peer, family, addr, len) };
            new
        }
        Some(Err(e)) => returned(Err(e)),
        // SAFETY: the caller's promise.
        None => unsafe { real::accept4(fd, addr, len, flags) },
    }
}

#[no_mangle]
unsafe extern "C" fn getsockname(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int {
    match task().and_then(|task| Some((task.local_name(fd)?, task.family(fd)?))) {
        Some((Err(e), _)) => returned(Err(e)),
        Some((Ok(name), family)) => {
            // SAFETY: the caller's promise is that of getsockname(2).
            unsafe { address::write(&unbound(name, family), family, addr, len) };
            0
        }
        // SAFETY: the caller's promise.
        None => unsafe { real::getsockname(fd, addr, len) },
    }
}

/// Returns the address that an unbound Internet socket has: none, and port 0.
fn unbound(name: SocketName, family: Family) -> SocketName {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    match (name, family) {
        (SocketName::Unnamed, Family::V4) => SocketName::Ip(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
        (SocketName::Unnamed, Family::V6) => SocketName::Ip(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        (name, _) => name,
    }
}

#[no_mangle]
unsafe extern "C" fn getpeername(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int {
    match task().and_then(|task| Some((task.peer_name(fd)?, task.family(fd)?))) {
        Some((Ok(name), family)) => {
            // SAFETY: the caller's promise is that of getpeername(2).
            unsafe { address::write(&name, family, addr, len) };
            0
        }
        Some((Err(e), _)) => returned(Err(e)),
        // SAFETY: the caller's promise.
        None => unsafe { real::getpeername(fd, addr, len) },
    }
}

#[no_mangle]
unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    if let Some(task) = task().filter(|_| level == libc::SOL_SOCKET) {
        if name == libc::SO_ERROR {
            if let Some(error) = task.take_error(fd) {
                // SAFETY: the caller's promise is that of getsockopt(2).
                return unsafe { write(&error.unwrap_or(0), value, len) };
            }
        }
        if name == libc::SO_PEERCRED && task.family(fd) == Some(Family::Unix) {
            // Each process of the host is this one.
            // SAFETY: the three calls have no arguments, and always succeed.
            let (pid, uid, gid) = unsafe { (libc::getpid(), libc::getuid(), libc::getgid()) };
            // SAFETY: the caller's promise is that of getsockopt(2).
            return unsafe { write(&libc::ucred { pid, uid, gid }, value, len) };
        }
    }
    // SAFETY: the caller's promise.
    unsafe { real::getsockopt(fd, level, name, value, len) }
}

#[no_mangle]
unsafe extern "C" fn setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    if !placeholders::own(fd) {
        return -1;
    }
    // SAFETY: the caller's promise.
    unsafe { real::setsockopt(fd, level, name, value, len) }
}

/// Writes an option as getsockopt(2) does.
///
/// # Safety
///
/// `len` says how many bytes can be written at `value`.
unsafe fn write<T: Copy>(option: &T, value: *mut c_void, len: *mut socklen_t) -> c_int {
    if value.is_null() || len.is_null() {
        set_errno(libc::EFAULT);
        return -1;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let count = (*len as usize).min(std::mem::size_of::<T>());
        std::ptr::copy_nonoverlapping((option as *const T).cast::<u8>(), value.cast(), count);
        *len = count as socklen_t;
    }
    0
}

#[no_mangle]
unsafe extern "C" fn shutdown(fd: c_int, how: c_int) -> c_int {
    let shutdown = match how {
        libc::SHUT_RD => Shutdown::Read,
        libc::SHUT_WR => Shutdown::Write,
        _ => Shutdown::Both,
    };
    match task().and_then(|task| task.shutdown(fd, shutdown)) {
        Some(result) => returned(result.map(|()| 0)),
        // SAFETY: no memory is passed.
        None => unsafe { real::shutdown(fd, how) },
    }
}

/// How often a task looks that waits for several descriptors.
const LOOKS: Duration = Duration::from_millis(1);

#[no_mangle]
unsafe extern "C" fn poll(fds: *mut libc::pollfd, count: libc::nfds_t, timeout: c_int) -> c_int {
    let Some(task) = task() else {
        // SAFETY: the caller's promise.
        return unsafe { real::poll(fds, count, timeout) };
    };
    let list = match fds.is_null() {
        true => &mut [],
        // SAFETY: the caller's promise is that of poll(2).
        false => unsafe { std::slice::from_raw_parts_mut(fds, count as usize) },
    };
    let limit = u64::try_from(timeout).ok().map(Duration::from_millis);
    let deadline = limit.map(|limit| task.time().saturating_add(limit));
    loop {
        let ready = list.iter_mut().filter_map(|entry| look(task, entry)).count();
        if ready > 0 || limit == Some(Duration::ZERO) {
            return ready as c_int;
        }
        let now = task.time();
        if deadline.is_some_and(|deadline| deadline <= now) {
            return 0;
        }
        let next = now + LOOKS;
        task.park(Some(deadline.map_or(next, |deadline| deadline.min(next))));
    }
}

/// Sets what is ready of a descriptor. Returns `None` if nothing is.
fn look(task: Task, entry: &mut libc::pollfd) -> Option<()> {
    entry.revents = 0;
    if entry.fd < 0 {
        return None;
    }
    match task.readiness(entry.fd) {
        Some(state) => {
            let when = |is_so: bool, flags| if is_so { flags } else { 0 };
            let asked = when(state.readable, libc::POLLIN | libc::POLLRDNORM)
                | when(state.writable, libc::POLLOUT | libc::POLLWRNORM)
                | when(state.read_closed, libc::POLLRDHUP);
            entry.revents = entry.events & asked
                | when(state.read_closed && state.write_closed, libc::POLLHUP)
                | when(state.error, libc::POLLERR);
        }
        None => {
            // SAFETY: the entry lives.
            unsafe { real::poll(entry, 1, 0) };
        }
    }
    (entry.revents != 0).then_some(())
}

#[no_mangle]
unsafe extern "C" fn epoll_create1(flags: c_int) -> c_int {
    match task() {
        Some(task) => lacks(task, "epoll_create1"),
        // SAFETY: no memory is passed.
        None => unsafe { real::epoll_create1(flags) },
    }
}

#[no_mangle]
unsafe extern "C" fn epoll_create(_: c_int) -> c_int {
    // SAFETY: the size has no meaning since Linux 2.6.8.
    unsafe { epoll_create1(0) }
}

/// Fails a call that would let the program wait for the real kernel.
fn lacks(task: Task, name: &str) -> c_int {
    task.note(format!("calls {name}, which a world doesn't have"));
    eprintln!(
        "wakeful-world: a host calls {name}, which a world doesn't have: its loop must stand on wakeful"
    );
    set_errno(libc::ENOSYS);
    -1
}
