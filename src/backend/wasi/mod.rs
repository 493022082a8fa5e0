//! `poll_oneoff`, the first preview's only way to block.
//!
//! Invariant: the list backend decides everything; only the call is here.

mod sys;

pub(crate) type Wasi = super::list_backend::ListBackend<sys::Entry>;
