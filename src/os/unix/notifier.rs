//! The descriptor that ends a blocked `poll`.
//!
//! Invariant: after `notify` the descriptor is readable until `drain`, however many threads notify and however full
//! it is.

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
#[allow(unused_imports)] // unused where the socket is the only kind
use std::os::fd::FromRawFd;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::{calls, check};

/// A descriptor that one thread makes readable to end another thread's sleep: an eventfd, else a pipe, else a
/// datagram socket that is connected to itself, for systems that have neither. Chosen at run time, since a sandbox
/// may forbid what the system has. `--cfg mio_unsupported_force_waker_pipe` excludes the eventfd.
#[derive(Debug)]
pub(crate) struct Notifier {
    kind: Kind,
    reader: OwnedFd,
    /// The writing end of a pipe; the other kinds have one descriptor for both.
    writer: Option<OwnedFd>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kind {
    EventFd,
    Pipe,
    Datagrams,
}

impl Notifier {
    pub(crate) fn new() -> io::Result<Notifier> {
        match if PIPE_IS_FORCED { Err(io::ErrorKind::Unsupported.into()) } else { eventfd() } {
            Ok(reader) => Ok(Notifier { kind: Kind::EventFd, reader, writer: None }),
            // Out of descriptors: a pipe needs two.
            Err(e) if have_run_out(&e) => Err(e),
            // No eventfd: another kernel, or a sandbox that hides it (gVisor and Gramine have done so).
            Err(_) => match Notifier::pipe() {
                Err(e) if !have_run_out(&e) => {
                    Notifier::datagrams().map_err(|last| if have_run_out(&last) { last } else { e })
                }
                result => result,
            },
        }
    }

    fn pipe() -> io::Result<Notifier> {
        let (reader, writer) = pipe()?;
        Ok(Notifier { kind: Kind::Pipe, reader, writer: Some(writer) })
    }

    fn datagrams() -> io::Result<Notifier> {
        let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        socket.set_nonblocking(true)?;
        // std's calls would convert the address to its own type and back, in each program that has a `Poll`.
        let mut addr = MaybeUninit::<libc::sockaddr_storage>::uninit();
        let mut len = mem::size_of_val(&addr) as libc::socklen_t;
        // SAFETY: `addr` is as long as stated.
        check(unsafe { libc::getsockname(socket.as_raw_fd(), addr.as_mut_ptr().cast(), &mut len) })?;
        // SAFETY: the kernel has written `len` bytes.
        check(unsafe { libc::connect(socket.as_raw_fd(), addr.as_ptr().cast(), len) })?;
        Ok(Notifier { kind: Kind::Datagrams, reader: socket.into(), writer: None })
    }

    /// Makes the descriptor readable, and causes an edge for an edge-triggered watcher.
    pub(crate) fn notify(&self) -> io::Result<()> {
        match self.write() {
            // Full: a count of 2^64-2, or a pipe's buffer. An edge needs a write, so drain and write again.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.drain();
                self.write()
            }
            result => result,
        }
    }

