//! What several floors need from an operating system. Imports nothing of ours.
//!
//! # Safety
//!
//! This folder and the backends' `sys.rs` are the only places with `unsafe`. All of it is calls to the system
//! with memory that outlives the call, and descriptors that their owners keep open meanwhile.
#![allow(unsafe_code)]

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use self::unix::*;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use self::windows::*;
