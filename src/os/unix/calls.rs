//! libc's functions. On Linux, direct system calls shadow those on hot paths.
//!
//! Invariant: a shadowing function has the arguments, the contract and the results of libc's function.
//!
//! glibc's and musl's wrappers of blocking calls are cancellation points: in a process with more than one thread each
//! call pays for two atomic operations around it (glibc 2.36: 55-70 ns on one machine, 10-15 on another). Rust
//! threads are never cancelled, so these calls bypass the wrapper: on x86-64 by the instruction itself, elsewhere
//! through the wrapper of `syscall(2)`, which is no cancellation point. The price: tools that interpose the wrappers
//! (sanitizers, `LD_PRELOAD`) don't see the calls; `--cfg wakeful_libc_wrappers` restores the wrappers. Miri, which
//! can't run the instruction, always uses them.

// A function of this module takes precedence over this glob import.
pub(crate) use libc::*;

// An inode's number needs 64 bits, and for 32-bit systems these libcs have two forms of the call.
#[cfg(all(
    any(all(target_os = "linux", not(target_env = "musl")), target_os = "android", target_os = "hurd"),
    target_pointer_width = "32"
))]
pub(crate) use libc::{fstat64 as fstat, stat64 as stat};

// libcs without vectored calls, and Miri, whose readv(2) leaks memory when it would block.
#[cfg(any(miri, target_os = "espidf", target_os = "horizon", target_os = "nuttx"))]
#[allow(unused_imports)] // which ones are used depends on the features
pub(crate) use self::without_vectors::{readv, writev};

#[allow(dead_code)]
mod without_vectors {
    use super::*;

    /// Reads into the first non-empty slice: a short read.
    pub(crate) unsafe fn readv(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
        // SAFETY: the caller's promise is that there are `count` slices.
        let slices = unsafe { std::slice::from_raw_parts(iov, count as usize) };
        match slices.iter().find(|slice| slice.iov_len > 0) {
            // SAFETY: the caller's promise is that each slice is as long as stated.
            Some(slice) => unsafe { libc::read(fd, slice.iov_base, slice.iov_len) },
            None => 0,
        }
    }

    /// Writes the first non-empty slice: a short write.
    pub(crate) unsafe fn writev(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t {
        // SAFETY: the caller's promise is that there are `count` slices.
        let slices = unsafe { std::slice::from_raw_parts(iov, count as usize) };
        match slices.iter().find(|slice| slice.iov_len > 0) {
            // SAFETY: the caller's promise is that each slice is as long as stated.
            Some(slice) => unsafe { libc::write(fd, slice.iov_base, slice.iov_len) },
            None => 0,
        }
    }
}

// Miri's `send` and `recv` don't accept its socket pairs.
#[cfg(miri)]
#[allow(unused_imports)] // which ones are used depends on the features
pub(crate) use self::interpreted::{recv, send};

#[cfg(miri)]
#[allow(dead_code)]
mod interpreted {
    use super::*;

    pub(crate) unsafe fn send(fd: c_int, buf: *const c_void, len: size_t, _: c_int) -> ssize_t {
        // SAFETY: the caller's promise is that of `send`, which is that of `write`.
        unsafe { libc::write(fd, buf, len) }
    }

    pub(crate) unsafe fn recv(fd: c_int, buf: *mut c_void, len: size_t, flags: c_int) -> ssize_t {
        // SAFETY: the caller's promise is that of `recv`, which is that of `read`.
        unsafe {
            match flags {
                0 => libc::read(fd, buf, len),
                flags => libc::recv(fd, buf, len, flags),
            }
        }
    }
}

/// Defines functions with the names and arguments of libc's that call the kernel directly. [`check`](super::check)
/// takes their results too.
///
/// The architectures are those on which every kernel that Rust supports has these calls by number, with plain
/// registers for arguments: 32-bit x86 and s390x got separate socket calls only in Linux 4.3. Android's libc has no
/// cancellation, and so nothing to bypass.
macro_rules! direct_calls {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty = $number:ident $(, $extra:expr)*;)*) => {$(
        #[cfg(all(
            target_os = "linux",
            not(any(miri, wakeful_libc_wrappers)),
            any(
                all(
                    target_pointer_width = "64",
                    any(
                        target_arch = "x86_64",
                        target_arch = "aarch64",
                        target_arch = "riscv64",
                        target_arch = "loongarch64",
                        target_arch = "powerpc64"
                    )
                ),
                target_arch = "arm"
            )
        ))]
        #[allow(dead_code)] // which ones are used depends on the features
        #[inline]
        pub(crate) unsafe fn $name($($arg: $type),*) -> direct::Returned<$result> {
            // The shadow of libc's function decides whether the descriptor is simulated.
            #[cfg(feature = "sim")]
            if crate::os::has_worlds() {
                // SAFETY: the caller's promise is that of libc's function.
                return unsafe { direct::of_libc(libc::$name($($arg),*)) };
            }
            // SAFETY: the same call with the same arguments as libc's function of this name, whose contract the
            // caller keeps. Every argument fits in a `long`, as `syscall` wants it.
            unsafe {
                let answer = direct::syscall!(libc::$number, $($arg as c_long,)* $($extra as c_long),*);
                direct::answer!(answer, $result)
            }
        }
    )*};
}

