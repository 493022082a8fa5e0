//! Stand-ins for the backends that a target lacks: types without a value.
//!
//! `backend/mod.rs` imports these names by a glob, and a module of the same name takes precedence over a glob: a
//! backend that is present shadows its stand-in. So no variant and no match arm needs a `cfg`.
//!
//! Invariant: no value of [`Absent`] exists, so an absent backend compiles to no code.
#![allow(dead_code)] // each stand-in is unused where the backend is present

use std::fmt;
use std::io;
use std::time::Duration;

use super::poller::Poller;
use crate::backend::logic::watch::{Blocked, Registration, WatchKey};
use crate::os::RawIo;
use crate::readiness::Events;

/// A backend that this target doesn't have.
pub(crate) enum Absent {}

impl Poller for Absent {
    const PRESENT: bool = false;

    fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn wait(&self, _: &mut Events, _: Option<Duration>) -> io::Result<()> {
        match *self {}
    }

    fn prepare_notify(&self) -> io::Result<()> {
        match *self {}
    }

    fn notify(&self) -> io::Result<()> {
        match *self {}
    }

    fn register(&self, _: RawIo, _: Registration) -> io::Result<Option<WatchKey>> {
        match *self {}
    }

    fn reregister(&self, _: RawIo, _: Option<WatchKey>, _: Registration) -> io::Result<()> {
        match *self {}
    }

    fn deregister(&self, _: RawIo, _: Option<WatchKey>) -> io::Result<()> {
        match *self {}
    }

    fn rearm(&self, _: WatchKey, _: Blocked) -> io::Result<()> {
        match *self {}
    }

    fn abandon(&self, _: WatchKey) {
        match *self {}
    }

    #[cfg(unix)]
    fn descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
        match *self {}
    }

    fn describe(_: u32, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

macro_rules! absent {
    ($($module:ident::$Name:ident),*) => {$(
        pub(crate) mod $module {
            pub(crate) type $Name = crate::backend::absent::Absent;
        }
    )*};
}

absent!(
    epoll::Epoll,
    kqueue::Kqueue,
    event_ports::EventPorts,
    posix_poll::PosixPoll,
    iocp::Iocp,
    wasi::Wasi,
    sim::Sim
);
