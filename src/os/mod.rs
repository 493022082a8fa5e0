//! What several floors need from an operating system. Imports nothing of ours.
//!
//! # Safety
//!
//! This folder and the backends' `sys.rs` are the only places with `unsafe`. All of it is calls to the system
//! with memory that outlives the call, and descriptors that their owners keep open meanwhile.
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
pub(crate) use self::unix::*;
#[cfg(target_os = "wasi")]
pub(crate) use self::wasi::*;
#[cfg(windows)]
pub(crate) use self::windows::*;

/// By how much a kernel lets a thread's short sleeps outlast what was asked, so that it can end several at once: Linux
/// 50 us (`PR_SET_TIMERSLACK`), if the thread hasn't been given another.
pub(crate) const TIMER_SLACK: Duration = if cfg!(any(target_os = "linux", target_os = "android")) {
    Duration::from_micros(50)
} else {
    Duration::ZERO
};

/// What a descriptor stands for, as far as it changes the meaning of its readiness.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// An error alone closes no socket.
    #[cfg_attr(not(unix), allow(dead_code))]
    Socket,
    /// No operation uses its readiness up: a process that has ended, a file whose changes can be watched.
    #[cfg_attr(not(unix), allow(dead_code))]
    Steady,
    Other,
}

#[cfg(all(target_family = "wasm", not(any(unix, target_os = "wasi"))))]
compile_error!(
    "WebAssembly has descriptors only with WASI or Emscripten: build for wasm32-wasip1, wasm32-wasip2 or \
     wasm32-unknown-emscripten"
);
