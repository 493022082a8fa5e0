//! Promise 6: the kinds of descriptors that can be watched. epoll is the reference; [`DIFFERENCES`] and
//! `PLATFORMS.md` list where another backend differs.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use wakeful::unix::{pipe, SourceFd};
use wakeful::{Backend, Interest, IoSource, Poll};

use crate::linux_terminals::terminal;
use crate::support::*;

on_every_backend![each_kind_is_answered_as_by_epoll];

/// A kind, an interest, the result of epoll, and that of the backend. `None` means that it can be watched.
type Difference = (Backend, &'static str, Interest, Option<i32>, Option<i32>);

/// poll(2) reports levels only, and these files are always ready, even those that report changes to epoll.
const DIFFERENCES: &[Difference] = &[
    (Backend::PosixPoll, "/dev/null", READ, Some(libc::EPERM), None),
    (Backend::PosixPoll, "/dev/null", Interest::PRIORITY, Some(libc::EPERM), None),
    (Backend::PosixPoll, "/dev/zero", READ, Some(libc::EPERM), None),
    (Backend::PosixPoll, "/dev/zero", Interest::PRIORITY, Some(libc::EPERM), None),
    (Backend::PosixPoll, "/dev/urandom", READ, Some(libc::EPERM), None),
    (Backend::PosixPoll, "/dev/urandom", Interest::PRIORITY, Some(libc::EPERM), None),
    (Backend::PosixPoll, "regular file", Interest::PRIORITY, Some(libc::EPERM), None),
    (Backend::PosixPoll, "directory", Interest::PRIORITY, Some(libc::EPERM), None),
    (Backend::PosixPoll, "memory", Interest::PRIORITY, Some(libc::EPERM), None),
    (Backend::PosixPoll, "/proc/self/status", Interest::PRIORITY, Some(libc::EPERM), None),
    (Backend::PosixPoll, "/proc/uptime", READ, None, Some(libc::EPERM)),
    (Backend::PosixPoll, "/proc/sys/kernel/hostname", READ, None, Some(libc::EPERM)),
];

fn each_kind_is_answered_as_by_epoll(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    let mut found_differences = Vec::new();
    for (name, fd) in kinds(&folder) {
        for interest in [READ, Interest::PRIORITY] {
            let [epolls, found] = [Backend::Epoll, backend].map(|backend| register(backend, &fd, interest));
            let excused = DIFFERENCES
                .iter()
                .find(|difference| (difference.0, difference.1, difference.2) == (backend, name, interest));
            let expected = match excused {
                Some(&(.., of_epoll, here)) => {
                    found_differences.push(name);
                    (of_epoll, here)
                }
                None => (epolls, epolls),
            };
            if (epolls, found) != expected {
                wrong.push(format!("{name}, {interest:?}: {found:?}, not {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{backend}:\n{}", wrong.join("\n"));
    let listed = DIFFERENCES.iter().filter(|difference| difference.0 == backend);
    assert_eq!(found_differences.len(), listed.count(), "a difference of a kind that is not there");
}

/// The error of a registration, raw and as a source: they must agree.
fn register(backend: Backend, fd: &OwnedFd, interest: Interest) -> Option<i32> {
    let poll = Poll::with_backend(backend).unwrap();
    let raw = poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), A, interest);
    let poll = Poll::with_backend(backend).unwrap();
    let owned = poll.registry().register(&mut IoSource::new(fd.try_clone().unwrap()), A, interest);
    let [raw, owned] =
        [raw, owned].map(|result: io::Result<()>| result.err().map(|e| e.raw_os_error().unwrap_or(-1)));
    assert_eq!(raw, owned);
    raw
}

/// Descriptors that have their own system call, with close-on-exec.
fn made(fd: i32) -> OwnedFd {
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: it has just been made, and belongs to nothing else.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn kinds(folder: &tempfile::TempDir) -> Vec<(&'static str, OwnedFd)> {
    let open = |path: &str| -> OwnedFd { File::open(path).unwrap().into() };
    let path = |path: &std::path::Path| -> OwnedFd {
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // Not by `OpenOptions`: with musl `O_PATH` is one of the modes of access, which that leaves out.
        // SAFETY: the path ends with a zero.
        made(unsafe { libc::open(path.as_ptr(), flags) })
    };
    let file = folder.path().join("file");
    std::fs::write(&file, "text").unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let (terminal, user) = terminal();
    let (sender, receiver) = pipe::new().unwrap();
    let (tcp, peer) = std_tcp_pair();
    let (stream, _) = UnixStream::pair().unwrap();
    // SAFETY: no memory is passed but a set of signals, which is filled in before.
    let (eventfd, timerfd, inotify, epoll, signalfd, memory, process) = unsafe {
        let mut signals = std::mem::zeroed();
        libc::sigemptyset(&mut signals);
        (
            libc::eventfd(0, libc::EFD_CLOEXEC),
            libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC),
            libc::inotify_init1(libc::IN_CLOEXEC),
            libc::epoll_create1(libc::EPOLL_CLOEXEC),
            libc::signalfd(-1, &signals, libc::SFD_CLOEXEC),
            libc::memfd_create(c_string(b"memory\0"), libc::MFD_CLOEXEC),
            libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) as i32,
        )
    };
    vec![
        ("TCP stream", tcp.into()),
        ("TCP stream, peer", peer.into()),
        ("UDP socket", std::net::UdpSocket::bind(any_port()).unwrap().into()),
        ("Unix stream", stream.into()),
        ("Unix datagram", UnixDatagram::unbound().unwrap().into()),
        ("Unix listener", listener.into()),
        ("pipe, sender", sender.into()),
        ("pipe, receiver", receiver.into()),
        ("terminal", terminal.into()),
        ("terminal, user", user.into()),
        ("eventfd", made(eventfd)),
        ("timerfd", made(timerfd)),
        ("inotify", made(inotify)),
        ("epoll", made(epoll)),
        ("signalfd", made(signalfd)),
        ("process", made(process)),
        ("memory", made(memory)),
        ("regular file", open(file.to_str().unwrap())),
        ("directory", open(folder.path().to_str().unwrap())),
        ("path of a file", path(&file)),
        ("path of a directory", path(folder.path())),
        ("path of a link", path(&link)),
        ("path of a socket", path(&socket)),
        ("path of a device", path("/dev/null".as_ref())),
        ("/dev/null", open("/dev/null")),
        ("/dev/zero", open("/dev/zero")),
        ("/dev/urandom", open("/dev/urandom")),
        ("/dev/random", open("/dev/random")),
        ("/proc/self/mounts", open("/proc/self/mounts")),
        ("/proc/self/status", open("/proc/self/status")),
        ("/proc/uptime", open("/proc/uptime")),
        ("/proc/sys/kernel/hostname", open("/proc/sys/kernel/hostname")),
    ]
}

fn c_string(bytes: &'static [u8]) -> *const libc::c_char {
    assert_eq!(bytes.last(), Some(&0));
    bytes.as_ptr().cast()
}
