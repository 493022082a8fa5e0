//! Helpers of the tests of sockets and pipes without a `Poll`.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// Returns a free port.
pub fn localhost() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub fn assert_would_block<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// Repeats an operation: the network takes a moment, and these tests have no `Poll`.
pub fn until_ready<T>(mut operation: impl FnMut() -> io::Result<T>) -> T {
    let start = Instant::now();
    loop {
        match operation() {
            Err(e) if e.kind() == ErrorKind::WouldBlock && start.elapsed() < Duration::from_secs(10) => {
                std::thread::yield_now();
            }
            result => return result.unwrap(),
        }
    }
}

#[cfg(unix)]
pub fn is_nonblocking(io: &impl AsFd) -> bool {
    fcntl(io, libc::F_GETFL) & libc::O_NONBLOCK != 0
}

#[cfg(unix)]
pub fn is_close_on_exec(io: &impl AsFd) -> bool {
    fcntl(io, libc::F_GETFD) & libc::FD_CLOEXEC != 0
}

#[cfg(unix)]
fn fcntl(io: &impl AsFd, what: libc::c_int) -> libc::c_int {
    // SAFETY: no memory is passed.
    let flags = unsafe { libc::fcntl(io.as_fd().as_raw_fd(), what) };
    assert_ne!(flags, -1, "{}", std::io::Error::last_os_error());
    flags
}
