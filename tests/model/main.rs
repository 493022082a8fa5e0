//! Random programs, and the contract as a model that judges the events that they get.
//!
//! A sequence comes from a seed. A sequence that breaks the contract is shortened as far as possible, and printed
//! with its seed. `cargo xtask model` runs for a given time; the tests here are its short form. `world/tests/model` has
//! the sockets of a world as another ground.
#![cfg(any(unix, windows))]

mod check;
mod contract;
mod ends;
mod grounds;
mod ops;
mod rescue;
mod shrink;
mod simulated;
#[path = "../support/mod.rs"]
mod support;
mod timers;
#[cfg(unix)]
mod unix_ends;
#[cfg(windows)]
mod windows_ends;
mod world;

use wakeful::Backend;

use grounds::{Chaotic, Kernel};
use world::Ground;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn epoll() {
    on_ground("epoll", |_| Kernel(Backend::Epoll));
}

// The model's readiness and buffer sizes are those of Linux.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn posix_poll() {
    on_ground("posix_poll", |_| Kernel(Backend::PosixPoll));
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn chaos_on_epoll() {
    on_ground("chaos_on_epoll", |seed| Chaotic(Kernel(Backend::Epoll), seed));
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn chaos_on_posix_poll() {
    on_ground("chaos_on_posix_poll", |seed| Chaotic(Kernel(Backend::PosixPoll), seed));
}

#[cfg(windows)]
#[test]
fn iocp() {
    on_ground("iocp", |_| Kernel(Backend::Iocp));
}

#[cfg(windows)]
#[test]
fn chaos_on_iocp() {
    on_ground("chaos_on_iocp", |seed| Chaotic(Kernel(Backend::Iocp), seed));
}

#[test]
fn sim() {
    on_ground("sim", simulated::Simulated::new);
}

fn on_ground<G: Ground>(name: &str, ground: impl Fn(u64) -> G) {
    check::check(name, |seed, ops| world::run(&ground(seed), ops));
}