direct_calls! {
    fn read(fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t = SYS_read;
    fn write(fd: c_int, buf: *const c_void, len: size_t) -> ssize_t = SYS_write;
    fn readv(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t = SYS_readv;
    fn writev(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t = SYS_writev;
    // Linux has no numbers for these two on 64 bits: they are recvfrom and sendto without an address.
    fn recv(fd: c_int, buf: *mut c_void, len: size_t, flags: c_int) -> ssize_t = SYS_recvfrom, 0, 0;
    fn send(fd: c_int, buf: *const c_void, len: size_t, flags: c_int) -> ssize_t = SYS_sendto, 0, 0;
    fn recvfrom(
        fd: c_int, buf: *mut c_void, len: size_t, flags: c_int, addr: *mut sockaddr, addr_len: *mut socklen_t
    ) -> ssize_t = SYS_recvfrom;
    fn sendto(
        fd: c_int, buf: *const c_void, len: size_t, flags: c_int, addr: *const sockaddr, addr_len: socklen_t
    ) -> ssize_t = SYS_sendto;
    fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t = SYS_sendmsg;
    // No cancellation point, but registration is on the hot path of a server with short connections.
    fn epoll_ctl(epfd: c_int, what: c_int, fd: c_int, event: *mut epoll_event) -> c_int = SYS_epoll_ctl;
    fn accept4(fd: c_int, addr: *mut sockaddr, addr_len: *mut socklen_t, flags: c_int) -> c_int = SYS_accept4;
}

// Called at each registration with poll(2). On other architectures the kernel's structure may differ from libc's.
#[cfg(target_arch = "x86_64")]
direct_calls! {
    fn fstat(fd: c_int, status: *mut stat) -> c_int = SYS_fstat;
}

// The oldest architectures have `epoll_wait`, which is 30-40 ns cheaper (15-20 % of a call that finds nothing) than
// `epoll_pwait` without a signal mask: the kernel handles the mask even if there is none.
#[cfg(any(target_arch = "x86_64", target_arch = "arm", target_arch = "powerpc64"))]
direct_calls! {
    fn epoll_wait(epfd: c_int, events: *mut epoll_event, max: c_int, timeout: c_int) -> c_int = SYS_epoll_wait;
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "arm", target_arch = "powerpc64")))]
direct_calls! {
    fn epoll_wait(epfd: c_int, events: *mut epoll_event, max: c_int, timeout: c_int) -> c_int
        = SYS_epoll_pwait, 0, 0;
}

/// The kernel's timespec, the same on every architecture, whatever libc's `time_t` is.
#[cfg(all(target_os = "linux", not(any(miri, wakeful_libc_wrappers))))]
#[repr(C)]
pub(crate) struct KernelTimespec {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: i64,
}

/// epoll_pwait2(2) without a signal mask. By number on every architecture: many systems that have the call have a
/// glibc older than its wrapper (2.35).
///
/// # Safety
///
/// There is room for `max` entries at `events`, and `timeout` may be read.
#[cfg(all(target_os = "linux", not(any(miri, wakeful_libc_wrappers))))]
#[inline]
pub(crate) unsafe fn epoll_pwait2(
    epoll: c_int,
    events: *mut epoll_event,
    max: c_int,
    timeout: *const KernelTimespec,
) -> direct::Returned<c_int> {
    // SAFETY: the caller's promise; without a signal mask its size doesn't matter. Every argument fits in a `long`, as
    // `syscall` wants it.
    unsafe {
        let answer = direct::syscall!(
            libc::SYS_epoll_pwait2,
            epoll as c_long,
            events as c_long,
            max as c_long,
            timeout as c_long,
            0 as c_long,
            0 as c_long
        );
        direct::answer!(answer, c_int)
    }
}

