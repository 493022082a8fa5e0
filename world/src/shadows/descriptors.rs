//! Descriptors: reading, writing, duplicating, closing.
//!
//! Invariant: a real descriptor is closed after the world has forgotten it, so that its number can't be used twice.

use std::io::{IoSlice, IoSliceMut};

use libc::{c_char, c_int, c_long, c_uint, c_void, iovec, off_t, size_t, ssize_t};
use wakeful::sim::Task;

use super::sockets::{option, patience};
use super::{placeholders, real, returned, set_errno, shadows, task};

shadows!(
    read,
    write,
    readv,
    writev,
    close,
    dup,
    dup2,
    dup3,
    fcntl,
    fcntl64,
    ioctl,
    unlink,
    unlinkat,
    splice,
    sendfile,
    sendfile64,
    copy_file_range,
);

/// Returns the slices of a vectored call.
///
/// # Safety
///
/// There are `count` slices at `iov`, each as long as stated and initialised.
pub(super) unsafe fn slices<'a>(iov: *const iovec, count: usize) -> Vec<IoSlice<'a>> {
    if iov.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's promise.
    let list = unsafe { std::slice::from_raw_parts(iov, count) };
    let slice = |one: &iovec| match one.iov_len {
        0 => IoSlice::new(&[]),
        // SAFETY: the caller's promise.
        len => IoSlice::new(unsafe { std::slice::from_raw_parts(one.iov_base.cast(), len) }),
    };
    list.iter().map(slice).collect()
}

/// Returns the slices of a vectored call, to be written.
///
/// # Safety
///
/// There are `count` slices at `iov`, each as long as stated. They may be uninitialised, since a world only writes.
pub(super) unsafe fn slices_mut<'a>(iov: *const iovec, count: usize) -> Vec<IoSliceMut<'a>> {
    if iov.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's promise.
    let list = unsafe { std::slice::from_raw_parts(iov, count) };
    let slice = |one: &iovec| match one.iov_len {
        0 => IoSliceMut::new(&mut []),
        // SAFETY: the caller's promise.
        len => IoSliceMut::new(unsafe { std::slice::from_raw_parts_mut(one.iov_base.cast(), len) }),
    };
    list.iter().map(slice).collect()
}

