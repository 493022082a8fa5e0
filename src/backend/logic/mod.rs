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
#[cfg(not(windows))]
pub(in crate::backend) mod poll_entry;
#[cfg(all(unix, any(test, not(target_os = "linux"))))] // Linux has none, but runs its tests
#[allow(dead_code)] // its tests run where no event port is
pub(in crate::backend) mod port_state;
// Linux, where most builds are made, compiles it for nothing else.
#[cfg(any(test, fuzzing, wakeful_libkqueue, not(target_os = "linux")))]
#[allow(dead_code)]
pub(in crate::backend) mod knotes;
#[allow(dead_code)] // one kernel's, but tested everywhere
pub(crate) mod oneoff_flags;
#[cfg(not(windows))]
pub(in crate::backend) mod registrations;
pub(in crate::backend) mod slab;
pub(in crate::backend) mod watch;
