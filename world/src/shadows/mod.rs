//! The functions of libc that a world replaces in the program that links this package.
//!
//! Each has libc's name, so the linker binds every call of the program to it: the standard library's, tokio's, and
//! those of any crate. On a thread that is no task of a world, a shadow is the next function of that name: libc's.
//!
//! Invariant: a shadow of a call on a descriptor acts on the world if, and only if, the world knows the descriptor.

// libc's types differ from system to system.
#![allow(clippy::unnecessary_cast)]

mod address;
mod clock;
mod descriptors;
mod fibers;
mod messages;
mod names;
mod placeholders;
mod random;
mod real;
mod sockets;
mod syscall;
mod threads;

pub(crate) use self::fibers::prepare;
pub use self::threads::enter;

use wakeful::sim::Task;

/// Keeps the shadows in the program. A linker takes a function from this package only if something refers to it.
static KEPT: &[&Shadows] = &[
    &clock::SHADOWS,
    &descriptors::SHADOWS,
    &messages::SHADOWS,
    &names::SHADOWS,
    &random::SHADOWS,
    &sockets::SHADOWS,
    &syscall::SHADOWS,
    &threads::SHADOWS,
];

/// A list of shadows.
struct Shadows(#[allow(dead_code)] &'static [*const ()]);

// SAFETY: the pointers are the addresses of functions, and nothing calls through them.
unsafe impl Sync for Shadows {}

macro_rules! shadows {
    ($($name:ident),* $(,)?) => {
        pub(super) static SHADOWS: crate::shadows::Shadows =
            crate::shadows::Shadows(&[$($name as *const ()),*]);
    };
}
use shadows;

/// Refers to every shadow, and returns whether the program's calls reach them.
pub fn are_linked() -> bool {
    std::hint::black_box(KEPT);
    random::is_linked()
}

/// Sets the error of a call that fails.
fn set_errno(number: i32) {
    // SAFETY: the location is the calling thread's own.
    unsafe { *libc::__errno_location() = number };
}

/// Returns the result of a call: a number, or -1 with the error of the thread.
fn returned<N: From<i8>>(result: std::io::Result<N>) -> N {
    match result {
        Ok(number) => number,
        Err(e) => {
            let number = e.raw_os_error().unwrap_or_else(|| number_of(e.kind()));
            set_errno(number);
            N::from(-1)
        }
    }
}

/// Returns the number of an error that the simulation has made without one.
fn number_of(kind: std::io::ErrorKind) -> i32 {
    use std::io::ErrorKind;

    match kind {
        ErrorKind::WouldBlock => libc::EAGAIN,
        ErrorKind::Interrupted => libc::EINTR,
        ErrorKind::ConnectionReset => libc::ECONNRESET,
        ErrorKind::ConnectionRefused => libc::ECONNREFUSED,
        ErrorKind::BrokenPipe => libc::EPIPE,
        ErrorKind::NotConnected => libc::ENOTCONN,
        ErrorKind::AddrInUse => libc::EADDRINUSE,
        ErrorKind::Unsupported => libc::EOPNOTSUPP,
        _ => libc::EIO,
    }
}

/// Returns the task that the calling thread is.
#[inline]
fn task() -> Option<Task> {
    Task::current()
}