    /// Makes the descriptor unreadable until the next [`notify`](Notifier::notify).
    pub(crate) fn drain(&self) {
        let mut buf = [0u8; 128];
        loop {
            // SAFETY: `buf` is as long as stated; the descriptor is open as long as `self`.
            let read = unsafe { calls::read(self.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
            let n = check(read).unwrap_or(-1);
            let is_empty = match self.kind {
                Kind::EventFd => true,
                // A pipe can hold more than one buffer.
                Kind::Pipe => n < buf.len() as isize,
                Kind::Datagrams => n <= 0,
            };
            if is_empty {
                return;
            }
        }
    }

    fn write(&self) -> io::Result<()> {
        let writer = self.writer.as_ref().unwrap_or(&self.reader).as_raw_fd();
        let one = 1u64.to_ne_bytes();
        // SAFETY: `one` is 8 bytes, as an eventfd wants it; the descriptor is open as long as `self`.
        check(unsafe { calls::write(writer, one.as_ptr().cast(), one.len()) })?;
        Ok(())
    }
}

impl AsFd for Notifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl AsRawFd for Notifier {
    fn as_raw_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}

/// A descriptor that is open in every program: Rust's runtime opens those of 0, 1 and 2 that are closed at its start.
#[allow(dead_code)] // used by a simulated poll
pub(crate) const STANDARD_ERROR: BorrowedFd<'static> = {
    // SAFETY: open, see above. Code that closes it breaks the rule that only the owner closes a descriptor.
    unsafe { BorrowedFd::borrow_raw(libc::STDERR_FILENO) }
};

/// Whether the build forces a pipe for wakes, as one of the flags does with mio and the other with polling.
pub(crate) const PIPE_IS_FORCED: bool = cfg!(any(mio_unsupported_force_waker_pipe, polling_test_epoll_pipe));

/// Returns whether the error is that there are no descriptors left.
fn have_run_out(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Whether each write to a notifier is an edge for an edge-triggered kernel. If not, the notifier must be drained
/// after each wake: on illumos (its issues 13436 and 16700), and where this was not verified.
#[allow(dead_code)] // used by edge-triggered backends only
pub(crate) const EACH_WRITE_IS_AN_EDGE: bool = cfg!(any(target_os = "linux", target_os = "android"));

#[cfg(any(target_os = "linux", target_os = "android", target_os = "illumos", target_os = "nuttx"))]
fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: just created, and not owned elsewhere.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Works once the program has called `esp_vfs_eventfd_register`. It has no non-blocking mode: each read empties it,
/// and `drain` reads only when it isn't empty.
#[cfg(target_os = "espidf")]
fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::eventfd(0, 0) })?;
    // SAFETY: just created, and not owned elsewhere.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Creates a pipe, both ends non-blocking and close-on-exec.
#[cfg(not(any(target_os = "espidf", target_os = "horizon")))]
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: `fds` has room for the two descriptors.
    check(unsafe { non_blocking_pipe(&mut fds) })?;
    // SAFETY: just created, and not owned elsewhere.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

#[cfg(not(any(
    target_vendor = "apple",
    target_os = "aix",
    target_os = "espidf",
    target_os = "haiku",
    target_os = "horizon",
    target_os = "nto"
)))]
unsafe fn non_blocking_pipe(fds: &mut [RawFd; 2]) -> libc::c_int {
    // SAFETY: `fds` has room for the two descriptors.
    unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) }
}

/// For systems without a call.
#[allow(dead_code)]
mod fallback {
    use super::*;

    pub(super) fn eventfd() -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Without pipe2 the flags are set by later calls: a fork in between inherits the descriptors.
    pub(super) unsafe fn non_blocking_pipe(fds: &mut [RawFd; 2]) -> libc::c_int {
        // SAFETY: `fds` has room for the two descriptors; afterwards they are open and not owned elsewhere.
        unsafe {
            if libc::pipe(fds.as_mut_ptr()) == -1 {
                return -1;
            }
            for fd in *fds {
                libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
                libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK);
            }
        }
        0
    }
}
#[allow(unused_imports)]
pub(crate) use self::fallback::*;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_readable(notifier: &Notifier) -> bool {
        let mut fd = libc::pollfd { fd: notifier.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, and a descriptor that is open.
        unsafe { libc::poll(&mut fd, 1, 0) == 1 }
    }

    #[test]
    fn each_kind_is_readable_from_notify_to_drain() {
        for make in [Notifier::new, Notifier::pipe, Notifier::datagrams] {
            let notifier = make().unwrap();
            assert!(!is_readable(&notifier));
            for _ in 0..100 {
                notifier.notify().unwrap();
            }
            assert!(is_readable(&notifier));
            notifier.drain();
            assert!(!is_readable(&notifier));
        }
    }

    #[test]
    fn a_full_one_still_notifies() {
        for make in [Notifier::pipe, Notifier::datagrams] {
            let notifier = make().unwrap();
            for _ in 0..70_000 / 8 {
                notifier.notify().unwrap();
            }
            assert!(is_readable(&notifier));
        }
    }
}
