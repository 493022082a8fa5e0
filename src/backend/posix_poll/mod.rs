//! poll(2): every Unix, Hermit, and WASI's second preview through its libc.
//!
//! Invariant: the list backend decides everything; only the entry and the call are here.

mod sys;

pub(crate) type PosixPoll = super::list_backend::ListBackend<libc::pollfd>;
