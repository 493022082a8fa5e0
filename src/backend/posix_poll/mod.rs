//! poll(2): every Unix has it, Hermit, and WASI's second preview through its libc.

mod sys;

pub(crate) type PosixPoll = super::list_backend::ListBackend<libc::pollfd>;