/// System calls by libc's `syscall`, which moves each argument from one register to another and is called through a
/// pointer.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_pointer_width = "64")))]
mod direct {
    #[allow(unused_macros)] // unused with the wrappers
    macro_rules! syscall {
        ($($arg:expr),* $(,)?) => {
            libc::syscall($($arg),*)
        };
    }

    #[allow(unused_macros)] // unused with the wrappers
    macro_rules! answer {
        ($answer:expr, $type:ty) => {
            $answer as $type
        };
    }

    /// The return value of libc's functions.
    #[allow(dead_code)] // unused with the wrappers
    pub(crate) type Returned<N> = N;

    #[cfg(feature = "sim")]
    #[allow(dead_code)] // unused with the wrappers
    pub(crate) fn of_libc<N>(number: N) -> Returned<N> {
        number
    }

    #[allow(unused_imports)] // unused with the wrappers
    pub(super) use {answer, syscall};
}

/// System calls by the instruction. With mitigations that clear the processor's return predictions (such as AMD's
/// SRSO), each return shortly after a system call is mispredicted: the fewer the better.
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_pointer_width = "64"))]
mod direct {
    use std::arch::asm;
    use std::io;

    use libc::{c_int, c_long};

    #[allow(unused_macros)] // unused with the wrappers
    macro_rules! syscall {
        ($number:expr, $a:expr, $b:expr $(,)?) => {
            direct::call($number, [$a, $b, 0, 0, 0, 0])
        };
        ($number:expr, $a:expr, $b:expr, $c:expr $(,)?) => {
            direct::call($number, [$a, $b, $c, 0, 0, 0])
        };
        ($number:expr, $a:expr, $b:expr, $c:expr, $d:expr $(,)?) => {
            direct::call($number, [$a, $b, $c, $d, 0, 0])
        };
        ($number:expr, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr $(,)?) => {
            direct::call($number, [$a, $b, $c, $d, $e, $f])
        };
    }

    #[allow(unused_macros)] // unused with the wrappers
    macro_rules! answer {
        ($answer:expr, $type:ty) => {{
            let answer: c_long = $answer;
            direct::Returned { answer, number: answer as $type }
        }};
    }

    #[allow(unused_imports)] // unused with the wrappers
    pub(super) use {answer, syscall};

    /// An error stays the kernel's negative number: `errno` would cost two calls with their returns.
    #[allow(dead_code)] // unused with the wrappers
    pub(crate) struct Returned<N> {
        pub(super) answer: c_long,
        pub(super) number: N,
    }

    /// Returns the result of libc's function in the same form.
    #[cfg(feature = "sim")]
    #[allow(dead_code)] // unused with the wrappers
    #[cold]
    pub(crate) fn of_libc<N: Copy + PartialEq + From<i8>>(number: N) -> Returned<N> {
        let answer = match number == N::from(-1) {
            true => -c_long::from(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)),
            false => 0,
        };
        Returned { answer, number }
    }

    impl<N> super::super::ReturnValue for Returned<N> {
        type Number = N;

        #[inline]
        fn result(self) -> io::Result<N> {
            // No call returns an address in the last page.
            if (-4095..0).contains(&self.answer) {
                Err(error(self.answer))
            } else {
                Ok(self.number)
            }
        }
    }

    // Not inlined: otherwise the compiler computes both results without a branch, a dozen instructions for each call.
    #[allow(dead_code)] // unused with the wrappers
    #[cold]
    #[inline(never)]
    fn error(answer: c_long) -> io::Error {
        io::Error::from_raw_os_error(-answer as c_int)
    }

    /// Makes a system call. A call that takes fewer arguments ignores the other registers.
    ///
    /// # Safety
    ///
    /// The contract of the system call.
    #[allow(dead_code)] // unused with the wrappers
    #[inline]
    pub(super) unsafe fn call(number: c_long, args: [c_long; 6]) -> c_long {
        let result: c_long;
        // SAFETY: the kernel's convention: it changes `rax`, `rcx`, `r11` and the memory that the caller lends.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") number => result,
                in("rdi") args[0],
                in("rsi") args[1],
                in("rdx") args[2],
                in("r10") args[3],
                in("r8") args[4],
                in("r9") args[5],
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        result
    }
}