/// Receives into the slices.
pub(super) fn receive(task: Task, fd: c_int, bufs: &mut [IoSliceMut<'_>]) -> Option<ssize_t> {
    let result = task.receive(fd, bufs, false, || patience(fd, 0, libc::SO_RCVTIMEO))?;
    Some(returned(result.map(|(len, _, _)| len as ssize_t)))
}

fn send(task: Task, fd: c_int, bufs: &[IoSlice<'_>]) -> Option<ssize_t> {
    let result = task.send(fd, bufs, None, || patience(fd, 0, libc::SO_SNDTIMEO))?;
    Some(returned(result.map(|len| len as ssize_t)))
}

#[no_mangle]
pub(super) unsafe extern "C" fn read(fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t {
    let one = iovec { iov_base: buf, iov_len: len };
    // SAFETY: the caller's promise is that of read(2).
    let received = task().and_then(|task| receive(task, fd, &mut unsafe { slices_mut(&one, 1) }));
    // SAFETY: the caller's promise.
    received.unwrap_or_else(|| unsafe { real::read(fd, buf, len) })
}

#[no_mangle]
pub(super) unsafe extern "C" fn write(fd: c_int, buf: *const c_void, len: size_t) -> ssize_t {
    let one = iovec { iov_base: buf.cast_mut(), iov_len: len };
    // SAFETY: the caller's promise is that of write(2).
    let sent = task().and_then(|task| send(task, fd, &unsafe { slices(&one, 1) }));
    // SAFETY: the caller's promise.
    sent.unwrap_or_else(|| unsafe { real::write(fd, buf, len) })
}

#[no_mangle]
pub(super) unsafe extern "C" fn readv(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
    let len = usize::try_from(count).unwrap_or(0);
    // SAFETY: the caller's promise is that of readv(2).
    let received = task().and_then(|task| receive(task, fd, &mut unsafe { slices_mut(iov, len) }));
    // SAFETY: the caller's promise.
    received.unwrap_or_else(|| unsafe { real::readv(fd, iov, count) })
}

#[no_mangle]
pub(super) unsafe extern "C" fn writev(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
    let len = usize::try_from(count).unwrap_or(0);
    // SAFETY: the caller's promise is that of writev(2).
    let sent = task().and_then(|task| send(task, fd, &unsafe { slices(iov, len) }));
    // SAFETY: the caller's promise.
    sent.unwrap_or_else(|| unsafe { real::writev(fd, iov, count) })
}

/// Returns whether a real socket is set to end its connection by a reset: `SO_LINGER` with a time of 0.
fn aborts(fd: c_int) -> bool {
    if placeholders::mode(fd).is_some() {
        return false;
    }
    let mut linger = libc::linger { l_onoff: 0, l_linger: 0 };
    let mut len = std::mem::size_of_val(&linger) as libc::socklen_t;
    let place = std::ptr::addr_of_mut!(linger).cast();
    // SAFETY: the structure is as long as stated.
    let result = unsafe { real::getsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, place, &mut len) };
    result == 0 && linger.l_onoff != 0 && linger.l_linger == 0
}

#[no_mangle]
pub(super) unsafe extern "C" fn close(fd: c_int) -> c_int {
    if let Some(task) = task() {
        task.close(fd, || aborts(fd));
    }
    placeholders::forget(fd);
    // SAFETY: the caller's promise is that it owns the descriptor.
    unsafe { real::close(fd) }
}

/// Lets the duplicate of a descriptor stand for the same socket. Of a Unix-domain stream that the world doesn't know,
/// it stands for a silent one: tokio duplicates the one by which its process, not the host, learns of signals.
fn duplicated(fd: c_int, new: c_int) -> c_int {
    if let Some(task) = task().filter(|_| new >= 0) {
        let is_known = task.duplicate(fd, new).is_some();
        if !is_known && is_unix_stream(new) {
            task.silent_stream(new);
        }
    }
    new
}

fn is_unix_stream(fd: c_int) -> bool {
    option(fd, libc::SOL_SOCKET, libc::SO_DOMAIN) == libc::AF_UNIX
        && option(fd, libc::SOL_SOCKET, libc::SO_TYPE) == libc::SOCK_STREAM
}

#[no_mangle]
unsafe extern "C" fn dup(fd: c_int) -> c_int {
    if !placeholders::own(fd) {
        return -1;
    }
    // SAFETY: no memory is passed.
    duplicated(fd, unsafe { real::dup(fd) })
}

/// Returns whether the descriptor is open; if not, sets `errno`. A call that fails closes nothing.
fn is_open(fd: c_int) -> bool {
    // SAFETY: no memory is passed.
    unsafe { real::fcntl(fd, libc::F_GETFD, 0) >= 0 }
}

#[no_mangle]
unsafe extern "C" fn dup2(fd: c_int, new: c_int) -> c_int {
    if !is_open(fd) || !placeholders::own(fd) {
        return -1;
    }
    if fd != new {
        task().map(|task| task.close(new, || false));
        placeholders::forget(new);
    }
    // SAFETY: no memory is passed.
    let result = unsafe { real::dup2(fd, new) };
    if fd == new {
        return result;
    }
    duplicated(fd, result)
}

#[no_mangle]
unsafe extern "C" fn dup3(fd: c_int, new: c_int, flags: c_int) -> c_int {
    if !is_open(fd) || !placeholders::own(fd) {
        return -1;
    }
    // The kernel refuses equal numbers.
    if fd != new {
        task().map(|task| task.close(new, || false));
        placeholders::forget(new);
    }
    // SAFETY: no memory is passed.
    duplicated(fd, unsafe { real::dup3(fd, new, flags) })
}

#[no_mangle]
unsafe extern "C" fn fcntl(fd: c_int, command: c_int, arg: c_long) -> c_int {
    // What is the descriptor's own, and what changes nothing.
    if !matches!(command, libc::F_GETFD | libc::F_SETFD | libc::F_GETFL) && !placeholders::own(fd) {
        return -1;
    }
    // SAFETY: the caller's promise. A command without an argument ignores the register.
    let result = unsafe { real::fcntl(fd, command, arg) };
    match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => duplicated(fd, result),
        _ => result,
    }
}

#[no_mangle]
unsafe extern "C" fn fcntl64(fd: c_int, command: c_int, arg: c_long) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { fcntl(fd, command, arg) }
}

