//! The operating system, as several floors need it.
//!
//! Invariant: nothing here imports another part of the library.
//!
//! # Safety
//!
//! This folder and the backends' `sys.rs` are the only places with `unsafe`. They call the system with memory that
//! outlives the call, and with descriptors that their owners keep open during the call.
#![allow(unsafe_code)]

use std::time::Duration;

#[cfg(not(windows))]
mod descriptor;
#[cfg(any(feature = "chaos", feature = "backends"))]
pub(crate) mod environment;
#[cfg(target_os = "hermit")]
mod hermit;
#[cfg(unix)]
mod unix;
#[cfg(target_os = "wasi")]
mod wasi;
#[cfg(windows)]
mod windows;

#[cfg(not(windows))]
pub(crate) use self::descriptor::*;
#[cfg(target_os = "hermit")]
pub(crate) use self::hermit::*;
#[cfg(unix)]
pub use self::unix::KernelFilter;
#[cfg(unix)]
pub(crate) use self::unix::*;
#[cfg(target_os = "wasi")]
pub(crate) use self::wasi::*;
#[cfg(windows)]
pub(crate) use self::windows::*;

/// The time by which a kernel may extend a thread's short sleeps, so that it can end several at once: 50 us on Linux
/// (`PR_SET_TIMERSLACK`), unless the thread has another value.
pub(crate) const TIMER_SLACK: Duration = if cfg!(any(target_os = "linux", target_os = "android")) {
    Duration::from_micros(50)
} else {
    Duration::ZERO
};

/// The error numbers of simulated sockets where the system has others, with Linux's values. They stay unseen, since a
/// world has hosts on Unix alone.
#[cfg(all(feature = "sim", not(unix)))]
pub(crate) mod errno {
    pub(crate) const ADDRESS_IN_USE: i32 = 98;
    pub(crate) const ADDRESS_NOT_AVAILABLE: i32 = 99;
    pub(crate) const ALREADY: i32 = 114;
    pub(crate) const BAD_DESCRIPTOR: i32 = 9;
    pub(crate) const BROKEN_PIPE: i32 = 32;
    pub(crate) const CONNECTION_ABORTED: i32 = 103;
    pub(crate) const CONNECTION_REFUSED: i32 = 111;
    pub(crate) const CONNECTION_RESET: i32 = 104;
    pub(crate) const DESTINATION_REQUIRED: i32 = 89;
    pub(crate) const FAMILY_NOT_SUPPORTED: i32 = 97;
    pub(crate) const HOST_UNREACHABLE: i32 = 113;
    pub(crate) const INVALID: i32 = 22;
    pub(crate) const IN_PROGRESS: i32 = 115;
    pub(crate) const IS_CONNECTED: i32 = 106;
    pub(crate) const LOOP: i32 = 40;
    pub(crate) const MESSAGE_TOO_LONG: i32 = 90;
    pub(crate) const NOT_CONNECTED: i32 = 107;
    pub(crate) const NOT_PERMITTED: i32 = 1;
    pub(crate) const NOT_SOCKET: i32 = 88;
    pub(crate) const NOT_SUPPORTED: i32 = 95;
    pub(crate) const NO_ENTRY: i32 = 2;
    pub(crate) const TIMED_OUT: i32 = 110;
}

/// Whether a simulated world has had a task in this process. Then every call goes through libc's functions, which a
/// package may have shadowed for the sockets of worlds.
#[cfg(feature = "sim")]
static HAS_WORLDS: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

#[cfg(feature = "sim")]
#[inline]
#[allow(dead_code)] // used where calls bypass libc
pub(crate) fn has_worlds() -> bool {
    HAS_WORLDS.load(std::sync::atomic::Ordering::Relaxed)
}

/// Notes that the process has a world from now on.
#[cfg(feature = "sim")]
pub(crate) fn set_has_worlds() {
    HAS_WORLDS.store(true, std::sync::atomic::Ordering::Relaxed);
}

/// The kind of file behind a descriptor, as far as the meaning of its readiness depends on it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A socket: an error alone closes nothing.
    #[cfg_attr(not(unix), allow(dead_code))]
    Socket,
    /// A file whose readiness no operation clears: a process that has ended, a file whose changes can be watched.
    #[cfg_attr(not(unix), allow(dead_code))]
    Steady,
    Other,
}

#[cfg(all(target_family = "wasm", not(any(unix, target_os = "wasi"))))]
compile_error!(
    "WebAssembly has descriptors only with WASI or Emscripten: build for wasm32-wasip1, wasm32-wasip2 or \
     wasm32-unknown-emscripten"
);
