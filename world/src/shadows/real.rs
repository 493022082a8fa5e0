//! libc's own functions, which come after the shadows in the order of linking.
//!
//! Invariant: a function is looked up once, and the program ends if the system lacks it.

use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{
    addrinfo, c_char, c_int, c_long, c_uint, c_void, clockid_t, iovec, msghdr, nfds_t, off_t, pollfd,
    pthread_attr_t, pthread_t, size_t, sockaddr, socklen_t, ssize_t, time_t, timespec, timeval,
};

/// Looks a function up.
#[cold]
fn find(name: &'static [u8], place: &AtomicPtr<c_void>) -> *mut c_void {
    // SAFETY: the name ends with a zero byte.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr().cast()) };
    if found.is_null() {
        // A shadow can't do without, and a panic would need more functions.
        std::process::abort();
    }
    place.store(found, Ordering::Relaxed);
    found
}

macro_rules! real {
    ($(fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        /// libc's function.
        ///
        /// # Safety
        ///
        /// The contract of libc's function.
        #[inline]
        pub(super) unsafe fn $name($($arg: $type),*) $(-> $result)? {
            static PLACE: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
            let mut found = PLACE.load(Ordering::Relaxed);
            if found.is_null() {
                found = find(concat!(stringify!($name), "\0").as_bytes(), &PLACE);
            }
            // SAFETY: libc's function of this name has these arguments and this result, and the caller keeps its
            // contract.
            unsafe {
                let function: unsafe extern "C" fn($($type),*) $(-> $result)? = std::mem::transmute(found);
                function($($arg),*)
            }
        }
    )*};
}

real! {
    fn accept4(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t, flags: c_int) -> c_int;
    fn bind(fd: c_int, addr: *const sockaddr, len: socklen_t) -> c_int;
    fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int;
    fn clock_nanosleep(clock: clockid_t, flags: c_int, time: *const timespec, left: *mut timespec) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn connect(fd: c_int, addr: *const sockaddr, len: socklen_t) -> c_int;
    fn copy_file_range(from: c_int, at: *mut i64, to: c_int, to_at: *mut i64, len: size_t, flags: c_uint) -> ssize_t;
    fn dup(fd: c_int) -> c_int;
    fn dup2(fd: c_int, new: c_int) -> c_int;
    fn dup3(fd: c_int, new: c_int, flags: c_int) -> c_int;
    fn epoll_create1(flags: c_int) -> c_int;
    fn fcntl(fd: c_int, command: c_int, arg: c_long) -> c_int;
    fn getaddrinfo(
        node: *const c_char, service: *const c_char, hints: *const addrinfo, found: *mut *mut addrinfo
    ) -> c_int;
    fn getentropy(buf: *mut c_void, len: size_t) -> c_int;
    fn getpeername(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int;
    fn getrandom(buf: *mut c_void, len: size_t, flags: c_uint) -> ssize_t;
    fn getsockname(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int;
    fn getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, len: *mut socklen_t) -> c_int;
    fn gettimeofday(time: *mut timeval, zone: *mut c_void) -> c_int;
    fn ioctl(fd: c_int, request: c_long, arg: c_long) -> c_int;
    fn listen(fd: c_int, backlog: c_int) -> c_int;
    fn nanosleep(time: *const timespec, left: *mut timespec) -> c_int;
    fn pipe2(fds: *mut c_int, flags: c_int) -> c_int;
    fn poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int;
    fn pthread_create(
        thread: *mut pthread_t, attr: *const pthread_attr_t,
        start: extern "C" fn(*mut c_void) -> *mut c_void, arg: *mut c_void
    ) -> c_int;
    fn pthread_detach(thread: pthread_t) -> c_int;
    fn pthread_join(thread: pthread_t, result: *mut *mut c_void) -> c_int;
    fn read(fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t;
    fn readv(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t;
    fn recvfrom(
        fd: c_int, buf: *mut c_void, len: size_t, flags: c_int, addr: *mut sockaddr, addr_len: *mut socklen_t
    ) -> ssize_t;
    fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t;
    fn sched_yield() -> c_int;
    fn sendfile(to: c_int, from: c_int, offset: *mut off_t, len: size_t) -> ssize_t;
    fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t;
    fn sendto(
        fd: c_int, buf: *const c_void, len: size_t, flags: c_int, addr: *const sockaddr, addr_len: socklen_t
    ) -> ssize_t;
    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, len: socklen_t) -> c_int;
    fn shutdown(fd: c_int, how: c_int) -> c_int;
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn socketpair(domain: c_int, kind: c_int, protocol: c_int, fds: *mut c_int) -> c_int;
    fn splice(from: c_int, at: *mut i64, to: c_int, to_at: *mut i64, len: size_t, flags: c_uint) -> ssize_t;
    fn syscall(number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long) -> c_long;
    fn time(place: *mut time_t) -> time_t;
    fn unlink(path: *const c_char) -> c_int;
    fn unlinkat(directory: c_int, path: *const c_char, flags: c_int) -> c_int;
    fn write(fd: c_int, buf: *const c_void, len: size_t) -> ssize_t;
    fn writev(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t;
}
