//! `poll_oneoff`, the first preview's only way to sleep.

mod sys;

pub(crate) type Wasi = super::list_backend::ListBackend<sys::Entry>;
