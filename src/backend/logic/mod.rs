//! The decisions about registrations and kernels' results, one file for each. They make no system call, so every target
//! compiles and tests them, also those that another kernel needs.
//!
//! Invariant: a file here reaches a kernel only through a trait, which its tests implement too.

#[allow(dead_code)] // one kernel's, but tested everywhere
pub(crate) mod afd_flags;
#[cfg(not(windows))]
mod fd_map;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(dead_code))]
pub mod fuzzing;
#[allow(dead_code)] // some kernels', but tested everywhere
pub(in crate::backend) mod knotes;
#[allow(dead_code)] // one kernel's, but tested everywhere
pub(crate) mod oneoff_flags;
#[cfg(not(windows))]
pub(in crate::backend) mod poll_entry;
#[cfg(unix)]
#[allow(dead_code)] // one kernel's, but tested on every Unix
pub(in crate::backend) mod port_state;
#[cfg(not(windows))]
pub(in crate::backend) mod registrations;
pub(in crate::backend) mod slab;
pub(in crate::backend) mod watch;
