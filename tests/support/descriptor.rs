//! What the kernel says of a descriptor.
#![allow(dead_code)] // not every test asks for everything

use std::os::fd::{AsFd, AsRawFd};

pub fn is_nonblocking(io: &impl AsFd) -> bool {
    fcntl(io, libc::F_GETFL) & libc::O_NONBLOCK != 0
}

pub fn is_close_on_exec(io: &impl AsFd) -> bool {
    fcntl(io, libc::F_GETFD) & libc::FD_CLOEXEC != 0
}

fn fcntl(io: &impl AsFd, what: libc::c_int) -> libc::c_int {
    // SAFETY: no memory is passed.
    let flags = unsafe { libc::fcntl(io.as_fd().as_raw_fd(), what) };
    assert_ne!(flags, -1, "{}", std::io::Error::last_os_error());
    flags
}