#[no_mangle]
unsafe extern "C" fn ioctl(fd: c_int, request: c_long, arg: c_long) -> c_int {
    if request as u64 == libc::FIONREAD as u64 {
        if let Some(waiting) = task().and_then(|task| task.waiting(fd)) {
            // SAFETY: the caller's promise is that of FIONREAD: the argument points to a number.
            unsafe { *(arg as *mut c_int) = c_int::try_from(waiting).unwrap_or(c_int::MAX) };
            return 0;
        }
    }
    if !placeholders::own(fd) {
        return -1;
    }
    // SAFETY: the caller's promise.
    unsafe { real::ioctl(fd, request, arg) }
}

/// Removes the path of a simulated socket. Returns whether there was one.
///
/// # Safety
///
/// `path` is null, or ends with a zero byte.
unsafe fn unlinked(path: *const c_char) -> bool {
    let Some(task) = task().filter(|_| !path.is_null()) else { return false };
    // SAFETY: the caller's promise.
    task.unlink(unsafe { std::ffi::CStr::from_ptr(path) }.to_bytes())
}

#[no_mangle]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        match unlinked(path) {
            true => 0,
            false => real::unlink(path),
        }
    }
}

#[no_mangle]
unsafe extern "C" fn unlinkat(directory: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        match directory == libc::AT_FDCWD && unlinked(path) {
            true => 0,
            false => real::unlinkat(directory, path, flags),
        }
    }
}

/// Returns whether one of two descriptors is simulated: bytes that only the kernel moves can't reach it.
fn knows_one(fds: [c_int; 2]) -> bool {
    let knows = task().is_some_and(|task| fds.iter().any(|&fd| task.knows(fd)));
    if knows {
        set_errno(libc::EINVAL);
    }
    knows
}

#[no_mangle]
unsafe extern "C" fn splice(
    from: c_int,
    at: *mut i64,
    to: c_int,
    to_at: *mut i64,
    len: size_t,
    flags: c_uint,
) -> ssize_t {
    match knows_one([from, to]) {
        true => -1,
        // SAFETY: the caller's promise.
        false => unsafe { real::splice(from, at, to, to_at, len, flags) },
    }
}

#[no_mangle]
unsafe extern "C" fn sendfile(to: c_int, from: c_int, offset: *mut off_t, len: size_t) -> ssize_t {
    match knows_one([from, to]) {
        true => -1,
        // SAFETY: the caller's promise.
        false => unsafe { real::sendfile(to, from, offset, len) },
    }
}

#[no_mangle]
unsafe extern "C" fn sendfile64(to: c_int, from: c_int, offset: *mut off_t, len: size_t) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { sendfile(to, from, offset, len) }
}

#[no_mangle]
unsafe extern "C" fn copy_file_range(
    from: c_int,
    at: *mut i64,
    to: c_int,
    to_at: *mut i64,
    len: size_t,
    flags: c_uint,
) -> ssize_t {
    match knows_one([from, to]) {
        true => -1,
        // SAFETY: the caller's promise.
        false => unsafe { real::copy_file_range(from, at, to, to_at, len, flags) },
    }
}
