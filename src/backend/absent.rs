//! Stand-ins for the backends that a target lacks: types without a value.
//!
//! `backend/mod.rs` imports these names by a glob, and a module of the same name takes precedence over a glob: a
//! backend that is present shadows its stand-in. So no variant and no match arm needs a `cfg`.
//!
//! Invariant: no value of [`Absent`] exists, so an absent backend compiles to no code.
#![allow(dead_code)] // each stand-in is unused where the backend is present

macro_rules! absent {
    ($($module:ident::$Name:ident),*) => {$(
        pub(crate) mod $module {
            pub(crate) type $Name = crate::backend::poller::Absent;
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
