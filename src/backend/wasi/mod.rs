//! `poll_oneoff`, the first preview's only way to sleep.

mod sys;

pub(crate) type Wasi = super::listed::Listed<sys::Subscribed>;
