//! The system calls of the library, and the errors that the kernel documents for them.

/// A system call, distinguished by its purpose, and the errors that are injected.
pub struct Call {
    /// The name in the table: the system call and its purpose.
    pub name: &'static str,
    pub errors: &'static [&'static str],
}

const fn call(name: &'static str, errors: &'static [&'static str]) -> Call {
    Call { name, errors }
}

/// glibc's wrapper makes the call with other arguments.
pub const FSTAT: &str = if cfg!(wakeful_libc_wrappers) { "newfstatat" } else { "fstat" };

/// Every call that a run makes must be here: the test fails for one that isn't.
pub const CALLS: &[Call] = &[
    call("epoll_create1", &["EMFILE", "ENFILE", "ENOMEM"]),
    call("epoll_ctl ADD", &["ENOMEM", "ENOSPC", "EPERM"]),
    call("epoll_ctl MOD", &["ENOMEM"]),
    call("epoll_ctl DEL", &["ENOMEM"]),
    call("epoll_wait", &["EINTR"]),
    call("epoll_pwait2", &["EINTR", "ENOSYS", "EPERM"]),
    call("ppoll", &["EINTR", "ENOMEM"]),
    call("poll", &["ENOMEM"]),
    call(FSTAT, &["ENOMEM"]),
    call("eventfd2", &["EMFILE", "ENFILE", "ENOMEM", "ENODEV", "ENOSYS", "EPERM"]),
    call("write (notifier)", &["EAGAIN", "EINTR", "EPERM"]),
    call("read (notifier)", &["EAGAIN", "EINTR", "EPERM"]),
    call("socket", &["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EACCES", "EAFNOSUPPORT"]),
    call("setsockopt", &["ENOMEM", "ENOBUFS"]),
    call("getsockopt", &["ENOBUFS"]),
    call("bind", &["EADDRINUSE", "EACCES", "ENOMEM"]),
    call("listen", &["EADDRINUSE"]),
    call("getsockname", &["ENOBUFS"]),
    call("getpeername", &["ENOBUFS", "ENOTCONN"]),
    call("connect", &["EAGAIN", "EADDRNOTAVAIL", "ECONNREFUSED", "ENETUNREACH", "EPERM"]),
    call("accept4", &["ECONNABORTED", "EINTR", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EPERM"]),
    call("recvfrom", &["ECONNREFUSED", "EINTR", "ENOMEM"]),
    call("sendto", &["EINTR", "ENOBUFS", "ENOMEM"]),
    call("sendmsg", &["EINTR", "ENOBUFS", "ENOMEM"]),
    call("socketpair", &["EMFILE", "ENFILE", "ENOMEM"]),
    call("shutdown", &["ENOTCONN"]),
    call("pipe2", &["EMFILE", "ENFILE"]),
    call("fcntl F_GETFL", &["EPERM"]),
    call("fcntl F_SETFL", &["EPERM"]),
    // The standard library's, in debug builds: a check that a descriptor is open before its close.
    call("fcntl F_GETFD", &[]),
    call("pidfd_open", &["EMFILE", "ENFILE", "ENOMEM", "ENODEV", "ENOSYS", "EPERM", "ESRCH"]),
    // Whether a descriptor is one of a process, which Linux before 6.9 doesn't say otherwise.
    call("waitid", &[]),
    call("read", &["EINTR", "EIO"]),
    call("write", &["EINTR", "EIO"]),
    call("readv", &["EINTR", "EIO"]),
    call("writev", &["EINTR", "EIO"]),
    call("close", &["EINTR", "EIO"]),
];

/// A notifier that isn't an eventfd: the kernel or a sandbox has none.
pub const PIPE: Stand = Stand {
    name: "no eventfd",
    faults: &["eventfd2:error=ENOSYS"],
    calls: &[
        call("pipe2", &["EMFILE", "ENFILE", "ENOSYS", "EPERM"]),
        call("write (notifier)", &["EAGAIN", "EINTR", "EPERM"]),
        call("read (notifier)", &["EAGAIN", "EINTR", "EPERM"]),
    ],
};

pub const DATAGRAMS: Stand = Stand {
    name: "no eventfd and no pipe",
    faults: &["eventfd2:error=ENOSYS", "pipe2:error=ENOSYS:when=1..3"],
    calls: &[
        call("socket", &["EMFILE", "ENFILE", "ENOMEM"]),
        call("bind", &["EADDRINUSE", "EACCES"]),
        call("getsockname", &["ENOBUFS"]),
        call("connect", &["EADDRNOTAVAIL"]),
        call("ioctl", &["ENOMEM"]),
        call("write (notifier)", &["EAGAIN", "EINTR", "EPERM"]),
        call("read (notifier)", &["EAGAIN", "EINTR", "EPERM"]),
    ],
};

pub const PLAIN: Stand = Stand { name: "", faults: &[], calls: CALLS };

/// Calls that the system lacks throughout.
pub struct Stand {
    pub name: &'static str,
    pub faults: &'static [&'static str],
    pub calls: &'static [Call],
}

/// The calls of threads, memory and the test, which aren't the library's.
const NOT_OURS: &[&str] = &[
    "brk",
    "clone",
    "clone3",
    "exit",
    "faccessat",
    "futex",
    "getpid",
    "getrandom",
    "gettid",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "sigaltstack",
];

/// The beginning of a step in a log: the path of a call that has no other use.
pub const MARK: &str = "/wakeful-mark/";
/// The first one, before any step: strace is attached.
pub const PROBE: &str = "probe";

/// One of the library's calls.
pub struct Made<'a> {
    /// The index of its step.
    pub step: usize,
    /// The system call.
    pub number: &'a str,
    /// Its name in the tables.
    pub name: String,
    /// The error that strace has injected.
    pub injected: Option<&'a str>,
}

/// The calls in a log of strace that begins with the step `first`.
pub fn in_log(log: &str, first: usize) -> Vec<Made<'_>> {
    let mut calls = Vec::new();
    let mut begun = 0;
    for line in log.lines() {
        // "epoll_ctl(4, EPOLL_CTL_ADD, ..." or "<... futex resumed>..."
        let Some((number, args)) = line.split_once('(') else { continue };
        if let Some((_, step)) = args.split_once(MARK) {
            begun += usize::from(!step.starts_with(PROBE));
        }
        // Before the first step the thread waits for strace.
        let Some(before) = usize::checked_sub(begun, 1) else { continue };
        if !number.starts_with(|first: char| first.is_ascii_lowercase()) || NOT_OURS.contains(&number) {
            continue;
        }
        let name = match number {
            "epoll_ctl" => {
                let what = args.split("EPOLL_CTL_").nth(1).map_or("", |what| &what[..3]);
                format!("epoll_ctl {what}")
            }
            "fcntl" => format!(
                "fcntl {}",
                args.split([',', ' ', ')']).find(|word| word.starts_with("F_")).unwrap_or("")
            ),
            // Nothing else moves 8 bytes, or asks for 128.
            "write" if args.contains(", 8)") => "write (notifier)".into(),
            "read" if args.contains(", 128)") => "read (notifier)".into(),
            number => number.into(),
        };
        // "... = -1 ENOMEM (Cannot allocate memory) (INJECTED)"
        let error = args.rsplit_once(" = -1 ").filter(|_| args.ends_with(" (INJECTED)"));
        let injected = error.and_then(|(_, error)| error.split(' ').next());
        calls.push(Made { step: first + before, number, name, injected });
    }
    calls
}
